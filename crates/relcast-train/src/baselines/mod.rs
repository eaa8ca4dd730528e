//! Baselines: what an evaluation shows beside the model, so that its figures mean something.
//!
//! Comes in: label rows, histories of numeric columns, matrices of the entities' own columns.
//! Goes out: one prediction per row asked for. Promises: pure functions, equal for any order of the
//! rows that come in and for any number of threads; none reads the labels of the rows it predicts,
//! unless their windows had closed by the row's own cutoff.

mod boosting;
mod constant;
mod entity_mean;
mod error;
mod labels;
mod last_rows;

pub use boosting::{BoostingTask, FeatureColumns, fit_predict};
pub use constant::{Constant, global_constant};
pub use entity_mean::{frozen_entity_mean, last_labels_mean, rolling_entity_mean};
pub use error::BaselineError;
pub use labels::LabelRow;
pub use last_rows::{LAST_ROWS, last_k_rows_mean};
