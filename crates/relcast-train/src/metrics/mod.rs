//! Metrics: figures that say how good predictions are.
//!
//! Comes in: labels and predictions as slices of one length. Goes out: one number per metric.
//! Promises: a metric that is undefined (no rows, one class only, a NaN among the inputs, slices
//! of different lengths) is `None`, never NaN and never a made-up zero; no metric depends on the
//! order of the rows beyond the last bits of a sum.

mod binary;
mod multiclass;
mod regression;
mod set;

pub use binary::{
    DEFAULT_THRESHOLD, ECE_BINS, accuracy, auroc, average_precision, binary, brier, ece, f1,
    log_loss,
};
pub use multiclass::{argmax, macro_f1, multiclass, multiclass_accuracy, multiclass_log_loss};
pub use regression::{mae, nmae, pinball, r2, regression, rmse, sample_std};
pub use set::Metrics;
