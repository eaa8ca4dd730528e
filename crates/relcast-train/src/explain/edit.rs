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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use relcast_catalog::{KnownFrom, Link, Schema, Table, TableId};
    use relcast_sampler::Strategy;

    use super::*;
    use crate::batch::{HostClosed, HostTable};

    const SHAPE: TableShape = TableShape { dense: 2, slots: 1, vocabulary: 9, time: 1 };

    /// Three tables, each pointing to the one before.
    fn plan() -> SamplePlan {
        let table = |name: &str| Table {
            name: name.to_owned(),
            columns: Vec::new(),
            primary_key: vec!["id".to_owned()],
            time_column: None,
            end_time_column: None,
            known_from: KnownFrom::Static,
        };
        let link = |child: u32| Link {
            child: TableId(child),
            columns: vec!["parent".to_owned()],
            parent: TableId(child - 1),
        };
        let schema = Schema {
            tables: ["a", "b", "c"].map(table).to_vec(),
            links: vec![link(1), link(2)],
            ..Schema::default()
        };
        SamplePlan::new(&schema, TableId(0), &[9, 9], Strategy::MostRecent, None).unwrap()
    }

    /// Two seeds; the first has two rows, of which the second has two of its own.
    fn batch() -> HostBatch {
        let block = |rows: Vec<i32>, links: Option<(&[u32], &[f32])>| HostBlock {
            time: rows.iter().map(|row| *row as f32 / 10.0).collect(),
            rows,
            links: links.map(|(offsets, known)| HostLinks {
                offsets: offsets.to_vec(),
                known: known.to_vec(),
            }),
        };
        let table = |rows: u8| HostTable {
            dense: (0..rows).flat_map(|row| [f32::from(row), -f32::from(row)]).collect(),
            entries: (0..rows).map(|row| i32::from(row) + 2).collect(),
            rows: usize::from(rows),
        };
        let blocks = vec![
            block(vec![0, 1], None),
            block(vec![0, 1, 2], Some((&[0, 2, 3], &[8.0, 1.0]))),
            block(vec![0, 1, 2, 3], Some((&[0, 1, 3, 4], &[1.0, 2.0, 1.0]))),
        ];
        HostBatch::bare(vec![table(2), table(3), table(4)], blocks)
    }

    fn lists(batch: &HostBatch, block: usize) -> (&[i32], &[u32], &[f32]) {
        let block = &batch.blocks[block];
        let links = block.links.as_ref();
        let (offsets, known) =
            links.map_or((&[][..], &[][..]), |l| (l.offsets.as_slice(), l.known.as_slice()));
        (&block.rows[..], offsets, known)
    }

    #[test]
    fn lists_that_change_places_take_along_what_hangs_from_them() {
        let mut batch = batch();
        batch.closed = Some(HostClosed { block: 1, labels: vec![1.0, 2.0, 3.0] });
        let source = |block: usize, parent: usize| if block == 1 { 1 - parent } else { parent };
        batch.regrow(&plan(), source, |_, _| true);
        assert_eq!(lists(&batch, 1), (&[2, 0, 1][..], &[0, 1, 3][..], &[1.0, 8.0][..]));
        let below = (&[3, 0, 1, 2][..], &[0, 1, 2, 4][..], &[1.0, 1.0, 2.0][..]);
        assert_eq!(lists(&batch, 2), below);
        assert_eq!(batch.blocks[2].time, [0.3, 0.0, 0.1, 0.2]);
        assert_eq!(batch.closed.map(|closed| closed.labels), Some(vec![3.0, 1.0, 2.0]));
    }

    #[test]
    fn a_row_that_goes_takes_along_what_hangs_from_it_and_its_share_of_what_is_known() {
        let mut batch = batch();
        batch.regrow(&plan(), |_, parent| parent, |block, node| (block, node) != (1, 1));
        assert_eq!(lists(&batch, 1), (&[0, 2][..], &[0, 1, 2][..], &[4.0, 1.0][..]));
        assert_eq!(lists(&batch, 2), (&[0, 3][..], &[0, 1, 2][..], &[1.0, 1.0][..]));
    }

    #[test]
    fn a_cell_is_changed_where_it_stands_and_nowhere_else() {
        let cell = |column: &str, dense, entries, time| CellFeatures {
            column: column.to_owned(),
            dense,
            entries,
            time,
        };
        let number = cell("number", 1..2, 0..0, 0..0);
        let read = |batch: &HostBatch, node: usize| {
            let row = batch.blocks[1].rows[node] as usize;
            let table = &batch.tables[1];
            ([table.dense[row * 2], table.dense[row * 2 + 1]], table.entries[row])
        };
        let mut permuted = batch();
        permuted.permute_cell(1, (1, SHAPE), &number, &[2, 0, 1]);
        let found = [0, 1, 2].map(|node| read(&permuted, node));
        assert_eq!(found, [([0.0, -2.0], 2), ([1.0, 0.0], 3), ([2.0, -1.0], 4)]);
        assert_eq!(permuted.blocks[1].time, batch().blocks[1].time);

        let moment = cell("moment", 0..0, 0..1, 0..1);
        let unknown = Unknown { dense: vec![7.0, 7.0], entries: vec![0], time: vec![9.0] };
        let mut forgotten = batch();
        forgotten.forget_cells((1, 2), (1, SHAPE), &[&number, &moment], &unknown);
        assert_eq!(read(&forgotten, 2), ([2.0, 7.0], 0));
        assert_eq!(forgotten.blocks[1].time, [0.0, 0.1, 9.0]);
        assert_eq!([0, 1].map(|node| read(&forgotten, node)), [0, 1].map(|n| read(&batch(), n)));
        assert_eq!(forgotten.tables[1].rows, 4, "one row of its own for both cells");
    }
}
