//! Statements of a session, and what they answer.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type};
use relcast_engine::{Engine, LogWatcher, Session};

use super::Bench;

/// A session over the source and home of `bench`.
pub async fn session(bench: Bench) -> Session {
    let Bench { registry, database, catalog } = bench;
    let engine = Arc::new(Engine::new(registry, database, catalog));
    Session::open(engine, Arc::new(LogWatcher)).await.unwrap()
}

/// The rows that a statement answers with, as it described them.
pub async fn answer(session: &Session, sql: &str) -> RecordBatch {
    let statement = relcast_query::statements(sql).unwrap().next().unwrap().unwrap();
    let described = session.describe_own(&statement).await.unwrap().schema;
    let frame = session.run(&statement).await.unwrap().rows.unwrap();
    let schema = frame.schema().inner().clone();
    let batch = concat_batches(&schema, &frame.collect().await.unwrap()).unwrap();
    let names = |fields: &arrow::datatypes::Fields| -> Vec<(String, arrow::datatypes::DataType)> {
        fields.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    };
    assert_eq!(names(described.fields()), names(schema.fields()));
    batch
}

/// What is wrong with a statement.
pub async fn refusal(session: &Session, sql: &str) -> String {
    let statement = relcast_query::statements(sql).unwrap().next().unwrap().unwrap();
    session.run(&statement).await.unwrap_err().to_string()
}

/// A column of texts; `NULL` where there is none.
pub fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let values = batch.column_by_name(column).unwrap().as_string::<i32>();
    values.iter().map(|text| text.unwrap_or("NULL").to_owned()).collect()
}

/// A column of floats.
pub fn floats(batch: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    batch.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().collect()
}

/// A column of whole numbers.
pub fn wholes(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    let values = batch.column_by_name(column).unwrap().as_primitive::<Int64Type>();
    assert_eq!(values.len(), batch.num_rows());
    values.iter().collect()
}
