//! What can go wrong in a baseline.

use relcast_graph::Stopped;
use thiserror::Error;

/// Why a baseline gives no predictions.
#[derive(Debug, Error)]
pub enum BaselineError {
    /// There is no label row to learn from.
    #[error(
        "the {baseline} baseline has no label rows to learn from; give the training and validation \
         splits at least one row"
    )]
    NoLabels {
        /// The baseline's name.
        baseline: &'static str,
    },
    /// A label is NaN or infinite.
    #[error("the {baseline} baseline got the label {label} in row {row}; leave such rows out")]
    LabelNotFinite {
        /// The baseline's name.
        baseline: &'static str,
        /// The row's position among the label rows given.
        row: usize,
        /// The label.
        label: f64,
    },
    /// A label is not one that the task allows.
    #[error("label {label} in row {row} is none of the task's: {expected} expected")]
    LabelOutOfRange {
        /// The row's position among the training labels.
        row: usize,
        /// The label.
        label: f64,
        /// The labels allowed, in words.
        expected: String,
    },
    /// Matrices or labels do not fit each other.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// What has the wrong size.
        what: &'static str,
        /// The size that would fit.
        expected: usize,
        /// The size given.
        found: usize,
    },
    /// Nobody waits for the baseline any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The boosting library failed.
    #[error("gradient boosting failed on {rows} rows and {columns} columns: {message}")]
    Boosting {
        /// Training rows.
        rows: usize,
        /// Columns that vary.
        columns: usize,
        /// The library's own words.
        message: String,
    },
}
