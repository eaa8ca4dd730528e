//! A trained model: everything that stands beside the weights, so that they can be used alone.

use std::sync::Arc;

use relcast_catalog::{KnownFrom, Schema, TableId};
use relcast_graph::{Stop, TemporalGraph};
use relcast_nn::{BlockShape, Ensemble, ModelConfig};
use relcast_sampler::{Direction, EdgeType, SamplePlan, Strategy};
use serde::{Deserialize, Serialize};

use crate::dataset::{closed_label_table, closed_labels};
use crate::error::TrainError;
use crate::examples::{Examples, Task};
use crate::features::{
    CLOSED_LABEL_MEANS, ClosedLabels, FeaturePlan, SEED_FEATURES, TableFeatures, TablePlan,
};
use crate::fit::{BudgetPlan, FitPlan};

/// What the user may set of a fit; `None` is decided from the data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FitOptions {
    /// Seed of every random stream.
    pub seed: u64,
    /// Neighbours per hop.
    pub fanout: Option<Vec<usize>>,
    /// Hops, where `fanout` does not say them.
    pub layers: Option<usize>,
    /// Width of the hidden states.
    pub channels: Option<usize>,
    /// Passes over the training rows.
    pub epochs: Option<usize>,
    /// Seeds per step.
    pub batch_size: Option<usize>,
    /// Peak learning rate.
    pub learning_rate: Option<f64>,
    /// Training rows per epoch.
    pub max_train_rows: Option<usize>,
    /// Whether rare classes weigh more: where nothing is said, positives do, one of several classes
    /// does not.
    pub class_weights: Option<bool>,
}

impl FitOptions {
    /// Neighbours per hop: as set, else by default for as many hops as there are layers.
    #[must_use]
    pub fn fanout(&self) -> Vec<usize> {
        let layers = self.layers.unwrap_or(FANOUT.len());
        let default = || (0..layers).map(|hop| FANOUT[hop.min(FANOUT.len() - 1)]).collect();
        self.fanout.clone().unwrap_or_else(default)
    }

    /// Width of the hidden states: as set, else by default.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.unwrap_or(CHANNELS)
    }

    /// Passes over the training rows, at most: as set, else by default.
    #[must_use]
    pub fn epochs(&self) -> usize {
        self.epochs.unwrap_or(EPOCHS)
    }

    /// Training rows per epoch, at most: as set, else by default.
    #[must_use]
    pub fn max_train_rows(&self) -> usize {
        self.max_train_rows.unwrap_or(MAX_TRAIN_ROWS)
    }

    /// Seeds per step: as set, else by how many of the `rows` training rows an epoch visits.
    #[must_use]
    pub fn batch_size(&self, rows: usize) -> usize {
        let visited = rows.min(self.max_train_rows());
        self.batch_size.unwrap_or_else(|| (visited / 32).next_power_of_two().clamp(32, 128))
    }
}

/// A model without its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelPlan {
    /// How it was fitted, with all sizes.
    pub fit: FitPlan,
    /// How rows become features.
    pub features: FeaturePlan,
    /// The schema it was trained on, with the table of closed labels.
    pub schema: Schema,
    /// The table it predicts for.
    pub entity: TableId,
    /// Neighbours per hop.
    pub fanout: Vec<usize>,
}

/// What a model is learnt from.
#[derive(Debug, Clone, Copy)]
pub struct TrainingData<'a> {
    /// The rows and links.
    pub graph: &'a TemporalGraph,
    /// Their schema, with the table of closed labels.
    pub schema: &'a Schema,
    /// The table predicted for.
    pub entity: TableId,
    /// The kind of label.
    pub task: &'a Task,
    /// The training rows.
    pub train: &'a Examples,
    /// The last training cutoff: nothing known later is learnt from.
    pub until: i64,
    /// How far labels look ahead, in microseconds.
    pub horizon: i64,
}

