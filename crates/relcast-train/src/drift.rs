//! Drift: how far a distribution has moved since training.

/// From this population stability index on a distribution is to be watched, or has drifted.
pub const WATCH: f64 = 0.1;
/// See [`WATCH`].
pub const DRIFT: f64 = 0.2;

/// Ranges that numbers are divided into, at most.
const RANGES: usize = 10;

/// Rows that a window has on average where an empty one is no chance.
const FEWEST_TO_MISS: f64 = 8.0;

/// What a population stability index means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No more than [`WATCH`], or than chance explains.
    Ok,
    /// Between [`WATCH`] and [`DRIFT`].
    Watch,
    /// [`DRIFT`] and more.
    Drift,
}

impl Verdict {
    /// The verdict as told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Watch => "watch",
            Self::Drift => "drift",
        }
    }
}

/// The population stability index, `Σ (current - training) ln(current / training)` over the shares
/// of the bins, and what it means; `None` without rows on one of the sides.
///
/// Half a row is added to each bin, so that an empty one is no infinite distance. Samples of one
/// distribution differ by chance: their index is about chi-squared times the sum of the inverse
/// sizes (Yurdakul 2018), and below its mean plus three deviations nothing has moved.
#[must_use]
pub fn stability(training: &[u64], current: &[u64]) -> Option<(f64, Verdict)> {
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let (then, now) = (total(training), total(current));
    if then == 0.0 || now == 0.0 {
        return None;
    }
    let bins = training.iter().zip(current).filter(|(t, c)| **t + **c > 0);
    let bins: Vec<(f64, f64)> = bins.map(|(t, c)| (*t as f64 + 0.5, *c as f64 + 0.5)).collect();
    let half = 0.5 * bins.len() as f64;
    let distance = |(t, c): &(f64, f64)| {
        let (t, c) = (t / (then + half), c / (now + half));
        (c - t) * (c / t).ln()
    };
    let index = bins.iter().map(distance).sum::<f64>();
    let freedom = bins.len().saturating_sub(1) as f64;
    let by_chance = (1.0 / then + 1.0 / now) * (freedom + 3.0 * (2.0 * freedom).sqrt());
    let verdict = match index {
        index if index < WATCH || index <= by_chance => Verdict::Ok,
        index if index < DRIFT => Verdict::Watch,
        _ => Verdict::Drift,
    };
    Some((index, verdict))
}

/// What the rows that came in windows of one length since training mean beside those that came
/// before, both in the order of time; `None` without windows on one of the sides.
///
/// A mean that is half as large again is to be watched, one that is doubled or halved has drifted,
/// if the windows do not differ as much by themselves; and so has a last window that is empty as
/// none was before.
#[must_use]
pub fn pace(training: &[u64], current: &[u64]) -> Option<Verdict> {
    let (fewest, last) = (*training.iter().min()?, *current.last()?);
    let mean = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let (then, now) = (mean(training), mean(current));
    let beyond = training.iter().map(|n| (*n as f64 - then).powi(2)).sum::<f64>();
    let spread = beyond / training.len().saturating_sub(1).max(1) as f64;
    // Counts vary by their mean at least.
    let variance = spread.max(then).max(now);
    let windows = 1.0 / training.len() as f64 + 1.0 / current.len() as f64;
    let by_chance = 3.0 * (variance * windows).sqrt();
    let factor = ((now + 0.5) / (then + 0.5)).ln().abs().exp();
    Some(match factor {
        _ if last == 0 && fewest > 0 && then >= FEWEST_TO_MISS => Verdict::Drift,
        _ if (now - then).abs() <= by_chance => Verdict::Ok,
        factor if factor < 1.5 => Verdict::Ok,
        factor if factor < 2.0 => Verdict::Watch,
        _ => Verdict::Drift,
    })
}

/// The inner edges of ranges that hold about as many of `numbers` each, ascending; fewer where many
/// are equal. A number lies in the range whose place is the number of edges not above it.
#[must_use]
pub fn edges(numbers: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = numbers.iter().copied().filter(|n| n.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let inner = (1..RANGES).filter_map(|part| sorted.get(sorted.len() * part / RANGES));
    let mut edges: Vec<f64> = inner.copied().collect();
    edges.dedup();
    edges
}

/// How many of `numbers` lie in each of the ranges between `edges`.
#[must_use]
pub fn counts(numbers: &[f64], edges: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; edges.len() + 1];
    for number in numbers.iter().filter(|n| n.is_finite()) {
        counts[edges.partition_point(|edge| edge <= number)] += 1;
    }
    counts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_moved_is_ok_and_what_has_is_drift() {
        let training = [100, 200, 300, 400];
        assert_eq!(stability(&training, &[1000, 2000, 3000, 4000]).unwrap().1, Verdict::Ok);
        let (index, verdict) = stability(&training, &[4000, 3000, 2000, 1000]).unwrap();
        // 2 (0.3 ln 4 + 0.1 ln 1.5), but for the halves.
        assert!((index - 0.9129).abs() < 0.01, "{index}");
        assert_eq!(verdict, Verdict::Drift);
        let (index, verdict) = stability(&[500, 500], &[340, 660]).unwrap();
        assert!(index > WATCH && index < DRIFT, "{index}");
        assert_eq!(verdict, Verdict::Watch);
    }

    #[test]
    fn few_rows_that_differ_by_chance_are_ok() {
        let (index, verdict) = stability(&[20; 10], &[4, 0, 3, 2, 1, 2, 3, 1, 2, 2]).unwrap();
        assert!(index > DRIFT, "{index}");
        assert_eq!(verdict, Verdict::Ok);
        assert_eq!(stability(&[0, 0], &[1, 1]), None);
        assert_eq!(stability(&[1, 1], &[]), None);
    }

    #[test]
    fn rows_that_stop_coming_or_come_at_another_pace_are_drift() {
        let training = [100, 110, 90, 105, 95];
        assert_eq!(pace(&training, &[104, 97, 99]), Some(Verdict::Ok));
        assert_eq!(pace(&training, &[165, 160, 170]), Some(Verdict::Watch));
        assert_eq!(pace(&training, &[40, 35, 45]), Some(Verdict::Drift));
        assert_eq!(pace(&training, &[100, 100, 100, 100, 0]), Some(Verdict::Drift));
        // Seasons without rows, and a handful of rows, are as they were.
        assert_eq!(pace(&[50, 0, 60, 0, 55], &[58, 0]), Some(Verdict::Ok));
        assert_eq!(pace(&[2, 1, 3], &[0]), Some(Verdict::Ok));
        assert_eq!(pace(&[0, 0], &[1]), Some(Verdict::Ok));
        assert_eq!((pace(&[], &[1]), pace(&[1], &[])), (None, None));
    }

    #[test]
    fn ranges_hold_about_as_many_numbers_each() {
        let numbers: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(counts(&numbers, &edges(&numbers)), [100; 10]);
        let flags = [0.0, 1.0, 1.0, 0.0, f64::NAN];
        assert_eq!(edges(&flags), [0.0, 1.0]);
        assert_eq!(counts(&flags, &edges(&flags)), [0, 2, 2]);
        assert_eq!(counts(&[1.0, 2.0], &edges(&[])), [2]);
    }
}
