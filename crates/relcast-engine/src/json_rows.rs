//! Rows as JSON.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, UInt64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// A row: its cells under the names of their columns, in the order of the columns.
#[derive(Debug, PartialEq)]
pub struct Row(Vec<(String, Value)>);

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, cell)| (name, cell)))
    }
}

/// The name that two columns have, of which an object would keep one.
#[must_use]
pub fn repeated_column(schema: &Schema) -> Option<&str> {
    let mut seen = HashSet::new();
    schema.fields().iter().map(|field| field.name().as_str()).find(|name| !seen.insert(*name))
}

/// The rows, to be told as objects: numbers, booleans and lists as JSON has them, everything else as
/// text.
///
/// # Errors
/// If a cell cannot be read.
pub fn rows_as_json(batches: &[RecordBatch]) -> Result<Vec<Row>, ArrowError> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<Vec<Value>> =
            batch.columns().iter().map(cells_as_json).collect::<Result<_, _>>()?;
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        for _ in 0..batch.num_rows() {
            let schema = batch.schema_ref();
            let names = schema.fields().iter().map(|field| field.name().clone());
            let cells = columns.iter_mut().map(|column| column.next().unwrap_or(Value::Null));
            rows.push(Row(names.zip(cells).collect()));
        }
    }
    Ok(rows)
}

/// Numbers, booleans and lists as JSON has them, everything else as text.
fn cells_as_json(column: &ArrayRef) -> Result<Vec<Value>, ArrowError> {
    let values = match column.data_type() {
        DataType::Null => vec![Value::Null; column.len()],
        DataType::Boolean => column.as_boolean().iter().map(|v| json!(v)).collect(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().iter().map(|v| json!(v)).collect(),
        t if t.is_integer() => {
            let column = cast(column, &DataType::Int64)?;
            column.as_primitive::<Int64Type>().iter().map(|v| json!(v)).collect()
        }
        t if t.is_floating() => {
            let column = cast(column, &DataType::Float64)?;
            column.as_primitive::<Float64Type>().iter().map(|v| json!(v)).collect()
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>().iter();
            lists
                .map(|list| list.map_or(Ok(Value::Null), |l| cells_as_json(&l).map(Value::Array)))
                .collect::<Result<_, _>>()?
        }
        _ => texts(column)?,
    };
    Ok(values)
}

fn texts(column: &ArrayRef) -> Result<Vec<Value>, ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let cell = |row| match column.is_null(row) {
        true => Value::Null,
        false => Value::String(formatter.value(row).to_string()),
    };
    Ok((0..column.len()).map(cell).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Float64Array, Int32Array, ListArray, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    #[test]
    fn rows_keep_their_types_in_json() {
        let lists =
            ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let batch = RecordBatch::try_from_iter([
            ("i", Arc::new(Int32Array::from(vec![Some(-1), None])) as ArrayRef),
            ("f", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
            ("s", Arc::new(StringArray::from(vec![Some("a\"b"), None]))),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000]))),
            ("l", Arc::new(lists)),
        ])
        .unwrap();
        let expected = json!([
            {"i": -1, "f": 0.5, "s": "a\"b", "t": "1970-01-01T00:00:00", "l": [1, null]},
            {"i": null, "f": null, "s": null, "t": "1970-01-01T00:00:01.500", "l": null},
        ]);
        let rows = rows_as_json(&[batch]).unwrap();
        assert_eq!(serde_json::to_value(&rows).unwrap(), expected);
        let text = serde_json::to_string(&rows[0]).unwrap();
        assert!(text.starts_with("{\"i\":-1,\"f\":0.5,\"s\""), "columns keep their order: {text}");
    }
}