/// The neighbours drawn per hop where nothing is said: many recent rows, then a few of theirs.
const FANOUT: [usize; 2] = [16, 6];
/// Models whose outputs are averaged: steadier than one, and two cores work side by side.
pub const MEMBERS: usize = 2;
const CHANNELS: usize = 64;
const EPOCHS: usize = 8;
const PATIENCE: usize = 6;
const LEARNING_RATE: f64 = 2e-3;
const DROPOUT: f32 = 0.5;
const MAX_TRAIN_ROWS: usize = 20_000;

impl ModelPlan {
    /// Learns features from what was known at `until`, the last training cutoff, and resolves
    /// every size that `options` leave open.
    ///
    /// # Errors
    /// If a column cannot be read as its semantic type, the hops make too many steps, or it was
    /// stopped.
    pub fn learn(data: &TrainingData<'_>, options: &FitOptions) -> Result<Self, TrainError> {
        let TrainingData { graph, schema, entity, task, train, until, horizon } = *data;
        let stop = Stop::current();
        let mut tables = Vec::with_capacity(schema.tables.len());
        for (id, table) in (0u32..).map(TableId).zip(&schema.tables) {
            let rows = graph.table_columns(id)?;
            let known = graph.known_rows(id, until) as usize;
            let timed = table.known_from != KnownFrom::Static;
            let plan = TablePlan::learn(table, &rows, known, until, timed)
                .map_err(|source| TrainError::Features { table: table.name.clone(), source })?;
            stop.check()?;
            tables.push(plan);
        }
        let features = FeaturePlan { tables, horizon };
        let fanout = options.fanout();
        let positive_weight = match task {
            Task::Binary if options.class_weights != Some(false) => balance(&train.labels),
            _ => 1.0,
        };
        let class_weights = match task {
            Task::Multiclass { classes } if options.class_weights == Some(true) => {
                weights_of_classes(&train.labels, classes.len())
            }
            _ => Vec::new(),
        };
        let channels = options.channels();
        let plan = sample_plan(schema, entity, &fanout)?;
        let mut model = model_config(&features, schema, &plan, channels, task.outputs());
        // The layers' normalisation bounds what they say of size: where labels differ a
        // thousandfold, a number has to reach the output past them (Cheng et al. 2016).
        if matches!(task, Task::Regression { .. }) {
            let table = closed_label_table(schema);
            if table.is_some_and(|table| ClosedLabels::block(&plan, table).is_some()) {
                model.wide = CLOSED_LABEL_MEANS;
            }
        }
        let fit = FitPlan {
            task: task.clone(),
            model,
            members: MEMBERS,
            seed: options.seed,
            epochs: options.epochs(),
            patience: PATIENCE,
            batch_size: options.batch_size(train.len()),
            learning_rate: options.learning_rate.unwrap_or(LEARNING_RATE),
            weight_decay: 0.01,
            dropout: DROPOUT,
            positive_weight,
            class_weights,
            max_train_rows: options.max_train_rows(),
        };
        Ok(Self { fit, features, schema: schema.clone(), entity, fanout })
    }

    /// The same model fitted as far as `budget` says: the plan that `options` of so many epochs and
    /// rows give.
    pub fn limit(&mut self, budget: BudgetPlan, options: &FitOptions, rows: usize) {
        let BudgetPlan { epochs, max_train_rows } = budget;
        let limited = FitOptions { max_train_rows: Some(max_train_rows), ..options.clone() };
        self.fit.epochs = epochs;
        self.fit.max_train_rows = max_train_rows;
        self.fit.batch_size = limited.batch_size(rows);
    }

