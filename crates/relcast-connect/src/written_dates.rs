//! Dates as people write them: `03/14/2024`, `14.03.2024`, `2024/3/14`, with a time of the day or
//! without. Which of the numbers is the day is only known where the values allow one order alone.

use arrow::array::StringArray;
use chrono::{NaiveDate, NaiveTime};

use crate::typed::{Cells, cells, count};

/// Which number of a date stands first; after the month comes the day, after the day the month.
#[derive(Debug, Clone, Copy)]
enum First {
    Year,
    Month,
    Day,
}

/// For each cell that speaks against the order of a column, more than this many speak for it.
const SURE: usize = 10;

/// The column as microseconds, UTC, in the order that reads most of its cells: all but `most`, and
/// many that no other order reads.
pub(crate) fn find_written(texts: &[&StringArray], most: usize) -> Option<Cells<i64>> {
    let firsts = [First::Year, First::Month, First::Day];
    let in_order = |first| cells(texts, most, |text| micros(text, first));
    let read: Vec<Cells<i64>> = firsts.into_iter().filter_map(in_order).collect();
    let best = (0..read.len()).max_by_key(|index| read.get(*index).map(count))?;
    let found = read.get(best)?;
    let mut others = read.iter().enumerate().filter(|(index, _)| *index != best);
    let is_sure = others.all(|(_, other)| {
        let (mut only_found, mut only_other) = (0, 0);
        for (a, b) in found.iter().flatten().zip(other.iter().flatten()) {
            only_found += usize::from(a.is_some() && b.is_none());
            only_other += usize::from(a.is_none() && b.is_some());
        }
        only_found > only_other * SURE
    });
    is_sure.then(|| found.clone())
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
