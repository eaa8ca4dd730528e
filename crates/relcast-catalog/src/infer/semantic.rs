//! Semantic types: what a column means, from its type, its name and its counts.

use arrow::datatypes::DataType;

use super::Inferred;
use crate::names::words;
use crate::schema::{Column, SemanticType};
use crate::statistics::ColumnStatistics;

/// Up to this many distinct values make a category outright.
const FEW: u64 = 1_000;
/// Beyond this many distinct values nothing is a category.
const MANY: u64 = 50_000;
/// Endings of names that say "a code, not a quantity".
const CODE_WORDS: [&str; 15] = [
    "id", "key", "code", "type", "status", "kind", "category", "class", "group", "flag", "upc",
    "sku", "ean", "zip", "postcode",
];

/// What a column that is no key means; `rows` is the number of rows that were counted.
///
/// Without rows the type alone decides.
pub(crate) fn semantic_type(
    column: &Column,
    rows: u64,
    counts: &ColumnStatistics,
) -> Inferred<SemanticType> {
    if counts.is_empty(rows) {
        return because(SemanticType::Ignored, "every value is NULL");
    }
    if counts.is_constant(rows) && rows > 1 {
        return because(SemanticType::Ignored, "every row has the same value");
    }
    match &column.data_type {
        DataType::Timestamp(_, _) => because(SemanticType::Timestamp, "a timestamp"),
        DataType::Boolean => because(SemanticType::Boolean, "true or false"),
        t if t.is_floating() => because(SemanticType::Numerical, "a number with a fraction"),
        t if t.is_integer() => integer(column, counts),
        DataType::Utf8 => text(counts),
        DataType::List(item) | DataType::FixedSizeList(item, _)
            if item.data_type().is_floating() =>
        {
            because(SemanticType::Embedding, "lists of floats")
        }
        list if holds_moments(list) => {
            because(SemanticType::Ignored, "nothing reads moments in lists")
        }
        DataType::List(_) => because(SemanticType::Multicategorical, "lists of values"),
        other => because(SemanticType::Ignored, &format!("nothing reads {other}")),
    }
}

/// Whether a column of this type can be read as `semantic`; `Err` says what it needs.
pub(crate) fn fits(semantic: SemanticType, data_type: &DataType) -> Result<(), &'static str> {
    let is_list = matches!(data_type, DataType::List(_) | DataType::FixedSizeList(_, _));
    let fits = match semantic {
        SemanticType::Numerical => data_type.is_numeric() || data_type == &DataType::Boolean,
        SemanticType::Timestamp => matches!(data_type, DataType::Timestamp(_, _)),
        SemanticType::Text => data_type == &DataType::Utf8,
        SemanticType::Boolean => data_type == &DataType::Boolean || data_type.is_integer(),
        SemanticType::Embedding => is_list,
        // A moment may lie ahead: only as a timestamp is it held back until it has come.
        SemanticType::Multicategorical => is_list && !holds_moments(data_type),
        SemanticType::Categorical => !is_list && !holds_moments(data_type),
        SemanticType::Key | SemanticType::Ignored => true,
    };
    if fits {
        return Ok(());
    }
    Err(match semantic {
        SemanticType::Numerical => "it needs a number",
        SemanticType::Timestamp => "it needs a timestamp or date; convert the column in the source",
        SemanticType::Text => "it needs text",
        SemanticType::Boolean => "it needs true or false, or 0 and 1",
        _ if holds_moments(data_type) => {
            "a moment can be read as timestamp only: it may lie ahead of what is known"
        }
        _ => "it needs another type",
    })
}

fn holds_moments(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::FixedSizeList(item, _) => holds_moments(item.data_type()),
        other => matches!(other, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64),
    }
}

fn because(value: SemanticType, evidence: &str) -> Inferred<SemanticType> {
    Inferred { value, evidence: evidence.to_owned() }
}

/// Whether few values stand for many rows.
fn is_repeated(distinct: u64, non_null: u64) -> bool {
    (distinct <= FEW && distinct * 2 <= non_null) || (distinct <= MANY && distinct * 20 <= non_null)
}

fn integer(column: &Column, counts: &ColumnStatistics) -> Inferred<SemanticType> {
    let is_code = words(&column.name).last().is_some_and(|w| CODE_WORDS.contains(&w.as_str()));
    let Some(distinct) = counts.distinct.filter(|_| is_code && counts.non_null > 0) else {
        return because(SemanticType::Numerical, "a whole number");
    };
    // A code names a thing even where only a few rows share it.
    if is_repeated(distinct, counts.non_null)
        || (distinct <= MANY && distinct * 5 <= counts.non_null)
    {
        return because(
            SemanticType::Categorical,
            &format!("{distinct} distinct values, named as a code"),
        );
    }
    because(
        SemanticType::Ignored,
        &format!(
            "{distinct} distinct values in {} rows, named as a code: an identifier",
            counts.non_null
        ),
    )
}

fn text(counts: &ColumnStatistics) -> Inferred<SemanticType> {
    let Some(distinct) = counts.distinct.filter(|_| counts.non_null > 0) else {
        return because(SemanticType::Text, "strings");
    };
    let is_prose = counts.mean_length >= 30.0 && counts.spaced >= 0.5 && distinct > 50;
    if !is_prose && is_repeated(distinct, counts.non_null) {
        return because(
            SemanticType::Categorical,
            &format!("{distinct} distinct strings in {} rows", counts.non_null),
        );
    }
    because(
        SemanticType::Text,
        &format!("{distinct} distinct strings of {:.0} bytes on average", counts.mean_length),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, data_type: DataType) -> Column {
        Column {
            name: name.to_owned(),
            data_type,
            semantic: SemanticType::Ignored,
            planned: false,
            known_from: None,
        }
    }

    fn counts(non_null: u64, distinct: u64, mean_length: f64, spaced: f64) -> ColumnStatistics {
        ColumnStatistics { non_null, distinct: Some(distinct), mean_length, spaced }
    }

    #[test]
    fn integers_are_quantities_unless_named_as_codes() {
        let of = |name: &str, distinct| {
            semantic_type(&column(name, DataType::Int64), 1000, &counts(1000, distinct, 0.0, 0.0))
                .value
        };
        assert_eq!(of("points", 12), SemanticType::Numerical);
        assert_eq!(of("stateId", 12), SemanticType::Categorical);
        assert_eq!(of("session_id", 990), SemanticType::Ignored);
        assert_eq!(of("points", 1), SemanticType::Ignored);
    }

    #[test]
    fn strings_are_categories_or_text() {
        let of = |distinct, length, spaced| {
            semantic_type(
                &column("s", DataType::Utf8),
                1000,
                &counts(1000, distinct, length, spaced),
            )
            .value
        };
        assert_eq!(of(12, 8.0, 0.1), SemanticType::Categorical);
        assert_eq!(of(400, 80.0, 0.9), SemanticType::Text);
        assert_eq!(of(990, 8.0, 0.0), SemanticType::Text);
    }

    #[test]
    fn without_rows_the_type_decides() {
        let none = ColumnStatistics { distinct: Some(0), ..ColumnStatistics::default() };
        let of = |name, t| semantic_type(&column(name, t), 0, &none).value;
        assert_eq!(of("a", DataType::Utf8), SemanticType::Text);
        assert_eq!(of("b", DataType::Int64), SemanticType::Numerical);
        assert_eq!(of("c", DataType::Float64), SemanticType::Numerical);
    }
}
