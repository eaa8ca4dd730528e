//! Nested values as JSON text, for targets whose cells are flat.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, UInt64Type};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The batch with every list, map and struct column as JSON text; other columns are untouched.
///
/// # Errors
/// If a cell cannot be read.
pub fn flattened(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !field.data_type().is_nested() {
            fields.push(field.clone());
            columns.push(column.clone());
            continue;
        }
        let texts: StringArray = (0..column.len())
            .map(|row| Ok((!column.is_null(row)).then_some(value(column, row)?.to_string())))
            .collect::<Result<_, ArrowError>>()?;
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        columns.push(Arc::new(texts));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// One cell as JSON. A float that is no number is null; a type JSON doesn't have is a string.
fn value(array: &dyn Array, row: usize) -> Result<Value, ArrowError> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        data_type if data_type.is_signed_integer() => cast(&array.slice(row, 1), &DataType::Int64)?
            .as_primitive::<Int64Type>()
            .value(0)
            .into(),
        data_type if data_type.is_unsigned_integer() => {
            cast(&array.slice(row, 1), &DataType::UInt64)?
                .as_primitive::<UInt64Type>()
                .value(0)
                .into()
        }
        data_type if data_type.is_floating() => cast(&array.slice(row, 1), &DataType::Float64)?
            .as_primitive::<Float64Type>()
            .value(0)
            .into(),
        DataType::List(_) => list(&array.as_list::<i32>().value(row))?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row))?,
        DataType::FixedSizeList(_, _) => list(&array.as_fixed_size_list().value(row))?,
        DataType::Struct(_) => {
            let fields = array.as_struct();
            let mut object = Map::new();
            for (name, column) in fields.column_names().into_iter().zip(fields.columns()) {
                object.insert(name.to_owned(), value(column, row)?);
            }
            Value::Object(object)
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let mut object = Map::new();
            for entry in 0..entries.len() {
                let name = array_value_to_string(entries.column(0), entry)?;
                object.insert(name, value(entries.column(1), entry)?);
            }
            Value::Object(object)
        }
        _ => Value::String(array_value_to_string(array, row)?),
    })
}

fn list(items: &dyn Array) -> Result<Value, ArrowError> {
    (0..items.len()).map(|item| value(items, item)).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow::array::ListArray;

    #[test]
    fn lists_become_json_and_null_stays_null() {
        let lists =
            ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let field = Field::new("l", lists.data_type().clone(), true);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(lists)])
            .unwrap();
        let flat = flattened(&batch).unwrap();
        let texts: Vec<_> = flat.column(0).as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("[1,null]"), None]);
    }
}
