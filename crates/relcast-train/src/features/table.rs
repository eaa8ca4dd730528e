//! A table's features: the plan learnt from its past, and its rows encoded by that plan.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use relcast_catalog::{SemanticType, Table};
use relcast_graph::Stop;
use relcast_nn::TableShape;
use serde::{Deserialize, Serialize};

use super::cells::CellFeatures;
use super::column::ColumnPlan;
use super::reveals::{NO_TIME, Reveals, find, micros};
use super::time::{AGE_FEATURES, SEASON_FEATURES, age_features, season_features};

/// Numbers that one timestamp cell becomes, seen from a seed.
pub(super) const CELL_FEATURES: usize = AGE_FEATURES + 1;

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
    timestamps: Vec<TimestampCells>,
    masked: Vec<MaskedColumn>,
    reveals: Reveals,
    horizon: i64,
}

/// A column whose cells become known later than their row.
#[derive(Debug)]
struct MaskedColumn {
    /// Which of the [`Reveals`] says when.
    reveal: usize,
    dense: Range<usize>,
    entries: Range<usize>,
}

/// A timestamp column with its cells.
#[derive(Debug)]
struct TimestampCells {
    plan: TimestampPlan,
    cells: Vec<i64>,
    /// Which of the [`Reveals`] says when a cell becomes known, if it is later than its row.
    reveal: Option<usize>,
}

impl TimestampCells {
    /// The row's cell as it is known at `view`.
    fn at(&self, row: Option<u32>, view: i64, reveals: &Reveals) -> Option<i64> {
        let row = row? as usize;
        let cell = Some(self.cells[row]).filter(|cell| *cell != NO_TIME)?;
        let known = self.reveal.is_none_or(|reveal| reveals.is_known(reveal, row, view));
        (known && (self.plan.planned || cell <= view)).then_some(cell)
    }
}

impl TablePlan {
    /// Learns `table` from its first `known` rows; `until` is the last training cutoff. Cells that
    /// become known later read as NULL. Once nobody waits any more it learns from a part of them, and
    /// nothing that is of use.
    ///
    /// # Errors
    /// Arrow's, if a column cannot be read as its semantic type, or `known_from` names too many
    /// columns.
    pub fn learn(
        table: &Table,
        rows: &RecordBatch,
        known: usize,
        until: i64,
        timed: bool,
    ) -> Result<Self, ArrowError> {
        let mut columns = Vec::new();
        let mut timestamps = Vec::new();
        let rows = &rows.slice(0, known.min(rows.num_rows()));
        let reveals = Reveals::read(table, rows)?;
        for column in &table.columns {
            let Some(values) = rows.column_by_name(&column.name) else { continue };
            let values = &reveals.masked(table, &column.name, values, until)?;
            if column.semantic != SemanticType::Timestamp {
                let plan = ColumnPlan::learn(column.semantic, values, known)?;
                columns.extend(plan.map(|plan| (column.name.clone(), plan)));
            } else if table.time_source() != Some(column.name.as_str()) {
                let met = micros(values)?;
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
    /// Encodes all `rows` of `table` by `plan`; `times` says from when each is known. Once nobody
    /// waits any more it is a part of them, and nothing that is of use.
    ///
    /// # Errors
    /// Arrow's, if a column no longer has the type it was learnt with, or `known_from` names too
    /// many columns.
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
            reveals: Reveals::read(table, rows)?,
            horizon,
        };
        let mut dense_at = 0;
        if plan.timed {
            for (row, time) in Stop::current().while_waited_for(times).enumerate() {
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
            if let Some(reveal) = features.reveals.of(table, name) {
                let (dense, entries) = (dense.clone(), slots.clone());
                features.masked.push(MaskedColumn { reveal, dense, entries });
            }
            (dense_at, slot_at) = (dense.end, slots.end);
            vocabulary_at += column.vocabulary() as u32;
        }
        for timestamp in &plan.timestamps {
            features.timestamps.push(TimestampCells {
                plan: timestamp.clone(),
                cells: micros(find(rows, &timestamp.name)?)?,
                reveal: features.reveals.of(table, &timestamp.name),
            });
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
        let times: usize = self.timestamps.iter().map(|column| column.cells.len()).sum();
        4 * (self.dense.len() + self.entries.len()) + 8 * (times + self.reveals.cells())
    }

    /// Which cells of `row` are still hidden at a seed's `view`: a bit for each column that
    /// `known_from` names.
    #[must_use]
    pub fn hidden(&self, row: Option<u32>, view: i64) -> u64 {
        let Some(row) = row else { return 0 };
        let hidden = |reveal: &usize| !self.reveals.is_known(*reveal, row as usize, view);
        (0..self.reveals.len()).filter(hidden).fold(0, |bits, reveal| bits | 1 << reveal)
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
        for column in self.masked.iter().filter(|c| hidden >> c.reveal & 1 == 1) {
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
        for column in &self.timestamps {
            let Some(cell) = column.at(row, view, &self.reveals) else {
                age_features(None, self.horizon, out);
                out.push(0.0);
                continue;
            };
            let (plan, age) = (&column.plan, view.saturating_sub(cell));
            age_features(Some(age.saturating_abs()), self.horizon, out);
            out.push((((age as f64 - plan.mean) / plan.deviation).clamp(-5.0, 5.0)) as f32);
        }
    }
}

impl TableFeatures {
    /// Whether the cell of `row` that `cell` stands for is known at `view`: neither it nor the time
    /// from which it is known lies later.
    #[must_use]
    pub fn is_known(&self, cell: &CellFeatures, row: u32, view: i64) -> bool {
        if let Some(column) = cell.timestamp().and_then(|place| self.timestamps.get(place)) {
            return column.at(Some(row), view, &self.reveals).is_some();
        }
        let later = self.masked.iter().find(|m| m.dense == cell.dense && m.entries == cell.entries);
        later.is_none_or(|m| self.reveals.is_known(m.reveal, row as usize, view))
    }

    /// Appends the row's timestamp cells as they are for a reader of one table: the moment and the
    /// age at `view`, in days; NaN where NULL or not known yet.
    pub fn push_moments(&self, row: Option<u32>, view: i64, out: &mut Vec<f64>) {
        const DAY: f64 = 8.64e10;
        for column in &self.timestamps {
            out.extend(match column.at(row, view, &self.reveals) {
                Some(cell) => [cell as f64 / DAY, (view as f64 - cell as f64) / DAY],
                None => [f64::NAN; 2],
            });
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
