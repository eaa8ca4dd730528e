//! The work behind the commands: train, evaluate, predict, explain, check.

mod budget;
mod check;
mod columns;
mod evaluate;
mod explain;
mod predict;
mod prepare;
mod scorer;
mod submit;
mod train;

pub use budget::ResolvedBudget;
pub use check::{CheckLine, CheckedKind, Side, check};
pub use columns::Shown;
pub(crate) use columns::{prediction_column, prediction_fields};
pub use evaluate::{EvaluationReport, evaluate};
pub use predict::{PredictAt, predict, predict_into};
pub(crate) use prepare::known_until;
pub use prepare::{Prepared, Question, fit_options};
pub use scorer::Scorer;
pub use submit::{check_submission, submit};
pub use train::train;
