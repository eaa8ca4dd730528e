//! Fitting, evaluating and using models.
//!
//! Comes in: a label plan, the temporal graph and a seed. Goes out: weights with everything that
//! turns rows into features and outputs into predictions, and metrics with baselines beside them.
//! The same data, query and seed give the same model, whatever the number of threads.

pub mod baselines;
pub mod batch;
pub mod checkpoint;
pub mod conformal;
pub mod dataset;
pub mod drift;
mod error;
pub mod evaluate;
pub mod examples;
pub mod explain;
pub mod features;
pub mod fit;
mod label_values;
pub mod metrics;
pub mod model;
pub mod scale;
pub mod score;

pub use error::TrainError;
