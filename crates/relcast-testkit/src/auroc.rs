//! The slow, obvious area under the ROC curve.

/// The share of (positive, negative) pairs whose positive row scores higher, ties one half, by
/// looking at every pair. A label is positive above 0.5. `None` unless both classes occur.
#[must_use]
pub fn auroc_by_pairs(labels: &[f64], scores: &[f64]) -> Option<f64> {
    let of_class = |positive: bool| -> Vec<f64> {
        let rows = labels.iter().zip(scores).filter(|(label, _)| (**label > 0.5) == positive);
        rows.map(|(_, score)| *score).collect()
    };
    let (positives, negatives) = (of_class(true), of_class(false));
    let mut wins = 0.0;
    for p in &positives {
        for n in &negatives {
            wins += if p > n {
                1.0
            } else if p < n {
                0.0
            } else {
                0.5
            };
        }
    }
    let pairs = positives.len() * negatives.len();
    (pairs > 0).then(|| wins / pairs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_with_ties_as_one_half() {
        assert_eq!(auroc_by_pairs(&[1.0, 0.0, 0.0], &[0.5, 0.5, 0.1]), Some(0.75));
        assert_eq!(auroc_by_pairs(&[1.0, 1.0], &[0.5, 0.1]), None);
    }
}
