//! Permutation importance (Breiman 2001; Fisher, Rudin and Dominici 2019), by column and by table at
//! each hop of the trees.

use std::collections::BTreeSet;

use relcast_sampler::{Seeds, Subgraph};

use super::Explainer;
use super::cohorts::Cohort;
use super::draw::{shuffled, stream};
use crate::batch::HostBatch;
use crate::dataset::{LABEL, closed_label_table};
use crate::error::TrainError;
use crate::evaluate::measure;
use crate::examples::{Examples, Task};
use crate::features::CellFeatures;

/// Label rows that are predicted, at most, and as few as that where there is much to permute.
const MOST_ROWS: usize = 2_000;
const FEWEST_ROWS: usize = 250;
/// Label rows times permutations, about: some ten seconds to a minute.
const PREDICTIONS: usize = 100_000;
/// Label rows predicted at once; cells change places among them.
const BATCH: usize = 250;
/// Orders drawn to find out how well predictions do that are given to the wrong rows.
const CHANCES: u64 = 20;

/// Streams of chance beside those of the permutations.
const ROWS: u64 = 1;
const CHANCE: u64 = 2;

/// What a model's predictions rest on, over all entities.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// The metric that [`ImportanceLine::worsening`] is measured in.
    pub metric: &'static str,
    /// How many label rows were predicted.
    pub rows: usize,
    /// The most important first.
    pub lines: Vec<ImportanceLine>,
    /// Of the most important columns.
    pub cohorts: Vec<Cohort>,
}

/// How much a column, or the rows of a table, matter at a hop of the trees.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportanceLine {
    /// The table.
    pub table: String,
    /// The column; `None` for the rows as a whole: how many there are and whose they are, with all
    /// that is known of them and hangs from them.
    pub column: Option<String>,
    /// Links between the entity and the row.
    pub hop: usize,
    /// How much worse the metric is when they change places; `None` where it is undefined.
    pub worsening: Option<f64>,
    /// The same as a share of how much better the model is than its own predictions given to the
    /// wrong rows; `None` where it is not clearly better.
    pub share: Option<f64>,
    /// Rows of the table met in the trees at that hop.
    pub rows: usize,
}

/// What changes places.
#[derive(Debug, Clone)]
pub(super) struct Feature {
    pub(super) table: usize,
    pub(super) hop: usize,
    /// `None` for the rows as a whole.
    pub(super) cell: Option<CellFeatures>,
}

/// Trees that were predicted for.
pub(super) struct Grown {
    pub(super) seeds: Seeds,
    pub(super) drawn: Subgraph,
}

