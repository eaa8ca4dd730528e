//! The judge: outputs and baselines once per thing seen, figures per split and history.

use std::collections::BTreeMap;

use relcast_graph::Stop;
use relcast_nn::Ensemble;
use relcast_query::{Cutoffs, History};
use serde::{Deserialize, Serialize};

use super::naive::Naive;
use super::row_history::RowHistory;
use super::splits::{SplitExamples, SplitName, visible_end};
use crate::baselines::{BoostingTask, FeatureColumns, fit_predict};
use crate::error::TrainError;
use crate::examples::{Examples, Task};
use crate::fit::{FitPlan, measure, predictions};
use crate::metrics::Metrics;
use crate::score::Inputs;

/// The name of the boosted baseline.
const BOOSTING: &str = "boosting_own_columns";

/// Microseconds in a day.
const DAY: f64 = 86_400e6;

/// Classes that the boosted baseline learns, at most: it fits one model for each.
const BOOSTING_CLASSES: usize = 200;

/// Rows that the boosted baseline learns from, at most.
const BOOSTING_ROWS: usize = 20_000;

/// The figures of one split under one history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The split.
    pub split: SplitName,
    /// What of the past was visible.
    pub history: History,
    /// How many days before their cutoffs the rows are seen.
    #[serde(default)]
    pub stale_days: StaleDays,
    /// The model's own figures.
    pub metrics: Metrics,
    /// Those of each baseline.
    pub baselines: BTreeMap<String, Metrics>,
}

/// Days between the views of rows and their cutoffs: zero where everything up to the cutoff is
/// visible.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct StaleDays {
    /// On average.
    pub mean: f64,
    /// At most.
    pub most: f64,
}

/// What an evaluation reads.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// Where batches come from.
    pub inputs: &'a Inputs,
    /// How the model was fitted.
    pub plan: &'a FitPlan,
    /// The label rows of all splits.
    pub examples: &'a SplitExamples,
    /// Where the splits lie.
    pub cutoffs: &'a Cutoffs,
    /// The rows that the target reads, where its query tells which they are.
    pub rows: Option<&'a RowHistory>,
}

/// A split with the end of what is visible: two histories may see the same.
type Seen = (SplitName, i64);

/// Why the boosted baseline is not computed for a task, if it is not.
#[must_use]
pub fn boosting_left_out(task: &Task) -> Option<String> {
    let Task::Multiclass { classes } = task else { return None };
    (classes.len() > BOOSTING_CLASSES).then(|| {
        format!(
            "{BOOSTING}: not computed, it fits a model per class and there are {} of them (at most {BOOSTING_CLASSES})",
            classes.len()
        )
    })
}

