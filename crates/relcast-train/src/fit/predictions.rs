//! From a network's outputs to predictions and their metrics.

use super::FitPlan;
use crate::examples::Task;
use crate::metrics::{self, Metrics, argmax};

/// Turns raw outputs into predictions: the probability of a positive, a number, or a probability
/// per class (row by row).
#[must_use]
pub fn predictions(plan: &FitPlan, outputs: &[f32]) -> Vec<f64> {
    let outputs = outputs.iter().map(|x| f64::from(*x));
    match &plan.task {
        // Training weighed rare classes up; the logits go back to the odds of the data.
        Task::Binary => {
            outputs.map(|x| 1.0 / (1.0 + (plan.positive_weight.ln() - x).exp())).collect()
        }
        Task::Regression { scale, .. } => outputs.map(|x| scale.value(x)).collect(),
        Task::Multiclass { classes } => {
            let outputs: Vec<f64> = outputs.collect();
            let weighed =
                |class: usize| plan.class_weights.get(class).map_or(0.0, |w: &f64| w.ln());
            let rows = outputs.chunks_exact(classes.len().max(1)).map(|row| {
                row.iter().enumerate().map(|(class, x)| x - weighed(class)).collect::<Vec<f64>>()
            });
            rows.flat_map(|row| softmax(&row)).collect()
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
            let labels: Vec<usize> = labels.iter().map(|y| *y as usize).collect();
            metrics::multiclass(&labels, predictions, classes.len())
        }
    }
}

/// The class with the largest probability of each row.
#[must_use]
pub fn top_classes(probabilities: &[f64], classes: usize) -> Vec<Option<usize>> {
    probabilities.chunks_exact(classes.max(1)).map(argmax).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use relcast_nn::ModelConfig;

    use super::*;

    #[test]
    fn classes_never_met_in_training_are_classes_of_their_own() {
        let task = Task::Multiclass { classes: vec!["a".to_owned(), "b".to_owned()] };
        let predicted = [0.9, 0.1, 0.1, 0.9, 0.9, 0.1, 0.1, 0.9];
        let metrics = measure(&task, &[0.0, 1.0, 2.0, 3.0], &predicted);
        // F1 of 2/3, 2/3, 0, 0.
        assert!((metrics.get("macro_f1").unwrap() - 1.0 / 3.0).abs() < 1e-12, "{metrics:?}");
        assert_eq!((metrics.get("accuracy"), metrics.get("log_loss")), (Some(0.5), None));
    }

    #[test]
    fn weights_of_training_are_taken_back_from_the_odds() {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        let plan = |task: Task, positive_weight: f64, class_weights: &[f64]| FitPlan {
            task,
            model: ModelConfig {
                channels: 1,
                outputs: 1,
                seed_features: 0,
                wide: 0,
                tables: Vec::new(),
                edges: 0,
                blocks: Vec::new(),
            },
            members: 1,
            seed: 0,
            epochs: 1,
            patience: 1,
            batch_size: 1,
            learning_rate: 0.1,
            weight_decay: 0.0,
            dropout: 0.0,
            positive_weight,
            class_weights: class_weights.to_vec(),
            max_train_rows: 1,
        };
        // Even odds under weights 1 and 3 are odds of three to one.
        let binary = predictions(&plan(Task::Binary, 3.0, &[]), &[0.0]);
        assert!((binary[0] - 0.25).abs() < 1e-12, "{binary:?}");
        let several = plan(Task::Multiclass { classes }, 1.0, &[1.0, 3.0]);
        let probabilities = predictions(&several, &[0.0, 0.0]);
        assert!((probabilities[1] - 0.25).abs() < 1e-12, "{probabilities:?}");
        assert!((several.class_weight(1.0) - 3.0).abs() < 1e-12);
        assert!((several.class_weight(0.0) - 1.0).abs() < 1e-12);
    }
}
