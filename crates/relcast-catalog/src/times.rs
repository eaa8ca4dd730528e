//! Moments as microseconds, UTC, and as text.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

/// Reads `2020-01-31`, `2020-01-31 12:00:00[.5]` (also with `T`) or a moment with a zone, as
/// microseconds, UTC; without a zone it is UTC.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(day.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
    }
    for form in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]
    {
        if let Ok(moment) = NaiveDateTime::parse_from_str(text, form) {
            return Some(moment.and_utc().timestamp_micros());
        }
    }
    for form in ["%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%:z"] {
        if let Ok(moment) = DateTime::parse_from_str(text, form) {
            return Some(moment.timestamp_micros());
        }
    }
    DateTime::parse_from_rfc3339(text).ok().map(|m| m.timestamp_micros())
}

/// Writes microseconds, UTC, as a date, or as date and time where it isn't midnight.
#[must_use]
pub fn format_time(micros: i64) -> String {
    let Some(moment) = DateTime::from_timestamp_micros(micros) else {
        return format!("{micros} µs");
    };
    if moment.time() == NaiveTime::MIN {
        moment.format("%Y-%m-%d").to_string()
    } else {
        moment.format("%Y-%m-%d %H:%M:%S%.f").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_as_written() {
        for text in ["2020-01-31", "2020-01-31 12:00:00", "1864-06-30", "2020-01-31 12:00:00.500"] {
            assert_eq!(parse_time(text).map(format_time).as_deref(), Some(text));
        }
        assert_eq!(parse_time("2020-01-31T02:00:00+02:00"), parse_time("2020-01-31"));
        assert_eq!(parse_time("2020-01-31T00:00:00Z"), parse_time("2020-01-31"));
        assert_eq!(parse_time("tomorrow"), None);
    }
}
