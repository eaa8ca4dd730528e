//! The catalog of Postgres, and the SQL in which its clients ask for it.
//!
//! `datafusion-pg-catalog` brings most tables, functions and rewrites; what it lacks stands here:
//! the keys (`keys.rs`, as views in `views.sql`), some functions, some spellings.

mod catalog;
mod dialect;
mod functions;
mod keys;
mod selects;
mod spellings;

pub(crate) use catalog::add_catalog;
pub(crate) use dialect::PostgresDialect;