    /// Encodes `graph`'s rows and plans the sampling: what every batch is made from.
    ///
    /// # Errors
    /// If a column no longer has the type that was learnt, or it was stopped.
    pub fn inputs(&self, graph: Arc<TemporalGraph>) -> Result<crate::score::Inputs, TrainError> {
        let stop = Stop::current();
        let mut features = Vec::with_capacity(self.schema.tables.len());
        for ((id, table), plan) in
            (0u32..).map(TableId).zip(&self.schema.tables).zip(&self.features.tables)
        {
            let rows = graph.table_columns(id)?;
            let encoded =
                TableFeatures::encode(table, plan, self.features.horizon, &rows, graph.times(id))
                    .map_err(|source| TrainError::Features { table: table.name.clone(), source })?;
            stop.check()?;
            features.push(encoded);
        }
        let plan = sample_plan(&self.schema, self.entity, &self.fanout)?;
        let closed = match (&self.fit.task, closed_label_table(&self.schema)) {
            (Task::Regression { scale, .. }, Some(table)) if self.fit.model.wide > 0 => {
                let labels = closed_labels(&graph, table)?;
                let scaled = labels.into_iter().map(|label| scale.scaled(label) as f32).collect();
                ClosedLabels::new(&plan, table, scaled).map(Arc::new)
            }
            _ => None,
        };
        Ok(crate::score::Inputs {
            graph,
            closed,
            features: Arc::new(features),
            plan: Arc::new(plan),
            entity: self.entity,
            run_seed: self.fit.seed,
        })
    }

    /// The network with `weights`, ready to score.
    ///
    /// # Errors
    /// If the weights are damaged or of other sizes.
    pub fn network(&self, weights: &crate::checkpoint::Weights) -> Result<Ensemble, TrainError> {
        let device = burn::tensor::Device::flex();
        let mut model = Ensemble::new(&self.fit.model, self.fit.members, self.fit.seed, &device);
        weights.apply(&mut model)?;
        Ok(model)
    }
}

/// The steps of the trees that a model for `entity` reads.
///
/// # Errors
/// [`TrainError::Sample`] if there would be too many.
pub fn sample_plan(
    schema: &Schema,
    entity: TableId,
    fanout: &[usize],
) -> Result<SamplePlan, TrainError> {
    Ok(SamplePlan::new(schema, entity, fanout, Strategy::MostRecent, None)?)
}

fn model_config(
    features: &FeaturePlan,
    schema: &Schema,
    plan: &SamplePlan,
    channels: usize,
    outputs: usize,
) -> ModelConfig {
    let blocks = plan
        .blocks
        .iter()
        .map(|step| BlockShape {
            parent: step.parent,
            edge: step.edge.map_or(0, edge_number),
            table: step.table.index(),
            hop: step.hop,
        })
        .collect();
    ModelConfig {
        channels,
        outputs,
        seed_features: SEED_FEATURES,
        wide: 0,
        tables: features.shapes(),
        edges: 2 * schema.links.len(),
        blocks,
    }
}

/// Edge types are numbered by link, towards the parent first.
fn edge_number(edge: EdgeType) -> usize {
    2 * edge.link.index() + usize::from(edge.direction == Direction::ToChildren)
}

/// The square root of negatives per positive: half way to equal weight, never extreme.
fn balance(labels: &[f64]) -> f64 {
    let positives = labels.iter().filter(|y| **y > 0.5).count().max(1) as f64;
    let negatives = (labels.len() as f64 - positives).max(1.0);
    (negatives / positives).sqrt().clamp(0.1, 10.0)
}

/// The same for each of several classes: the square root of an even share per row of the class.
fn weights_of_classes(labels: &[f64], classes: usize) -> Vec<f64> {
    let mut rows = vec![0_usize; classes];
    for label in labels {
        if let Some(rows) = rows.get_mut(*label as usize) {
            *rows += 1;
        }
    }
    let even = labels.len() as f64 / classes.max(1) as f64;
    rows.into_iter().map(|n| (even / n.max(1) as f64).sqrt().clamp(0.1, 10.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_classes_weigh_more_as_rare_positives_do() {
        let labels = [[0.0; 16].as_slice(), &[1.0; 4]].concat();
        let weights = weights_of_classes(&labels, 2);
        assert!((weights[1] / weights[0] - balance(&labels)).abs() < 1e-12, "{weights:?}");
        assert!((balance(&labels) - 2.0).abs() < 1e-12);
    }
}
