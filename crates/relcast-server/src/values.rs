//! The values of parameters, as clients send them: each of the type that was agreed on.

use arrow::datatypes::{DataType, Date32Type, TimeUnit};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::common::ScalarValue;
use pgwire::api::Type;
use pgwire::api::portal::Portal;
use pgwire::error::PgWireResult;
use rust_decimal::Decimal;

use crate::errors::plain;

/// A NULL of the type; none for a type that no parameter may have.
pub(crate) fn null(of: &Type) -> Option<ScalarValue> {
    let list = |of: DataType| DataType::new_list(of, true);
    let data_type = match *of {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 | Type::NUMERIC => DataType::Float64,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::DATE => DataType::Date32,
        Type::BYTEA => DataType::Binary,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => DataType::Utf8,
        Type::BOOL_ARRAY => list(DataType::Boolean),
        Type::INT2_ARRAY => list(DataType::Int16),
        Type::INT4_ARRAY => list(DataType::Int32),
        Type::INT8_ARRAY => list(DataType::Int64),
        Type::FLOAT4_ARRAY => list(DataType::Float32),
        Type::FLOAT8_ARRAY => list(DataType::Float64),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY => list(DataType::Utf8),
        _ => return None,
    };
    ScalarValue::try_from(&data_type).ok()
}

/// The value of parameter `i`, counted from 0, which is `of` this type.
pub(crate) fn value<S: Clone>(
    portal: &Portal<S>,
    i: usize,
    of: &Type,
) -> PgWireResult<ScalarValue> {
    Ok(match *of {
        Type::BOOL => ScalarValue::Boolean(portal.parameter::<bool>(i, of)?),
        Type::INT2 => ScalarValue::Int16(portal.parameter::<i16>(i, of)?),
        Type::INT4 => ScalarValue::Int32(portal.parameter::<i32>(i, of)?),
        Type::INT8 => ScalarValue::Int64(portal.parameter::<i64>(i, of)?),
        Type::OID => ScalarValue::Int64(portal.parameter::<u32>(i, of)?.map(i64::from)),
        Type::FLOAT4 => ScalarValue::Float32(portal.parameter::<f32>(i, of)?),
        Type::FLOAT8 => ScalarValue::Float64(portal.parameter::<f64>(i, of)?),
        Type::NUMERIC => number(portal.parameter::<Decimal>(i, of)?),
        // Clients that send text may leave the time of the day out.
        Type::TIMESTAMP => match portal.parameter::<NaiveDateTime>(i, of) {
            Ok(time) => moment(time),
            Err(error) => match portal.parameter::<NaiveDate>(i, &Type::DATE) {
                Ok(date) => moment(date.map(|date| date.and_time(NaiveTime::MIN))),
                Err(_) => return Err(error),
            },
        },
        Type::TIMESTAMPTZ => {
            let time = portal.parameter::<DateTime<FixedOffset>>(i, of)?;
            moment(time.map(|time| time.naive_utc()))
        }
        Type::DATE => {
            let date = portal.parameter::<NaiveDate>(i, of)?;
            ScalarValue::Date32(date.map(Date32Type::from_naive_date))
        }
        Type::BYTEA => ScalarValue::Binary(portal.parameter::<Vec<u8>>(i, of)?),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            ScalarValue::Utf8(text(portal, i)?)
        }
        Type::BOOL_ARRAY => list(portal.parameter::<Vec<Option<bool>>>(i, of)?, DataType::Boolean),
        Type::INT2_ARRAY => list(portal.parameter::<Vec<Option<i16>>>(i, of)?, DataType::Int16),
        Type::INT4_ARRAY => list(portal.parameter::<Vec<Option<i32>>>(i, of)?, DataType::Int32),
        Type::INT8_ARRAY => list(portal.parameter::<Vec<Option<i64>>>(i, of)?, DataType::Int64),
        Type::FLOAT4_ARRAY => list(portal.parameter::<Vec<Option<f32>>>(i, of)?, DataType::Float32),
        Type::FLOAT8_ARRAY => list(portal.parameter::<Vec<Option<f64>>>(i, of)?, DataType::Float64),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY => {
            list(portal.parameter::<Vec<Option<String>>>(i, of)?, DataType::Utf8)
        }
        ref other => {
            let message =
                format!("parameter ${} has the type {other}, which is not known here", i + 1);
            return Err(plain("0A000", message));
        }
    })
}

/// A text, as it stands: what reads texts in pgwire takes two quotes for one.
fn text<S>(portal: &Portal<S>, i: usize) -> PgWireResult<Option<String>> {
    let Some(bytes) = portal.parameters.get(i).and_then(Option::as_ref) else { return Ok(None) };
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(plain("22021", format!("parameter ${} is no text in UTF-8", i + 1))),
    }
}

/// A number as SQL reads it where it is written: a whole one, or a float.
fn number(value: Option<Decimal>) -> ScalarValue {
    let Some(text) = value.map(|value| value.to_string()) else {
        return ScalarValue::Float64(None);
    };
    match text.parse::<i64>() {
        Ok(whole) => ScalarValue::from(whole),
        Err(_) => ScalarValue::Float64(text.parse().ok()),
    }
}

/// A time in UTC.
fn moment(time: Option<NaiveDateTime>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(time.map(|time| time.and_utc().timestamp_micros()), None)
}

fn list<T>(values: Option<Vec<Option<T>>>, of: DataType) -> ScalarValue
where
    ScalarValue: From<Option<T>>,
{
    match values {
        Some(values) => {
            let values: Vec<ScalarValue> = values.into_iter().map(ScalarValue::from).collect();
            ScalarValue::List(ScalarValue::new_list_nullable(&values, &of))
        }
        None => ScalarValue::new_null_list(of, true, 1),
    }
}
