//! The work behind the commands: train, evaluate, predict, explain, check.

mod budget;
mod check;
mod columns;
mod evaluate;
mod explain;
mod predict;
mod prepare;
mod scorer;
mod strays;
mod submit;
mod train;

pub use budget::ResolvedBudget;
pub use check::{CheckLine, CheckedKind, Side, check};
pub use columns::Shown;
pub(crate) use columns::{EMBEDDING, Scores, prediction_column, prediction_fields};
pub use evaluate::{EvaluationReport, evaluate};
pub use predict::{PredictAt, predict, predict_into};
pub use prepare::{Prepared, Question, fit_options};
pub(crate) use prepare::{closed_until, known_until, refuse_result_columns, staleness};
pub use scorer::Scorer;
pub use submit::{check_submission, submit};
pub(crate) use train::refuse_untrained;
pub use train::{lock_to_train, train};
