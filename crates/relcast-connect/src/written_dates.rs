//! Dates as people write them: `03/14/2024`, `14.03.2024`, `2024/3/14`, with a time of the day or
//! without. Which of the numbers is the day is only known where all values allow one order alone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, TimestampMicrosecondArray};
use chrono::{NaiveDate, NaiveTime};

/// Which number of a date stands first; after the month comes the day, after the day the month.
#[derive(Debug, Clone, Copy)]
enum First {
    Year,
    Month,
    Day,
}

/// The columns as timestamps, if there is a value at all and exactly one order reads all of them.
pub(crate) fn find_written(texts: &[&ArrayRef]) -> Option<Vec<ArrayRef>> {
    let firsts = [First::Year, First::Month, First::Day];
    let mut read = firsts.iter().filter_map(|first| read_all(texts, *first));
    let found = read.next()?;
    read.next().is_none().then_some(found)
}

fn read_all(texts: &[&ArrayRef], first: First) -> Option<Vec<ArrayRef>> {
    let mut seen = false;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(texts.len());
    for text in texts {
        let strings = text.as_any().downcast_ref::<StringArray>()?;
        let mut times = Vec::with_capacity(strings.len());
        for text in strings {
            times.push(match text {
                Some(text) => Some(micros(text, first)?),
                None => None,
            });
        }
        seen |= strings.null_count() < strings.len();
        columns.push(Arc::new(TimestampMicrosecondArray::from(times)));
    }
    seen.then_some(columns)
}

/// Microseconds, UTC, of a date and perhaps a time of the day.
fn micros(text: &str, first: First) -> Option<i64> {
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let separator = date.chars().find(|c| !c.is_ascii_digit())?;
    if !['/', '.', '-'].contains(&separator) {
        return None;
    }
    let mut parts = date.split(separator);
    let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day) = match first {
        First::Year => (a, b, c),
        First::Month => (c, a, b),
        First::Day => (c, b, a),
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
