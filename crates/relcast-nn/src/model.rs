//! The relational model: row encoders, layers of convolution, a head.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use serde::{Deserialize, Serialize};

use crate::batch::GraphBatch;
use crate::conv::{Messages, SageConv};
use crate::encoder::RowEncoder;
use crate::head::Head;
use crate::init::Initializer;
use crate::ops::gather;

/// The sizes of one table's features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableShape {
    /// Numbers per row.
    pub dense: usize,
    /// Vocabulary entries per row.
    pub slots: usize,
    /// Entries in the vocabulary over all the table's columns.
    pub vocabulary: usize,
    /// Numbers per (row, seed): its age and its timestamp cells.
    pub time: usize,
}

/// One step of the sampled trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockShape {
    /// The block this one hangs from; `None` for the seeds.
    pub parent: Option<usize>,
    /// The edge type that leads here; zero for the seeds.
    pub edge: usize,
    /// The table of its rows.
    pub table: usize,
    /// Steps from the seeds.
    pub hop: usize,
}

/// Everything that fixes the shape of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Width of every hidden state.
    pub channels: usize,
    /// Outputs per seed.
    pub outputs: usize,
    /// Numbers known of each seed beside its row.
    pub seed_features: usize,
    /// First guesses at each seed's output; zero for a model without a wide part.
    pub wide: usize,
    /// Tables in the order of the schema.
    pub tables: Vec<TableShape>,
    /// How many edge types there are: two per link, towards the parent first.
    pub edges: usize,
    /// The steps of the sampled trees; the first holds the seeds.
    pub blocks: Vec<BlockShape>,
}

/// A heterogeneous graph neural network over sampled trees.
#[derive(Module, Debug)]
pub struct RelationalModel {
    /// One per table.
    pub encoders: Vec<RowEncoder>,
    /// `[seed features, channels]`.
    pub seeds: Param<Tensor<2>>,
    /// One per hop.
    pub layers: Vec<SageConv>,
    /// From seed states to outputs.
    pub head: Head,
    /// `[wide]`, the weights of the first guesses; none without a wide part.
    pub wide: Option<Param<Tensor<1>>>,
    #[module(skip)]
    config: ModelConfig,
}

impl RelationalModel {
    /// A model with initial weights drawn from `init`.
    #[must_use]
    pub fn new(config: &ModelConfig, init: &mut Initializer) -> Self {
        let hops = config.blocks.iter().map(|b| b.hop).max().unwrap_or(0);
        Self {
            encoders: config
                .tables
                .iter()
                .map(|t| RowEncoder::new(t, config.channels, init))
                .collect(),
            seeds: init.uniform([config.seed_features, config.channels], 0.3),
            layers: (0..hops)
                .map(|_| SageConv::new(config.tables.len(), config.edges, config.channels, init))
                .collect(),
            head: Head::new(config.channels, config.outputs, init),
            wide: (config.wide > 0)
                .then(|| init.constant(config.wide, (config.wide as f32).recip())),
            config: config.clone(),
        }
    }

    /// Outputs `[seeds, outputs]`. `keep` is the head's dropout mask `[seeds, channels]`.
    #[must_use]
    pub fn forward(&self, batch: &GraphBatch, keep: Option<Tensor<2>>) -> Tensor<2> {
        self.outputs(batch, self.represent(batch), keep)
    }

    /// What the model makes of each seed and its tree before the head: `[seeds, channels]`.
    #[must_use]
    pub fn represent(&self, batch: &GraphBatch) -> Tensor<2> {
        let mut states = self.encode(batch);
        for (depth, layer) in self.layers.iter().enumerate() {
            // A block takes part as long as what it says can still reach the seeds.
            let reach = self.layers.len() - depth - 1;
            states = self
                .config
                .blocks
                .iter()
                .enumerate()
                .map(|(b, shape)| {
                    let own = states[b].clone().filter(|_| shape.hop <= reach)?;
                    Some(layer.forward(shape.table, own, self.messages(b, batch, &states)))
                })
                .collect();
        }
        states
            .into_iter()
            .next()
            .flatten()
            .unwrap_or_else(|| Tensor::zeros([0, self.config.channels], &self.seeds.val().device()))
    }

