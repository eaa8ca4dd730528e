//! Rows as an answer: JSON, or a stream of Arrow.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use axum::BoxError;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use futures::stream;
use relcast_engine::{Row, repeated_column, rows_as_json};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::HttpError;
use super::run::Running;

/// Asks for Arrow.
pub(super) const ARROW: &str = "application/vnd.apache.arrow.stream";
/// Rows of one answer in JSON, which is held in memory; Arrow is sent as it is computed.
const MOST_ROWS: usize = 100_000;

/// Writes Arrow into a buffer that is emptied with every chunk.
type Writer = StreamWriter<Vec<u8>>;

/// The rows of an answer in JSON.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rows {
    /// The columns in their order.
    columns: Vec<Column>,
    /// Each row as an object whose members have the names of the columns, in their order. Times
    /// are texts in UTC.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Row>,
    /// What happened meanwhile.
    notices: Vec<String>,
}

/// A column of the rows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Column {
    name: String,
    /// Its type as Arrow names it.
    #[serde(rename = "type")]
    data_type: String,
}

/// Whether the client would rather have Arrow than JSON.
pub(super) fn wants_arrow(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|text| text.split(','));
    kinds.any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(ARROW))
}

/// A moment (microseconds, UTC) as the rows write it.
pub(super) fn moment(micros: i64) -> String {
    let time = DateTime::from_timestamp_micros(micros);
    time.map_or_else(|| micros.to_string(), |time| format!("{:?}", time.naive_utc()))
}

impl Running {
    /// Until when the data of the predictions go, where the rows say so: microseconds, UTC.
    pub(super) fn data_until(&self) -> Option<i64> {
        let column = self.first()?.column_by_name("data_until")?;
        let times = column.as_primitive_opt::<TimestampMicrosecondType>()?;
        (!times.is_empty() && times.is_valid(0)).then(|| times.value(0))
    }

    /// All rows, to be told as JSON.
    pub(super) async fn collect(mut self) -> Result<Rows, HttpError> {
        if let Some(name) = repeated_column(&self.schema) {
            let message =
                format!("two columns have the name \"{name}\", and JSON keeps one of them");
            let hint = format!("rename one with AS, or send the header accept: {ARROW}");
            return Err(HttpError::new("42701", message).with_hint(hint));
        }
        let columns = self.schema.fields().iter().map(|field| Column {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
        });
        let (columns, mut rows) = (columns.collect(), Vec::new());
        while let Some(batch) = self.next().await? {
            if rows.len() + batch.num_rows() > MOST_ROWS {
                let message = format!("an answer in JSON has at most {MOST_ROWS} rows");
                let hint = format!("add a LIMIT, or send the header accept: {ARROW}");
                return Err(HttpError::new("54000", message).with_hint(hint));
            }
            rows.extend(rows_as_json(&[batch]).map_err(|error| failed(&error))?);
        }
        Ok(Rows { columns, rows, notices: self.notices() })
    }

    /// The rows as a stream of Arrow, sent as they are computed; the schema carries `about`.
    pub(super) fn stream(self, about: &[(&str, String)]) -> Result<Response, HttpError> {
        let writer = Writer::try_new(Vec::new(), &described(&self.schema, about));
        let writer = Some(writer.map_err(|error| failed(&error))?);
        let chunks = stream::try_unfold((self, writer), |(rows, writer)| async move {
            let Some(writer) = writer else { return Ok(None) };
            let sent = next_chunk(rows, writer).await;
            // The client sees no more than that the stream breaks off.
            sent.map(Some).inspect_err(|error| tracing::warn!(%error, "an answer broke off"))
        });
        Ok(([(header::CONTENT_TYPE, ARROW)], Body::from_stream(chunks)).into_response())
    }
}

/// The bytes of the next rows, and what comes after them; no writer after the end.
async fn next_chunk(
    mut rows: Running,
    mut writer: Writer,
) -> Result<(Vec<u8>, (Running, Option<Writer>)), BoxError> {
    let batch = rows.next().await?;
    match &batch {
        Some(batch) => writer.write(batch)?,
        None => writer.finish()?,
    }
    let bytes = std::mem::take(writer.get_mut());
    Ok((bytes, (rows, batch.is_some().then_some(writer))))
}

fn described(schema: &SchemaRef, about: &[(&str, String)]) -> Schema {
    let about = about.iter().map(|(name, text)| (format!("relcast.{name}"), text.clone()));
    let metadata = schema.metadata().clone().into_iter().chain(about).collect();
    Schema::new_with_metadata(schema.fields().clone(), metadata)
}

fn failed(error: &ArrowError) -> HttpError {
    HttpError::new("XX000", format!("cannot tell the rows: {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arrow_is_sent_to_who_asks_for_it() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            wants_arrow(&headers)
        };
        assert!(wants(ARROW) && wants(&format!("application/json;q=0.5, {ARROW};q=1")));
        assert!(!wants("*/*") && !wants("application/json") && !wants_arrow(&HeaderMap::new()));
    }

    #[test]
    fn a_moment_is_written_as_in_rows() {
        assert_eq!(moment(0), "1970-01-01T00:00:00");
        assert_eq!(moment(1_500_000), "1970-01-01T00:00:01.500");
    }
}
