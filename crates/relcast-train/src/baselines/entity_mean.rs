//! The mean of an entity's own earlier labels, with frozen and with rolling history.
//!
//! Frozen: all labels of the training and validation splits are known, none of the test split.
//! Rolling: at each cutoff those labels are known, of any split, whose windows had closed by then.

use std::collections::BTreeMap;

use super::{BaselineError, LabelRow, labels::check_labels, last_rows::last_k_rows_mean};

/// For each row of `targets` the mean label of its entity in `past` (training and validation
/// rows), or the mean of all of `past` for an entity without rows there.
///
/// # Errors
/// If `past` is empty or holds a label that is not finite.
pub fn frozen_entity_mean(
    past: &[LabelRow],
    targets: &[LabelRow],
) -> Result<Vec<f64>, BaselineError> {
    check_labels("entity mean", past.iter().map(|row| row.label))?;
    let history = ClosedLabels::of(past);
    let all = history.everyone.mean_until(i64::MAX);
    let predict = |row: &LabelRow| history.entity_mean(row.entity, i64::MAX).or(all);
    Ok(targets.iter().filter_map(predict).collect())
}

/// For each row of `targets` the mean of its entity's labels in `rows` (all splits) that had
/// closed by the target's cutoff (`closes <= cutoff`), or of everyone's labels closed by then, or
/// `fallback` (the global constant) where no label at all had closed.
///
/// # Errors
/// If `rows` is empty or holds a label that is not finite.
pub fn rolling_entity_mean(
    rows: &[LabelRow],
    targets: &[LabelRow],
    fallback: f64,
) -> Result<Vec<f64>, BaselineError> {
    check_labels("rolling entity mean", rows.iter().map(|row| row.label))?;
    let history = ClosedLabels::of(rows);
    let predict = |row: &LabelRow| {
        history
            .entity_mean(row.entity, row.cutoff)
            .or_else(|| history.everyone.mean_until(row.cutoff))
            .unwrap_or(fallback)
    };
    Ok(targets.iter().map(predict).collect())
}

/// For each row of `targets` the mean of its entity's last `k` labels in `rows` (all splits) that
/// had closed by the end of what it sees, min(cutoff, `visible_end`), or `fallback` without any.
///
/// # Errors
/// If `rows` is empty or holds a label that is not finite.
pub fn last_labels_mean(
    rows: &[LabelRow],
    targets: &[LabelRow],
    visible_end: i64,
    k: usize,
    fallback: f64,
) -> Result<Vec<f64>, BaselineError> {
    check_labels("mean of the last labels", rows.iter().map(|row| row.label))?;
    let mut own: BTreeMap<u64, Vec<(i64, f64)>> = BTreeMap::new();
    for row in rows {
        own.entry(row.entity).or_default().push((row.closes, row.label));
    }
    for labels in own.values_mut() {
        labels.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    }
    let mean = |target: &LabelRow| {
        last_k_rows_mean(own.get(&target.entity)?, target.cutoff.min(visible_end), k)
    };
    Ok(targets.iter().map(|target| mean(target).unwrap_or(fallback)).collect())
}

/// Labels by entity and by the moment they became known, with running sums.
struct ClosedLabels {
    /// One timeline per entity, ascending by entity.
    own: Vec<(u64, Timeline)>,
    everyone: Timeline,
}

impl ClosedLabels {
    fn of(rows: &[LabelRow]) -> Self {
        // The label is the last sorting key: equal rows are exchangeable, so sums do not depend on
        // the order in which the rows came.
        let mut sorted = rows.to_vec();
        sorted.sort_unstable_by(|a, b| {
            (a.entity, a.closes).cmp(&(b.entity, b.closes)).then(a.label.total_cmp(&b.label))
        });
        let own = sorted
            .chunk_by(|a, b| a.entity == b.entity)
            .map(|rows| (rows[0].entity, Timeline::of(rows)))
            .collect();
        sorted.sort_unstable_by(|a, b| a.closes.cmp(&b.closes).then(a.label.total_cmp(&b.label)));
        Self { own, everyone: Timeline::of(&sorted) }
    }

    fn entity_mean(&self, entity: u64, until: i64) -> Option<f64> {
        let position = self.own.binary_search_by_key(&entity, |(key, _)| *key).ok()?;
        self.own[position].1.mean_until(until)
    }
}

