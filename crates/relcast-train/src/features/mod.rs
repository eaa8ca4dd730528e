//! Features: from the cells of a table to the numbers a model reads.
//!
//! [`FeaturePlan`] is learnt from rows known at the last training cutoff (means, quantiles,
//! vocabularies) and stored with the model. [`TableFeatures`] is one table encoded by it.
//! A value that the plan has not met is the unknown value of its column, never a new entry.

mod cells;
mod closed;
mod column;
mod reveals;
mod table;
mod time;

pub use cells::{CellFeatures, KNOWN_AT};
pub use closed::{CLOSED_LABEL_MEANS, ClosedLabels, push_means};
pub use column::ColumnPlan;
pub use table::{FeaturePlan, TableFeatures, TablePlan};
pub use time::{SEED_FEATURES, age_features, season_features, seed_features};
