//! The few column types that the rest of relcast meets.
//!
//! Every timestamp and date becomes `Timestamp(Microsecond, None)` in UTC, every kind of string
//! becomes `Utf8`, a dictionary becomes its values, a decimal becomes `Int64` where it has no
//! fraction and fits, else `Float64`. Other types stay as they are.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::logical_expr::{Expr, ExprSchemable, cast};
use datafusion::prelude::{Column, DataFrame};

use crate::error::ConnectError;

/// The type that a column of type `from` has in the session.
pub(crate) fn normalised(from: &DataType) -> DataType {
    match from {
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8,
        DataType::Dictionary(_, values) => normalised(values),
        DataType::Decimal32(precision, 0)
        | DataType::Decimal64(precision, 0)
        | DataType::Decimal128(precision, 0)
        | DataType::Decimal256(precision, 0)
            if *precision <= 18 =>
        {
            DataType::Int64
        }
        DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => DataType::Float64,
        DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(normalised_item(item))
        }
        DataType::List(item) => DataType::List(normalised_item(item)),
        other => other.clone(),
    }
}

/// Selects all columns of `frame` under their own names, cast to their normalised types, or to those
/// that their values allow where `by_values` says so.
pub(crate) fn normalised_frame(
    frame: DataFrame,
    by_values: &BTreeMap<String, DataType>,
) -> Result<DataFrame, ConnectError> {
    let schema = frame.schema().clone();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (qualifier, field) in schema.iter() {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let to = by_values.get(field.name()).cloned();
        let to = to.unwrap_or_else(|| normalised(field.data_type()));
        let expr = if &to == field.data_type() {
            column
        } else if let DataType::Timestamp(_, Some(_)) = field.data_type() {
            // Through UTC, so that a zone can never shift the instant.
            let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
            cast(column.cast_to(&utc, &schema)?, to)
        } else {
            column.cast_to(&to, &schema)?
        };
        columns.push(expr.alias(field.name()));
    }
    Ok(frame.select(columns)?)
}

fn normalised_item(item: &FieldRef) -> FieldRef {
    Field::new(item.name(), normalised(item.data_type()), true).into()
}
