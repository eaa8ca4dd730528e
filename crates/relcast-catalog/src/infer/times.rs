//! Time columns: the timestamp that most likely says when a row became known.

use arrow::datatypes::DataType;

use super::Inferred;
use crate::names::{has_word, words};
use crate::schema::Table;
use crate::statistics::TableStatistics;

/// Words of the moment a row is written.
const WRITTEN: [&str; 17] = [
    "created",
    "creation",
    "inserted",
    "added",
    "registered",
    "registration",
    "signup",
    "joined",
    "posted",
    "recorded",
    "logged",
    "placed",
    "ordered",
    "occurred",
    "known",
    "available",
    "published",
];
/// Words of a moment in general.
const MOMENT: [&str; 9] =
    ["date", "time", "timestamp", "datetime", "ts", "at", "day", "when", "event"];
/// Words of moments that come after a row is first known.
const LATER: [&str; 34] = [
    "updated",
    "update",
    "modified",
    "changed",
    "edited",
    "last",
    "latest",
    "due",
    "expected",
    "planned",
    "scheduled",
    "deadline",
    "delivered",
    "delivery",
    "shipped",
    "returned",
    "closed",
    "resolved",
    "completed",
    "finished",
    "paid",
    "end",
    "ends",
    "ended",
    "expires",
    "expiry",
    "until",
    "to",
    "deleted",
    "cancelled",
    "canceled",
    "final",
    "death",
    "approved",
];
/// Words of moments long before a row is known.
const EARLIER: [&str; 7] = ["birth", "birthday", "birthdate", "born", "dob", "founded", "debut"];

/// The likely time column: not one that describes the row's subject, and nearly without NULLs.
pub(crate) fn time_column(table: &Table, statistics: &TableStatistics) -> Option<Inferred<String>> {
    let mut candidates = Vec::new();
    for (position, (column, counts)) in table.columns.iter().zip(&statistics.columns).enumerate() {
        let is_time = matches!(column.data_type, DataType::Timestamp(_, _));
        let nulls = statistics.rows - counts.non_null.min(statistics.rows);
        if !is_time || nulls * 20 > statistics.rows || counts.is_empty(statistics.rows) {
            continue;
        }
        if let Some((score, why)) = name_evidence(&column.name) {
            candidates.push((std::cmp::Reverse(score), nulls, position, column.name.clone(), why));
        }
    }
    candidates.sort();
    let others = candidates.len().saturating_sub(1);
    let (_, nulls, _, value, why) = candidates.into_iter().next()?;
    let evidence = format!("{why}; {nulls} NULLs; {others} other candidates");
    Some(Inferred { value, evidence })
}

/// Whether a column is named as a moment of its row, be it one that comes late.
pub(super) fn named_as_moment(name: &str) -> bool {
    !is_earlier(name) && [&WRITTEN[..], &MOMENT, &LATER].iter().any(|list| has_word(name, list))
}

/// Whether a column is named as a moment long before its row is known.
pub(super) fn is_earlier(name: &str) -> bool {
    has_word(name, &EARLIER) || words(name).concat().contains("birth")
}

fn name_evidence(name: &str) -> Option<(u32, &'static str)> {
    if is_earlier(name) {
        return None;
    }
    if has_word(name, &LATER) {
        return Some((
            10,
            "a timestamp, though named like one that changes after the row is first known",
        ));
    }
    if has_word(name, &WRITTEN) {
        return Some((100, "named as the moment a row is written"));
    }
    if has_word(name, &MOMENT) {
        return Some((80, "named as a moment"));
    }
    Some((40, "a timestamp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birth_is_no_time_column_and_an_update_the_last_choice() {
        let score = |name| name_evidence(name).map(|(s, _)| s);
        assert_eq!(score("dateOfBirth"), None);
        assert!(score("opened") > score("closed_at"));
        assert!(score("created_at") > score("date"));
        assert!(score("date") > score("season"));
        assert!(score("season") > score("updated_at"));
    }
}
