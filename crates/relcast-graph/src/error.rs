//! What can go wrong while a graph is built or read.

use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

/// An error of the temporal graph.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A table could not be read.
    #[error("cannot read table {table:?} for the graph: {source}")]
    Read {
        /// The table.
        table: String,
        /// DataFusion's reason.
        source: DataFusionError,
    },
    /// Columns could not be hashed or cast.
    #[error("cannot use a column as a key or time: {0}")]
    Column(#[from] ArrowError),
    /// A column that the schema names is not in the table.
    #[error("table {table:?} has no column {column:?}; inspect the database again")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// More rows than a row number can count.
    #[error("table {table:?} has {rows} rows; a table may have 4,294,967,294")]
    TooManyRows {
        /// The table.
        table: String,
        /// Its rows.
        rows: usize,
    },
    /// A file of the snapshot could not be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file of the snapshot does not hold what it should.
    #[error("the graph snapshot {} is damaged ({reason}); delete it and it is built again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}
