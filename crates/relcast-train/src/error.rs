//! What can go wrong while a model is trained or used.

use arrow::error::ArrowError;
use relcast_graph::{GraphError, Stopped};

use crate::baselines::BaselineError;

/// An error of training, evaluation or prediction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A column could not be read as its semantic type.
    #[error("cannot read the features of table {table:?}: {source}")]
    Features {
        /// The table.
        table: String,
        /// Arrow's reason.
        source: ArrowError,
    },
    /// A subgraph could not be drawn, or held a row younger than its seed's view.
    #[error(transparent)]
    Sample(#[from] relcast_sampler::SampleError),
    /// The graph could not be read.
    #[error(transparent)]
    Graph(GraphError),
    /// The tables cannot be made a graph of, as where a primary key names more than one row.
    #[error(transparent)]
    Catalog(#[from] relcast_catalog::CatalogError),
    /// The labels cannot be learnt from.
    #[error("{0}")]
    Labels(String),
    /// The loss became infinite or not a number.
    #[error("the loss is {loss} in epoch {epoch}; a smaller learning_rate may help")]
    Diverged {
        /// The epoch, counted from one.
        epoch: usize,
        /// The loss.
        loss: f32,
    },
    /// Nobody waits for the result any more, or whoever watches the fit stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Weights or optimiser state could not be read or written.
    #[error("cannot {what}: {reason}")]
    State {
        /// What was attempted.
        what: String,
        /// Why it failed.
        reason: String,
    },
    /// A baseline could not be computed.
    #[error(transparent)]
    Baseline(BaselineError),
    /// The label query failed.
    #[error(transparent)]
    Query(#[from] relcast_query::QueryError),
    /// Columns did not have the types they should.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// A table could not be read or registered.
    #[error(transparent)]
    DataFusion(#[from] datafusion::error::DataFusionError),
}

impl From<GraphError> for TrainError {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Stopped(stopped) => stopped.into(),
            other => Self::Graph(other),
        }
    }
}

impl From<BaselineError> for TrainError {
    fn from(error: BaselineError) -> Self {
        match error {
            BaselineError::Stopped(stopped) => stopped.into(),
            other => Self::Baseline(other),
        }
    }
}
