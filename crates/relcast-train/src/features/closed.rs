//! The entity's closed labels as the numbers that naive predictors give.

use relcast_catalog::TableId;
use relcast_sampler::{SamplePlan, Subgraph};

/// A naive predictor is the mean of an entity's last few labels: of the last, of those that even
/// out a single outlier, and of those that tell its usual level.
const SPANS: [usize; 3] = [1, 3, 10];

/// How far from the center of the label's scale the layers are left to themselves: 3.6 spreads.
/// Within it they say as much as the naive predictors and more; there a straight way lets the noise
/// of the last label in, which cost on validation. Beyond it their normalisation tells a hundred
/// times the usual from a thousand times only roughly.
const REACH: f32 = 2.0;

/// Numbers per seed that [`push_means`] writes.
pub const CLOSED_LABEL_MEANS: usize = SPANS.len();

/// The closed labels of all entities, and where a sampled tree holds those of its seed.
///
/// They are read from the tree and nowhere else: the tree has no row younger than the seed's view.
#[derive(Debug)]
pub struct ClosedLabels {
    block: usize,
    /// The label of each row on the scale of the network's outputs.
    scaled: Vec<f32>,
}

impl ClosedLabels {
    /// The labels `scaled`, one per row of `table`, in trees drawn by `plan`; `None` where these
    /// do not lead from the seeds to that table.
    #[must_use]
    pub fn new(plan: &SamplePlan, table: TableId, scaled: Vec<f32>) -> Option<Self> {
        let block = Self::block(plan, table)?;
        Some(Self { block, scaled })
    }

    /// The block of `plan` with the seeds' own rows of `table`.
    #[must_use]
    pub fn block(plan: &SamplePlan, table: TableId) -> Option<usize> {
        plan.blocks.iter().position(|block| block.parent == Some(0) && block.table == table)
    }

    /// The block of trees that holds the seeds' own closed labels, and the label of each of its
    /// nodes.
    #[must_use]
    pub fn of_nodes(&self, subgraph: &Subgraph) -> (usize, Vec<f32>) {
        let rows = subgraph.blocks[self.block].rows().iter();
        (self.block, rows.map(|row| self.scaled[*row as usize]).collect())
    }
}

/// Appends for each seed how far the means of its last labels lie beyond [`REACH`]; zero where none
/// does, or none has closed. `labels` come seed by seed, latest first; those of seed `i` are
/// `offsets[i]..offsets[i + 1]`.
pub fn push_means(labels: &[f32], offsets: &[u32], out: &mut Vec<f32>) {
    for ends in offsets.windows(2) {
        let own = &labels[ends[0] as usize..ends[1] as usize];
        out.extend(SPANS.map(|span| {
            let last = &own[..own.len().min(span)];
            let mean = last.iter().sum::<f32>() / last.len().max(1) as f32;
            mean - mean.clamp(-REACH, REACH)
        }));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn block(rows: &[u32], seeds: &[u32], ends: &[u32]) -> [RecordBatch; 2] {
        let number = |name| Field::new(name, DataType::UInt32, false);
        let age = Field::new("age", DataType::Int64, true);
        let nodes = Schema::new(vec![number("row"), number("seed"), age]);
        let links = Schema::new(vec![number("end"), number("known")]);
        let numbers = |values: &[u32]| -> ArrayRef { Arc::new(UInt32Array::from(values.to_vec())) };
        let ages: ArrayRef = Arc::new(Int64Array::from(vec![0i64; rows.len()]));
        [
            RecordBatch::try_new(nodes.into(), vec![numbers(rows), numbers(seeds), ages]).unwrap(),
            RecordBatch::try_new(links.into(), vec![numbers(ends), numbers(ends)]).unwrap(),
        ]
    }

    #[test]
    fn what_is_beyond_reach_is_taken_from_the_latest_labels_of_each_seed() {
        let own = block(&[0, 1, 2], &[0, 1, 2], &[]);
        // Latest first: five labels of the first seed, none of the second, one of the third.
        let labels = block(&[4, 3, 2, 1, 0, 5], &[0, 0, 0, 0, 0, 2], &[5, 5, 6]);
        let trees = Subgraph::from_record_batches(&[own, labels].concat()).unwrap();
        let closed = ClosedLabels { block: 1, scaled: vec![9.0, 1.0, 3.0, 5.0, 7.0, -3.0] };
        let (block, labels) = closed.of_nodes(&trees);
        let mut means = Vec::new();
        push_means(&labels, trees.blocks[block].offsets(), &mut means);
        assert_eq!(means, [5.0, 3.0, 3.0, 0.0, 0.0, 0.0, -1.0, -1.0, -1.0]);
    }
}
