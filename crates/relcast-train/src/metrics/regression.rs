//! Metrics of regression; all in the unit of the label unless said otherwise.

use super::set::{Metrics, comparable, mean};

/// All regression metrics: `mae`, `nmae`, `rmse`, `r2`, `pinball` (at the median).
///
/// `training_std` is [`sample_std`] of the training labels; without it `nmae` is undefined.
#[must_use]
pub fn regression(labels: &[f64], predictions: &[f64], training_std: Option<f64>) -> Metrics {
    Metrics::from([
        ("mae", mae(labels, predictions)),
        ("nmae", training_std.and_then(|std| nmae(labels, predictions, std))),
        ("rmse", rmse(labels, predictions)),
        ("r2", r2(labels, predictions)),
        ("pinball", pinball(labels, predictions, 0.5)),
    ])
}

/// Mean absolute error.
#[must_use]
pub fn mae(labels: &[f64], predictions: &[f64]) -> Option<f64> {
    mean(errors(labels, predictions)?.map(f64::abs))
}

/// Mean absolute error in standard deviations of the training labels (no unit), as RelBench v3
/// reports it. `None` unless `training_std` is finite and positive.
#[must_use]
pub fn nmae(labels: &[f64], predictions: &[f64], training_std: f64) -> Option<f64> {
    let scale = Some(training_std).filter(|std| std.is_finite() && *std > 0.0)?;
    Some(mae(labels, predictions)? / scale)
}

/// Root of the mean squared error.
#[must_use]
pub fn rmse(labels: &[f64], predictions: &[f64]) -> Option<f64> {
    mean(errors(labels, predictions)?.map(|error| error * error)).map(f64::sqrt)
}

/// Coefficient of determination (no unit): 1 - squared error / squared deviation from the mean of
/// `labels`. `None` where all labels are equal.
#[must_use]
pub fn r2(labels: &[f64], predictions: &[f64]) -> Option<f64> {
    let residual: f64 = errors(labels, predictions)?.map(|error| error * error).sum();
    let total = squared_deviation(labels)?;
    (total > 0.0).then(|| 1.0 - residual / total)
}

/// Mean pinball loss of predictions of the `quantile` in (0, 1); at 0.5 half the absolute error.
#[must_use]
pub fn pinball(labels: &[f64], predictions: &[f64], quantile: f64) -> Option<f64> {
    if !(quantile > 0.0 && quantile < 1.0) {
        return None;
    }
    let loss = |error: f64| if error >= 0.0 { quantile * error } else { (quantile - 1.0) * error };
    mean(errors(labels, predictions)?.map(loss))
}

/// The sample standard deviation (divisor n - 1) of `labels`. `None` for fewer than two labels or
/// a label that is not finite.
#[must_use]
pub fn sample_std(labels: &[f64]) -> Option<f64> {
    if labels.len() < 2 || !labels.iter().all(|v| v.is_finite()) {
        return None;
    }
    squared_deviation(labels).map(|sum| (sum / (labels.len() - 1) as f64).sqrt())
}

/// Label minus prediction per row; `None` where the inputs cannot be compared.
fn errors<'a>(
    labels: &'a [f64],
    predictions: &'a [f64],
) -> Option<impl ExactSizeIterator<Item = f64> + 'a> {
    comparable(labels, predictions).then(|| labels.iter().zip(predictions).map(|(y, p)| y - p))
}

/// The sum of squared deviations from the mean; exactly zero where all values are equal.
fn squared_deviation(values: &[f64]) -> Option<f64> {
    let first = values.first()?;
    if values.iter().all(|v| v == first) {
        return Some(0.0);
    }
    let center = mean(values.iter().copied())?;
    Some(values.iter().map(|v| (v - center).powi(2)).sum())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // Expected values from scikit-learn 1.9:
    //   y = np.array([3.,-.5,2.,7.,4.25,0.,1.5]); p = np.array([2.5,0.,2.,8.,3.,.75,-1.])
    //   mean_absolute_error(y,p), mean_absolute_error(y,p)/y.std(ddof=1), mean_squared_error(y,p)**.5,
    //   r2_score(y,p), mean_pinball_loss(y,p,alpha=.5), mean_pinball_loss(y,p,alpha=.9)
    const LABELS: [f64; 7] = [3.0, -0.5, 2.0, 7.0, 4.25, 0.0, 1.5];
    const PREDICTIONS: [f64; 7] = [2.5, 0.0, 2.0, 8.0, 3.0, 0.75, -1.0];

    #[test]
    fn values_equal_scikit_learn() {
        let metrics = regression(&LABELS, &PREDICTIONS, sample_std(&LABELS));
        for (name, expected) in [
            ("mae", 0.9285714285714286),
            ("nmae", 0.35939358304233027),
            ("rmse", 1.1877349391654208),
            ("r2", 0.7534551939366919),
            ("pinball", 0.4642857142857143),
        ] {
            let value = metrics.get(name).unwrap();
            assert!((value - expected).abs() < 1e-9, "{name}: {value} instead of {expected}");
        }
        let upper = pinball(&LABELS, &PREDICTIONS, 0.9).unwrap();
        assert!((upper - 0.5785714285714285).abs() < 1e-9);
    }

    #[test]
    fn metrics_without_meaning_are_none() {
        assert!(regression(&[], &[], None).iter().all(|(_, value)| value.is_none()));
        assert_eq!(mae(&[1.0], &[f64::INFINITY]), None);
        assert_eq!(r2(&[0.1, 0.1, 0.1], &[1.0, 2.0, 3.0]), None);
        assert_eq!(nmae(&[1.0], &[2.0], 0.0), None);
        assert_eq!(sample_std(&[1.0]), None);
        assert_eq!(pinball(&[1.0], &[2.0], 1.0), None);
    }
}
