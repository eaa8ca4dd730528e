//! A table's features: the plan learnt from its past, and its rows encoded by that plan.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use relcast_catalog::{SemanticType, Table};
use relcast_nn::TableShape;
use serde::{Deserialize, Serialize};

use super::column::ColumnPlan;
use super::time::{AGE_FEATURES, SEASON_FEATURES, age_features, season_features};

/// Numbers that one timestamp cell becomes, seen from a seed.
const CELL_FEATURES: usize = AGE_FEATURES + 1;

/// A timestamp that is NULL.
const NO_TIME: i64 = i64::MIN;

/// What was learnt about every table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeaturePlan {
    /// One per table, in the order of the schema.
    pub tables: Vec<TablePlan>,
    /// The horizon of the labels in microseconds: the unit of decaying ages.
    pub horizon: i64,
}

/// What was learnt about one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TablePlan {
    /// Columns read as numbers and vocabulary entries.
    pub columns: Vec<(String, ColumnPlan)>,
    /// Timestamp columns read relative to the seed's view, except the time column itself.
    pub timestamps: Vec<TimestampPlan>,
    /// Whether rows have a time of their own or an inherited one.
    pub timed: bool,
}

/// How a timestamp column is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimestampPlan {
    /// The column.
    pub name: String,
    /// Mean age in microseconds at the last training cutoff.
    pub mean: f64,
    /// Standard deviation of that age.
    pub deviation: f64,
    /// Whether the cell may lie in the seed's future.
    pub planned: bool,
}

/// The rows of one table, encoded.
#[derive(Debug)]
pub struct TableFeatures {
    shape: TableShape,
    dense: Vec<f32>,
    entries: Vec<u32>,
    /// Encoding of a row of which nothing is known.
    null_dense: Vec<f32>,
    null_entries: Vec<u32>,
    timestamps: Vec<(TimestampPlan, Vec<i64>)>,
    masked: Vec<MaskedColumn>,
    horizon: i64,
}

/// A column whose cells become known later than their row.
#[derive(Debug)]
struct MaskedColumn {
    known_from: Vec<i64>,
    dense: Range<usize>,
    entries: Range<usize>,
}

impl TablePlan {
    /// Learns `table` from its first `known` rows; `until` is the last training cutoff.
    ///
    /// # Errors
    /// Arrow's, if a column cannot be read as its semantic type.
    pub fn learn(
        table: &Table,
        rows: &RecordBatch,
        known: usize,
        until: i64,
        timed: bool,
    ) -> Result<Self, ArrowError> {
        let mut columns = Vec::new();
        let mut timestamps = Vec::new();
        for column in &table.columns {
            let Some(values) = rows.column_by_name(&column.name) else { continue };
            if column.semantic != SemanticType::Timestamp {
                let plan = ColumnPlan::learn(column.semantic, values, known)?;
                columns.extend(plan.map(|plan| (column.name.clone(), plan)));
            } else if table.time_column.as_ref() != Some(&column.name) {
                let met = micros(&values.slice(0, known.min(values.len())))?;
                timestamps.push(TimestampPlan::learn(&column.name, &met, until, column.planned));
            }
        }
        Ok(Self { columns, timestamps, timed })
    }

    /// The sizes of the table's features.
    #[must_use]
    pub fn shape(&self) -> TableShape {
        let season = if self.timed { SEASON_FEATURES } else { 0 };
        TableShape {
            dense: season + self.columns.iter().map(|(_, c)| c.dense()).sum::<usize>(),
            slots: self.columns.iter().map(|(_, c)| c.slots()).sum(),
            vocabulary: self.columns.iter().map(|(_, c)| c.vocabulary()).sum(),
            time: AGE_FEATURES + self.timestamps.len() * CELL_FEATURES,
        }
    }
}

