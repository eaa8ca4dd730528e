//! From text to [`PredictiveQuery`]: sqlparser's tokens, our own recursive descent.
//!
//! Names are not looked up here. Every error says where it is, what was expected and what was found.

mod aggregate;
mod cursor;
mod expression;
mod statement;

use crate::ast::PredictiveQuery;
use crate::error::QueryError;
use cursor::Cursor;

/// Reads a predictive query: `PREDICT …` or `EXPLAIN LABELS PREDICT …`, with or without a closing semicolon.
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
    let query = statement::predictive_query(&mut cursor)?;
    cursor.finish()?;
    Ok(query)
}
