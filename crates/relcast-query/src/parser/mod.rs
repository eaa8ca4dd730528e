//! From text to [`PredictiveQuery`]: sqlparser's tokens, our own recursive descent.
//!
//! Names are not looked up here. Every error says where it is, what was expected and what was found.

mod aggregate;
mod cursor;
mod expression;
mod limits;
mod predictive_query;
mod statement;

use crate::ast::{Literal, PredictiveQuery};
use crate::error::QueryError;
use crate::statement::Statement;
use cursor::Cursor;
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

/// As [`statements`], with `values` in the place of the parameters `$1`, `$2`, … A parameter beyond
/// them stays one.
///
/// # Errors
/// As [`statements`].
pub fn statements_with(
    sql: &str,
    values: &[Literal],
) -> Result<impl Iterator<Item = Result<Statement, QueryError>>, QueryError> {
    let mut cursor = Cursor::new(sql)?;
    cursor.give(values);
    let mut failed = false;
    Ok(std::iter::from_fn(move || {
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
    }))
}
