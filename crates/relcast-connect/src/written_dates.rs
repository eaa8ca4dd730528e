//! Dates as people write them: `03/14/2024`, `14.03.2024`, `2024/3/14`, with a time of the day or
//! without. Which of the numbers is the day is only known where all values allow one order alone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, TimestampMicrosecondArray};
use chrono::{NaiveDate, NaiveTime};

/// In which order a date's numbers stand.
#[derive(Debug, Clone, Copy)]
enum Order {
    YearFirst,
    MonthFirst,
    DayFirst,
}

/// The columns as timestamps, if there is a value at all and exactly one order reads all of them.
pub(crate) fn find_written(texts: &[&ArrayRef]) -> Option<Vec<ArrayRef>> {
    let orders = [Order::YearFirst, Order::MonthFirst, Order::DayFirst];
    let mut read = orders.iter().filter_map(|order| read_all(texts, *order));
    let found = read.next()?;
    read.next().is_none().then_some(found)
}

fn read_all(texts: &[&ArrayRef], order: Order) -> Option<Vec<ArrayRef>> {
    let mut seen = false;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(texts.len());
    for text in texts {
        let strings = text.as_any().downcast_ref::<StringArray>()?;
        let mut times = Vec::with_capacity(strings.len());
        for text in strings {
            times.push(match text {
                Some(text) => Some(micros(text, order)?),
                None => None,
            });
        }
        seen |= strings.null_count() < strings.len();
        columns.push(Arc::new(TimestampMicrosecondArray::from(times)));
    }
    seen.then_some(columns)
}

/// Microseconds, UTC, of a date and perhaps a time of the day.
fn micros(text: &str, order: Order) -> Option<i64> {
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let separator = date.chars().find(|c| !c.is_ascii_digit())?;
    if !['/', '.', '-'].contains(&separator) {
        return None;
    }
    let mut parts = date.split(separator);
    let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day) = match order {
        Order::YearFirst => (a, b, c),
        Order::MonthFirst => (c, a, b),
        Order::DayFirst => (c, b, a),
    };
    let is_short = |part: &str| (1..=2).contains(&part.len());
    if parts.next().is_some() || year.len() != 4 || !is_short(month) || !is_short(day) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
    Some(date.and_time(time_of_day(time)?).and_utc().timestamp_micros())
}

fn time_of_day(text: &str) -> Option<NaiveTime> {
    if text.is_empty() {
        return Some(NaiveTime::MIN);
    }
    let forms = ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p"];
    forms.iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok())
}