/// Labels in the order in which they became known.
struct Timeline {
    closes: Vec<i64>,
    /// `sums[i]` is the sum of the first `i` labels.
    sums: Vec<f64>,
}

impl Timeline {
    /// From rows sorted by the moment they close.
    fn of(rows: &[LabelRow]) -> Self {
        let mut sums = Vec::with_capacity(rows.len() + 1);
        let mut sum = 0.0;
        sums.push(sum);
        for row in rows {
            sum += row.label;
            sums.push(sum);
        }
        Self { closes: rows.iter().map(|row| row.closes).collect(), sums }
    }

    /// The mean of the labels that had closed at `until`; `None` if none had.
    fn mean_until(&self, until: i64) -> Option<f64> {
        let known = self.closes.partition_point(|closes| *closes <= until);
        (known > 0).then(|| self.sums[known] / known as f64)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(entity: u64, cutoff: i64, label: f64) -> LabelRow {
        LabelRow { entity, cutoff, closes: cutoff + 10, label }
    }

    #[test]
    fn frozen_knows_all_of_the_past_and_nothing_else() {
        let past = [row(1, 0, 1.0), row(1, 10, 0.0), row(2, 0, 1.0), row(3, 0, 0.0)];
        let targets = [row(1, 20, 9.0), row(2, 20, 9.0), row(7, 20, 9.0)];
        assert_eq!(frozen_entity_mean(&past, &targets).unwrap(), [0.5, 1.0, 0.5]);
        assert!(frozen_entity_mean(&[], &targets).is_err());
    }

    #[test]
    fn a_label_counts_only_once_its_window_has_closed() {
        let rows = [row(1, 0, 4.0), row(1, 10, 8.0), row(2, 5, 1.0)];
        let predictions = rolling_entity_mean(
            &rows,
            &[row(1, 9, 0.0), row(1, 10, 0.0), row(1, 19, 0.0), row(1, 20, 0.0), row(2, 10, 0.0)],
            -1.0,
        );
        assert_eq!(predictions.unwrap(), [-1.0, 4.0, 4.0, 6.0, 4.0]);
    }

    #[test]
    fn the_last_labels_are_those_that_closed_last() {
        let rows = [row(1, 0, 4.0), row(1, 10, 8.0), row(1, 20, 6.0), row(2, 5, 1.0)];
        let at = |cutoff: i64| row(1, cutoff, 0.0);
        let means = |end: i64| {
            last_labels_mean(&rows, &[at(9), at(10), at(30), row(7, 30, 0.0)], end, 2, -1.0)
        };
        assert_eq!(means(i64::MAX).unwrap(), [-1.0, 4.0, 7.0, -1.0]);
        assert_eq!(means(20).unwrap(), [-1.0, 4.0, 6.0, -1.0]);
    }

    /// What the documentation says, row by row.
    fn slow_rolling(rows: &[LabelRow], target: &LabelRow, fallback: f64) -> f64 {
        let closed: Vec<_> = rows.iter().filter(|r| r.closes <= target.cutoff).collect();
        let own: Vec<_> = closed.iter().filter(|r| r.entity == target.entity).collect();
        let mean = |labels: Vec<f64>| labels.iter().sum::<f64>() / labels.len() as f64;
        if !own.is_empty() {
            mean(own.iter().map(|r| r.label).collect())
        } else if !closed.is_empty() {
            mean(closed.iter().map(|r| r.label).collect())
        } else {
            fallback
        }
    }

    proptest! {
        #[test]
        fn rolling_equals_its_definition_and_ignores_row_order(
            rows in prop::collection::vec((0u64..5, 0i64..60, 0u8..9), 1..40),
        ) {
            let rows: Vec<_> = rows.iter().map(|r| row(r.0, r.1, f64::from(r.2))).collect();
            let fast = rolling_entity_mean(&rows, &rows, 0.5).unwrap();
            for (value, target) in fast.iter().zip(&rows) {
                prop_assert!((value - slow_rolling(&rows, target, 0.5)).abs() < 1e-12);
            }
            let reversed: Vec<_> = rows.iter().rev().copied().collect();
            prop_assert_eq!(&fast, &rolling_entity_mean(&reversed, &rows, 0.5).unwrap());
        }
    }
}
