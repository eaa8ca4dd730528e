//! Subgraphs as Arrow batches.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use relcast_graph::{STATIC_TIME, TemporalGraph};

use crate::error::SampleError;
use crate::plan::SamplePlan;
use crate::seeds::{Seeds, UNKNOWN_ROW};

/// The rows that one step of the plan brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// `row: UInt32`, `seed: UInt32` (position in the batch), `age: Int64` (microseconds at the
    /// seed's view, NULL for a static or unknown row). The children of a parent row lie together.
    nodes: RecordBatch,
    /// `end: UInt32` (where the children of each row of the parent block end), `known: UInt32`
    /// (how many neighbours were known before the fan-out). Empty for the seeds.
    links: RecordBatch,
    offsets: ScalarBuffer<u32>,
}

/// The trees of a batch of seeds, one block per step of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Subgraph {
    /// In the order of the plan's blocks.
    pub blocks: Vec<Block>,
}

/// Ages of a block's rows.
#[derive(Debug, Clone)]
pub struct Ages(Int64Array);

impl Ages {
    /// The age of node `i` in microseconds; `None` for a static or unknown row.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<i64> {
        self.0.is_valid(i).then(|| self.0.value(i))
    }
}

impl Block {
    pub(crate) fn new(
        rows: Vec<u32>,
        seeds: Vec<u32>,
        ages: Vec<Option<i64>>,
        ends: Vec<u32>,
        known: Vec<u32>,
    ) -> Result<Self, SampleError> {
        let nodes = RecordBatch::try_new(
            nodes_schema(),
            vec![
                Arc::new(UInt32Array::from(rows)),
                Arc::new(UInt32Array::from(seeds)),
                Arc::new(Int64Array::from(ages)),
            ],
        )?;
        let links = RecordBatch::try_new(
            links_schema(),
            vec![Arc::new(UInt32Array::from(ends)), Arc::new(UInt32Array::from(known))],
        )?;
        Ok(Self::from_batches(nodes, links))
    }

    /// A block of the two batches that [`Block::batches`] gives.
    fn from_batches(nodes: RecordBatch, links: RecordBatch) -> Self {
        let ends = links.column(0).as_primitive::<UInt32Type>();
        let offsets = std::iter::once(0).chain(ends.values().iter().copied()).collect();
        Self { nodes, links, offsets }
    }

    /// Row numbers, or [`UNKNOWN_ROW`].
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        self.nodes.column(0).as_primitive::<UInt32Type>().values()
    }

    /// The seed of each row: a position in the batch.
    #[must_use]
    pub fn seeds(&self) -> &[u32] {
        self.nodes.column(1).as_primitive::<UInt32Type>().values()
    }

    /// The age of each row at its seed's view.
    #[must_use]
    pub fn ages(&self) -> Ages {
        Ages(self.nodes.column(2).as_primitive::<Int64Type>().clone())
    }

    /// Children of row `i` of the parent block are the rows `offsets[i]..offsets[i + 1]`.
    #[must_use]
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// How many neighbours each row of the parent block had at the view, before the fan-out.
    #[must_use]
    pub fn known(&self) -> &[u32] {
        self.links.column(1).as_primitive::<UInt32Type>().values()
    }

    /// Its nodes and its links as they travel.
    #[must_use]
    pub fn batches(&self) -> [&RecordBatch; 2] {
        [&self.nodes, &self.links]
    }
}

impl Subgraph {
    /// Two batches per block: nodes, then links.
    #[must_use]
    pub fn to_record_batches(&self) -> Vec<RecordBatch> {
        self.blocks.iter().flat_map(|b| b.batches().map(Clone::clone)).collect()
    }

    /// The subgraph that [`Subgraph::to_record_batches`] was made from.
    ///
    /// # Errors
    /// If the batches do not come in pairs of the right columns, or offsets do not ascend.
    pub fn from_record_batches(batches: &[RecordBatch]) -> Result<Self, SampleError> {
        let block = |(number, pair): (usize, &[RecordBatch])| match pair {
            [nodes, links]
                if nodes.schema() == nodes_schema() && links.schema() == links_schema() =>
            {
                let block = Block::from_batches(nodes.clone(), links.clone());
                let last = block.offsets.last().map_or(0, |end| *end as usize);
                let root = number == 0 && links.num_rows() == 0;
                if !block.offsets.is_sorted() || (last != nodes.num_rows() && !root) {
                    return Err(SampleError::Shape(format!("offsets of block {number}")));
                }
                Ok(block)
            }
            _ => {
                let reason = format!("block {number} is not a pair of nodes and links");
                Err(SampleError::Shape(reason))
            }
        };
        let blocks = batches.chunks(2).enumerate().map(block).collect::<Result<_, _>>()?;
        Ok(Self { blocks })
    }

    /// Refuses the subgraph if one of its rows must not be seen at the view of its seed, or if it
    /// was not drawn for `seeds` by `plan`. Reads each row's time once.
    ///
    /// # Errors
    /// [`SampleError::Leak`] or [`SampleError::Shape`].
    pub fn check(
        &self,
        graph: &TemporalGraph,
        plan: &SamplePlan,
        seeds: &Seeds,
    ) -> Result<(), SampleError> {
        plan.check(graph.schema())?;
        seeds.check()?;
        if self.blocks.len() != plan.blocks.len() {
            let (found, expected) = (self.blocks.len(), plan.blocks.len());
            return Err(SampleError::Shape(format!("{found} blocks instead of {expected}")));
        }
        for (number, (block, step)) in self.blocks.iter().zip(&plan.blocks).enumerate() {
            let shape = |what: &str| Err(SampleError::Shape(format!("{what} of block {number}")));
            let fits = match step.parent {
                Some(parent) => block.offsets.len() == self.blocks[parent].rows().len() + 1,
                None => block.rows() == seeds.rows,
            };
            if !fits {
                return shape("the number of rows");
            }
            let times = graph.times(step.table);
            let ages = block.ages();
            for (node, (row, seed)) in block.rows().iter().zip(block.seeds()).enumerate() {
                let Some(view) = seeds.views.get(*seed as usize) else { return shape("a seed") };
                if *row == UNKNOWN_ROW && number == 0 {
                    continue;
                }
                if !graph.is_seen(step.table, *row, *view) {
                    let table = graph.schema().table(step.table).name.clone();
                    return Err(SampleError::Leak { block: number, table, row: *row, seed: *seed });
                }
                if ages.get(node) != age(times[*row as usize], *view) {
                    return shape("an age");
                }
            }
        }
        Ok(())
    }
}

fn nodes_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("row", DataType::UInt32, false),
        Field::new("seed", DataType::UInt32, false),
        Field::new("age", DataType::Int64, true),
    ]))
}

fn links_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("end", DataType::UInt32, false),
        Field::new("known", DataType::UInt32, false),
    ]))
}

/// The age of a row known since `time` at `view`; `None` for a static row.
pub(crate) fn age(time: i64, view: i64) -> Option<i64> {
    (time != STATIC_TIME).then(|| view.saturating_sub(time))
}
