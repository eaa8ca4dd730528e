//! Moments and spans: microseconds UTC, days of 24 hours, months that follow the calendar.

use std::fmt;

use chrono::{DateTime, Months};
use serde::{Deserialize, Serialize};

/// Microseconds of one second, minute, hour, day and week.
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// A month for comparisons between spans, never for arithmetic on times.
const LONGEST_MONTH: i64 = 31 * DAY;
/// The least that a month can be.
const SHORTEST_MONTH: i64 = 28 * DAY;

/// A length of time, possibly negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// So many microseconds.
    Micros(i64),
    /// So many steps of the calendar, clamped to the month's end.
    Months(i32),
}

/// How far a label looks ahead of its cutoff; also the step between evaluation cutoffs.
pub type Horizon = Span;

/// The units that a query may name, with the span of one of each.
pub(crate) const UNITS: [(&str, Span); 7] = [
    ("second", Span::Micros(SECOND)),
    ("minute", Span::Micros(MINUTE)),
    ("hour", Span::Micros(HOUR)),
    ("day", Span::Micros(DAY)),
    ("week", Span::Micros(WEEK)),
    ("month", Span::Months(1)),
    ("year", Span::Months(12)),
];

/// Units as durations may abbreviate them; `m` could be a minute or a month.
const ABBREVIATED: [(&str, Span); 5] = [
    ("s", Span::Micros(SECOND)),
    ("sec", Span::Micros(SECOND)),
    ("min", Span::Micros(MINUTE)),
    ("h", Span::Micros(HOUR)),
    ("d", Span::Micros(DAY)),
];

impl Span {
    /// The empty span.
    pub const ZERO: Self = Self::Micros(0);

    /// One of the named unit (singular or plural, any case).
    pub(crate) fn unit(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let singular = name.strip_suffix('s').unwrap_or(&name);
        UNITS.iter().find(|(unit, _)| *unit == singular).map(|(_, span)| *span)
    }

    fn abbreviated(name: &str) -> Option<Self> {
        let found = ABBREVIATED.iter().find(|(unit, _)| name.eq_ignore_ascii_case(unit));
        found.map(|(_, span)| *span)
    }

    /// Reads `30 days`, `30s`, `1 year`, or a bare number of days; None if it is neither or too large.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !(c.is_ascii_digit() || c == '-' || c == '+'))
            .unwrap_or(text.len());
        let (count, unit) = text.split_at(digits);
        let unit = match unit.trim() {
            "" => Some(Self::Micros(DAY)),
            name => Self::unit(name).or_else(|| Self::abbreviated(name)),
        };
        unit?.times(count.parse().ok()?)
    }

    /// This span `count` times; None if it is too large to count.
    #[must_use]
    pub fn times(self, count: i64) -> Option<Self> {
        match self {
            Self::Micros(m) => m.checked_mul(count).map(Self::Micros),
            Self::Months(m) => {
                i32::try_from(count).ok().and_then(|c| m.checked_mul(c)).map(Self::Months)
            }
        }
    }

    /// The moment this span after `time`; stays at the ends of what the calendar can hold.
    #[must_use]
    pub fn after(self, time: i64) -> i64 {
        match self {
            Self::Micros(m) => time.saturating_add(m),
            Self::Months(m) => {
                add_months(time, m).unwrap_or(if m < 0 { i64::MIN } else { i64::MAX })
            }
        }
    }

    /// The moment this span before `time`.
    #[must_use]
    pub fn before(self, time: i64) -> i64 {
        self.times(-1).map_or(i64::MIN, |back| back.after(time))
    }

    /// The sum, where both count in the same kind of unit or one is zero.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Micros(a), Self::Micros(b)) => a.checked_add(b).map(Self::Micros),
            (Self::Months(a), Self::Months(b)) => a.checked_add(b).map(Self::Months),
            (Self::Micros(0) | Self::Months(0), b) => Some(b),
            (a, Self::Micros(0) | Self::Months(0)) => Some(a),
            _ => None,
        }
    }

    /// A length to compare spans of different units by: a month counts as 31 days.
    #[must_use]
    pub fn comparable(self) -> i64 {
        match self {
            Self::Micros(m) => m,
            Self::Months(m) => i64::from(m).saturating_mul(LONGEST_MONTH),
        }
    }

    /// The longer of two spans; where that depends on the calendar, one that is never shorter than either.
    pub(crate) fn longer(self, other: Self) -> Self {
        match (self, other) {
            (Self::Months(months), Self::Micros(micros))
            | (Self::Micros(micros), Self::Months(months)) => {
                let (shortest, longest) = (
                    i64::from(months).saturating_mul(SHORTEST_MONTH),
                    Self::Months(months).comparable(),
                );
                if micros <= shortest {
                    Self::Months(months)
                } else {
                    Self::Micros(micros.max(longest))
                }
            }
            _ if self.comparable() >= other.comparable() => self,
            _ => other,
        }
    }

    /// The span as an interval of SQL, for example `INTERVAL '30 days'`; never negative.
    pub(crate) fn interval_sql(self) -> String {
        format!("INTERVAL '{}'", self.magnitude())
    }

    fn magnitude(self) -> Self {
        match self {
            Self::Micros(m) => Self::Micros(m.saturating_abs()),
            Self::Months(m) => Self::Months(m.saturating_abs()),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match *self {
            Self::Months(m) if m != 0 && m % 12 == 0 => (i64::from(m / 12), "year"),
            Self::Months(m) => (i64::from(m), "month"),
            Self::Micros(m) if m % DAY == 0 => (m / DAY, "day"),
            Self::Micros(m) if m % HOUR == 0 => (m / HOUR, "hour"),
            Self::Micros(m) if m % MINUTE == 0 => (m / MINUTE, "minute"),
            Self::Micros(m) if m % SECOND == 0 => (m / SECOND, "second"),
            Self::Micros(m) => (m, "microsecond"),
        };
        let plural = if count.unsigned_abs() == 1 { "" } else { "s" };
        write!(f, "{count} {unit}{plural}")
    }
}

