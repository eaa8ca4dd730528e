//! Time as features: ages measured from the seed's view, and the seasons of a moment.

use std::f64::consts::TAU;

/// Microseconds of an hour, a day and a mean year.
const HOUR: f64 = 3.6e9;
const DAY: f64 = 24.0 * HOUR;
const YEAR: f64 = 365.2425 * DAY;

/// Radial basis functions over `ln(1 + age in hours)`, one every 1.2: minutes to centuries.
const BASES: usize = 11;

/// Numbers that [`age_features`] writes.
pub const AGE_FEATURES: usize = BASES + 5;

/// Numbers that [`season_features`] writes.
pub const SEASON_FEATURES: usize = 8;

/// Numbers that [`seed_features`] writes.
pub const SEED_FEATURES: usize = SEASON_FEATURES;

/// Appends the features of an age in microseconds: zeros and a flag where there is none.
///
/// Beside the radial bases of its logarithm (relative-time encoding) stand decays at one, four and
/// sixteen times the `horizon`, so that a mean over neighbours can weigh the recent ones.
pub fn age_features(age: Option<i64>, horizon: i64, out: &mut Vec<f32>) {
    let Some(age) = age else {
        out.push(1.0);
        out.extend(std::iter::repeat_n(0.0, AGE_FEATURES - 1));
        return;
    };
    let age = age.max(0) as f64;
    let log_hours = (age / HOUR).ln_1p();
    out.push(0.0);
    out.push((log_hours / 6.0 - 1.0) as f32);
    out.extend((0..BASES).map(|i| {
        let distance = (log_hours - 1.2 * i as f64 - 1.2) / 1.0;
        (-0.5 * distance * distance).exp() as f32
    }));
    let horizons = age / (horizon.max(1) as f64);
    out.extend([1.0, 4.0, 16.0].map(|scale| (-horizons / scale).exp() as f32));
}

/// Appends the phases of a moment in the year (two harmonics), the week and the day.
pub fn season_features(moment: Option<i64>, out: &mut Vec<f32>) {
    let Some(moment) = moment else {
        out.extend([0.0; SEASON_FEATURES]);
        return;
    };
    let moment = moment as f64;
    for (period, harmonic) in [(YEAR, 1.0), (YEAR, 2.0), (7.0 * DAY, 1.0), (DAY, 1.0)] {
        let phase = TAU * harmonic * (moment / period).fract();
        out.extend([phase.sin() as f32, phase.cos() as f32]);
    }
}

/// Appends what a seed's cutoff says by itself: its season. Never its age: the view's is zero.
pub fn seed_features(cutoff: i64, out: &mut Vec<f32>) {
    season_features(Some(cutoff), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_have_their_promised_width_and_stay_bounded() {
        for age in [None, Some(0), Some(1), Some(i64::MAX / 2)] {
            let mut out = Vec::new();
            age_features(age, 86_400_000_000, &mut out);
            assert_eq!(out.len(), AGE_FEATURES);
            assert!(out.iter().all(|x| x.is_finite() && x.abs() < 5.0), "{out:?}");
        }
        let mut out = Vec::new();
        season_features(Some(-1), &mut out);
        season_features(None, &mut out);
        assert_eq!(out.len(), 2 * SEASON_FEATURES);
    }
}