impl Judge<'_> {
    /// The figures of `network` and of every baseline for each split and history asked for.
    ///
    /// # Errors
    /// If scoring or a baseline fails, or it was stopped.
    pub fn evaluate(
        &self,
        network: &Ensemble,
        asked: &[(SplitName, History)],
    ) -> Result<Vec<Evaluation>, TrainError> {
        let seen = |(split, history)| (split, visible_end(split, history, self.cutoffs));
        let mut all: Vec<Seen> = asked.iter().copied().map(seen).collect();
        all.sort_unstable();
        all.dedup();
        let boosted = self.boosted(&all)?;
        let scored = all.iter().map(|seen| Ok((*seen, self.scored(network, *seen)?)));
        let scored: BTreeMap<Seen, Metrics> = scored.collect::<Result<_, TrainError>>()?;
        asked
            .iter()
            .map(|(split, history)| {
                let seen = seen((*split, *history));
                let mut baselines = BTreeMap::new();
                if !self.examples.of(*split).is_empty() {
                    baselines = self.naive(*split, *history).figures()?;
                    if let Some(figures) = boosted.get(&seen) {
                        baselines.insert(BOOSTING.to_owned(), figures.clone());
                    }
                }
                let metrics = scored[&seen].clone();
                let stale_days = self.stale_days(seen);
                Ok(Evaluation { split: *split, history: *history, stale_days, metrics, baselines })
            })
            .collect()
    }

    fn stale_days(&self, (split, end): Seen) -> StaleDays {
        let cutoffs = &self.examples.of(split).cutoffs;
        let days = |cutoff: &i64| (cutoff - end.min(*cutoff)) as f64 / DAY;
        StaleDays {
            mean: cutoffs.iter().map(days).sum::<f64>() / cutoffs.len().max(1) as f64,
            most: cutoffs.iter().map(days).fold(0.0, f64::max),
        }
    }

    fn scored(&self, network: &Ensemble, (split, end): Seen) -> Result<Metrics, TrainError> {
        let examples = self.examples.of(split);
        let outputs = self.inputs.score(network, examples, end, self.plan.batch_size.max(256))?;
        let predicted = predictions(self.plan, &outputs);
        Ok(measure(&self.plan.task, &examples.labels, &predicted))
    }

    fn naive(&self, split: SplitName, history: History) -> Naive<'_> {
        Naive {
            task: &self.plan.task,
            examples: self.examples,
            rows: self.rows,
            cutoffs: self.cutoffs,
            split,
            history,
        }
    }

    /// Gradient boosting on the entity's own row, fitted once; nothing where it is left out or no row
    /// is judged.
    fn boosted(&self, all: &[Seen]) -> Result<BTreeMap<Seen, Metrics>, TrainError> {
        let task = &self.plan.task;
        let judges_none = all.iter().all(|(split, _)| self.examples.of(*split).is_empty());
        if judges_none || boosting_left_out(task).is_some() {
            return Ok(BTreeMap::new());
        }
        let train = &self.examples.train;
        let mut positions = train.shuffled(self.plan.seed, 0);
        positions.truncate(BOOSTING_ROWS);
        let learn = self.own_columns(train, &positions, i64::MAX);
        let labels: Vec<f64> = positions.iter().map(|i| train.labels[*i]).collect();
        let mut judged = FeatureColumns { rows: 0, columns: vec![Vec::new(); learn.columns.len()] };
        for (split, end) in all {
            let examples = self.examples.of(*split);
            let every: Vec<usize> = (0..examples.len()).collect();
            let columns = self.own_columns(examples, &every, *end);
            judged.rows += columns.rows;
            for (to, from) in judged.columns.iter_mut().zip(columns.columns) {
                to.extend(from);
            }
        }
        let (kind, outputs) = match task {
            Task::Binary => (BoostingTask::Binary, 1),
            Task::Regression { .. } => (BoostingTask::Median, 1),
            Task::Multiclass { classes } => {
                (BoostingTask::Multiclass { classes: classes.len() }, classes.len())
            }
        };
        let predicted = fit_predict(&learn, &labels, &judged, kind)?;
        let mut start = 0;
        let figures = all.iter().map(|seen| {
            let labels = &self.examples.of(seen.0).labels;
            let end = start + labels.len() * outputs;
            let figures = measure(task, labels, &predicted[start..end]);
            start = end;
            (*seen, figures)
        });
        Ok(figures.collect())
    }

    /// The entity's own row as seen. Not the cutoff or its season: with few cutoffs these only name
    /// the one a label belongs to, and boosting learns each by heart.
    fn own_columns(
        &self,
        examples: &Examples,
        positions: &[usize],
        visible_end: i64,
    ) -> FeatureColumns {
        let inputs = self.inputs;
        let table = &inputs.features[inputs.entity.index()];
        let seeds = examples.seeds(positions, visible_end, &inputs.graph, inputs.entity);
        let mut columns: Vec<Vec<f64>> = Vec::new();
        for (i, row) in Stop::current().while_waited_for(&seeds.rows).enumerate() {
            let row = (*row != relcast_sampler::UNKNOWN_ROW).then_some(*row);
            let (mut dense, mut entries, mut moments) = (Vec::new(), Vec::new(), Vec::new());
            table.push_row(row, table.hidden(row, seeds.views[i]), &mut dense, &mut entries);
            table.push_moments(row, seeds.views[i], &mut moments);
            let dense = dense.into_iter().map(f64::from);
            let entries = entries.into_iter().map(f64::from);
            let values: Vec<f64> = dense.chain(entries).chain(moments).collect();
            columns.resize_with(values.len(), Vec::new);
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value);
            }
        }
        FeatureColumns { rows: positions.len(), columns }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn boosting_is_left_out_where_it_would_fit_hundreds_of_models() {
        let task = |n: usize| Task::Multiclass { classes: (0..n).map(|c| c.to_string()).collect() };
        assert_eq!(boosting_left_out(&Task::Binary), None);
        assert_eq!(boosting_left_out(&task(BOOSTING_CLASSES)), None);
        let note = boosting_left_out(&task(3000)).unwrap();
        assert!(note.starts_with("boosting_own_columns: not computed, "), "{note}");
        assert!(note.contains("there are 3000 of them"), "{note}");
    }
}
