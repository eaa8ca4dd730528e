//! The mean of an entity's last rows in the table that the target reads.

/// How many rows [`last_k_rows_mean`] is asked for by default.
pub const LAST_ROWS: usize = 10;

/// The mean of the last `k` values that are not NaN among those with time <= `view`.
///
/// `values` holds (time in microseconds UTC, value) of one entity, ascending by time; NaN is NULL.
/// Rows of one time are never told apart: all that share the time of the `k`-th row from the end
/// count, so the result does not depend on the order of the rows. `None` if no value is known.
#[must_use]
pub fn last_k_rows_mean(values: &[(i64, f64)], view: i64, k: usize) -> Option<f64> {
    let known = values.partition_point(|(time, _)| *time <= view);
    let mut taken: Vec<f64> = Vec::with_capacity(k);
    let mut last_time = None;
    for (time, value) in values[..known].iter().rev().filter(|(_, value)| !value.is_nan()) {
        if taken.len() >= k && last_time != Some(*time) {
            break;
        }
        taken.push(*value);
        last_time = Some(*time);
    }
    taken.sort_unstable_by(f64::total_cmp);
    (k > 0 && !taken.is_empty()).then(|| taken.iter().sum::<f64>() / taken.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [(i64, f64); 5] = [(1, 10.0), (2, 4.0), (3, f64::NAN), (4, 2.0), (9, 100.0)];

    #[test]
    fn only_known_values_that_are_not_null_count() {
        assert_eq!(last_k_rows_mean(&VALUES, 8, 2), Some(3.0));
        assert_eq!(last_k_rows_mean(&VALUES, 4, 10), Some(16.0 / 3.0));
        assert_eq!(last_k_rows_mean(&VALUES, 9, 1), Some(100.0));
        assert_eq!(last_k_rows_mean(&VALUES, 0, 10), None);
        assert_eq!(last_k_rows_mean(&VALUES, 9, 0), None);
        assert_eq!(last_k_rows_mean(&[], 9, 3), None);
    }

    #[test]
    fn rows_of_one_time_count_together() {
        let values = [(1, 7.0), (5, 1.0), (5, 2.0), (5, 6.0)];
        assert_eq!(last_k_rows_mean(&values, 5, 1), Some(3.0));
        assert_eq!(last_k_rows_mean(&values, 5, 4), Some(4.0));
    }
}
