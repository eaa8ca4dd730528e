//! The relational model: row encoders, layers of convolution, a head.

use burn::module::Module;
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
    pub seeds: burn::module::Param<Tensor<2>>,
    /// One per hop.
    pub layers: Vec<SageConv>,
    /// From seed states to outputs.
    pub head: Head,
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
            config: config.clone(),
        }
    }

    /// Outputs `[seeds, outputs]`. `keep` is the head's dropout mask `[seeds, channels]`.
    #[must_use]
    pub fn forward(&self, batch: &GraphBatch, keep: Option<Tensor<2>>) -> Tensor<2> {
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
        let seeds = states.into_iter().next().flatten();
        let seeds = seeds.unwrap_or_else(|| {
            Tensor::zeros([0, self.config.channels], &self.seeds.val().device())
        });
        self.head.forward(seeds, keep)
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