impl Explainer<'_> {
    /// How much of the metric on `examples`, of which a bounded number is drawn, rests on each
    /// column and table; with cohorts of the most important columns.
    ///
    /// # Errors
    /// [`TrainError::Labels`] if there are no examples, [`TrainError::Stopped`], and those of
    /// drawing and predicting.
    pub fn importance(&self, examples: &Examples) -> Result<Importance, TrainError> {
        if examples.is_empty() {
            return Err(TrainError::Labels(
                "there are no validation label rows to explain the model by".into(),
            ));
        }
        let features = self.features();
        let most = (PREDICTIONS / features.len().max(1)).clamp(FEWEST_ROWS, MOST_ROWS);
        let mut positions = examples.shuffled(stream(self.model.fit.seed, &[ROWS]), 0);
        positions.truncate(most);
        let labels: Vec<f64> = positions.iter().map(|i| examples.labels[*i]).collect();

        let mut all = Vec::new();
        let mut whole: Vec<f64> = Vec::new();
        let mut permuted: Vec<(Vec<f64>, usize)> = vec![(Vec::new(), 0); features.len()];
        for (number, chunk) in positions.chunks(BATCH).enumerate() {
            let inputs = self.inputs;
            let seeds = examples.seeds(chunk, i64::MAX, &inputs.graph, inputs.entity);
            let (drawn, batch) = self.grow(&seeds)?;
            let own = self.predict(batch.clone())?;
            for (place, (feature, (predicted, rows))) in
                features.iter().zip(&mut permuted).enumerate()
            {
                let met = self.rows_met(feature, &batch);
                *rows += met;
                predicted.extend(match met {
                    0 => own.clone(),
                    _ => {
                        let words = [place as u64, number as u64];
                        self.predict(self.permuted(&batch, feature, words))?
                    }
                });
            }
            whole.extend(own);
            all.push(Grown { seeds, drawn });
        }

        let skill = self.skill(&labels, &whole);
        let best = self.score(&labels, &whole);
        let mut ranked: Vec<(ImportanceLine, Feature)> = features
            .into_iter()
            .zip(permuted)
            .map(|(feature, (predicted, rows))| {
                let worsening =
                    best.zip(self.score(&labels, &predicted)).map(|(best, left)| best - left);
                let line = ImportanceLine {
                    table: self.table_name(feature.table).to_owned(),
                    column: feature.cell.as_ref().map(|cell| cell.column.clone()),
                    hop: feature.hop,
                    worsening,
                    share: worsening.zip(skill).map(|(worsening, skill)| worsening / skill),
                    rows,
                };
                (line, feature)
            })
            .collect();
        ranked.sort_by(|(a, _), (b, _)| {
            let size = |line: &ImportanceLine| line.worsening.unwrap_or(f64::NEG_INFINITY);
            size(b)
                .total_cmp(&size(a))
                .then_with(|| (a.hop, &a.table, &a.column).cmp(&(b.hop, &b.table, &b.column)))
        });
        let cohorts = self.cohorts(&ranked, &all, &whole)?;
        let lines = ranked.into_iter().map(|(line, _)| line).collect();
        Ok(Importance { metric: self.model.fit.task.metric(), rows: labels.len(), lines, cohorts })
    }

    /// All columns at all hops, and all tables at all hops but the entity's own row.
    fn features(&self) -> Vec<Feature> {
        let cells = self.cells();
        let steps = self.inputs.plan.blocks.iter();
        let places: BTreeSet<(usize, usize)> =
            steps.map(|step| (step.hop, step.table.index())).collect();
        let mut features = Vec::new();
        for (hop, table) in places {
            if hop > 0 {
                features.push(Feature { table, hop, cell: None });
            }
            let of_column = |cell: &CellFeatures| Feature { table, hop, cell: Some(cell.clone()) };
            features.extend(cells[table].iter().map(of_column));
        }
        features
    }

    fn blocks_of(&self, feature: &Feature) -> impl Iterator<Item = usize> {
        let (table, hop) = (feature.table, feature.hop);
        let steps = self.inputs.plan.blocks.iter().enumerate();
        steps
            .filter(move |(_, step)| (step.table.index(), step.hop) == (table, hop))
            .map(|(number, _)| number)
    }

    fn rows_met(&self, feature: &Feature, batch: &HostBatch) -> usize {
        self.blocks_of(feature).map(|block| batch.blocks[block].rows.len()).sum()
    }

    /// The batch with the cells or rows of `feature` in an order drawn from the stream of `words`.
    fn permuted(&self, batch: &HostBatch, feature: &Feature, words: [u64; 2]) -> HostBatch {
        let mut batch = batch.clone();
        let order = |block: usize, len: usize| {
            shuffled(len, stream(self.model.fit.seed, &[words[0], words[1], block as u64]))
        };
        let Some(cell) = &feature.cell else {
            let plan = &self.inputs.plan;
            let mut orders: Vec<Option<Vec<usize>>> = vec![None; plan.blocks.len()];
            for block in self.blocks_of(feature) {
                let parents = plan.blocks[block].parent.map(|p| batch.blocks[p].rows.len());
                orders[block] = parents.map(|parents| order(block, parents));
            }
            let source = |block: usize, parent: usize| {
                orders[block].as_ref().map_or(parent, |order| order[parent])
            };
            batch.regrow(plan, source, |_, _| true);
            return batch;
        };
        let table = feature.table;
        let of_table = (table, self.inputs.features[table].shape());
        for block in self.blocks_of(feature) {
            let order = order(block, batch.blocks[block].rows.len());
            batch.permute_cell(block, of_table, cell, &order);
            if let Some(closed) = &mut batch.closed
                && closed.block == block
                && self.is_closed_label(table, cell)
            {
                closed.labels = order.iter().map(|node| closed.labels[*node]).collect();
            }
        }
        batch
    }

    /// Whether a column is that of the closed labels, which a model may also read straight.
    pub(super) fn is_closed_label(&self, table: usize, cell: &CellFeatures) -> bool {
        let closed = closed_label_table(&self.model.schema);
        closed.is_some_and(|id| id.index() == table) && cell.column == LABEL
    }

    /// The task's metric, larger for better predictions.
    fn score(&self, labels: &[f64], predicted: &[f64]) -> Option<f64> {
        let task = &self.model.fit.task;
        let value = measure(task, labels, predicted).get(task.metric())?;
        Some(if task.larger_is_better() { value } else { -value })
    }

    /// How much better the predictions are than when they are given to the wrong rows, if they
    /// clearly are.
    fn skill(&self, labels: &[f64], predicted: &[f64]) -> Option<f64> {
        let outputs = self.model.fit.task.outputs().max(1);
        let by_chance = (0..CHANCES).map(|number| {
            let words = [CHANCE, number];
            let order = shuffled(labels.len(), stream(self.model.fit.seed, &words));
            let rows = order.iter().flat_map(|i| &predicted[i * outputs..(i + 1) * outputs]);
            self.score(labels, &rows.copied().collect::<Vec<f64>>())
        });
        let scores = by_chance.collect::<Option<Vec<f64>>>()?;
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let deviation = crate::metrics::sample_std(&scores)?;
        let skill = self.score(labels, predicted)? - mean;
        (skill > 2.0 * deviation && skill > 0.0).then_some(skill)
    }

    /// The class that is predicted most often; the one output of tasks without classes.
    pub(super) fn commonest_output(&self, predicted: &[f64]) -> usize {
        let Task::Multiclass { classes } = &self.model.fit.task else { return 0 };
        let mut counts = vec![0usize; classes.len()];
        for class in crate::evaluate::top_classes(predicted, classes.len()).into_iter().flatten() {
            counts[class] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        counts.iter().position(|n| *n == most).unwrap_or(0)
    }
}
