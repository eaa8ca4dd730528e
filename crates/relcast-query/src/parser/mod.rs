//! From text to [`PredictiveQuery`]: sqlparser's tokens, our own recursive descent.
//!
//! Names are not looked up here. Every error says where it is, what was expected and what was found.

mod aggregate;
mod cursor;
mod expression;
mod limits;
mod parameters;
mod predictive_query;
mod statement;

use crate::ast::PredictiveQuery;
use crate::error::QueryError;
use crate::statement::Statement;
use cursor::Cursor;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::tokenizer::Token;

/// Reads a predictive query: `PREDICT …`, with or without a closing semicolon.
///
/// # Errors
/// [`QueryError::Syntax`] at the first token that does not fit the grammar.
///
/// ```
/// let query = relcast_query::parse("PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.id")?;
/// assert!(query.target.is_some());
/// # Ok::<(), relcast_query::QueryError>(())
/// ```
pub fn parse(sql: &str) -> Result<PredictiveQuery, QueryError> {
    let mut cursor = Cursor::new(sql)?;
    let query = predictive_query::predictive_query(&mut cursor)?;
    cursor.finish()?;
    Ok(query)
}

/// The statements of a text, read one after the other as they are asked for; nothing is read after
/// an error.
///
/// # Errors
/// [`QueryError::Syntax`] if the text cannot be divided into tokens, and for each statement that
/// does not fit the grammar.
///
/// ```
/// use relcast_query::{Statement, statements};
///
/// let mut read = statements("SHOW MODELS; SELECT * FROM (PREDICT USING MODEL churn) AS p")?;
/// assert!(matches!(read.next(), Some(Ok(Statement::ShowModels))));
/// assert!(matches!(read.next(), Some(Ok(Statement::Sql(sql))) if sql.predictions.len() == 1));
/// assert!(read.next().is_none());
/// # Ok::<(), relcast_query::QueryError>(())
/// ```
pub fn statements(
    sql: &str,
) -> Result<impl Iterator<Item = Result<Statement, QueryError>>, QueryError> {
    statements_with(sql, &[])
}

/// As [`statements`], where the parameters `$1`, `$2`, … stand for `values`.
///
/// # Errors
/// As [`statements`], and [`QueryError::Meaning`] for a parameter of a predictive query that has no
/// value.
pub fn statements_with<'a>(
    sql: &'a str,
    values: &'a [ScalarValue],
) -> Result<impl Iterator<Item = Result<Statement, QueryError>>, QueryError> {
    Ok(read(Cursor::new(sql)?.with_values(values)))
}

/// As [`statements`], to be described before the values of their parameters are known.
///
/// # Errors
/// As [`statements`], and [`QueryError::Meaning`] for a parameter where a value must be known.
pub fn open_statements(
    sql: &str,
) -> Result<impl Iterator<Item = Result<Statement, QueryError>>, QueryError> {
    Ok(read(Cursor::new(sql)?.with_open_parameters()))
}

fn read(mut cursor: Cursor<'_>) -> impl Iterator<Item = Result<Statement, QueryError>> {
    let mut failed = false;
    std::iter::from_fn(move || {
        while cursor.eat(&Token::SemiColon) {}
        if failed || cursor.peek().is_none() {
            return None;
        }
        let read = statement::statement(&mut cursor).and_then(|statement| {
            cursor.finish_statement()?;
            Ok(statement)
        });
        failed = read.is_err();
        Some(read)
    })
}

/// How many parameters the statements of a text have: the highest number among `$1`, `$2`, …
///
/// # Errors
/// [`QueryError::Syntax`] if the text cannot be divided into tokens.
///
/// ```
/// assert_eq!(relcast_query::count_parameters("PREDICT USING MODEL m AS OF $2 -- $3")?, 2);
/// # Ok::<(), relcast_query::QueryError>(())
/// ```
pub fn count_parameters(sql: &str) -> Result<usize, QueryError> {
    Ok(Cursor::new(sql)?.last_parameter())
}