    /// Outputs `[seeds, outputs]` for seeds that were [represented](Self::represent) as `seeds`.
    #[must_use]
    pub fn outputs(
        &self,
        batch: &GraphBatch,
        seeds: Tensor<2>,
        keep: Option<Tensor<2>>,
    ) -> Tensor<2> {
        let deep = self.head.forward(seeds, keep);
        match (&self.wide, &batch.wide) {
            (Some(weights), Some(guesses)) => {
                deep + guesses.clone().matmul(weights.val().unsqueeze_dim(1))
            }
            _ => deep,
        }
    }

    /// First states of every block; `None` for a block without nodes.
    fn encode(&self, batch: &GraphBatch) -> Vec<Option<Tensor<2>>> {
        let rows: Vec<Option<Tensor<2>>> = self
            .encoders
            .iter()
            .zip(&batch.tables)
            .map(|(encoder, input)| (input.rows > 0).then(|| encoder.encode_rows(input)))
            .collect();
        self.config
            .blocks
            .iter()
            .zip(&batch.blocks)
            .map(|(shape, block)| {
                let rows = rows[shape.table].clone().filter(|_| block.nodes > 0)?;
                let encoder = &self.encoders[shape.table];
                let mut sum =
                    gather(rows, block.rows.clone()) + encoder.encode_time(block.time.clone());
                if shape.parent.is_none() {
                    sum = sum + batch.seeds.clone().matmul(self.seeds.val());
                }
                Some(relu(sum))
            })
            .collect()
    }

    /// What the blocks hanging from `parent` say to it.
    fn messages<'a>(
        &self,
        parent: usize,
        batch: &'a GraphBatch,
        states: &[Option<Tensor<2>>],
    ) -> Vec<Messages<'a>> {
        let children =
            self.config.blocks.iter().enumerate().filter(|(_, s)| s.parent == Some(parent));
        children
            .filter_map(|(b, shape)| {
                let block = &batch.blocks[b];
                Some(Messages {
                    edge: shape.edge,
                    states: states[b].clone()?,
                    csr: block.csr.as_ref()?,
                    log_known: block.log_known.clone()?,
                })
            })
            .collect()
    }

    /// The sizes the model was made with.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int, TensorData};

    use super::*;
    use crate::batch::{BlockInput, TableInput};

    fn outputs(wide: usize, guesses: Option<Tensor<2>>) -> Vec<f32> {
        let device = Device::flex();
        let config = ModelConfig {
            channels: 4,
            outputs: 1,
            seed_features: 1,
            wide,
            tables: vec![TableShape { dense: 1, slots: 0, vocabulary: 0, time: 1 }],
            edges: 0,
            blocks: vec![BlockShape { parent: None, edge: 0, table: 0, hop: 0 }],
        };
        let column = |values: [f32; 2]| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [2, 1]), &device)
        };
        let batch = GraphBatch {
            tables: vec![TableInput { dense: Some(column([1.0, -2.0])), entries: None, rows: 2 }],
            blocks: vec![BlockInput {
                rows: Tensor::<1, Int>::from_data(TensorData::new(vec![0i32, 1], [2]), &device),
                time: column([0.5, 0.0]),
                csr: None,
                log_known: None,
                nodes: 2,
            }],
            seeds: column([1.0, 1.0]),
            wide: guesses,
        };
        let model = RelationalModel::new(&config, &mut Initializer::new(3, &device));
        assert_eq!(model.represent(&batch).dims(), [2, 4]);
        model.forward(&batch, None).into_data_as::<f32>().iter::<f32>().collect()
    }

    #[test]
    fn the_wide_part_starts_at_the_mean_of_the_guesses_and_draws_no_weight() {
        let guesses = Tensor::<2>::from_floats([[1.0, 3.0], [-4.0, 0.0]], &Device::flex());
        let (deep, both) = (outputs(0, None), outputs(2, Some(guesses)));
        for ((deep, both), mean) in deep.iter().zip(&both).zip([2.0, -2.0]) {
            assert!((both - deep - mean).abs() < 1e-6, "{both} instead of {deep} + {mean}");
        }
    }
}