impl TimestampPlan {
    fn learn(name: &str, met: &[i64], until: i64, planned: bool) -> Self {
        let ages: Vec<f64> = met
            .iter()
            .filter(|t| **t != NO_TIME && (planned || **t <= until))
            .map(|t| until as f64 - *t as f64)
            .collect();
        let n = ages.len().max(1) as f64;
        let mean = ages.iter().sum::<f64>() / n;
        let variance = ages.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / n;
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        Self { name: name.to_owned(), mean, deviation, planned }
    }
}

impl TableFeatures {
    /// Encodes all `rows` of `table` by `plan`; `times` says from when each is known.
    ///
    /// # Errors
    /// Arrow's, if a column no longer has the type it was learnt with.
    pub fn encode(
        table: &Table,
        plan: &TablePlan,
        horizon: i64,
        rows: &RecordBatch,
        times: &[i64],
    ) -> Result<Self, ArrowError> {
        let shape = plan.shape();
        let count = times.len();
        let mut features = Self {
            shape,
            dense: vec![0.0; count * shape.dense],
            entries: vec![0; count * shape.slots],
            null_dense: vec![0.0; shape.dense],
            null_entries: vec![0; shape.slots],
            timestamps: Vec::new(),
            masked: Vec::new(),
            horizon,
        };
        let mut dense_at = 0;
        if plan.timed {
            for (row, time) in times.iter().enumerate() {
                let mut season = Vec::with_capacity(SEASON_FEATURES);
                season_features((*time != NO_TIME).then_some(*time), &mut season);
                features.dense[row * shape.dense..][..SEASON_FEATURES].copy_from_slice(&season);
            }
            dense_at = SEASON_FEATURES;
        }
        let (mut slot_at, mut vocabulary_at) = (0, 0u32);
        for (name, column) in &plan.columns {
            let values = find(rows, name)?;
            let (numbers, entries) = column.encode(values)?;
            let (null_numbers, null_entries) = column.null();
            let dense = dense_at..dense_at + column.dense();
            let slots = slot_at..slot_at + column.slots();
            let shifted = entries.iter().map(|e| e + vocabulary_at).collect::<Vec<_>>();
            copy_columns(&numbers, &mut features.dense, shape.dense, &dense);
            copy_columns(&shifted, &mut features.entries, shape.slots, &slots);
            features.null_dense[dense.clone()].copy_from_slice(&null_numbers);
            for (slot, entry) in slots.clone().zip(null_entries) {
                features.null_entries[slot] = entry + vocabulary_at;
            }
            let known_from = table.find_column(name).and_then(|c| c.known_from.as_deref());
            if let Some(known_from) = known_from {
                features.masked.push(MaskedColumn {
                    known_from: micros(find(rows, known_from)?)?,
                    dense: dense.clone(),
                    entries: slots.clone(),
                });
            }
            (dense_at, slot_at) = (dense.end, slots.end);
            vocabulary_at += column.vocabulary() as u32;
        }
        for timestamp in &plan.timestamps {
            let mut cells = micros(find(rows, &timestamp.name)?)?;
            let known_from =
                table.find_column(&timestamp.name).and_then(|c| c.known_from.as_deref());
            if let Some(known_from) = known_from {
                // A cell is read once both it and what reveals it have passed.
                let revealed = micros(find(rows, known_from)?)?;
                for (cell, revealed) in cells.iter_mut().zip(revealed) {
                    *cell = if *cell == NO_TIME || revealed == NO_TIME {
                        NO_TIME
                    } else {
                        (*cell).max(revealed)
                    };
                }
            }
            features.timestamps.push((timestamp.clone(), cells));
        }
        Ok(features)
    }

    /// The sizes of the features.
    #[must_use]
    pub fn shape(&self) -> TableShape {
        self.shape
    }

