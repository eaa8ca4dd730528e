//! Scoring: outputs of a model for any number of seeds, batch by batch.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use burn::tensor::Device;
use relcast_catalog::TableId;
use relcast_graph::{Stop, TemporalGraph};
use relcast_nn::{Ensemble, GraphBatch};
use relcast_sampler::{SamplePlan, Seeds, Subgraph, sample, stream};

use crate::batch::HostBatch;
use crate::error::TrainError;
use crate::examples::Examples;
use crate::features::{ClosedLabels, TableFeatures};

/// Batches that lie ready while the model works.
const DEPTH: usize = 2;

/// What every batch is made from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The rows and links.
    pub graph: Arc<TemporalGraph>,
    /// The rows' features, one per table.
    pub features: Arc<Vec<TableFeatures>>,
    /// The closed labels, where the model reads them straight.
    pub closed: Option<Arc<ClosedLabels>>,
    /// The steps of the trees.
    pub plan: Arc<SamplePlan>,
    /// The table of the seeds.
    pub entity: TableId,
    /// Seed of the sampler's random stream.
    pub run_seed: u64,
}

impl Inputs {
    /// Draws, checks and lays out a batch for each of `batches`, and hands them to `consume` in
    /// order, with the batch's number. Several are drawn on threads of their own; for one alone a
    /// thread would take longer than it saves.
    ///
    /// # Errors
    /// A batch that holds a row younger than its seed's view, an error of `consume`, or
    /// [`TrainError::Stopped`].
    pub fn for_each_batch(
        &self,
        mut batches: Vec<Seeds>,
        device: &Device,
        mut consume: impl FnMut(usize, GraphBatch) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let stop = Stop::current();
        stop.check()?;
        if batches.len() == 1
            && let Some(seeds) = batches.pop()
        {
            let subgraph = sample(&self.graph, &self.plan, &seeds, self.run_seed)?;
            let batch = self.lay_out(&seeds, &subgraph)?;
            return consume(0, batch.into_tensors(&self.features, &self.plan, device));
        }
        let sampled = stream(self.graph.clone(), self.plan.clone(), batches, self.run_seed, DEPTH);
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(DEPTH);
            scope.spawn(move || {
                for item in sampled {
                    let batch = item.map_err(TrainError::from);
                    let batch = batch.and_then(|(seeds, drawn)| self.lay_out(&seeds, &drawn));
                    // The receiver is gone once the consumer has failed.
                    if sender.send(batch).is_err() {
                        return;
                    }
                }
            });
            for (number, batch) in receiver.into_iter().enumerate() {
                stop.check()?;
                consume(number, batch?.into_tensors(&self.features, &self.plan, device))?;
            }
            Ok(())
        })
    }

    /// A batch of rows that were drawn, once they are seen to be no younger than they may be.
    pub(crate) fn lay_out(&self, seeds: &Seeds, drawn: &Subgraph) -> Result<HostBatch, TrainError> {
        drawn.check(&self.graph, &self.plan, seeds)?;
        let closed = self.closed.as_deref();
        Ok(HostBatch::assemble(&self.features, &self.plan, drawn, seeds, closed))
    }

    /// Outputs of `model` for all `examples` with history visible until `visible_end`:
    /// `outputs` numbers per example, in their order.
    ///
    /// # Errors
    /// As [`Inputs::for_each_batch`].
    pub fn score(
        &self,
        model: &Ensemble,
        examples: &Examples,
        visible_end: i64,
        batch_size: usize,
    ) -> Result<Vec<f32>, TrainError> {
        let batches = self.batches(examples, visible_end, batch_size);
        let mut outputs = Vec::with_capacity(examples.len() * model.outputs());
        self.for_each_batch(batches, &Device::flex(), |_, batch| {
            outputs.extend(model.forward(&batch).into_data_as::<f32>().iter::<f32>());
            Ok(())
        })?;
        Ok(outputs)
    }

    /// The same with what `model` makes of each example before the head: `width` numbers per example,
    /// in their order.
    ///
    /// # Errors
    /// As [`Inputs::for_each_batch`].
    pub fn represent(
        &self,
        model: &Ensemble,
        examples: &Examples,
        visible_end: i64,
        batch_size: usize,
    ) -> Result<(Vec<f32>, Vec<f32>), TrainError> {
        let batches = self.batches(examples, visible_end, batch_size);
        let mut outputs = Vec::with_capacity(examples.len() * model.outputs());
        let mut states = Vec::with_capacity(examples.len() * model.width());
        self.for_each_batch(batches, &Device::flex(), |_, batch| {
            let (output, state) = model.represent(&batch);
            outputs.extend(output.into_data_as::<f32>().iter::<f32>());
            states.extend(state.into_data_as::<f32>().iter::<f32>());
            Ok(())
        })?;
        Ok((outputs, states))
    }

    fn batches(&self, examples: &Examples, visible_end: i64, batch_size: usize) -> Vec<Seeds> {
        let positions: Vec<usize> = (0..examples.len()).collect();
        let chunks = positions.chunks(batch_size);
        chunks.map(|chunk| examples.seeds(chunk, visible_end, &self.graph, self.entity)).collect()
    }
}
