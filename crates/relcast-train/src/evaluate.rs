//! Evaluation: metrics of a model per split and history, with the baselines beside them.

use std::collections::BTreeMap;

use relcast_query::{Cutoffs, History};
use serde::{Deserialize, Serialize};

use crate::baselines::{
    BoostingTask, FeatureColumns, LabelRow, fit_predict, frozen_entity_mean, global_constant,
    rolling_entity_mean,
};
use crate::error::TrainError;
use crate::examples::{Examples, Task};
use crate::fit::{FitPlan, argmax};
use crate::metrics::{self, Metrics};
use crate::score::Inputs;

/// Rows that the boosted baseline learns from, at most.
const BOOSTING_ROWS: usize = 20_000;

/// Which rows are predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitName {
    /// Rows to choose on.
    Val,
    /// Rows to judge by.
    Test,
}

/// The figures of one split under one history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The split.
    pub split: SplitName,
    /// What of the past was visible.
    pub history: History,
    /// The model's own figures.
    pub metrics: Metrics,
    /// Those of each baseline.
    pub baselines: BTreeMap<String, Metrics>,
}

/// Label rows of all splits as seeds.
#[derive(Debug, Clone)]
pub struct SplitExamples {
    /// Rows to learn from.
    pub train: Examples,
    /// Rows to choose on.
    pub validation: Examples,
    /// Rows to judge by.
    pub test: Examples,
}

impl SplitExamples {
    /// The examples of a split that is judged.
    #[must_use]
    pub fn of(&self, split: SplitName) -> &Examples {
        match split {
            SplitName::Val => &self.validation,
            SplitName::Test => &self.test,
        }
    }
}

/// The end of what is visible when `split` is predicted under `history`, microseconds UTC.
#[must_use]
pub fn visible_end(split: SplitName, history: History, cutoffs: &Cutoffs) -> i64 {
    match (split, history) {
        (SplitName::Test, History::Frozen) => cutoffs.test_timestamp,
        _ => i64::MAX,
    }
}

/// Turns raw outputs into predictions: the probability of a positive, a number, or a probability
/// per class (row by row).
#[must_use]
pub fn predictions(plan: &FitPlan, outputs: &[f32]) -> Vec<f64> {
    let outputs = outputs.iter().map(|x| f64::from(*x));
    match &plan.task {
        // Training weighed positives up; the logit goes back to the odds of the data.
        Task::Binary => {
            outputs.map(|x| 1.0 / (1.0 + (plan.positive_weight.ln() - x).exp())).collect()
        }
        Task::Regression { mean, deviation } => outputs.map(|x| x * deviation + mean).collect(),
        Task::Multiclass { classes } => {
            let outputs: Vec<f64> = outputs.collect();
            outputs.chunks_exact(classes.len().max(1)).flat_map(softmax).collect()
        }
    }
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = row.iter().map(|x| (x - largest).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|x| x / sum).collect()
}

/// All metrics of `predictions` against `labels`; `train` gives the scale of NMAE.
#[must_use]
pub fn measure(task: &Task, labels: &[f64], predictions: &[f64]) -> Metrics {
    match task {
        Task::Binary => metrics::binary(labels, predictions),
        Task::Regression { deviation, .. } => {
            metrics::regression(labels, predictions, Some(*deviation))
        }
        Task::Multiclass { classes } => {
            // A class never met in training is always missed: it counts as one more class.
            let n = classes.len();
            let labels: Vec<usize> =
                labels.iter().map(|y| if y.is_nan() { n } else { *y as usize }).collect();
            let widened: Vec<f64> = predictions
                .chunks_exact(n.max(1))
                .flat_map(|row| row.iter().copied().chain([0.0]))
                .collect();
            metrics::multiclass(&labels, &widened, n + 1)
        }
    }
}

/// The figures of every baseline for `split` under `history`.
///
/// # Errors
/// If a baseline fails.
pub fn baselines(
    inputs: &Inputs,
    plan: &FitPlan,
    examples: &SplitExamples,
    cutoffs: &Cutoffs,
    split: SplitName,
    history: History,
) -> Result<BTreeMap<String, Metrics>, TrainError> {
    let target = examples.of(split);
    let mut figures = BTreeMap::new();
    if target.is_empty() {
        return Ok(figures);
    }
    let rows = |e: &Examples| label_rows(e, cutoffs);
    let mut past = rows(&examples.train);
    if split == SplitName::Test {
        past.extend(rows(&examples.validation));
    }
    let mut everything = rows(&examples.train);
    everything.extend(rows(&examples.validation));
    everything.extend(rows(&examples.test));
    let targets = rows(target);
    let task = &plan.task;
    match task {
        Task::Multiclass { classes } => {
            let rates = class_rates(&past, classes.len());
            let constant: Vec<f64> = target.labels.iter().flat_map(|_| rates.clone()).collect();
            figures.insert("constant".into(), measure(task, &target.labels, &constant));
            let means =
                per_class_means(&past, &everything, &targets, classes.len(), history, &rates)?;
            figures.insert("entity_mean".into(), measure(task, &target.labels, &means));
        }
        Task::Binary | Task::Regression { .. } => {
            let constant = global_constant(&past)?;
            let value = if *task == Task::Binary { constant.mean } else { constant.median };
            let values = vec![value; target.len()];
            figures.insert("constant".into(), measure(task, &target.labels, &values));
            let means = match history {
                History::Frozen => frozen_entity_mean(&past, &targets)?,
                History::Rolling => rolling_entity_mean(&everything, &targets, constant.mean)?,
            };
            figures.insert("entity_mean".into(), measure(task, &target.labels, &means));
        }
    }
    let boosted =
        boosted(inputs, plan, &examples.train, target, visible_end(split, history, cutoffs))?;
    figures.insert("boosting_own_columns".into(), measure(task, &target.labels, &boosted));
    Ok(figures)
}

