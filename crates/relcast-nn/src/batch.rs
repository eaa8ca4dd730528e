//! What the model reads: the tensors of one batch of sampled trees.

use burn::tensor::{Int, Tensor};

use crate::ops::Csr;

/// The distinct rows of one table in a batch, each encoded once.
#[derive(Debug, Clone)]
pub struct TableInput {
    /// Numbers of each distinct row, shape `[rows, dense]`; `None` if the table has none.
    pub dense: Option<Tensor<2>>,
    /// Vocabulary entries of each distinct row, flattened row by row, shape `[rows * slots]`;
    /// `None` if the table has none.
    pub entries: Option<Tensor<1, Int>>,
    /// The number of distinct rows.
    pub rows: usize,
}

/// One step of the trees: all rows reached by the same way from the seeds.
#[derive(Debug, Clone)]
pub struct BlockInput {
    /// For each node its row among the table's distinct rows, shape `[nodes]`.
    pub rows: Tensor<1, Int>,
    /// What depends on the seed's view: the row's age and its timestamp cells, `[nodes, time]`.
    pub time: Tensor<2>,
    /// The nodes of the block by node of the parent block; `None` for the seeds.
    pub csr: Option<Csr>,
    /// `ln(1 + known neighbours)` per node of the parent block, `[parents, 1]`; `None` for the seeds.
    pub log_known: Option<Tensor<2>>,
    /// The number of nodes.
    pub nodes: usize,
}

/// A batch of sampled trees, blocks in the order of the model's [`crate::BlockShape`]s.
#[derive(Debug, Clone)]
pub struct GraphBatch {
    /// Distinct rows per table, in the order of the model's tables.
    pub tables: Vec<TableInput>,
    /// The steps; the first holds the seeds.
    pub blocks: Vec<BlockInput>,
    /// What is known of each seed beside its row, such as the season of its cutoff, `[seeds, k]`.
    pub seeds: Tensor<2>,
    /// First guesses at each seed's output, `[seeds, wide]`; `None` for a model without a wide part.
    pub wide: Option<Tensor<2>>,
}
