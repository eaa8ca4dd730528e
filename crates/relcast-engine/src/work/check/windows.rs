//! How many rows of a table come, in windows as long as the horizon.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use relcast_catalog::{Schema, TableId, known_relation};
use relcast_query::Horizon;
use relcast_train::drift::pace;

use super::inputs::moment;
use super::{CheckLine, Side};

/// Windows that rows are counted in before the last training cutoff, and after it, at most.
const MOST: usize = 10;

/// The windows `(start, end]` that rows are counted in, in the order of time.
pub(super) struct Windows {
    until: i64,
    newest: i64,
    training: Vec<(i64, i64)>,
    current: Vec<(i64, i64)>,
}

impl Windows {
    /// Windows that end at `until`, the last training cutoff, and at `newest`; none begins before
    /// `until` of those that came after it.
    pub(super) fn new(horizon: Horizon, until: i64, newest: i64) -> Self {
        let training = windows(horizon, until, i64::MIN);
        Self { until, newest, training, current: windows(horizon, newest, until) }
    }

    /// One row: the first time, the rows up to the last training cutoff and since, those of each
    /// window.
    pub(super) fn sql(&self, schema: &Schema, table: TableId) -> String {
        let known = "\"relcast_known_at\"";
        let until = moment(self.until);
        let mut columns = vec![
            format!(
                "arrow_cast(arrow_cast(MIN({known}), 'Timestamp(Microsecond, None)'), 'Int64') AS \"first\""
            ),
            format!("COUNT(CASE WHEN {known} <= {until} THEN 1 END) AS \"training\""),
            format!("COUNT(CASE WHEN {known} > {until} THEN 1 END) AS \"current\""),
        ];
        for (place, (start, end)) in self.training.iter().chain(&self.current).enumerate() {
            let (start, end) = (moment(*start), moment(*end));
            columns.push(format!(
                "COUNT(CASE WHEN {known} > {start} AND {known} <= {end} THEN 1 END) AS \"window {place}\""
            ));
        }
        format!(
            "SELECT {} FROM ({}) AS r WHERE {known} <= {}",
            columns.join(", "),
            known_relation(schema, table),
            moment(self.newest)
        )
    }

    /// `line` with what the row of [`Windows::sql`] says.
    pub(super) fn judged(&self, line: CheckLine, batches: &[RecordBatch]) -> CheckLine {
        let Some(row) = batches.iter().find(|batch| batch.num_rows() > 0) else { return line };
        let whole = |column: usize| {
            let values = row.column(column).as_primitive_opt::<Int64Type>();
            values.filter(|values| values.is_valid(0)).map(|values| values.value(0))
        };
        let count = |column: usize| whole(column).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        // Before its first row a table was not there.
        let first = whole(0).unwrap_or(i64::MAX);
        let there = |(start, _): &(i64, i64)| *start >= first;
        let before = self.training.iter().filter(|window| !there(window)).count();
        let counts: Vec<u64> =
            (0..self.training.len() + self.current.len()).map(|n| count(n + 3)).collect();
        let (training, current) = counts.split_at(self.training.len());
        let training = &training[before..];
        let mean = |counts: &[u64]| {
            let windows = counts.len();
            (windows > 0).then(|| counts.iter().sum::<u64>() as f64 / windows as f64)
        };
        let side = |rows: u64, counts: &[u64]| Side {
            rows: Some(rows),
            mean: mean(counts),
            null_share: None,
        };
        CheckLine {
            verdict: pace(training, current),
            training: side(count(1), training),
            current: side(count(2), current),
            ..line
        }
    }
}

/// The last windows up to `end` that begin at `from` or later.
fn windows(horizon: Horizon, end: i64, from: i64) -> Vec<(i64, i64)> {
    let starts = std::iter::successors(Some(end), |end| {
        Some(horizon.before(*end)).filter(|start| start < end && *start >= from)
    });
    let ends: Vec<i64> = starts.take(MOST + 1).collect();
    ends.windows(2).rev().map(|pair| (pair[1], pair[0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_at_the_moment_and_begin_in_reach() {
        let Some(day) = Horizon::parse("1 day") else { panic!("a day is a horizon") };
        let length = day.after(0);
        assert_eq!(
            windows(day, 3 * length, length),
            [(length, 2 * length), (2 * length, 3 * length)]
        );
        assert_eq!(windows(day, 100 * length, i64::MIN).len(), MOST);
        assert!(windows(day, length, length).is_empty());
    }
}
