//! Metrics of binary classification.
//!
//! A label is positive where it is above 0.5 (labels are 0 or 1). Ranking metrics take any finite
//! score; the others take the probability of the positive class and are undefined outside [0, 1].

use super::set::{Metrics, comparable, mean};

/// The probability from which on [`binary`] counts a row as predicted positive.
pub const DEFAULT_THRESHOLD: f64 = 0.5;

/// Number of equal-width bins over [0, 1] in [`ece`].
pub const ECE_BINS: usize = 15;

/// All binary metrics: `auroc`, `average_precision`, `accuracy`, `f1`, `log_loss`, `brier`, `ece`.
///
/// `labels` are 0 or 1, `probabilities` belong to the positive class; classes are cut at
/// [`DEFAULT_THRESHOLD`].
#[must_use]
pub fn binary(labels: &[f64], probabilities: &[f64]) -> Metrics {
    Metrics::from([
        ("auroc", auroc(labels, probabilities)),
        ("average_precision", average_precision(labels, probabilities)),
        ("accuracy", accuracy(labels, probabilities, DEFAULT_THRESHOLD)),
        ("f1", f1(labels, probabilities, DEFAULT_THRESHOLD)),
        ("log_loss", log_loss(labels, probabilities)),
        ("brier", brier(labels, probabilities)),
        ("ece", ece(labels, probabilities)),
    ])
}

/// Area under the ROC curve: the share of (positive, negative) pairs in which the positive row
/// has the higher score, ties counting one half. `None` unless both classes occur.
#[must_use]
pub fn auroc(labels: &[f64], scores: &[f64]) -> Option<f64> {
    let groups = score_groups(labels, scores)?;
    let (positives, negatives) = totals(&groups);
    if positives == 0 || negatives == 0 {
        return None;
    }
    // Counted in half pairs, so that the sum stays exact.
    let mut negatives_below = negatives;
    let mut half_wins = 0_u128;
    for group in &groups {
        negatives_below -= group.negatives;
        half_wins +=
            u128::from(group.positives) * u128::from(2 * negatives_below + group.negatives);
    }
    Some(half_wins as f64 / (2.0 * positives as f64 * negatives as f64))
}

/// Average precision as scikit-learn defines it: precision at each distinct score, weighted by
/// the recall gained there, without interpolation. `None` without a positive row.
#[must_use]
pub fn average_precision(labels: &[f64], scores: &[f64]) -> Option<f64> {
    let groups = score_groups(labels, scores)?;
    let (positives, _) = totals(&groups);
    if positives == 0 {
        return None;
    }
    let (mut found, mut taken, mut sum) = (0_u64, 0_u64, 0.0);
    for group in &groups {
        found += group.positives;
        taken += group.positives + group.negatives;
        sum += group.positives as f64 * found as f64 / taken as f64;
    }
    Some(sum / positives as f64)
}

/// The share of rows whose class is predicted right; predicted positive from `threshold` on.
#[must_use]
pub fn accuracy(labels: &[f64], probabilities: &[f64], threshold: f64) -> Option<f64> {
    let counts = Confusion::count(labels, probabilities, threshold)?;
    let right = counts.true_positives + counts.true_negatives;
    Some(right as f64 / labels.len() as f64)
}

/// The harmonic mean of precision and recall of the positive class. `None` where neither a label
/// nor a prediction is positive.
#[must_use]
pub fn f1(labels: &[f64], probabilities: &[f64], threshold: f64) -> Option<f64> {
    let counts = Confusion::count(labels, probabilities, threshold)?;
    let marked = 2 * counts.true_positives + counts.false_positives + counts.false_negatives;
    (marked > 0).then(|| 2.0 * counts.true_positives as f64 / marked as f64)
}

/// Mean negative log likelihood in nats; probabilities are clipped to [ε, 1 - ε] with the ε of
/// `f64`, as scikit-learn does.
#[must_use]
pub fn log_loss(labels: &[f64], probabilities: &[f64]) -> Option<f64> {
    let rows = probability_rows(labels, probabilities)?;
    mean(rows.map(|(positive, p)| {
        let p = p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        if positive { -p.ln() } else { -(1.0 - p).ln() }
    }))
}

/// Mean squared difference between probability and label.
#[must_use]
pub fn brier(labels: &[f64], probabilities: &[f64]) -> Option<f64> {
    let rows = probability_rows(labels, probabilities)?;
    mean(rows.map(|(positive, p)| (p - f64::from(u8::from(positive))).powi(2)))
}

/// Expected calibration error: over [`ECE_BINS`] bins [i/15, (i+1)/15) of the probability, the last
/// one closed, the mean of |share of positives - mean probability| weighted by rows.
#[must_use]
pub fn ece(labels: &[f64], probabilities: &[f64]) -> Option<f64> {
    let rows = probability_rows(labels, probabilities)?;
    let n = rows.len();
    let mut gaps = [0.0; ECE_BINS];
    for (positive, p) in rows {
        let bin = ((p * ECE_BINS as f64) as usize).min(ECE_BINS - 1);
        gaps[bin] += f64::from(u8::from(positive)) - p;
    }
    Some(gaps.iter().map(|gap| gap.abs()).sum::<f64>() / n as f64)
}

/// Rows that share one score.
struct ScoreGroup {
    positives: u64,
    negatives: u64,
}

