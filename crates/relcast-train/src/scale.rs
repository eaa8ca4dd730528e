//! A scale on which neither a heavy tail nor a few outliers drown what is common.

use serde::{Deserialize, Serialize};

/// `asinh((value - center) / spread)`: linear near the center, logarithmic far from it. It is
/// monotone, so the median on this scale is the median of the values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RobustScale {
    center: f64,
    spread: f64,
}

/// The interquartile range of a normal distribution, in standard deviations.
const NORMAL_QUARTILES: f64 = 1.349;

impl RobustScale {
    /// Learns center and spread from `sorted`, finite and ascending: the median, and the spread of
    /// the middle half, or the mean distance from the median where half of all are equal.
    #[must_use]
    pub fn learn(sorted: &[f64]) -> Self {
        let quantile = |share: f64| {
            let place = (sorted.len().saturating_sub(1)) as f64 * share;
            sorted.get(place.round() as usize).copied().unwrap_or(0.0)
        };
        let center = quantile(0.5);
        let quartiles = (quantile(0.75) - quantile(0.25)) / NORMAL_QUARTILES;
        let distances = sorted.iter().map(|v| (v - center).abs()).sum::<f64>();
        let mean_distance = distances / sorted.len().max(1) as f64;
        let positive = |spread: &f64| *spread > 0.0 && spread.is_finite();
        let spread = Some(quartiles).filter(positive).or(Some(mean_distance).filter(positive));
        Self { center, spread: spread.unwrap_or(1.0) }
    }

    /// `value` on this scale.
    #[must_use]
    pub fn scaled(&self, value: f64) -> f64 {
        ((value - self.center) / self.spread).asinh()
    }

    /// The value that lies at `scaled`.
    #[must_use]
    pub fn value(&self, scaled: f64) -> f64 {
        // Nothing a network says may overflow.
        self.center + self.spread * scaled.clamp(-80.0, 80.0).sinh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_order_is_kept() {
        let scale = RobustScale::learn(&[0.0, 1.0, 2.0, 3.0, 1e6]);
        for value in [-5.0, 0.0, 2.0, 1e6] {
            assert!((scale.value(scale.scaled(value)) - value).abs() < 1e-6 * value.abs().max(1.0));
        }
        assert!(scale.scaled(3.0) < scale.scaled(4.0) && scale.scaled(1e6) < 20.0);
        assert!(scale.value(f64::from(f32::MAX)).is_finite());
    }

    #[test]
    fn equal_values_have_a_scale_too() {
        for values in [&[][..], &[4.0], &[0.0, 0.0, 0.0, 0.0, 9.0]] {
            assert!(RobustScale::learn(values).scaled(9.0).is_finite());
        }
    }
}
