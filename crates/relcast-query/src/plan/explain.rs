//! EXPLAIN LABELS: how many label rows, positives and entities each cutoff has.

use std::collections::BTreeMap;
use std::fmt::Write;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use relcast_catalog::{Schema, format_time, quoted};
use serde::{Deserialize, Serialize};

use super::cutoffs::Split;
use super::entities::entities_from;
use super::label_plan::{LabelPlan, When};
use crate::bind::{FillIn, TaskType};
use crate::dates::known_schema;
use crate::error::QueryError;
use crate::options::Entities;

/// What EXPLAIN LABELS shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelExplanation {
    /// The SQL of the labels.
    pub sql: String,
    /// What is predicted.
    pub task_type: TaskType,
    /// How far labels look ahead.
    pub horizon: String,
    /// The last time that labels may be taken from.
    pub data_end: String,
    /// Train, validation, test.
    pub splits: Vec<SplitExplanation>,
}

/// One split of a [`LabelExplanation`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitExplanation {
    /// The split.
    pub split: Split,
    /// Its label rows.
    pub rows: u64,
    /// Its cutoffs, ascending.
    pub cutoffs: Vec<CutoffExplanation>,
}

/// One cutoff of a [`SplitExplanation`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CutoffExplanation {
    /// The cutoff.
    pub cutoff: String,
    /// Its label rows.
    pub rows: u64,
    /// The sum of its labels where they are numbers: for a binary task the positives; for lists the
    /// number of items.
    pub total: Option<f64>,
    /// The mean of its labels, for a binary task the share of positives; for lists the mean length.
    pub mean: Option<f64>,
    /// The entities that exist by then, whether or not the others take part too.
    pub seen: u64,
    /// All rows of the entity table.
    pub all: u64,
}

impl LabelPlan {
    /// Counts label rows, positives and entities per cutoff and split.
    ///
    /// # Errors
    /// As [`LabelPlan::cutoffs`] and [`LabelPlan::label_rows`].
    pub async fn explain_labels(
        &self,
        context: &SessionContext,
        schema: &Schema,
    ) -> Result<LabelExplanation, QueryError> {
        let known = known_schema(schema, &self.options, &[])?;
        let cutoffs = self.cutoffs(context, &known).await?;
        let all_cutoffs = cutoffs.all();
        let doing = "counting label rows and entities";
        let (cutoff, label) = (quoted(&self.cutoff_column), quoted(&self.label_column));
        let amount = match self.task_type {
            TaskType::Binary | TaskType::FillIn(FillIn::Binary) => {
                format!("CAST(CAST(r.{label} AS BIGINT) AS DOUBLE)")
            }
            TaskType::Regression | TaskType::FillIn(FillIn::Regression) => {
                format!("CAST(r.{label} AS DOUBLE)")
            }
            TaskType::Ranking { .. } | TaskType::Multilabel => {
                format!("CAST(COALESCE(array_length(r.{label}), 0) AS DOUBLE)")
            }
            TaskType::Multiclass
            | TaskType::FillIn(FillIn::Multiclass)
            | TaskType::Forecast { .. } => "CAST(NULL AS DOUBLE)".to_owned(),
        };
        let rows = format!(
            "SELECT r.{cutoff}, COUNT(*) AS \"rows\", SUM({amount}) AS \"total\" FROM ({}) AS r GROUP BY r.{cutoff}",
            self.sql()
        );
        let rows = counts(&self.run(context, &all_cutoffs, &rows, doing).await?);
        let (seen, all) = self.seen(context, schema, &all_cutoffs).await?;
        let explain = |time: &i64| {
            let (count, total) = rows.get(time).copied().unwrap_or((0, None));
            CutoffExplanation {
                cutoff: format_time(*time),
                rows: count,
                total,
                mean: total.filter(|_| count > 0).map(|t| t / count as f64),
                seen: seen.get(time).copied().unwrap_or_default(),
                all,
            }
        };
        let mut splits = Vec::with_capacity(Split::ALL.len());
        for split in Split::ALL {
            let mut explained: Vec<CutoffExplanation> =
                cutoffs.of(split).iter().map(explain).collect();
            // All rows stand at one cutoff, and the hash of the key says which split they are in.
            if let (When::Once { .. }, Some(once)) = (&self.when, explained.first_mut()) {
                let rows = self.split_rows(context, &cutoffs, split).await?;
                once.rows = rows.num_rows() as u64;
                once.total = self.total(&rows).map_err(QueryError::run(doing))?;
                once.mean = once.total.filter(|_| once.rows > 0).map(|t| t / once.rows as f64);
            }
            splits.push(SplitExplanation {
                split,
                rows: explained.iter().map(|c| c.rows).sum(),
                cutoffs: explained,
            });
        }
        Ok(LabelExplanation {
            sql: self.sql().to_owned(),
            task_type: self.task_type,
            horizon: self.horizon.to_string(),
            data_end: format_time(cutoffs.data_end),
            splits,
        })
    }

