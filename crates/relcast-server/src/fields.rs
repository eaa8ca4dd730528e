//! Columns as clients hear of them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow_pg::datatypes::{PG_OID_ALIAS_KEY, arrow_schema_to_pg_fields};
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;

use crate::errors::plain;

/// The columns of rows as clients know them, if the formats asked for are one for all of them, or
/// one for each.
pub(crate) fn fields(schema: &Schema, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
    let columns = schema.fields().len();
    if let Format::Individual(formats) = format
        && formats.len() != columns
    {
        let message = format!(
            "bind message has {} result formats but query has {columns} columns",
            formats.len()
        );
        return Err(plain("08P01", message));
    }
    let fields: Fields = schema.fields().iter().map(told).collect();
    arrow_schema_to_pg_fields(&Schema::new(fields), format, None)
}

/// The catalog marks numbers with what they are oids of, and drivers would take them for names of
/// classes and types; in Postgres, too, such columns are plain numbers.
fn told(field: &FieldRef) -> FieldRef {
    let is_number = *field.data_type() == DataType::Int32;
    match field.metadata().get(PG_OID_ALIAS_KEY) {
        Some(kind) if is_number && kind != "oid" => {
            Arc::new(Field::new(field.name(), DataType::Int32, field.is_nullable()))
        }
        _ => field.clone(),
    }
}
