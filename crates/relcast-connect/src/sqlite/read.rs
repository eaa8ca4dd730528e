//! Rows of a SQLite file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use chrono::Utc;
use futures::TryStreamExt;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteValueRef};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Decode, Row, Sqlite, TypeInfo, ValueRef};
use tokio::sync::mpsc::Sender;

use crate::error::ConnectError;
use crate::remote::{Cells, Gather, Select};

/// Steps of SQLite's machine between two looks at whether anybody still waits.
const STEPS: i32 = 10_000;

/// A file that is open for reading; what it does stops when this is dropped.
pub(super) struct Opened {
    pub(super) connection: SqliteConnection,
    _stop: Stop,
}

/// Says so when it is dropped.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Opens a file that is there; nothing is written to it.
pub(super) async fn open(file: &Path) -> Result<Opened, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    // Statements hold values of the data: they are not for the log.
    let options = options.disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Stop(stopped.clone());
    let mut handle = connection.lock_handle().await?;
    handle.set_progress_handler(STEPS, move || !stopped.load(Ordering::Relaxed));
    drop(handle);
    Ok(Opened { connection, _stop: stop })
}

/// Sends the rows of `select`; see [`Driver::read`](crate::remote::Driver::read).
pub(super) async fn send_rows(
    connection: &mut SqliteConnection,
    place: &str,
    failed: impl Fn(sqlx::Error) -> ConnectError,
    select: &Select,
    output: &Sender<RecordBatch>,
) -> Result<(), ConnectError> {
    let query = sqlx::query::<Sqlite>(AssertSqlSafe(select.sql()));
    let mut rows = query.fetch(connection);
    let mut gather = Gather::new(select);
    while let Some(row) = rows.try_next().await.map_err(&failed)? {
        add(&mut gather, &row, select, place)?;
        let enough = gather.is_full() || gather.rows() >= select.batch_rows;
        if enough && output.send(gather.finish()?).await.is_err() {
            return Ok(());
        }
    }
    if gather.rows() > 0 {
        // Nobody waits any more: that is as good an end.
        let _ = output.send(gather.finish()?).await;
    }
    Ok(())
}

/// Adds a row to those gathered.
fn add(
    gather: &mut Gather,
    row: &SqliteRow,
    select: &Select,
    place: &str,
) -> Result<(), ConnectError> {
    gather.row(&select.columns, |index, column, cells| {
        let bytes = row.try_get_raw(index).map_err(Into::into).and_then(|v| append(cells, v));
        bytes.map_err(|reason| ConnectError::Source {
            place: place.to_owned(),
            reason: format!("column \"{}\": {reason}", column.name),
            hint: Some("correct it, read it through a view, or leave the column out"),
        })
    })
}

/// Adds a cell, and gives its bytes.
fn append(cells: &mut Cells, value: SqliteValueRef<'_>) -> Result<usize, BoxDynError> {
    if value.is_null() {
        cells.append_null();
        return Ok(0);
    }
    let kind = Kind::of(&value);
    match (cells, kind) {
        (Cells::Boolean(cells), Kind::Whole) => match decoded(value)? {
            0i64 => cells.append_value(false),
            1 => cells.append_value(true),
            other => return Err(format!("{other} is no boolean, which is 0 or 1").into()),
        },
        (Cells::Int64(cells), Kind::Whole) => cells.append_value(decoded(value)?),
        (Cells::Float64(cells), Kind::Whole) => {
            let whole: i64 = decoded(value)?;
            cells.append_value(whole as f64);
        }
        (Cells::Float64(cells), Kind::Real) => cells.append_value(decoded(value)?),
        (Cells::Time(cells), Kind::Text) => {
            let text: &str = decoded(value)?;
            let time = string_to_datetime(&Utc, text);
            let time = time.map_err(|_| "a text is no date and no moment as ISO 8601 writes it")?;
            cells.append_value(time.timestamp_micros());
        }
        (Cells::Text(cells), Kind::Text) => {
            let text: &str = decoded(value)?;
            cells.append_value(text);
            return Ok(text.len());
        }
        (Cells::Bytes(cells), Kind::Blob) => {
            let bytes: &[u8] = decoded(value)?;
            cells.append_value(bytes);
            return Ok(bytes.len());
        }
        (cells, kind) => {
            return Err(format!("{} stands where {} belongs", kind.told(), wanted(cells)).into());
        }
    }
    Ok(size_of::<i64>())
}

/// What SQLite keeps, whatever the column was declared to hold.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Whole,
    Real,
    Text,
    Blob,
}

impl Kind {
    fn of(value: &SqliteValueRef<'_>) -> Self {
        match value.type_info().name() {
            "INTEGER" => Self::Whole,
            "REAL" => Self::Real,
            "TEXT" => Self::Text,
            _ => Self::Blob,
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Whole => "a whole number",
            Self::Real => "a real number",
            Self::Text => "a text",
            Self::Blob => "a blob",
        }
    }
}

fn wanted(cells: &Cells) -> &'static str {
    match cells {
        Cells::Boolean(_) => "a boolean (0 or 1)",
        Cells::Int64(_) => "a whole number",
        Cells::Float64(_) => "a number",
        Cells::Time(_) => "a date or a moment as text",
        Cells::Bytes(_) => "a blob",
        _ => "a text",
    }
}

fn decoded<'r, T: Decode<'r, Sqlite>>(value: SqliteValueRef<'r>) -> Result<T, BoxDynError> {
    T::decode(value)
}
