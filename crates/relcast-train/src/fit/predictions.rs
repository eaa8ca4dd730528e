//! From a network's outputs to predictions and their metrics.

use crate::examples::Task;
use crate::fit::{FitPlan, argmax};
use crate::metrics::{self, Metrics};

/// Turns raw outputs into predictions: the probability of a positive, a number, or a probability
/// per class (row by row).
#[must_use]
pub fn predictions(plan: &FitPlan, outputs: &[f32]) -> Vec<f64> {
    let outputs = outputs.iter().map(|x| f64::from(*x));
    match &plan.task {
        // Training weighed positives up; the logit goes back to the odds of the data.
        Task::Binary => {
            outputs.map(|x| 1.0 / (1.0 + (plan.positive_weight.ln() - x).exp())).collect()
        }
        Task::Regression { scale, .. } => outputs.map(|x| scale.value(x)).collect(),
        Task::Multiclass { classes } => {
            let outputs: Vec<f64> = outputs.collect();
            outputs.chunks_exact(classes.len().max(1)).flat_map(softmax).collect()
        }
    }
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = row.iter().map(|x| (x - largest).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|x| x / sum).collect()
}

/// All metrics of `predictions` against `labels`; `train` gives the scale of NMAE.
#[must_use]
pub fn measure(task: &Task, labels: &[f64], predictions: &[f64]) -> Metrics {
    match task {
        Task::Binary => metrics::binary(labels, predictions),
        Task::Regression { deviation, .. } => {
            metrics::regression(labels, predictions, Some(*deviation))
        }
        Task::Multiclass { classes } => {
            // A class never met in training is always missed: it counts as one more class.
            let n = classes.len();
            let labels: Vec<usize> =
                labels.iter().map(|y| if y.is_nan() { n } else { *y as usize }).collect();
            let widened: Vec<f64> = predictions
                .chunks_exact(n.max(1))
                .flat_map(|row| row.iter().copied().chain([0.0]))
                .collect();
            metrics::multiclass(&labels, &widened, n + 1)
        }
    }
}

/// The class with the largest probability of each row.
#[must_use]
pub fn top_classes(probabilities: &[f64], classes: usize) -> Vec<Option<usize>> {
    probabilities.chunks_exact(classes.max(1)).map(argmax).collect()
}
