//! Rows through a cursor: only what is wanted leaves the server.

use arrow::array::RecordBatch;
use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::Decimal128Type;
use futures::TryStreamExt;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgConnection, PgRow, PgValueRef};
use sqlx::{AssertSqlSafe, Connection, Decode, Postgres, Row, ValueRef};
use tokio::sync::mpsc::Sender;

use super::connections::Connections;
use super::errors;
use crate::error::ConnectError;
use crate::remote::{Cells, Gather, Select};

/// Opens a transaction that sees one state of the database and changes nothing. Texts are written
/// in one way only, times are those of UTC, and the cursor is planned for all of its rows.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
     SET LOCAL standard_conforming_strings = on; SET LOCAL TimeZone = 'UTC'; \
     SET LOCAL cursor_tuple_fraction = 1; SELECT pg_catalog.pg_backend_pid()";

/// From 1970 to 2000, where Postgres begins: microseconds.
const YEAR_2000: i64 = 946_684_800_000_000;

/// How a connection is left.
enum Left {
    AtRest,
    /// Rows are still to come that nobody wants.
    Amid,
}

/// Sends the rows of `select`; see [`Driver::read`](crate::remote::Driver::read).
pub(super) async fn read(
    connections: &Connections,
    place: &str,
    select: &Select,
    output: &Sender<RecordBatch>,
) -> Result<(), ConnectError> {
    let mut lease = connections.take().await?;
    let backend = begin(&mut lease.connection).await;
    let backend = backend.map_err(|error| errors::failed(place, &error))?;
    let left = tokio::select! {
        biased;
        left = send_rows(&mut lease.connection, place, select, output) => left?,
        () = output.closed() => Left::Amid,
    };
    match left {
        Left::AtRest => {
            if sqlx::raw_sql("ROLLBACK").execute(&mut lease.connection).await.is_ok() {
                connections.give_back(lease);
            }
        }
        Left::Amid => cancel(connections, backend).await,
    }
    Ok(())
}

/// Opens the transaction and gives the number of the server's process.
async fn begin(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql(BEGIN).fetch_one(connection).await?.try_get(0)
}

/// Stops what a process of the server does. Its own connection cannot tell it: it listens to nothing
/// until it is done.
async fn cancel(connections: &Connections, backend: i32) {
    let cancelled = async {
        let mut other = connections.connect().await?;
        let query = sqlx::query::<Postgres>("SELECT pg_catalog.pg_cancel_backend($1)");
        let told = query.bind(backend).persistent(false).execute(&mut other).await;
        // It has told what it had to.
        let _ = other.close().await;
        told.map_err(|error| errors::failed("the query", &error))
    };
    if let Err(error) = cancelled.await {
        tracing::debug!("a query goes on that nobody waits for: {error}");
    }
}

async fn send_rows(
    connection: &mut PgConnection,
    place: &str,
    select: &Select,
    output: &Sender<RecordBatch>,
) -> Result<Left, ConnectError> {
    let failed = |error: sqlx::Error| errors::failed(place, &error);
    let declare = format!("DECLARE relcast NO SCROLL CURSOR FOR {}", select.sql());
    let mut query = sqlx::query::<Postgres>(AssertSqlSafe(declare)).persistent(false);
    for text in &select.parameters {
        query = query.bind(text.as_str());
    }
    query.execute(&mut *connection).await.map_err(failed)?;
    let fetch = format!("FETCH FORWARD {} FROM relcast", select.batch_rows);
    let mut gather = Gather::new(select);
    loop {
        let mut fetched = 0;
        let query = sqlx::query::<Postgres>(AssertSqlSafe(fetch.clone())).persistent(false);
        let mut rows = query.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            fetched += 1;
            add(&mut gather, &row, select, place)?;
            if gather.is_full() && output.send(gather.finish()?).await.is_err() {
                return Ok(Left::Amid);
            }
        }
        drop(rows);
        let unwanted = gather.rows() > 0 && output.send(gather.finish()?).await.is_err();
        if unwanted || fetched < select.batch_rows {
            return Ok(Left::AtRest);
        }
    }
}

/// Adds a row to those gathered.
fn add(gather: &mut Gather, row: &PgRow, select: &Select, place: &str) -> Result<(), ConnectError> {
    gather.row(&select.columns, |index, column, cells| {
        let bytes = row.try_get_raw(index).map_err(Into::into).and_then(|v| append(cells, v));
        bytes.map_err(|reason| ConnectError::Source {
            place: place.to_owned(),
            reason: format!("column \"{}\": {reason}", column.name),
            hint: Some("read it through a view that says what it is to be, or leave it out"),
        })
    })
}

/// Adds a cell, and gives its bytes.
fn append(cells: &mut Cells, value: PgValueRef<'_>) -> Result<usize, BoxDynError> {
    if value.is_null() {
        cells.append_null();
        return Ok(0);
    }
    let bytes = value.as_bytes()?.len();
    match cells {
        Cells::Boolean(cells) => cells.append_value(decoded(value)?),
        Cells::Int16(cells) => cells.append_value(decoded(value)?),
        Cells::Int32(cells) => cells.append_value(decoded(value)?),
        Cells::Int64(cells) => cells.append_value(decoded(value)?),
        Cells::Float32(cells) => cells.append_value(decoded(value)?),
        Cells::Float64(cells) => cells.append_value(decoded(value)?),
        Cells::Decimal(cells, precision, scale) => {
            let text: &str = decoded(value)?;
            let number = parse_decimal::<Decimal128Type>(text, *precision, *scale);
            cells.append_value(number.map_err(|_| format!("{text} is no decimal number"))?);
        }
        Cells::Time(cells) => cells.append_value(micros(decoded(value)?)?),
        Cells::Text(cells) => cells.append_value(decoded::<&str>(value)?),
        Cells::Bytes(cells) => cells.append_value(decoded::<&[u8]>(value)?),
        Cells::Texts(cells) => cells.append_value(decoded::<Vec<Option<String>>>(value)?),
        Cells::Ints(cells) => cells.append_value(decoded::<Vec<Option<i64>>>(value)?),
        Cells::Floats(cells) => cells.append_value(decoded::<Vec<Option<f64>>>(value)?),
    }
    Ok(bytes)
}

fn decoded<'r, T: Decode<'r, Postgres>>(value: PgValueRef<'r>) -> Result<T, BoxDynError> {
    T::decode(value)
}

/// A time of Postgres as microseconds since 1970.
fn micros(since_2000: i64) -> Result<i64, BoxDynError> {
    if matches!(since_2000, i64::MAX | i64::MIN) {
        let sign = if since_2000 < 0 { "-" } else { "" };
        return Err(format!("{sign}infinity is no moment").into());
    }
    let micros = since_2000.checked_add(YEAR_2000);
    micros.ok_or_else(|| "a time after the year 294246".into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_begin_in_1970() {
        assert_eq!(micros(-YEAR_2000).unwrap(), 0);
        for (time, told) in
            [(i64::MAX, "infinity"), (i64::MIN, "-infinity"), (i64::MAX - 1, "294246")]
        {
            assert!(micros(time).unwrap_err().to_string().contains(told));
        }
    }
}
