//! The work behind the commands: train, evaluate, predict.

mod evaluate;
mod predict;
mod prepare;
mod train;

pub use evaluate::{EvaluationReport, evaluate};
pub use predict::{PredictAt, predict};
pub use prepare::Question;
pub use train::train;
