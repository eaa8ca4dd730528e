//! Columns that look like times where no time column was found: by type, by values, by name.
//!
//! Rows of such a table count as known with their parents, or always. If that is wrong, their future
//! is seen, so a person has to look.

use arrow::datatypes::DataType;
use datafusion::prelude::SessionContext;
use serde::Serialize;

use super::times::{is_earlier, named_as_moment};
use crate::error::CatalogError;
use crate::names::{has_word, key_stem};
use crate::schema::{Column, Table};
use crate::sql::{AggregateRow, quoted};
use crate::statistics::{ColumnStatistics, TableStatistics};

/// A column that looks like a time in a table without a time column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeLike {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// What speaks for its being a time.
    pub evidence: String,
}

/// Dates as they are written, with the year last or first, in numbers or with a month's name, in
/// capitals or not.
const WRITTEN_DATE: &str = "(?i)^[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}([^0-9]|$)\
    |^[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{2}|[0-9]{4})([^0-9]|$)\
    |^[0-9]{1,2}[- .]+(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*[-., ]+[0-9]{2,4}\
    |^[0-9]{4}[- .]+(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*[-., ]+[0-9]{1,2}([^0-9]|$)\
    |^(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*[. ]+[0-9]{1,2},? +[0-9]{4}";
/// Words of numbers that are days or years.
const CALENDAR: [&str; 7] = ["date", "day", "year", "season", "yyyymmdd", "yyyymm", "month"];
/// Words of numbers that count from 1970 on.
const EPOCH: [&str; 8] = ["epoch", "unix", "ms", "millis", "seconds", "utc", "stamp", "t"];
/// From this many values on, their being different says something.
const FEW: u64 = 20;
/// 1990 and 2100 in seconds since 1970.
const SECONDS: (f64, f64) = (631_152_000.0, 4_102_444_800.0);
/// Years, months and days written as one number.
const AS_NUMBERS: [(f64, f64); 3] =
    [(1800.0, 2200.0), (180_001.0, 220_012.0), (18_000_101.0, 22_001_231.0)];

/// The columns of `table` that look like times, in their order.
pub(crate) async fn time_like(
    context: &SessionContext,
    table: &Table,
    statistics: &TableStatistics,
) -> Result<Vec<TimeLike>, CatalogError> {
    let mut items = vec!["count(*) AS n".to_owned()];
    for (index, column) in table.columns.iter().enumerate() {
        items.extend(measures(index, column));
    }
    let sql = format!("SELECT {} FROM {}", items.join(", "), quoted(&table.name));
    let row = AggregateRow::query(context, &sql).await.map_err(CatalogError::query(&table.name))?;
    let columns = table.columns.iter().zip(&statistics.columns).enumerate();
    let found = columns.filter_map(|(index, (column, counts))| {
        let is_key = table.primary_key.contains(&column.name);
        let evidence = evidence(column, index, &row, counts, statistics.rows, is_key)?;
        Some(TimeLike { table: table.name.clone(), column: column.name.clone(), evidence })
    });
    Ok(found.collect())
}

/// The aggregates over one column; their names end in its position.
fn measures(index: usize, column: &Column) -> Vec<String> {
    let name = quoted(&column.name);
    match &column.data_type {
        DataType::Utf8 => vec![format!(
            "sum(CASE WHEN regexp_like({name}, '{WRITTEN_DATE}') THEN 1 ELSE 0 END) AS t{index}"
        )],
        t if t.is_integer() || t.is_floating() => vec![
            format!("CAST(min({name}) AS DOUBLE) AS a{index}"),
            format!("CAST(max({name}) AS DOUBLE) AS z{index}"),
        ],
        _ => Vec::new(),
    }
}

/// What speaks for the column's being a time, if anything does.
fn evidence(
    column: &Column,
    index: usize,
    row: &AggregateRow,
    counts: &ColumnStatistics,
    rows: u64,
    is_key: bool,
) -> Option<String> {
    let non_null = counts.non_null;
    if non_null == 0 || is_earlier(&column.name) {
        return None;
    }
    match &column.data_type {
        DataType::Timestamp(_, _) => {
            Some(format!("a timestamp, NULL in {} of {rows} rows", rows.saturating_sub(non_null)))
        }
        DataType::Utf8 => {
            let dates = row.count(&format!("t{index}"));
            (dates * 2 > non_null)
                .then(|| format!("{dates} of {non_null} values are written as dates"))
        }
        t if t.is_integer() || t.is_floating() => {
            let bounds =
                (row.find_float(&format!("a{index}"))?, row.find_float(&format!("z{index}"))?);
            // Moments are nearly all different, as hardly anything else of their size is.
            let is_unique = counts.distinct.is_some_and(|d| d * 10 >= non_null * 9);
            let is_moment = t.is_integer() && is_unique && non_null >= FEW && !is_key;
            number_evidence(&column.name, bounds, is_moment).map(str::to_owned)
        }
        _ => None,
    }
}

/// What name and range of numbers say together; the range says it alone where `is_moment`.
fn number_evidence(name: &str, (least, most): (f64, f64), is_moment: bool) -> Option<&'static str> {
    // `yearID` is a year; other keys are no times, whatever they count.
    if key_stem(name).is_some_and(|stem| stem.last().is_none_or(|word| word != "year")) {
        return None;
    }
    let within = |from: f64, to: f64| least >= from && most <= to;
    if is_moment || named_as_moment(name) || has_word(name, &EPOCH) {
        let units = [
            (1.0, "numbers that count seconds since 1970"),
            (1e3, "numbers that count milliseconds since 1970"),
            (1e6, "numbers that count microseconds since 1970"),
        ];
        let counts = |(unit, _): &&(f64, &str)| within(SECONDS.0 * unit, SECONDS.1 * unit);
        if let Some((_, text)) = units.iter().find(counts) {
            return Some(*text);
        }
    }
    let is_calendar = (has_word(name, &CALENDAR) || key_stem(name).is_some())
        && AS_NUMBERS.iter().any(|(from, to)| within(*from, *to));
    is_calendar.then_some("numbers that are years or days of a calendar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_times_by_name_and_range_together() {
        let found = |name, least, most| number_evidence(name, (least, most), false).is_some();
        assert!(found("created_at", 1.5e9, 1.7e9));
        assert!(found("ts", 1.5e12, 1.7e12));
        assert!(found("event_date", 20_200_101.0, 20_231_231.0));
        assert!(found("season", 1990.0, 2024.0));
        assert!(found("yearID", 2019.0, 2022.0) && found("YEARID", 2019.0, 2022.0));
        assert!(found("stamp", 1.5e9, 1.7e9) && found("t", 1.5e9, 1.7e9));
        assert!(!found("code", 2019.0, 2022.0));
        // Where nearly all differ, no name is needed, but that of a key speaks against it.
        assert!(number_evidence("views", (1.5e9, 1.7e9), true).is_some());
        assert!(number_evidence("event_id", (1.5e9, 1.7e9), true).is_none());
        assert!(number_evidence("views", (1.0, 90.0), true).is_none());
        assert!(!found("created_at", 1.0, 90.0));
        assert!(!found("views", 1.5e9, 1.7e9));
        assert!(!found("event_id", 1.5e9, 1.7e9));
        assert!(!found("day", 1.0, 31.0));
    }
}