    /// The memory that the encoded rows take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let times: usize = self.timestamps.iter().map(|(_, cells)| cells.len()).sum();
        let masked: usize = self.masked.iter().map(|column| column.known_from.len()).sum();
        4 * (self.dense.len() + self.entries.len()) + 8 * (times + masked)
    }

    /// Which columns of `row` are still hidden at a seed's `view`, a bit each.
    #[must_use]
    pub fn hidden(&self, row: Option<u32>, view: i64) -> u64 {
        let Some(row) = row else { return 0 };
        self.masked.iter().take(64).enumerate().fold(0, |bits, (i, column)| {
            let from = column.known_from[row as usize];
            bits | (u64::from(from == NO_TIME || from > view) << i)
        })
    }

    /// Appends the numbers and entries of `row` with the `hidden` columns as NULL.
    pub fn push_row(
        &self,
        row: Option<u32>,
        hidden: u64,
        dense: &mut Vec<f32>,
        entries: &mut Vec<i32>,
    ) {
        let (dense_start, entries_start) = (dense.len(), entries.len());
        match row {
            Some(row) => {
                let row = row as usize;
                dense.extend_from_slice(&self.dense[row * self.shape.dense..][..self.shape.dense]);
                entries.extend(
                    self.entries[row * self.shape.slots..][..self.shape.slots]
                        .iter()
                        .map(|e| *e as i32),
                );
            }
            None => {
                dense.extend_from_slice(&self.null_dense);
                entries.extend(self.null_entries.iter().map(|e| *e as i32));
            }
        }
        for (_, column) in self.masked.iter().enumerate().filter(|(i, _)| hidden >> i & 1 == 1) {
            for i in column.dense.clone() {
                dense[dense_start + i] = self.null_dense[i];
            }
            for i in column.entries.clone() {
                entries[entries_start + i] = self.null_entries[i] as i32;
            }
        }
    }

    /// Appends what depends on the seed: the row's `age` at the view, and its timestamp cells.
    /// A cell later than the view reads as NULL unless planned.
    pub fn push_time(&self, row: Option<u32>, age: Option<i64>, view: i64, out: &mut Vec<f32>) {
        age_features(age, self.horizon, out);
        for (plan, cells) in &self.timestamps {
            let cell = row.map_or(NO_TIME, |row| cells[row as usize]);
            let hidden = cell == NO_TIME || (cell > view && !plan.planned);
            if hidden {
                age_features(None, self.horizon, out);
                out.push(0.0);
            } else {
                let age = view.saturating_sub(cell);
                age_features(Some(age.saturating_abs()), self.horizon, out);
                out.push((((age as f64 - plan.mean) / plan.deviation).clamp(-5.0, 5.0)) as f32);
            }
        }
    }
}

impl TableFeatures {
    /// Appends the row's timestamp cells as they are for a reader of one table: the moment and the
    /// age at `view`, in days; NaN where NULL or not known yet.
    pub fn push_moments(&self, row: Option<u32>, view: i64, out: &mut Vec<f64>) {
        const DAY: f64 = 8.64e10;
        for (plan, cells) in &self.timestamps {
            let cell = row.map_or(NO_TIME, |row| cells[row as usize]);
            if cell == NO_TIME || (cell > view && !plan.planned) {
                out.extend([f64::NAN; 2]);
            } else {
                out.extend([cell as f64 / DAY, (view as f64 - cell as f64) / DAY]);
            }
        }
    }
}

impl FeaturePlan {
    /// Sizes per table.
    #[must_use]
    pub fn shapes(&self) -> Vec<TableShape> {
        self.tables.iter().map(TablePlan::shape).collect()
    }
}

fn copy_columns<T: Copy>(from: &[T], to: &mut [T], width: usize, columns: &Range<usize>) {
    if columns.is_empty() {
        return;
    }
    for (source, target) in from.chunks_exact(columns.len()).zip(to.chunks_exact_mut(width)) {
        target[columns.clone()].copy_from_slice(source);
    }
}

fn find<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    rows.column_by_name(name).ok_or_else(|| {
        ArrowError::SchemaError(format!(
            "the model reads a column {name:?} that is no longer there"
        ))
    })
}

/// A timestamp column in microseconds, NULL as [`NO_TIME`].
fn micros(values: &ArrayRef) -> Result<Vec<i64>, ArrowError> {
    let cast = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let times = cast.as_primitive::<TimestampMicrosecondType>();
    Ok(times.iter().map(|t| t.unwrap_or(NO_TIME)).collect())
}
