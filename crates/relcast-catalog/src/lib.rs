//! The schema of a database: tables, keys, links, times and semantic types.
//!
//! [`load`] brings together what `manifest.yaml` and `relcast.yaml` declare and, where nothing is
//! declared, what the data suggest; every suggestion is kept as a [`Proposal`] with its evidence.
//! [`inspect()`] counts what is in the tables and names what may leak. Nothing here changes data.

mod catalog;
mod dates;
mod declared;
mod error;
mod infer;
pub mod inspect;
mod keys;
mod known;
mod manifest;
mod names;
pub mod schema;
mod sql;
mod statistics;
mod times;

pub use catalog::{Catalog, Proposal, load};
pub use dates::{rows_relation, source_column};
pub use declared::column_types;
pub use error::CatalogError;
pub use infer::TimeLike;
pub use inspect::{Finding, FindingKind, Inspection, inspect, inspect_at, propose_yaml, to_dot};
pub use keys::check_keys;
pub use known::{known_relation, link_condition};
pub use manifest::TaskManifest;
pub use names::nearest;
pub use schema::{Column, KnownFrom, Link, LinkId, Schema, SemanticType, Table, TableId};
pub use sql::{key_equality, quoted};
pub use statistics::{ColumnStatistics, TableStatistics};
pub use times::{format_time, parse_time};
