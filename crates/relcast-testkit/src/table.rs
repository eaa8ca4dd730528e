//! Generated databases: tables in memory, written as Parquet beside a `relcast.yaml`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::TestkitError;

/// Microseconds in a day.
pub const DAY: i64 = 86_400_000_000;

/// A generated database on disk, and what its query is worth.
#[derive(Debug, Clone)]
pub struct GeneratedDatabase {
    /// The folder: one Parquet file per table and `relcast.yaml`.
    pub dir: PathBuf,
    /// The predictive query that the database was made for, without WITH.
    pub query: &'static str,
    /// Start of the validation split, microseconds UTC; all cutoffs must lie whole horizons from it.
    pub val_timestamp: i64,
    /// Start of the test split, microseconds UTC.
    pub test_timestamp: i64,
    /// Cutoffs in each of the two evaluation splits.
    pub num_eval_timestamps: usize,
    /// The horizon of the query in days.
    pub horizon_days: i64,
}

impl GeneratedDatabase {
    /// The options that place the splits, ready for a WITH or `--set`: (name, value).
    #[must_use]
    pub fn options(&self) -> [(&'static str, String); 3] {
        [
            ("val_timestamp", date_text(self.val_timestamp)),
            ("test_timestamp", date_text(self.test_timestamp)),
            ("num_eval_timestamps", self.num_eval_timestamps.to_string()),
        ]
    }

    /// The query with a WITH clause that places the splits.
    #[must_use]
    pub fn query_with_splits(&self) -> String {
        let [(val, val_at), (test, test_at), (n, count)] = self.options();
        format!("{} WITH ({val} = '{val_at}', {test} = '{test_at}', {n} = {count})", self.query)
    }

    /// The cutoffs of the test split, microseconds UTC.
    pub fn test_cutoffs(&self) -> impl Iterator<Item = i64> {
        let (start, step) = (self.test_timestamp, self.horizon_days * DAY);
        (0..).map(move |k| start + k * step).take(self.num_eval_timestamps)
    }
}

/// A table in the making: columns by name.
#[derive(Debug, Clone)]
pub struct Table {
    name: &'static str,
    columns: Vec<(&'static str, ArrayRef)>,
}

impl Table {
    /// A table without columns yet.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, columns: Vec::new() }
    }

    /// Adds a column of whole numbers.
    #[must_use]
    pub fn int(self, name: &'static str, values: impl IntoIterator<Item = i64>) -> Self {
        self.column(name, Arc::new(Int64Array::from_iter_values(values)))
    }

    /// Adds a column of floats.
    #[must_use]
    pub fn float(self, name: &'static str, values: impl IntoIterator<Item = f64>) -> Self {
        self.column(name, Arc::new(Float64Array::from_iter_values(values)))
    }

    /// Adds a column of texts.
    #[must_use]
    pub fn text<'a>(self, name: &'static str, values: impl IntoIterator<Item = &'a str>) -> Self {
        self.column(name, Arc::new(StringArray::from_iter_values(values)))
    }

    /// Adds a column of moments in microseconds UTC, `None` for NULL.
    #[must_use]
    pub fn time(self, name: &'static str, values: impl IntoIterator<Item = Option<i64>>) -> Self {
        self.column(name, Arc::new(TimestampMicrosecondArray::from_iter(values)))
    }

    fn column(mut self, name: &'static str, values: ArrayRef) -> Self {
        self.columns.push((name, values));
        self
    }

    /// Writes `dir/<name>.parquet`.
    ///
    /// # Errors
    /// If columns differ in length or the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), TestkitError> {
        let batch = RecordBatch::try_from_iter(self.columns.iter().cloned())
            .map_err(|source| TestkitError::Arrow { table: self.name.to_owned(), source })?;
        let path = dir.join(format!("{}.parquet", self.name));
        let file = File::create(&path).map_err(TestkitError::io(&path))?;
        let failed = |source| TestkitError::Parquet { path: path.clone(), source };
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).map_err(failed)?;
        writer.write(&batch).map_err(failed)?;
        writer.close().map_err(failed)?;
        Ok(())
    }
}

/// Makes `dir` and writes the tables and the text of `relcast.yaml` into it.
pub(crate) fn write_database(dir: &Path, tables: &[Table], yaml: &str) -> Result<(), TestkitError> {
    std::fs::create_dir_all(dir).map_err(TestkitError::io(dir))?;
    for table in tables {
        table.write(dir)?;
    }
    let path = dir.join("relcast.yaml");
    std::fs::write(&path, yaml).map_err(TestkitError::io(&path))
}

/// All record batches of a Parquet file.
///
/// # Errors
/// If the file cannot be opened or is no Parquet file.
pub fn read_parquet(path: &Path) -> Result<Vec<RecordBatch>, TestkitError> {
    let file = File::open(path).map_err(TestkitError::io(path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|source| TestkitError::Parquet { path: path.to_owned(), source })?;
    reader
        .collect::<Result<_, _>>()
        .map_err(|source| TestkitError::Arrow { table: path.display().to_string(), source })
}

/// Midnight of a date of the Gregorian calendar, microseconds since 1970 UTC.
#[must_use]
pub fn date_micros(year: i64, month: i64, day: i64) -> i64 {
    // Years are counted from March, so that the leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_of_years = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400);
    (days_of_years + (153 * m + 2) / 5 + day - 1 - 719_468) * DAY
}

/// The date of a midnight as `YYYY-MM-DD`.
fn date_text(micros: i64) -> String {
    let days = micros.div_euclid(DAY);
    let mut year = 1970 + days.div_euclid(366);
    while date_micros(year + 1, 1, 1) <= micros {
        year += 1;
    }
    let month = (1..=12).rev().find(|m| date_micros(year, *m, 1) <= micros).unwrap_or(1);
    let day = 1 + days - date_micros(year, month, 1) / DAY;
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_days_and_days_become_dates() {
        assert_eq!(date_micros(1970, 1, 1), 0);
        assert_eq!(date_micros(2000, 3, 1), 11_017 * DAY);
        for (year, month, day) in [(2024, 2, 29), (2023, 12, 31), (2021, 1, 1), (1999, 7, 4)] {
            let expected = format!("{year:04}-{month:02}-{day:02}");
            assert_eq!(date_text(date_micros(year, month, day)), expected);
        }
    }

    #[test]
    fn a_table_written_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let table =
            Table::new("t").int("a", [1, 2]).time("at", [Some(5), None]).text("s", ["x", "y"]);
        table.write(dir.path()).unwrap();
        let batches = read_parquet(&dir.path().join("t.parquet")).unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
        assert!(Table::new("u").int("a", [1]).int("b", []).write(dir.path()).is_err());
    }
}
