//! The demonstration shop: a generated database with a story in it.
//!
//! Owns nothing but its generator. Comes in: a folder and a seed. Goes out: Parquet files and a
//! `relcast.yaml`. Promises: the same seed gives the same bytes; nothing later than
//! [`ShopSummary::end`] is in the data, and cells that would be younger are NULL.
//!
//! The story: people order again at their own pace until they have had enough. What drives them
//! away is spread over the tables. Depots have weeks in which they deliver late (seen in other
//! people's orders from the same depot), some products break (seen in other people's reviews), and
//! now and then the desk leaves tickets unanswered. The customer's own row says little: how he
//! found the shop and whether he reads the newsletter. So a churn model that reads all tables
//! should do clearly better than one that reads the customers alone.

mod goods;
mod lives;
mod random;
mod tables;
mod words;

use std::path::{Path, PathBuf};

use goods::Goods;
use lives::Lives;

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;
/// Midnight of 2022-01-01 UTC, the first moment of the data.
const START: i64 = 18_993 * DAY;
/// Midnight of 2025-01-01 UTC, the end of the data.
const END: i64 = START + DAYS * DAY;
/// Days of data: three years.
const DAYS: i64 = 1096;

/// The churn question that the shop was made for.
pub const CHURN_QUERY: &str = "PREDICT COUNT(orders.*, 0, 60, days) = 0 \
                               FOR EACH customers.customer_id \
                               WHERE COUNT(orders.*, -90, 0, days) > 0";

/// What [`generate`] wrote.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ShopSummary {
    /// The folder.
    pub dir: PathBuf,
    /// Tables by name, each with its number of rows.
    pub tables: Vec<(String, usize)>,
    /// Rows of all tables.
    pub rows: usize,
    /// First moment of the data, microseconds UTC.
    pub start: i64,
    /// No row is known later than this, microseconds UTC.
    pub end: i64,
}

/// Why the shop could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// The file system refused.
    #[error("cannot write the demo shop to {path}: {source}; choose a folder that can be written")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A table could not be written as Parquet.
    #[error("cannot write the demo shop's table to {path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The library's reason.
        source: datafusion::parquet::errors::ParquetError,
    },
    /// Columns do not make a table.
    #[error("table {table} of the demo shop: {source}")]
    Table {
        /// The table.
        table: &'static str,
        /// The library's reason.
        source: arrow::error::ArrowError,
    },
}

/// Writes the shop into `dir` (made if absent; files of the same names are replaced): nine Parquet
/// files with about 200,000 rows from three years, and `relcast.yaml`.
///
/// # Errors
/// If the folder cannot be written.
pub fn generate(dir: &Path, seed: u64) -> Result<ShopSummary, ShopError> {
    let goods = Goods::generate(seed);
    let lives = Lives::generate(seed, &goods);
    let tables = tables::write(dir, &goods, &lives)?;
    let rows = tables.iter().map(|(_, rows)| rows).sum();
    Ok(ShopSummary { dir: dir.to_owned(), tables, rows, start: START, end: END })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
