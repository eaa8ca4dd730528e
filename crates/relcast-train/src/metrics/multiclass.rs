//! Metrics of multiclass classification.
//!
//! Labels are class numbers; probabilities are row-major with shape rows × `classes`. Labels
//! `>= classes` are classes that the model does not know, each number one of its own: always
//! predicted wrong.

use super::set::{Metrics, mean};

/// All multiclass metrics: `accuracy`, `macro_f1`, `log_loss`.
#[must_use]
pub fn multiclass(labels: &[usize], probabilities: &[f64], classes: usize) -> Metrics {
    Metrics::from([
        ("accuracy", multiclass_accuracy(labels, probabilities, classes)),
        ("macro_f1", macro_f1(labels, probabilities, classes)),
        ("log_loss", multiclass_log_loss(labels, probabilities, classes)),
    ])
}

/// The share of rows whose most probable class (the lowest number among equals) is the label.
#[must_use]
pub fn multiclass_accuracy(labels: &[usize], probabilities: &[f64], classes: usize) -> Option<f64> {
    let rows = rows(labels, probabilities, classes)?;
    mean(rows.map(|(label, row)| f64::from(u8::from(argmax(row) == Some(label)))))
}

/// The unweighted mean of the F1 of every class that occurs among labels or predictions.
#[must_use]
pub fn macro_f1(labels: &[usize], probabilities: &[f64], classes: usize) -> Option<f64> {
    let rows = rows(labels, probabilities, classes)?;
    let known = classes.max(labels.iter().max()? + 1);
    // Per class: rows predicted right, rows labelled, rows predicted.
    let mut counts = vec![(0_u64, 0_u64, 0_u64); known];
    for (label, row) in rows {
        let predicted = argmax(row)?;
        counts[label].0 += u64::from(predicted == label);
        counts[label].1 += 1;
        counts[predicted].2 += 1;
    }
    let f1: Vec<f64> = counts
        .iter()
        .filter(|(_, labelled, predicted)| labelled + predicted > 0)
        .map(|(right, labelled, predicted)| 2.0 * *right as f64 / (labelled + predicted) as f64)
        .collect();
    mean(f1.into_iter())
}

/// Mean negative log likelihood of the labels in nats, probabilities clipped at the ε of `f64`.
/// Undefined where a label is of a class that has no probability.
#[must_use]
pub fn multiclass_log_loss(labels: &[usize], probabilities: &[f64], classes: usize) -> Option<f64> {
    let rows = rows(labels, probabilities, classes)?;
    if labels.iter().any(|label| *label >= classes) {
        return None;
    }
    mean(rows.map(|(label, row)| -row[label].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()))
}

/// Label and probabilities per row; `None` where the shapes disagree or a value is no probability.
fn rows<'a>(
    labels: &'a [usize],
    probabilities: &'a [f64],
    classes: usize,
) -> Option<impl ExactSizeIterator<Item = (usize, &'a [f64])>> {
    let valid = classes > 0
        && !labels.is_empty()
        && labels.len().checked_mul(classes) == Some(probabilities.len())
        && probabilities.iter().all(|p| (0.0..=1.0).contains(p));
    valid.then(|| labels.iter().copied().zip(probabilities.chunks_exact(classes)))
}

/// The position of the largest value, the first among equals.
#[must_use]
pub fn argmax(values: &[f64]) -> Option<usize> {
    let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter().position(|v| *v == best)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // Expected values from scikit-learn 1.9:
    //   y = np.array([0,1,2,2,1,0,2,1]); p = np.array([[.7,.2,.1],[.1,.6,.3],[.2,.3,.5],[.4,.35,.25],
    //     [.3,.3,.4],[.5,.25,.25],[.1,.1,.8],[.2,.7,.1]]); c = p.argmax(1)
    //   accuracy_score(y,c), f1_score(y,c,average='macro'), log_loss(y,p)
    const LABELS: [usize; 8] = [0, 1, 2, 2, 1, 0, 2, 1];
    const PROBABILITIES: [f64; 24] = [
        0.7, 0.2, 0.1, 0.1, 0.6, 0.3, 0.2, 0.3, 0.5, 0.4, 0.35, 0.25, 0.3, 0.3, 0.4, 0.5, 0.25,
        0.25, 0.1, 0.1, 0.8, 0.2, 0.7, 0.1,
    ];

    #[test]
    fn values_equal_scikit_learn() {
        let metrics = multiclass(&LABELS, &PROBABILITIES, 3);
        for (name, expected) in
            [("accuracy", 0.75), ("macro_f1", 0.7555555555555555), ("log_loss", 0.6779850736904228)]
        {
            let value = metrics.get(name).unwrap();
            assert!((value - expected).abs() < 1e-9, "{name}: {value} instead of {expected}");
        }
    }

    #[test]
    fn a_class_unknown_to_the_model_counts_as_wrong() {
        let metrics = multiclass(&[0, 5], &[0.9, 0.1, 0.9, 0.1], 2);
        assert_eq!(metrics.get("accuracy"), Some(0.5));
        assert!((metrics.get("macro_f1").unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(metrics.get("log_loss"), None);
    }

    #[test]
    fn each_class_that_labels_or_predictions_have_counts_once() {
        // f1_score([0, 1, 3, 4], [0, 1, 0, 2], average='macro', zero_division=0): the classes are
        // the union 0, 1, 2, 3, 4, with F1 of 2/3, 1, 0, 0, 0.
        let predicted = |class: usize| {
            let mut row = [0.1; 3];
            row[class] = 0.8;
            row
        };
        let probabilities = [0, 1, 0, 2].map(predicted).concat();
        let f1 = |labels: &[usize]| macro_f1(labels, &probabilities, 3).unwrap();
        assert!((f1(&[0, 1, 3, 4]) - 1.0 / 3.0).abs() < 1e-12);
        // One unknown class instead of two; and class 2 neither labelled nor predicted.
        assert!((f1(&[0, 1, 3, 3]) - 5.0 / 12.0).abs() < 1e-12);
        let never = [0, 1, 0, 1].map(predicted).concat();
        assert!((macro_f1(&[0, 1, 3, 4], &never, 3).unwrap() - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn metrics_without_meaning_are_none() {
        for metrics in
            [multiclass(&[], &[], 3), multiclass(&[0], &[0.5], 2), multiclass(&[0], &[], 0)]
        {
            assert!(metrics.iter().all(|(_, value)| value.is_none()));
        }
    }
}
