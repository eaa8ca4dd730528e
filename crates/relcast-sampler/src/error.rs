//! What can go wrong while subgraphs are drawn.

use arrow::error::ArrowError;

/// An error of the sampler.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A row that its seed must not see was about to be read: the batch is refused.
    #[error(
        "row {row} of table {table:?} in block {block} is younger than the view of seed {seed}, \
         or has ended by then: the batch is refused"
    )]
    Leak {
        /// The block.
        block: usize,
        /// The table of the block.
        table: String,
        /// The row's number.
        row: u32,
        /// The seed's position in the batch.
        seed: u32,
    },
    /// Seeds that contradict themselves.
    #[error("the seeds do not fit together: {0}")]
    Seeds(String),
    /// A plan that was made for another schema.
    #[error(
        "block {block} of the plan does not fit the graph; make the plan from the graph's schema"
    )]
    Plan {
        /// The block.
        block: usize,
    },
    /// A plan with more steps than [`crate::MOST_BLOCKS`].
    #[error(
        "{hops} hops over the links make more than {} steps; name fewer layers, or a fanout of fewer hops",
        crate::MOST_BLOCKS
    )]
    TooManyBlocks {
        /// The hops asked for.
        hops: usize,
    },
    /// A subgraph does not fit its plan.
    #[error("the subgraph does not fit its plan: {0}")]
    Shape(String),
    /// More rows in one block than can be counted.
    #[error(
        "block {block} has more than 4294967294 rows; draw fewer seeds at a time or lower the fan-out"
    )]
    TooLarge {
        /// The block.
        block: usize,
    },
    /// Columns could not be made into a batch.
    #[error("cannot lay out the subgraph: {0}")]
    Arrow(#[from] ArrowError),
}
