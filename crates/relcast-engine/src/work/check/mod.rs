//! `CHECK MODEL`: whether what a model reads, says and is asked about is still what it was trained
//! on.

mod inputs;
mod outputs;
mod windows;

use std::sync::Arc;

use relcast_train::drift::{Verdict, stability};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::stored::StoredModel;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckedKind {
    /// The cells of a column that the model reads: of rows known at the last training cutoff, and of
    /// those that came after it.
    Input,
    /// The rows of a table by the window as long as the horizon: up to the last training cutoff, and
    /// since.
    Rows,
    /// The cells of a column with a time of their own, of rows as old: which of them were known at
    /// the last training cutoff, and at the newest time.
    Known,
    /// The model's predictions: at its last validation cutoff, and at the newest time.
    Score,
    /// The labels: of the training rows, and of all that have closed since.
    Label,
}

impl CheckedKind {
    /// The kind as told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Rows => "rows",
            Self::Known => "known",
            Self::Score => "score",
            Self::Label => "label",
        }
    }
}

/// One distribution at training and now.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckLine {
    /// What is compared.
    pub kind: CheckedKind,
    /// The table; that of the entity for scores and labels.
    pub table: String,
    /// The column; `*` for rows.
    pub column: String,
    /// The population stability index, over ranges or values of training, NULL and unknown values
    /// among them; `None` where there is nothing to compare, and for rows.
    pub psi: Option<f64>,
    /// What the index means, or how many rows come.
    pub verdict: Option<Verdict>,
    /// At training.
    pub training: Side,
    /// Now.
    pub current: Side,
    /// The share of today's rows whose value training has not met, of columns of categories.
    pub unknown_share: Option<f64>,
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Side {
    /// Rows; `None` where none were read.
    pub rows: Option<u64>,
    /// Mean of the numbers, or of the label: the rate of a binary one. Times are days between the
    /// moment from which the row is known and the cell, rows their number in a window.
    pub mean: Option<f64>,
    /// The share of NULLs.
    pub null_share: Option<f64>,
}

impl Side {
    /// Numbers without NULLs; a number that is not finite is none.
    fn of_numbers(numbers: &[f64]) -> Self {
        let count = numbers.len();
        let mean = (count > 0).then(|| numbers.iter().sum::<f64>() / count as f64);
        Self { rows: Some(count as u64), mean: mean.filter(|m| m.is_finite()), null_share: None }
    }
}

impl CheckLine {
    /// A comparison that is yet to be made.
    fn new(kind: CheckedKind, table: &str, column: &str) -> Self {
        Self {
            kind,
            table: table.to_owned(),
            column: column.to_owned(),
            psi: None,
            verdict: None,
            training: Side::default(),
            current: Side::default(),
            unknown_share: None,
        }
    }

    /// The same with the index over bins of these counts.
    fn judged(self, training: &[u64], current: &[u64]) -> Self {
        let found = stability(training, current);
        Self {
            psi: found.map(|(index, _)| index),
            verdict: found.map(|(_, verdict)| verdict),
            ..self
        }
    }
}

/// Compares what `model` was trained on with what has come since: the columns it reads in the order
/// of its tables, then its scores, then the labels.
///
/// # Errors
/// If the tables cannot be read, a batch fails, or it was stopped.
pub async fn check(
    engine: &Engine,
    model: &Arc<StoredModel>,
) -> Result<Vec<CheckLine>, EngineError> {
    let newest = engine.newest_time(model).await?;
    let mut lines = inputs::check(&engine.database.context, model, newest).await?;
    lines.push(outputs::check_scores(engine, model, newest).await?);
    lines.push(outputs::check_labels(engine, model, newest).await?);
    Ok(lines)
}
