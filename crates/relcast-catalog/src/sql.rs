//! Small pieces of SQL, and the one row that an aggregate query gives.

use std::collections::HashMap;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

/// A name as SQL writes it, whatever it holds.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The condition that a foreign key cell equals a primary key cell.
///
/// `left` and `right` are SQL expressions with their types. Where one is a number and the other
/// is text, or one is a float, both are compared as the text of a whole number.
#[must_use]
pub fn key_equality(left: (&str, &DataType), right: (&str, &DataType)) -> String {
    if key_kind(left.1) == key_kind(right.1) {
        format!("{} = {}", left.0, right.0)
    } else {
        format!("{} = {}", key_text(left.0, left.1), key_text(right.0, right.1))
    }
}

/// Types whose cells are compared as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Integer,
    Float,
    Text,
    Other,
}

pub(crate) fn key_kind(data_type: &DataType) -> KeyKind {
    match data_type {
        t if t.is_integer() => KeyKind::Integer,
        t if t.is_floating() => KeyKind::Float,
        DataType::Utf8 => KeyKind::Text,
        _ => KeyKind::Other,
    }
}

/// A key cell as text; a float that is no whole number gives NULL.
fn key_text(expression: &str, data_type: &DataType) -> String {
    match key_kind(data_type) {
        KeyKind::Text => expression.to_owned(),
        KeyKind::Float => format!(
            "CASE WHEN {expression} = floor({expression}) THEN CAST(TRY_CAST({expression} AS BIGINT) AS VARCHAR) END"
        ),
        _ => format!("CAST({expression} AS VARCHAR)"),
    }
}

/// The single row of an aggregate query, by column name.
pub(crate) struct AggregateRow {
    integers: HashMap<String, i64>,
    floats: HashMap<String, f64>,
}

impl AggregateRow {
    /// Runs `sql`; cells that are NULL or no numbers are absent.
    pub(crate) async fn query(
        context: &SessionContext,
        sql: &str,
    ) -> Result<Self, DataFusionError> {
        let mut row = AggregateRow { integers: HashMap::new(), floats: HashMap::new() };
        for batch in context.sql(sql).await?.collect().await? {
            if batch.num_rows() == 0 {
                continue;
            }
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                if column.is_null(0) {
                    continue;
                }
                if field.data_type().is_floating() {
                    let value =
                        cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().value(0);
                    row.floats.insert(field.name().clone(), value);
                } else {
                    let value =
                        cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().value(0);
                    row.integers.insert(field.name().clone(), value);
                }
            }
        }
        Ok(row)
    }

    /// A whole number or a time in microseconds.
    pub(crate) fn find_integer(&self, name: &str) -> Option<i64> {
        self.integers.get(name).copied()
    }

    /// A count; 0 where the cell is NULL.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.find_integer(name).and_then(|v| u64::try_from(v).ok()).unwrap_or(0)
    }

    /// A float, or a whole number as a float.
    pub(crate) fn find_float(&self, name: &str) -> Option<f64> {
        self.floats.get(name).copied().or_else(|| self.find_integer(name).map(|v| v as f64))
    }
}
