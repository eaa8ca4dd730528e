//! Evaluation: metrics of a model per split and history, with the baselines beside them.

mod judge;
mod naive;
mod row_history;
mod splits;

pub use crate::fit::{measure, predictions, top_classes};
pub use judge::{Evaluation, Judge, StaleDays, boosting_left_out};
pub use row_history::RowHistory;
pub use splits::{SplitExamples, SplitName, visible_end};