/// Gradient boosting on the entity's own row and the season of the cutoff.
fn boosted(
    inputs: &Inputs,
    plan: &FitPlan,
    train: &Examples,
    target: &Examples,
    visible_end: i64,
) -> Result<Vec<f64>, TrainError> {
    let mut positions = train.shuffled(plan.seed, 0);
    positions.truncate(BOOSTING_ROWS);
    let learn = own_columns(inputs, train, &positions, i64::MAX);
    let labels: Vec<f64> = positions.iter().map(|i| train.labels[*i]).collect();
    let all: Vec<usize> = (0..target.len()).collect();
    let judge = own_columns(inputs, target, &all, visible_end);
    let task = match &plan.task {
        Task::Binary => BoostingTask::Binary,
        Task::Regression { .. } => BoostingTask::Median,
        Task::Multiclass { classes } => BoostingTask::Multiclass { classes: classes.len() },
    };
    Ok(fit_predict(&learn, &labels, &judge, task)?)
}

fn own_columns(
    inputs: &Inputs,
    examples: &Examples,
    positions: &[usize],
    visible_end: i64,
) -> FeatureColumns {
    let table = &inputs.features[inputs.entity.index()];
    let seeds = examples.seeds(positions, visible_end, &inputs.graph, inputs.entity);
    let mut columns: Vec<Vec<f64>> = Vec::new();
    for (i, position) in positions.iter().enumerate() {
        let row =
            examples.rows[*position].filter(|_| seeds.rows[i] != relcast_sampler::UNKNOWN_ROW);
        let (mut dense, mut entries) = (Vec::new(), Vec::new());
        table.push_row(row, table.hidden(row, seeds.views[i]), &mut dense, &mut entries);
        table.push_time(row, None, seeds.views[i], &mut dense);
        crate::features::season_features(Some(seeds.cutoffs[i]), &mut dense);
        let values = dense.into_iter().map(f64::from).chain(entries.into_iter().map(f64::from));
        for (column, value) in values.enumerate() {
            if columns.len() <= column {
                columns.push(Vec::with_capacity(positions.len()));
            }
            columns[column].push(value);
        }
    }
    FeatureColumns { rows: positions.len(), columns }
}

fn label_rows(examples: &Examples, cutoffs: &Cutoffs) -> Vec<LabelRow> {
    (0..examples.len())
        .map(|i| LabelRow {
            entity: examples.keys[i],
            cutoff: examples.cutoffs[i],
            closes: cutoffs.horizon.after(examples.cutoffs[i]),
            label: examples.labels[i],
        })
        .collect()
}

fn class_rates(past: &[LabelRow], classes: usize) -> Vec<f64> {
    let mut rates = vec![0.0; classes];
    let met: Vec<_> = past.iter().filter(|r| !r.label.is_nan()).collect();
    for row in &met {
        rates[row.label as usize] += 1.0 / met.len() as f64;
    }
    rates
}

/// How often each class was among the entity's known labels, row by row.
fn per_class_means(
    past: &[LabelRow],
    everything: &[LabelRow],
    targets: &[LabelRow],
    classes: usize,
    history: History,
    rates: &[f64],
) -> Result<Vec<f64>, TrainError> {
    let mut shares = vec![0.0; targets.len() * classes];
    for (class, rate) in rates.iter().enumerate() {
        let is_class = |rows: &[LabelRow]| -> Vec<LabelRow> {
            let indicator = |r: &LabelRow| f64::from(u8::from(r.label == class as f64));
            rows.iter().map(|r| LabelRow { label: indicator(r), ..*r }).collect()
        };
        let means = match history {
            History::Frozen => frozen_entity_mean(&is_class(past), targets)?,
            History::Rolling => rolling_entity_mean(&is_class(everything), targets, *rate)?,
        };
        for (row, mean) in means.into_iter().enumerate() {
            shares[row * classes + class] = mean;
        }
    }
    Ok(shares)
}

/// The class with the largest probability of each row.
#[must_use]
pub fn top_classes(probabilities: &[f64], classes: usize) -> Vec<Option<usize>> {
    probabilities.chunks_exact(classes.max(1)).map(argmax).collect()
}
