//! Changing a batch of trees after it was drawn: cells change places or are forgotten, lists of rows
//! change places or lose rows.

use relcast_nn::TableShape;
use relcast_sampler::SamplePlan;

use crate::batch::{HostBatch, HostBlock, HostLinks};
use crate::features::{CellFeatures, TableFeatures};

/// The features of a row of which nothing is known.
pub(super) struct Unknown {
    dense: Vec<f32>,
    entries: Vec<i32>,
    time: Vec<f32>,
}

impl Unknown {
    pub(super) fn of(features: &TableFeatures) -> Self {
        let (mut dense, mut entries, mut time) = (Vec::new(), Vec::new(), Vec::new());
        features.push_row(None, 0, &mut dense, &mut entries);
        features.push_time(None, None, 0, &mut time);
        Self { dense, entries, time }
    }
}

impl HostBatch {
    /// Gives each node of `block`, whose rows are of `table`, the cell of the node that `order`
    /// names.
    pub(super) fn permute_cell(
        &mut self,
        block: usize,
        (table, shape): (usize, TableShape),
        cell: &CellFeatures,
        order: &[usize],
    ) {
        let before = self.blocks[block].clone();
        let in_row = !cell.dense.is_empty() || !cell.entries.is_empty();
        for (node, donor) in order.iter().enumerate() {
            let to = node * shape.time;
            let from = donor * shape.time;
            self.blocks[block].time[to + cell.time.start..to + cell.time.end]
                .copy_from_slice(&before.time[from + cell.time.start..from + cell.time.end]);
            if !in_row || before.rows[node] == before.rows[*donor] {
                continue;
            }
            let donor = before.rows[*donor] as usize;
            let own = self.own_row(block, node, table, shape);
            let rows = &mut self.tables[table];
            let (dense, entries) = (donor * shape.dense, donor * shape.slots);
            rows.dense.copy_within(
                dense + cell.dense.start..dense + cell.dense.end,
                own * shape.dense + cell.dense.start,
            );
            rows.entries.copy_within(
                entries + cell.entries.start..entries + cell.entries.end,
                own * shape.slots + cell.entries.start,
            );
        }
    }

    /// Makes `cells` of a node unknown.
    pub(super) fn forget_cells(
        &mut self,
        (block, node): (usize, usize),
        (table, shape): (usize, TableShape),
        cells: &[&CellFeatures],
        unknown: &Unknown,
    ) {
        let mut own = None;
        for cell in cells {
            let time = node * shape.time;
            self.blocks[block].time[time + cell.time.start..time + cell.time.end]
                .copy_from_slice(&unknown.time[cell.time.clone()]);
            if cell.dense.is_empty() && cell.entries.is_empty() {
                continue;
            }
            let own = match own {
                Some(own) => own,
                None => *own.insert(self.own_row(block, node, table, shape)),
            };
            let rows = &mut self.tables[table];
            let (dense, entries) = (own * shape.dense, own * shape.slots);
            rows.dense[dense + cell.dense.start..dense + cell.dense.end]
                .copy_from_slice(&unknown.dense[cell.dense.clone()]);
            rows.entries[entries + cell.entries.start..entries + cell.entries.end]
                .copy_from_slice(&unknown.entries[cell.entries.clone()]);
        }
    }

    /// A copy of the node's row that no other node reads; its place in the table.
    fn own_row(&mut self, block: usize, node: usize, table: usize, shape: TableShape) -> usize {
        let rows = &mut self.tables[table];
        let from = self.blocks[block].rows[node] as usize;
        rows.dense.extend_from_within(from * shape.dense..(from + 1) * shape.dense);
        rows.entries.extend_from_within(from * shape.slots..(from + 1) * shape.slots);
        let own = rows.rows;
        rows.rows += 1;
        self.blocks[block].rows[node] = own as i32;
        own
    }

    /// Grows the trees anew: the node `parent` of the parent block gets the list of rows of the node
    /// `source(block, parent)`, of which those go that do not `stay(block, node)`, with all that
    /// hangs from them. A row that goes takes its share of the rows that were known and not drawn
    /// along. Blocks and nodes are numbered as before.
    pub(super) fn regrow(
        &mut self,
        plan: &SamplePlan,
        source: impl Fn(usize, usize) -> usize,
        stays: impl Fn(usize, usize) -> bool,
    ) {
        let mut grown: Vec<HostBlock> = Vec::with_capacity(self.blocks.len());
        let mut orders: Vec<Vec<usize>> = Vec::with_capacity(self.blocks.len());
        for (number, (step, block)) in plan.blocks.iter().zip(&self.blocks).enumerate() {
            let (Some(parent), Some(links)) = (step.parent, &block.links) else {
                orders.push((0..block.rows.len()).collect());
                grown.push(block.clone());
                continue;
            };
            let mut order = Vec::with_capacity(block.rows.len());
            let mut lists = HostLinks { offsets: vec![0], known: Vec::new() };
            for parent in &orders[parent] {
                let list = source(number, *parent);
                let (start, end) = (links.offsets[list] as usize, links.offsets[list + 1] as usize);
                let before = order.len();
                order.extend((start..end).filter(|node| stays(number, *node)));
                let (kept, drawn) = (order.len() - before, end - start);
                let known = links.known[list];
                lists.offsets.push(order.len() as u32);
                lists.known.push(match kept == drawn {
                    true => known,
                    false => known * kept as f32 / drawn as f32,
                });
            }
            let width = block.time.len().checked_div(block.rows.len()).unwrap_or(0);
            grown.push(HostBlock {
                rows: order.iter().map(|node| block.rows[*node]).collect(),
                time: order
                    .iter()
                    .flat_map(|node| &block.time[node * width..(node + 1) * width])
                    .copied()
                    .collect(),
                links: Some(lists),
            });
            orders.push(order);
        }
        if let Some(closed) = &mut self.closed {
            let order = &orders[closed.block];
            closed.labels = order.iter().map(|node| closed.labels[*node]).collect();
        }
        self.blocks = grown;
    }
}
