//! What can go wrong while test data is written or read.

use std::path::PathBuf;

use thiserror::Error;

/// Why a test database could not be written or read.
#[derive(Debug, Error)]
pub enum TestkitError {
    /// The file system refused.
    #[error("cannot access {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is no Parquet file, or could not be written as one.
    #[error("Parquet file {path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The library's reason.
        source: datafusion::parquet::errors::ParquetError,
    },
    /// Columns do not make a table.
    #[error("table {table}: {source}")]
    Arrow {
        /// The table's or file's name.
        table: String,
        /// The library's reason.
        source: arrow::error::ArrowError,
    },
    /// A label file lacks a column.
    #[error("{path} has no column {column}; it has: {columns}")]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column asked for.
        column: String,
        /// The columns there are.
        columns: String,
    },
}

impl TestkitError {
    /// Wraps an I/O error with its path.
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
