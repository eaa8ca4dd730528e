//! A SQLite table as a target.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, UInt64Type};
use arrow::util::display::array_value_to_string;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions};
use sqlx::{AssertSqlSafe, Connection, Sqlite, SqliteConnection};

use crate::remote::quoted;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// SQLite's limit on values bound in one statement.
const MAX_VALUES: usize = 32_766;
/// Rows of one INSERT at most: longer statements aren't faster.
const MAX_ROWS: usize = 256;

/// Makes `table` anew with the columns and rows of `batches`, in one transaction.
///
/// The batches share one schema without nested columns. A database file that this call created
/// is removed again on failure.
pub(crate) async fn replace_table(
    file: &Path,
    table: &str,
    batches: &[RecordBatch],
) -> Result<(), Failure> {
    let existed = file.exists();
    let result = write_table(file, table, batches).await;
    if result.is_err() && !existed {
        let mut journal = file.as_os_str().to_owned();
        journal.push("-journal");
        for left in [file, Path::new(&journal)].into_iter().filter(|left| left.is_file()) {
            std::fs::remove_file(left)?;
        }
    }
    result
}

async fn write_table(file: &Path, table: &str, batches: &[RecordBatch]) -> Result<(), Failure> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let result = in_transaction(&mut connection, table, batches).await;
    // Waits until a transaction that was given up is rolled back and its journal gone.
    let closed = connection.close().await;
    result?;
    Ok(closed?)
}

async fn in_transaction(
    connection: &mut SqliteConnection,
    table: &str,
    batches: &[RecordBatch],
) -> Result<(), Failure> {
    let Some(first) = batches.first() else { return Ok(()) };
    // Dropping the transaction before its commit rolls it back.
    let mut transaction = connection.begin().await?;
    let table = quoted(table);
    let drop = format!("DROP TABLE IF EXISTS {table}");
    sqlx::query(AssertSqlSafe(drop)).execute(&mut *transaction).await?;
    let create = create_statement(&table, &first.schema());
    sqlx::query(AssertSqlSafe(create)).execute(&mut *transaction).await?;
    for batch in batches {
        insert(&mut transaction, &table, batch).await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn create_statement(table: &str, schema: &Schema) -> String {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|f| format!("{} {}", quoted(f.name()), declared_type(f.data_type())))
        .collect();
    format!("CREATE TABLE {table} ({})", columns.join(", "))
}

fn declared_type(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Timestamp(_, _) => "TIMESTAMP",
        t if t.is_integer() => "INTEGER",
        t if t.is_floating() => "REAL",
        DataType::Binary | DataType::LargeBinary => "BLOB",
        _ => "TEXT",
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    table: &str,
    batch: &RecordBatch,
) -> Result<(), Failure> {
    let columns: Vec<Cells> = batch.columns().iter().map(Cells::new).collect::<Result<_, _>>()?;
    let width = columns.len().max(1);
    let step = (MAX_VALUES / width).clamp(1, MAX_ROWS);
    let marks = format!("({})", vec!["?"; width].join(","));
    let mut start = 0;
    while start < batch.num_rows() {
        let end = (start + step).min(batch.num_rows());
        let rows = vec![marks.as_str(); end - start].join(",");
        let mut query = sqlx::query(AssertSqlSafe(format!("INSERT INTO {table} VALUES {rows}")));
        for row in start..end {
            for column in &columns {
                query = column.bind(row, query)?;
            }
        }
        query.execute(&mut *connection).await?;
        start = end;
    }
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// A column in the form that SQLite stores.
enum Cells {
    Boolean(ArrayRef),
    Integer(ArrayRef),
    Unsigned(ArrayRef),
    Real(ArrayRef),
    Blob(ArrayRef),
    Text(ArrayRef),
}

impl Cells {
    fn new(column: &ArrayRef) -> Result<Self, Failure> {
        Ok(match column.data_type() {
            DataType::Boolean => Cells::Boolean(column.clone()),
            DataType::UInt64 => Cells::Unsigned(column.clone()),
            t if t.is_integer() => Cells::Integer(cast(column, &DataType::Int64)?),
            t if t.is_floating() => Cells::Real(cast(column, &DataType::Float64)?),
            DataType::Binary | DataType::LargeBinary => {
                Cells::Blob(cast(column, &DataType::Binary)?)
            }
            _ => Cells::Text(column.clone()),
        })
    }

    fn bind<'q>(&self, row: usize, query: Query<'q>) -> Result<Query<'q>, Failure> {
        Ok(match self {
            Cells::Boolean(a) => query.bind((!a.is_null(row)).then(|| a.as_boolean().value(row))),
            Cells::Integer(a) => {
                query.bind((!a.is_null(row)).then(|| a.as_primitive::<Int64Type>().value(row)))
            }
            Cells::Real(a) => {
                query.bind((!a.is_null(row)).then(|| a.as_primitive::<Float64Type>().value(row)))
            }
            Cells::Blob(a) => {
                query.bind((!a.is_null(row)).then(|| a.as_binary::<i32>().value(row).to_vec()))
            }
            Cells::Unsigned(a) if a.is_null(row) => query.bind(None::<i64>),
            Cells::Unsigned(a) => {
                let value = a.as_primitive::<UInt64Type>().value(row);
                let value = i64::try_from(value)
                    .map_err(|_| format!("{value} is larger than SQLite's largest integer"))?;
                query.bind(Some(value))
            }
            Cells::Text(a) if a.is_null(row) => query.bind(None::<String>),
            Cells::Text(a) => query.bind(Some(array_value_to_string(a, row)?)),
        })
    }
}
