//! The temporal graph: rows are nodes, links are edges, both in the order of time.
//!
//! Comes in: a session with the tables of a schema. Goes out: a snapshot on disk that is
//! memory-mapped. Rows of a table are numbered by (known time, stable hash of the primary key), so
//! nothing depends on the order in which rows arrive, the rows known at a moment are the first
//! ones, and a neighbour list in the order of row numbers is a list in the order of time.

mod arrow_file;
mod build;
mod edge;
mod error;
mod graph;
mod hash;
mod key_index;
mod mmap;
mod snapshot;
mod stop;

pub use build::build;
pub use edge::{Direction, EdgeType};
pub use error::GraphError;
pub use graph::TemporalGraph;
pub use hash::key_hashes;
pub use snapshot::{GraphReport, LinkReport, META, TableReport};
pub use stop::{Entered, Stop, Stopped};

/// The known time of a row that is always known.
pub const STATIC_TIME: i64 = i64::MIN;

/// Stands for "no row" where a row number is expected.
pub const NO_ROW: u32 = u32::MAX;

/// The most rows a table may have: two numbers are kept for rows that are not there.
pub(crate) const MAX_ROWS: usize = u32::MAX as usize - 1;
