//! What a request sends: JSON, and values in it as literals.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use datafusion::common::ScalarValue;
use relcast_query::ast::Literal;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::HttpError;

/// Bytes that a request may send.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// The body of a request, read from JSON.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        // Pages of other sites can send anything but this without being asked.
        if !is_json(request.headers()) {
            let error = HttpError::new("0A000", "the request is not JSON")
                .with_hint("send it with the header content-type: application/json");
            return Err(error.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let arriving = tokio::time::timeout(ARRIVAL, Bytes::from_request(request, state));
        let bytes = match arriving.await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(rejected)) if rejected.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let message = format!("the request is larger than {MOST_BYTES} bytes");
                let error = HttpError::new("54000", message);
                return Err(error.with_status(StatusCode::PAYLOAD_TOO_LARGE));
            }
            Ok(Err(rejected)) => return Err(HttpError::new("08006", rejected.body_text())),
            Err(_) => {
                let error = HttpError::new("08006", "the request took too long to arrive");
                return Err(error.with_status(StatusCode::REQUEST_TIMEOUT));
            }
        };
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            HttpError::new("22032", format!("the request cannot be read: {error}"))
        })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|text| text.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// A value of SQL; none for a list, an object, or a number that no type holds.
pub(super) fn scalar(value: &Value) -> Option<ScalarValue> {
    match value {
        Value::Null => Some(ScalarValue::Null),
        Value::Bool(value) => Some(ScalarValue::from(*value)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Some(ScalarValue::from(whole)),
            None => number.as_f64().map(ScalarValue::from),
        },
        Value::String(text) => Some(ScalarValue::from(text.as_str())),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A value as a literal of SQL; none for a list or an object.
pub(super) fn literal(value: &Value) -> Option<Literal> {
    match value {
        Value::Null => Some(Literal::Null),
        Value::Bool(value) => Some(Literal::Boolean(*value)),
        Value::Number(number) => Some(Literal::Number(number.to_string())),
        Value::String(text) => Some(Literal::Text(text.clone())),
        Value::Array(_) | Value::Object(_) => None,
    }
}