/// `months` calendar steps from `time`, clamped to the month's end.
fn add_months(time: i64, months: i32) -> Option<i64> {
    let moment = DateTime::from_timestamp_micros(time)?;
    let step = Months::new(months.unsigned_abs());
    let moved =
        if months < 0 { moment.checked_sub_months(step) } else { moment.checked_add_months(step) };
    moved.map(|m| m.timestamp_micros())
}

/// Whether the moment has a date.
pub(crate) fn is_in_calendar(time: i64) -> bool {
    DateTime::from_timestamp_micros(time).is_some()
}

/// The moment now, microseconds UTC.
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// The midnight that starts the day of `time`.
pub(crate) fn midnight(time: i64) -> i64 {
    time - time.rem_euclid(DAY)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use relcast_catalog::{format_time, parse_time};

    #[test]
    fn months_are_clamped_to_the_end_of_the_month() {
        let end_of_january = parse_time("2020-01-31").unwrap();
        assert_eq!(format_time(Span::Months(1).after(end_of_january)), "2020-02-29");
        assert_eq!(format_time(Span::Months(12).after(end_of_january)), "2021-01-31");
        assert_eq!(format_time(Span::Months(2).before(end_of_january)), "2019-11-30");
    }

    #[test]
    fn the_longer_span_covers_both_from_any_day() {
        let days = |n: i64| Span::Micros(n * DAY);
        assert_eq!(days(28).longer(Span::Months(1)), Span::Months(1));
        assert_eq!(Span::Months(1).longer(days(30)), days(31));
        assert_eq!(Span::Months(1).longer(days(40)), days(40));
        assert_eq!(days(7).longer(days(9)), days(9));
        assert_eq!(Span::Months(12).longer(Span::Months(2)), Span::Months(12));
    }

    #[test]
    fn spans_are_read_and_written() {
        for text in ["30 days", "1 year", "6 months", "12 hours", "1 second"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Span::parse("2 weeks").unwrap().to_string(), "14 days");
        assert_eq!(Span::parse("7").unwrap().to_string(), "7 days");
        for (text, long) in [("30s", "30 seconds"), ("5 min", "5 minutes"), ("2H", "2 hours")] {
            assert_eq!(Span::parse(text).unwrap().to_string(), long);
        }
        assert_eq!(Span::parse("5m"), None);
        assert_eq!(Span::parse("soon"), None);
        assert_eq!(Span::parse("9223372036854775807 days"), None);
    }
}
