//! From a sampled subgraph to the tensors of a batch: each distinct row is encoded once.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};
use relcast_nn::ops::Csr;
use relcast_nn::{BlockInput, GraphBatch, TableInput};
use relcast_sampler::{SamplePlan, Seeds, Subgraph, UNKNOWN_ROW};

use crate::features::{
    CLOSED_LABEL_MEANS, ClosedLabels, SEED_FEATURES, TableFeatures, seed_features,
};

/// A batch as plain vectors, made while the model works on the one before.
#[derive(Debug)]
pub struct HostBatch {
    tables: Vec<HostTable>,
    blocks: Vec<HostBlock>,
    seeds: Vec<f32>,
    closed: Option<Vec<f32>>,
    count: usize,
}

#[derive(Debug, Default)]
struct HostTable {
    dense: Vec<f32>,
    entries: Vec<i32>,
    positions: HashMap<(u32, u64), i32>,
}

#[derive(Debug)]
struct HostBlock {
    rows: Vec<i32>,
    time: Vec<f32>,
    /// Neighbour lists over the parent block; `None` for the seeds.
    links: Option<(Vec<u32>, Vec<f32>)>,
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
        let mut tables: Vec<HostTable> = features.iter().map(|_| HostTable::default()).collect();
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
                let links = step.parent.map(|_| {
                    let known = block.known().iter().map(|n| (*n as f32).ln_1p()).collect();
                    (block.offsets().to_vec(), known)
                });
                HostBlock { rows, time, links }
            })
            .collect();
        let mut seed_values = Vec::with_capacity(seeds.cutoffs.len() * SEED_FEATURES);
        for cutoff in &seeds.cutoffs {
            seed_features(*cutoff, &mut seed_values);
        }
        let closed = closed.map(|closed| {
            let mut means = Vec::with_capacity(seeds.cutoffs.len() * CLOSED_LABEL_MEANS);
            closed.push_means(subgraph, &mut means);
            means
        });
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
        let tables = self
            .tables
            .into_iter()
            .zip(features)
            .map(|(table, features)| {
                let (rows, shape) = (table.positions.len(), features.shape());
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
                    Some((offsets, known)) => {
                        let parents = known.len();
                        (Some(Csr::new(&offsets, device)), Some(matrix(known, parents, 1, device)))
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
            wide: self.closed.map(|means| seeds(means, CLOSED_LABEL_MEANS)),
        }
    }
}

impl HostTable {
    /// Where the row stands among the distinct ones; adds it at its first use.
    fn position(&mut self, features: &TableFeatures, row: Option<u32>, hidden: u64) -> i32 {
        let next = self.positions.len() as i32;
        let position = *self.positions.entry((row.unwrap_or(UNKNOWN_ROW), hidden)).or_insert(next);
        if position == next {
            features.push_row(row, hidden, &mut self.dense, &mut self.entries);
        }
        position
    }
}

fn matrix(values: Vec<f32>, rows: usize, columns: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}
