//! Columns as clients hear of them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow_pg::datatypes::{PG_OID_ALIAS_KEY, arrow_schema_to_pg_fields};
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::error::PgWireResult;

/// The columns of rows that are sent in this format.
pub(crate) fn fields(schema: &Schema, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
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
