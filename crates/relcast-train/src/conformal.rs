//! Intervals from how far off a model was on validation: split conformal prediction (Papadopoulos and
//! others 2002; Vovk, Gammerman and Shafer 2005).
//!
//! A new label is as likely to take any place among the residuals of validation as any of these, if
//! they are exchangeable. So bounds at two of their ranks hold at least the share of labels that lies
//! between these ranks among one row more. Residuals are measured on the scale on which the model
//! learns labels, which is monotone: bounds lie further away where labels are large.

use relcast_nn::Ensemble;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::examples::{Examples, Task};
use crate::fit::{FitPlan, predictions};
use crate::scale::RobustScale;
use crate::score::Inputs;

/// Residuals that are kept, at most; bounds lie between two of them, and rather wider.
const KEPT: usize = 1_001;

/// What a rank may miss a whole number by and be taken for it: shares such as 0.05 are none in binary.
const ROUNDING: f64 = 1e-9;

/// How far labels of validation lay from their predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Residuals {
    /// The scale on which they are measured.
    scale: RobustScale,
    /// How many there were.
    rows: usize,
    /// They, ascending; of more than are kept those at ranks as far apart, the first and the last
    /// among them.
    kept: Vec<f64>,
}

/// The bounds around any prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    scale: RobustScale,
    residuals: [f64; 2],
}

/// The residuals of `network` on validation, seen as it was chosen; `None` where labels are no numbers.
///
/// # Errors
/// If a batch fails.
pub fn residuals(
    inputs: &Inputs,
    plan: &FitPlan,
    network: &Ensemble,
    validation: &Examples,
) -> Result<Option<Residuals>, TrainError> {
    let Task::Regression { scale, .. } = &plan.task else { return Ok(None) };
    let outputs = inputs.score(network, validation, i64::MAX, plan.batch_size.max(256))?;
    Ok(Some(Residuals::of(*scale, &validation.labels, &predictions(plan, &outputs))))
}

/// The fewest rows of validation from which these `quantiles` can be told.
#[must_use]
pub fn fewest_rows([low, high]: [f64; 2]) -> usize {
    let fewest = (1.0 / low - 1.0).max(high / (1.0 - high));
    (fewest - ROUNDING).ceil().max(1.0) as usize
}

impl Residuals {
    /// The residuals of `predicted` from `labels`.
    #[must_use]
    pub fn of(scale: RobustScale, labels: &[f64], predicted: &[f64]) -> Self {
        let pairs = labels.iter().zip(predicted);
        let residuals = pairs.map(|(label, p)| scale.scaled(*label) - scale.scaled(*p));
        let mut all: Vec<f64> = residuals.filter(|r| r.is_finite()).collect();
        all.sort_unstable_by(f64::total_cmp);
        let (rows, kept) = (all.len(), all.len().min(KEPT));
        let kept = (0..kept).filter_map(|place| all.get(rank(place, rows) - 1).copied()).collect();
        Self { scale, rows, kept }
    }

    /// How many there were.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The bounds that these `quantiles` of labels, ascending, lie within; `None` if there are fewer
    /// rows than that takes.
    #[must_use]
    pub fn band(&self, quantiles: [f64; 2]) -> Option<Band> {
        if self.rows < fewest_rows(quantiles) {
            return None;
        }
        // A label that is to come is one row more.
        let [low, high] = quantiles.map(|share| share * (self.rows as f64 + 1.0));
        let low = ((low + ROUNDING).floor() as usize).clamp(1, self.rows);
        let high = ((high - ROUNDING).ceil() as usize).clamp(1, self.rows);
        let rank_of = |place: &usize| rank(*place, self.rows);
        let low = (0..self.kept.len()).rev().find(|place| rank_of(place) <= low)?;
        let high = (0..self.kept.len()).find(|place| rank_of(place) >= high)?;
        let residuals = [*self.kept.get(low)?, *self.kept.get(high)?];
        Some(Band { scale: self.scale, residuals })
    }
}

/// The rank, from 1 on, among so many `rows` of the residual that is kept at `place`.
fn rank(place: usize, rows: usize) -> usize {
    match rows.min(KEPT) {
        0 | 1 => 1,
        kept => 1 + place * (rows - 1) / (kept - 1),
    }
}

