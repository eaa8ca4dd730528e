//! The naive baselines: a constant, the entity's mean label, the entity's last rows.

use std::collections::BTreeMap;

use relcast_graph::Stop;
use relcast_query::{Cutoffs, History};

use super::row_history::RowHistory;
use super::splits::{SplitExamples, SplitName, visible_end};
use crate::baselines::{
    BaselineError, LAST_ROWS, LabelRow, frozen_entity_mean, global_constant, last_labels_mean,
    rolling_entity_mean,
};
use crate::examples::{Examples, Task};
use crate::fit::measure;
use crate::metrics::Metrics;

/// What the naive baselines of one split under one history read.
pub(super) struct Naive<'a> {
    pub(super) task: &'a Task,
    pub(super) examples: &'a SplitExamples,
    pub(super) rows: Option<&'a RowHistory>,
    pub(super) cutoffs: &'a Cutoffs,
    pub(super) split: SplitName,
    pub(super) history: History,
}

impl Naive<'_> {
    /// The figures of each, by name.
    pub(super) fn figures(&self) -> Result<BTreeMap<String, Metrics>, BaselineError> {
        let labels = &self.examples.of(self.split).labels;
        let figures = |predicted: Vec<f64>| measure(self.task, labels, &predicted);
        let mut named = BTreeMap::from([
            ("constant".to_owned(), figures(self.constant()?)),
            ("entity_mean".to_owned(), figures(self.per_class(|c| self.entity_mean(c))?)),
            (
                format!("mean_of_last_{LAST_ROWS}_labels"),
                figures(self.per_class(|c| self.last_labels(c))?),
            ),
        ]);
        if let Some(rows) = self.rows {
            let predicted = self.per_class(|c| self.last_rows(rows, c))?;
            named.insert(format!("mean_of_last_{LAST_ROWS}_rows"), figures(predicted));
        }
        Ok(named)
    }

    fn constant(&self) -> Result<Vec<f64>, BaselineError> {
        let value = |class: Option<usize>| {
            let constant = global_constant(&self.past(class))?;
            Ok::<_, BaselineError>(match self.task {
                Task::Regression { .. } => constant.median,
                _ => constant.mean,
            })
        };
        self.per_class(|class| Ok(vec![value(class)?; self.targets().len()]))
    }

    fn entity_mean(&self, class: Option<usize>) -> Result<Vec<f64>, BaselineError> {
        let past = self.past(class);
        match self.history {
            History::Frozen => frozen_entity_mean(&past, &self.targets()),
            History::Rolling => {
                let fallback = global_constant(&past)?.mean;
                rolling_entity_mean(&self.everything(class), &self.targets(), fallback)
            }
        }
    }

    fn last_labels(&self, class: Option<usize>) -> Result<Vec<f64>, BaselineError> {
        let fallback = global_constant(&self.past(class))?.mean;
        let end = visible_end(self.split, self.history, self.cutoffs);
        last_labels_mean(&self.everything(class), &self.targets(), end, LAST_ROWS, fallback)
    }

    fn last_rows(
        &self,
        rows: &RowHistory,
        class: Option<usize>,
    ) -> Result<Vec<f64>, BaselineError> {
        let fallback = global_constant(&self.past(class))?.mean;
        let end = visible_end(self.split, self.history, self.cutoffs);
        let rows = class.map_or_else(|| rows.clone(), |class| rows.indicating(class));
        let mean = |t: &LabelRow| rows.last_mean(t.entity, t.cutoff.min(end)).unwrap_or(fallback);
        Ok(self.targets().iter().map(mean).collect())
    }

    /// One column of predictions per class, laid out row by row; a single column for other tasks.
    fn per_class(
        &self,
        column: impl Fn(Option<usize>) -> Result<Vec<f64>, BaselineError>,
    ) -> Result<Vec<f64>, BaselineError> {
        let stop = Stop::current();
        let column = |class| {
            stop.check()?;
            column(class)
        };
        let Task::Multiclass { classes } = self.task else { return column(None) };
        let columns =
            (0..classes.len()).map(|class| column(Some(class))).collect::<Result<Vec<_>, _>>()?;
        let rows = 0..self.examples.of(self.split).len();
        Ok(rows.flat_map(|row| columns.iter().map(move |column| column[row])).collect())
    }

    fn targets(&self) -> Vec<LabelRow> {
        self.label_rows(self.examples.of(self.split), None)
    }

    /// The label rows of the splits before this one.
    fn past(&self, class: Option<usize>) -> Vec<LabelRow> {
        let mut past = self.label_rows(&self.examples.train, class);
        if self.split == SplitName::Test {
            past.extend(self.label_rows(&self.examples.validation, class));
        }
        past
    }

    fn everything(&self, class: Option<usize>) -> Vec<LabelRow> {
        let splits = [&self.examples.train, &self.examples.validation, &self.examples.test];
        splits.into_iter().flat_map(|split| self.label_rows(split, class)).collect()
    }

    /// Label rows; for a class the label says whether it is that one.
    fn label_rows(&self, examples: &Examples, class: Option<usize>) -> Vec<LabelRow> {
        let label = |y: f64| class.map_or(y, |class| f64::from(u8::from(y == class as f64)));
        (0..examples.len())
            .map(|i| LabelRow {
                entity: examples.keys[i],
                cutoff: examples.cutoffs[i],
                closes: self.cutoffs.horizon.after(examples.cutoffs[i]),
                label: label(examples.labels[i]),
            })
            .collect()
    }
}