/// Rows grouped by score, the highest score first; `None` where the inputs cannot be compared.
fn score_groups(labels: &[f64], scores: &[f64]) -> Option<Vec<ScoreGroup>> {
    if !comparable(labels, scores) {
        return None;
    }
    let mut rows: Vec<(f64, bool)> =
        scores.iter().zip(labels).map(|(&score, &label)| (score, label > 0.5)).collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    // `==` also joins 0.0 and -0.0, which `total_cmp` sorts next to each other.
    let groups = rows.chunk_by(|a, b| a.0 == b.0).map(|rows| {
        let positives = rows.iter().filter(|(_, positive)| *positive).count() as u64;
        ScoreGroup { positives, negatives: rows.len() as u64 - positives }
    });
    Some(groups.collect())
}

fn totals(groups: &[ScoreGroup]) -> (u64, u64) {
    groups.iter().fold((0, 0), |(p, n), group| (p + group.positives, n + group.negatives))
}

/// (is positive, probability) per row; `None` where a probability lies outside [0, 1].
fn probability_rows<'a>(
    labels: &'a [f64],
    probabilities: &'a [f64],
) -> Option<impl ExactSizeIterator<Item = (bool, f64)> + 'a> {
    let valid =
        comparable(labels, probabilities) && probabilities.iter().all(|p| (0.0..=1.0).contains(p));
    valid.then(|| labels.iter().zip(probabilities).map(|(label, p)| (*label > 0.5, *p)))
}

/// Rows by label and predicted class.
#[derive(Default)]
struct Confusion {
    true_positives: u64,
    false_positives: u64,
    true_negatives: u64,
    false_negatives: u64,
}

impl Confusion {
    fn count(labels: &[f64], probabilities: &[f64], threshold: f64) -> Option<Self> {
        if !comparable(labels, probabilities) {
            return None;
        }
        let mut counts = Self::default();
        for (label, probability) in labels.iter().zip(probabilities) {
            let cell = match (*label > 0.5, *probability >= threshold) {
                (true, true) => &mut counts.true_positives,
                (false, true) => &mut counts.false_positives,
                (false, false) => &mut counts.true_negatives,
                (true, false) => &mut counts.false_negatives,
            };
            *cell += 1;
        }
        Some(counts)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use relcast_testkit::auroc_by_pairs;

    use super::*;

    // Expected values from scikit-learn 1.9 (ece from its definition in numpy):
    //   from sklearn.metrics import *; import numpy as np
    //   y = np.array([0,0,1,1,1,0,1,0,0,1,0,1]); p = np.array([.1,.4,.35,.8,.65,.2,.4,.7,.05,.95,.4,.0])
    //   roc_auc_score(y,p), average_precision_score(y,p), accuracy_score(y,p>=.5), f1_score(y,p>=.5),
    //   log_loss(y,p), brier_score_loss(y,p)
    //   b = np.minimum((p*15).astype(int),14); sum(abs((y-p)[b==i].sum()) for i in range(15))/len(y)
    const LABELS: [f64; 12] = [0., 0., 1., 1., 1., 0., 1., 0., 0., 1., 0., 1.];
    const SCORES: [f64; 12] = [0.1, 0.4, 0.35, 0.8, 0.65, 0.2, 0.4, 0.7, 0.05, 0.95, 0.4, 0.0];

    #[test]
    fn values_equal_scikit_learn() {
        let metrics = binary(&LABELS, &SCORES);
        for (name, expected) in [
            ("auroc", 0.6666666666666667),
            ("average_precision", 0.7410714285714285),
            ("accuracy", 0.6666666666666666),
            ("f1", 0.6),
            ("log_loss", 3.4433672850418087),
            ("brier", 0.23416666666666663),
            ("ece", 0.2833333333333334),
        ] {
            let value = metrics.get(name).unwrap();
            assert!((value - expected).abs() < 1e-9, "{name}: {value} instead of {expected}");
        }
    }

    #[test]
    fn metrics_without_meaning_are_none() {
        let none = |metrics: Metrics| metrics.iter().all(|(_, value)| value.is_none());
        assert!(none(binary(&[], &[])));
        assert!(none(binary(&[1.0], &[0.5, 0.5])));
        assert!(none(binary(&[1.0, 0.0], &[f64::NAN, 0.5])));
        assert_eq!(auroc(&[1.0, 1.0], &[0.1, 0.9]), None);
        assert_eq!(auroc(&[0.0, 0.0], &[0.1, 0.9]), None);
        assert_eq!(average_precision(&[0.0, 0.0], &[0.1, 0.9]), None);
        assert_eq!(f1(&[0.0, 0.0], &[0.1, 0.2], 0.5), None);
        assert_eq!(accuracy(&[0.0, 0.0], &[0.1, 0.2], 0.5), Some(1.0));
        assert_eq!(log_loss(&[1.0], &[1.5]), None);
        assert_eq!(brier(&[1.0], &[-0.5]), None);
        assert_eq!(auroc(&[1.0, 0.0], &[7.0, -3.0]), Some(1.0));
    }

    #[test]
    fn a_sure_and_wrong_prediction_has_finite_log_loss() {
        let value = log_loss(&[1.0], &[0.0]).unwrap();
        assert!((value - 36.043_653_389_117_15).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn auroc_equals_counting_all_pairs(rows in prop::collection::vec((any::<bool>(), 0u8..8), 1..60)) {
            let labels: Vec<f64> = rows.iter().map(|r| f64::from(u8::from(r.0))).collect();
            let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.1)).collect();
            let slow = auroc_by_pairs(&labels, &scores);
            match (auroc(&labels, &scores), slow) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-12),
                (a, b) => prop_assert_eq!(a, b),
            }
        }
    }
}
