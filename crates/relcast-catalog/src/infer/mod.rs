//! What the data suggest where nothing is declared.
//!
//! Keys and links need evidence in their names and in their values: two columns that merely both
//! count from 1 to n are no link. Every result is the same for any order of rows.

mod keys;
mod links;
mod semantic;
mod time_like;
mod times;

pub(crate) use keys::primary_key;
pub(crate) use links::links;
pub(crate) use semantic::{fits, semantic_type};
pub use time_like::TimeLike;
pub(crate) use time_like::time_like;
pub(crate) use times::time_column;

/// Something inferred, with what speaks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inferred<T> {
    /// What was inferred.
    pub(crate) value: T,
    /// Why, in words.
    pub(crate) evidence: String,
}
