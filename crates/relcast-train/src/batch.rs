//! From a sampled subgraph to the tensors of a batch: each distinct row is encoded once.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};
use relcast_nn::ops::Csr;
use relcast_nn::{BlockInput, GraphBatch, TableInput};
use relcast_sampler::{SamplePlan, Seeds, Subgraph, UNKNOWN_ROW};

use crate::features::{
    CLOSED_LABEL_MEANS, ClosedLabels, SEED_FEATURES, TableFeatures, push_means, seed_features,
};

/// A batch as plain vectors, made while the model works on the one before.
#[derive(Debug, Clone)]
pub struct HostBatch {
    pub(crate) tables: Vec<HostTable>,
    pub(crate) blocks: Vec<HostBlock>,
    seeds: Vec<f32>,
    pub(crate) closed: Option<HostClosed>,
    count: usize,
}

/// The distinct rows of a table, row by row.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostTable {
    pub(crate) dense: Vec<f32>,
    pub(crate) entries: Vec<i32>,
    pub(crate) rows: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct HostBlock {
    /// The place of each node's row among the distinct ones of its table.
    pub(crate) rows: Vec<i32>,
    pub(crate) time: Vec<f32>,
    /// `None` for the seeds.
    pub(crate) links: Option<HostLinks>,
}

/// Neighbour lists over the parent block.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostLinks {
    /// One more than there are parents; list `i` is the nodes `offsets[i]..offsets[i + 1]`.
    pub(crate) offsets: Vec<u32>,
    /// How many neighbours each parent has, drawn or not.
    pub(crate) known: Vec<f32>,
}

/// The seeds' own closed labels, on the scale of the outputs, by node of the block they are in.
#[derive(Debug, Clone)]
pub(crate) struct HostClosed {
    pub(crate) block: usize,
    pub(crate) labels: Vec<f32>,
}

impl HostBatch {
    /// Lays out the rows of `subgraph`, drawn for `seeds` by `plan`; `closed` where the model has a
    /// wide part.
    #[must_use]
    pub fn assemble(
        features: &[TableFeatures],
        plan: &SamplePlan,
        subgraph: &Subgraph,
        seeds: &Seeds,
        closed: Option<&ClosedLabels>,
    ) -> Self {
        let mut tables: Vec<Distinct> = features.iter().map(|_| Distinct::default()).collect();
        let blocks = plan
            .blocks
            .iter()
            .zip(&subgraph.blocks)
            .map(|(step, block)| {
                let table = step.table.index();
                let nodes = block.rows().len();
                let mut rows = Vec::with_capacity(nodes);
                let mut time = Vec::with_capacity(nodes * features[table].shape().time);
                let ages = block.ages();
                for (node, (row, seed)) in block.rows().iter().zip(block.seeds()).enumerate() {
                    let view = seeds.views[*seed as usize];
                    let row = (*row != UNKNOWN_ROW).then_some(*row);
                    let hidden = features[table].hidden(row, view);
                    rows.push(tables[table].position(&features[table], row, hidden));
                    features[table].push_time(row, ages.get(node), view, &mut time);
                }
                let links = step.parent.map(|_| HostLinks {
                    offsets: block.offsets().to_vec(),
                    known: block.known().iter().map(|n| *n as f32).collect(),
                });
                HostBlock { rows, time, links }
            })
            .collect();
        let mut seed_values = Vec::with_capacity(seeds.cutoffs.len() * SEED_FEATURES);
        for cutoff in &seeds.cutoffs {
            seed_features(*cutoff, &mut seed_values);
        }
        let closed = closed.map(|closed| {
            let (block, labels) = closed.of_nodes(subgraph);
            HostClosed { block, labels }
        });
        let tables = tables.into_iter().map(|distinct| distinct.table).collect();
        Self { tables, blocks, seeds: seed_values, closed, count: seeds.cutoffs.len() }
    }

    /// The batch as tensors on `device`.
    #[must_use]
    pub fn into_tensors(
        self,
        features: &[TableFeatures],
        plan: &SamplePlan,
        device: &Device,
    ) -> GraphBatch {
        let means = self.closed_means();
        let tables = self
            .tables
            .into_iter()
            .zip(features)
            .map(|(table, features)| {
                let (rows, shape) = (table.rows, features.shape());
                TableInput {
                    dense: (rows > 0 && shape.dense > 0)
                        .then(|| matrix(table.dense, rows, shape.dense, device)),
                    entries: (rows > 0 && shape.slots > 0).then(|| {
                        let len = table.entries.len();
                        Tensor::from_data(TensorData::new(table.entries, [len]), device)
                    }),
                    rows,
                }
            })
            .collect();
        let blocks = self
            .blocks
            .into_iter()
            .zip(&plan.blocks)
            .map(|(block, step)| {
                let nodes = block.rows.len();
                let width = features[step.table.index()].shape().time;
                let (csr, log_known) = match block.links {
                    Some(HostLinks { offsets, known }) => {
                        let logs: Vec<f32> = known.iter().map(|n| n.ln_1p()).collect();
                        let parents = logs.len();
                        (Some(Csr::new(&offsets, device)), Some(matrix(logs, parents, 1, device)))
                    }
                    None => (None, None),
                };
                BlockInput {
                    rows: Tensor::from_data(TensorData::new(block.rows, [nodes]), device),
                    time: matrix(block.time, nodes, width, device),
                    csr,
                    log_known,
                    nodes,
                }
            })
            .collect();
        let seeds = |values, width| matrix(values, self.count, width, device);
        GraphBatch {
            tables,
            blocks,
            seeds: seeds(self.seeds, SEED_FEATURES),
            wide: means.map(|means| seeds(means, CLOSED_LABEL_MEANS)),
        }
    }

    /// A batch of these rows and nothing else.
    #[cfg(test)]
    pub(crate) fn bare(tables: Vec<HostTable>, blocks: Vec<HostBlock>) -> Self {
        let count = blocks.first().map_or(0, |seeds| seeds.rows.len());
        Self { tables, blocks, seeds: Vec::new(), closed: None, count }
    }

    /// What the closed labels tell of each seed, where the model reads them straight.
    fn closed_means(&self) -> Option<Vec<f32>> {
        let closed = self.closed.as_ref()?;
        let links = self.blocks.get(closed.block)?.links.as_ref()?;
        let mut means = Vec::with_capacity(self.count * CLOSED_LABEL_MEANS);
        push_means(&closed.labels, &links.offsets, &mut means);
        Some(means)
    }
}

/// The rows of a table met so far, and where each stands among them.
#[derive(Debug, Default)]
struct Distinct {
    table: HostTable,
    positions: HashMap<(u32, u64), i32>,
}

impl Distinct {
    /// Where the row stands among the distinct ones; adds it at its first use.
    fn position(&mut self, features: &TableFeatures, row: Option<u32>, hidden: u64) -> i32 {
        let next = self.table.rows as i32;
        let position = *self.positions.entry((row.unwrap_or(UNKNOWN_ROW), hidden)).or_insert(next);
        if position == next {
            self.table.rows += 1;
            features.push_row(row, hidden, &mut self.table.dense, &mut self.table.entries);
        }
        position
    }
}

fn matrix(values: Vec<f32>, rows: usize, columns: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}
