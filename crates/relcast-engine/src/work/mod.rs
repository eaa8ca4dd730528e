//! The work behind the commands: train, evaluate, predict.

mod evaluate;
mod predict;
mod prepare;
mod submit;
mod train;

pub use evaluate::{EvaluationReport, evaluate};
pub use predict::{PredictAt, predict, predict_into};
pub use prepare::Question;
pub use submit::{check_submission, submit};
pub use train::train;
