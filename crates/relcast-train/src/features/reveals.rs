//! When cells that are younger than their row become known.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use relcast_catalog::{SemanticType, Table};

/// A timestamp that is NULL.
pub(super) const NO_TIME: i64 = i64::MIN;

/// The distinct columns that `known_from` names, with their cells.
#[derive(Debug, Default)]
pub(super) struct Reveals {
    names: Vec<String>,
    times: Vec<Vec<i64>>,
}

impl Reveals {
    /// Reads the columns that `known_from` names for a column of `table` that is a feature.
    ///
    /// # Errors
    /// If there are more of them than bits in a word, or one is missing.
    pub(super) fn read(table: &Table, rows: &RecordBatch) -> Result<Self, ArrowError> {
        let read = table
            .columns
            .iter()
            .filter(|c| !matches!(c.semantic, SemanticType::Key | SemanticType::Ignored));
        let mut names: Vec<String> = read.filter_map(|c| c.known_from.clone()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() > u64::BITS as usize {
            return Err(ArrowError::SchemaError(format!(
                "known_from names {} different columns, at most {} can be kept apart; \
                 ignore some of the columns that declare it",
                names.len(),
                u64::BITS
            )));
        }
        let times = names.iter().map(|name| micros(find(rows, name)?)).collect::<Result<_, _>>()?;
        Ok(Self { names, times })
    }

    /// How many there are: each has a bit of `TableFeatures::hidden`.
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// How many cells they have.
    pub(super) fn cells(&self) -> usize {
        self.times.iter().map(Vec::len).sum()
    }

    /// Which of them says when `column` becomes known.
    pub(super) fn of(&self, table: &Table, column: &str) -> Option<usize> {
        let from = table.find_column(column)?.known_from.as_ref()?;
        self.names.iter().position(|name| name == from)
    }

    /// Whether the cells of `row` that `reveal` stands for are known at `view`.
    pub(super) fn is_known(&self, reveal: usize, row: usize, view: i64) -> bool {
        let from = self.times[reveal][row];
        from != NO_TIME && from <= view
    }

    /// `values` with NULL where `column` is not known yet at `view`.
    pub(super) fn masked(
        &self,
        table: &Table,
        column: &str,
        values: &ArrayRef,
        view: i64,
    ) -> Result<ArrayRef, ArrowError> {
        let Some(reveal) = self.of(table, column) else { return Ok(values.clone()) };
        let hidden: BooleanArray =
            (0..values.len()).map(|row| Some(!self.is_known(reveal, row, view))).collect();
        nullif(values, &hidden)
    }
}

/// The column of `rows` with this name.
pub(super) fn find<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    rows.column_by_name(name).ok_or_else(|| {
        ArrowError::SchemaError(format!(
            "the model reads a column {name:?} that is no longer there"
        ))
    })
}

/// A timestamp column in microseconds, NULL as [`NO_TIME`].
pub(super) fn micros(values: &ArrayRef) -> Result<Vec<i64>, ArrowError> {
    let cast = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let times = cast.as_primitive::<TimestampMicrosecondType>();
    Ok(times.iter().map(|t| t.unwrap_or(NO_TIME)).collect())
}
