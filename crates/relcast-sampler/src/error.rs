//! What can go wrong while subgraphs are drawn.

use arrow::error::ArrowError;

/// An error of the sampler.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A row younger than its seed's view was about to be read: the batch is refused.
    #[error("a row of block {block} is younger than the view of its seed: the batch is refused")]
    Leak {
        /// The block.
        block: usize,
    },
    /// A subgraph does not fit its plan.
    #[error("the subgraph does not fit its plan: {0}")]
    Shape(String),
    /// Columns could not be made into a batch.
    #[error("cannot lay out the subgraph: {0}")]
    Arrow(#[from] ArrowError),
}