    /// How many entities exist at each of `cutoffs`, whether or not the others take part too, and how
    /// many rows the entity table has.
    ///
    /// # Errors
    /// [`QueryError::Run`] when DataFusion fails.
    pub async fn seen(
        &self,
        context: &SessionContext,
        schema: &Schema,
        cutoffs: &[i64],
    ) -> Result<(BTreeMap<i64, u64>, u64), QueryError> {
        let doing = "counting entities";
        let schema = known_schema(schema, &self.options, &[])?;
        let sql = format!(
            "SELECT t.\"timestamp\", COUNT(*) AS \"rows\" {} GROUP BY t.\"timestamp\"",
            entities_from(&schema, self.entity, Entities::Seen, &self.timestamps)
        );
        let seen = counts(&self.run(context, cutoffs, &sql, doing).await?);
        let seen = seen.into_iter().map(|(time, (count, _))| (time, count)).collect();
        let all = self.run(context, &[], &self.all, doing).await?;
        let all = all
            .columns()
            .first()
            .and_then(|c| c.as_primitive_opt::<Int64Type>())
            .map_or(0, |c| c.iter().flatten().sum::<i64>());
        Ok((seen, all.unsigned_abs()))
    }

    /// The sum of the labels of `rows` where they are numbers, for a binary task the positives.
    fn total(&self, rows: &RecordBatch) -> Result<Option<f64>, DataFusionError> {
        let numbers = match self.task_type {
            TaskType::Binary | TaskType::FillIn(FillIn::Binary) => DataType::Int64,
            TaskType::Regression | TaskType::FillIn(FillIn::Regression) => DataType::Float64,
            _ => return Ok(None),
        };
        let Some(labels) = rows.columns().last().filter(|labels| !labels.is_empty()) else {
            return Ok(None);
        };
        let labels = cast(&cast(labels, &numbers)?, &DataType::Float64)?;
        Ok(Some(labels.as_primitive::<Float64Type>().iter().flatten().sum()))
    }
}

/// Count and total by cutoff.
fn counts(batch: &RecordBatch) -> BTreeMap<i64, (u64, Option<f64>)> {
    let column = |i: usize| batch.columns().get(i);
    let times = column(0).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let rows = column(1).and_then(|c| c.as_primitive_opt::<Int64Type>());
    let totals = column(2).and_then(|c| c.as_primitive_opt::<Float64Type>());
    let (Some(times), Some(rows)) = (times, rows) else { return BTreeMap::new() };
    let totals: Vec<Option<f64>> =
        totals.map_or_else(|| vec![None; times.len()], |t| t.iter().collect());
    let found = times.iter().zip(rows.iter()).zip(totals);
    found.filter_map(|((time, rows), total)| Some((time?, (rows?.unsigned_abs(), total)))).collect()
}

impl LabelExplanation {
    /// The explanation as aligned text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text =
            format!("{}\n\nhorizon {}, data until {}\n", self.sql, self.horizon, self.data_end);
        for split in &self.splits {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "\n{}: {} label rows at {} cutoff{}",
                split.split.name(),
                split.rows,
                split.cutoffs.len(),
                if split.cutoffs.len() == 1 { "" } else { "s" }
            );
            let _ = writeln!(
                text,
                "{:<28}{:>10}{:>14}{:>12}{:>12}{:>12}",
                "cutoff", "rows", "total", "mean", "seen", "all"
            );
            for c in &split.cutoffs {
                let number = |value: Option<f64>, digits: usize| {
                    value.map_or("-".to_owned(), |v| format!("{v:.digits$}"))
                };
                let (total, mean) = (number(c.total, 2), number(c.mean, 4));
                let _ = writeln!(
                    text,
                    "{:<28}{:>10}{total:>14}{mean:>12}{:>12}{:>12}",
                    c.cutoff, c.rows, c.seen, c.all
                );
            }
        }
        text
    }
}
