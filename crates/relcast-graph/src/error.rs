//! What can go wrong while a graph is built or read.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::stop::Stopped;

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
    /// Columns could not be hashed, cast or ordered.
    #[error("cannot use a column in the graph: {0}")]
    Column(#[from] ArrowError),
    /// A column that the schema names is not in the table.
    #[error(
        "table {table:?} has no column {column:?}{}; inspect the database again",
        hint.as_ref().map(|h| format!(", but {h:?}")).unwrap_or_default()
    )]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The column with the most similar name.
        hint: Option<String>,
    },
    /// A time column that holds no times.
    #[error(
        "column {column:?} of table {table:?} is to say when rows are known, but holds {data_type}; \
         name a column of dates or timestamps"
    )]
    NotATime {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What it holds.
        data_type: String,
    },
    /// More rows than a row number can count.
    #[error(
        "table {table:?} has more than {} rows, the most a table of the graph may have",
        crate::MAX_ROWS
    )]
    TooManyRows {
        /// The table.
        table: String,
    },
    /// A text column of more than two gigabytes.
    #[error(
        "column {column:?} of table {table:?} holds {bytes} bytes of text; a column may hold \
         2147483647: shorten its texts or leave the column out"
    )]
    TooMuchText {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// All its texts together.
        bytes: usize,
    },
    /// A key of another number of columns than the primary key it stands for.
    #[error("{what} has {given} columns, but the primary key of table {table:?} has {expected}")]
    KeyWidth {
        /// The key that does not fit.
        what: String,
        /// The table with the primary key.
        table: String,
        /// Columns of the primary key.
        expected: usize,
        /// Columns of the key.
        given: usize,
    },
    /// A file of the snapshot could not be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nobody waits for the graph any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A snapshot of another version of the format, or of another byte order.
    #[error(
        "the graph snapshot {} has format {found:?}, this relcast reads {expected:?}; \
         delete it and it is built again",
        path.display()
    )]
    Version {
        /// The snapshot's first file.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The format that can be read.
        expected: String,
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

impl GraphError {
    /// Adds the path to an error of the operating system.
    pub(crate) fn file(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::File { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }

    /// That `table` has none of `columns` called `column`.
    pub(crate) fn no_column<'a>(
        table: &str,
        column: &str,
        columns: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::NoColumn {
            table: table.to_owned(),
            column: column.to_owned(),
            hint: relcast_catalog::nearest(column, columns).map(str::to_owned),
        }
    }
}
