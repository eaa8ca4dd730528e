//! What a model's predictions rest on.
//!
//! Comes in: a model with the trees it reads. Goes out: how much worse it predicts when the cells of
//! a column, or the rows of a table, change places among the entities (permutation importance), and
//! what each cell and row of one entity's tree contributes to its score (Shapley values).
//! Trees are drawn as for a prediction and changed afterwards, so nothing is read that a prediction
//! may not read. All that is drawn by chance depends on the model's seed alone.

mod cohorts;
mod contributions;
mod draw;
mod edit;
mod importance;
mod players;

use burn::tensor::Device;
use relcast_graph::Stop;
use relcast_nn::Ensemble;
use relcast_sampler::{Seeds, Subgraph, sample};

use crate::batch::HostBatch;
use crate::error::TrainError;
use crate::evaluate::predictions;
use crate::features::CellFeatures;
use crate::model::ModelPlan;
use crate::score::Inputs;

pub use cohorts::Cohort;
pub use contributions::{Contribution, Contributions};
pub use importance::{Importance, ImportanceLine};

/// Microseconds in a day.
const DAY: f64 = 86_400e6;

/// A model that is asked why.
pub struct Explainer<'a> {
    /// Where trees come from.
    pub inputs: &'a Inputs,
    /// The weights.
    pub network: &'a Ensemble,
    /// What stands beside them.
    pub model: &'a ModelPlan,
}

impl Explainer<'_> {
    /// The trees of `seeds`, as drawn and as the model reads them.
    fn grow(&self, seeds: &Seeds) -> Result<(Subgraph, HostBatch), TrainError> {
        let inputs = self.inputs;
        let drawn = sample(&inputs.graph, &inputs.plan, seeds, inputs.run_seed)?;
        let batch = inputs.lay_out(seeds, &drawn)?;
        Ok((drawn, batch))
    }

    /// Predictions for the seeds of `batch`.
    fn predict(&self, batch: HostBatch) -> Result<Vec<f64>, TrainError> {
        Stop::current().check()?;
        let inputs = self.inputs;
        let batch = batch.into_tensors(&inputs.features, &inputs.plan, &Device::flex());
        let outputs = self.network.forward(&batch).into_data_as::<f32>();
        Ok(predictions(&self.model.fit, &outputs.iter::<f32>().collect::<Vec<f32>>()))
    }

    /// The columns that the model reads, table by table.
    fn cells(&self) -> Vec<Vec<CellFeatures>> {
        let plans = self.model.features.tables.iter().zip(&self.model.schema.tables);
        plans.map(|(plan, table)| plan.cells(table)).collect()
    }

    fn table_name(&self, table: usize) -> &str {
        &self.model.schema.tables[table].name
    }
}

impl std::fmt::Debug for Explainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explainer").field("entity", &self.model.entity).finish_non_exhaustive()
    }
}