impl Band {
    /// The lower and the upper bound of `prediction`.
    #[must_use]
    pub fn around(&self, prediction: f64) -> [f64; 2] {
        let center = self.scale.scaled(prediction);
        self.residuals.map(|residual| self.scale.value(center + residual))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A scale with center 0 and spread 1.
    fn scale() -> RobustScale {
        RobustScale::learn(&[-9.0, -0.6745, 0.0, 0.6745, 9.0])
    }

    /// The residuals 1 to `rows`, around the prediction 0, on the scale of the labels.
    fn up_to(rows: u32) -> Residuals {
        let labels: Vec<f64> = (1..=rows).map(|r| scale().value(f64::from(r) / 1e3)).collect();
        Residuals::of(scale(), &labels, &vec![0.0; labels.len()])
    }

    /// The ranks of the two bounds.
    fn ranks(residuals: &Residuals, quantiles: [f64; 2]) -> Option<[u32; 2]> {
        let band = residuals.band(quantiles)?;
        Some(band.around(0.0).map(|bound| (scale().scaled(bound) * 1e3).round() as u32))
    }

    #[test]
    fn bounds_are_the_residuals_at_the_ranks_of_one_row_more() {
        // Of 19 rows and one to come, 5 in 100 lie up to the first and 5 in 100 beyond the last.
        assert_eq!(ranks(&up_to(19), [0.05, 0.95]), Some([1, 19]));
        assert_eq!(ranks(&up_to(18), [0.05, 0.95]), None);
        assert_eq!((fewest_rows([0.05, 0.95]), fewest_rows([0.1, 0.99])), (19, 99));
        // 0.1 · 40 is 4; 0.5 · 40 is 20; between two rows the wider one counts.
        assert_eq!(ranks(&up_to(39), [0.1, 0.5]), Some([4, 20]));
        assert_eq!(ranks(&up_to(42), [0.1, 0.5]), Some([4, 22]));
        assert_eq!(ranks(&up_to(4), [0.2, 0.8]), Some([1, 4]));
        assert_eq!(up_to(0).band([0.4, 0.6]), None);
    }

    #[test]
    fn of_many_residuals_the_next_wider_ones_are_kept() {
        let residuals = up_to(20_001);
        assert_eq!((residuals.rows(), residuals.kept.len()), (20_001, KEPT));
        // 0.05 · 20,002 is 1,000.1: of the ranks 1, 21, 41, … these lie just beyond.
        assert_eq!(ranks(&residuals, [0.05, 0.95]), Some([981, 19_021]));
        assert_eq!(ranks(&residuals, [0.00005, 0.99995]), Some([1, 20_001]));
    }

    #[test]
    fn bounds_lie_further_away_where_labels_are_large() {
        let band = up_to(1_000).band([0.05, 0.95]).unwrap();
        let width = |prediction: f64| band.around(prediction)[1] - band.around(prediction)[0];
        assert!(width(100.0) > 50.0 * width(0.0), "{} and {}", width(0.0), width(100.0));
    }

    #[test]
    fn new_labels_lie_between_the_bounds_as_often_as_asked() {
        // A fixed stream of skewed labels, and predictions that know half of what they are made of.
        let mut state = 7u64;
        let mut draw = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut rows = |count: usize| -> (Vec<f64>, Vec<f64>) {
            (0..count)
                .map(|_| {
                    let (known, unknown) = (draw(), draw());
                    (100.0 * known * unknown.powi(3), 25.0 * known)
                })
                .unzip()
        };
        let (labels, predicted) = rows(400);
        let mut sorted = labels.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let residuals = Residuals::of(RobustScale::learn(&sorted), &labels, &predicted);
        let (labels, predicted) = rows(4_000);
        for quantiles in [[0.05, 0.95], [0.25, 0.75], [0.1, 0.5]] {
            let band = residuals.band(quantiles).unwrap();
            let within = labels.iter().zip(&predicted).filter(|(label, predicted)| {
                let [lower, upper] = band.around(**predicted);
                (lower..=upper).contains(*label)
            });
            let share = within.count() as f64 / labels.len() as f64;
            let asked = quantiles[1] - quantiles[0];
            // Four standard errors of 400 rows and 4,000.
            let error = 4.0 * (asked * (1.0 - asked) * (1.0 / 400.0 + 1.0 / 4_000.0)).sqrt();
            assert!((share - asked).abs() < error, "{quantiles:?}: {share}");
        }
    }
}
