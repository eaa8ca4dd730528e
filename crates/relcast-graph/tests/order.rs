//! What becomes known later does not decide the order of rows that differ before.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::prelude::SessionContext;
use relcast_catalog::{Column, Schema, SemanticType, Table, TableId};
use relcast_graph::TemporalGraph;

fn schema(primary_key: &[&str]) -> Schema {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, None);
    let column = |name: &str, data_type: &DataType, semantic, known_from: Option<&str>| Column {
        name: name.to_owned(),
        data_type: data_type.clone(),
        semantic,
        planned: false,
        known_from: known_from.map(str::to_owned),
    };
    let mut schema = Schema {
        tables: vec![Table {
            name: "events".to_owned(),
            columns: vec![
                column("id", &DataType::Int64, SemanticType::Key, None),
                column("note", &DataType::Int64, SemanticType::Numerical, None),
                column("at", &moment, SemanticType::Timestamp, None),
                column("shown", &moment, SemanticType::Timestamp, None),
                column("status", &DataType::Int64, SemanticType::Numerical, Some("shown")),
            ],
            primary_key: primary_key.iter().map(|&name| name.to_owned()).collect(),
            time_column: Some("at".to_owned()),
            end_time_column: None,
            known_from: relcast_catalog::KnownFrom::Static,
        }],
        ..Schema::default()
    };
    schema.resolve_known_from();
    schema
}

/// The notes in the order of the graph, of two rows of one time, the second with this status.
fn notes(primary_key: &[&str], notes: [i64; 2], status: i64) -> Vec<i64> {
    let ints = |values: [Option<i64>; 2]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let times =
        |values: [i64; 2]| Arc::new(TimestampMicrosecondArray::from(values.to_vec())) as ArrayRef;
    let context = SessionContext::new();
    let columns = [
        ("id", ints([None, None]), true),
        ("note", ints(notes.map(Some)), true),
        ("at", times([1, 1]), true),
        ("shown", times([5, 100]), true),
        ("status", ints([Some(7), Some(status)]), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    context.register_batch("events", batch).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("graph");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(relcast_graph::build(&context, &schema(primary_key), &path)).unwrap();
    let rows = TemporalGraph::open(&path).unwrap().table_columns(TableId(0)).unwrap();
    // Which row is which is told by when its status is shown.
    let shown = rows.column_by_name("shown").unwrap();
    let shown = shown.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    let note = rows.column_by_name("note").unwrap().as_primitive::<Int64Type>();
    (0..rows.num_rows()).map(|row| note.value(row) * 1000 + shown.value(row)).collect()
}

#[test]
fn a_status_shown_later_moves_no_row_that_has_no_key() {
    // Rows that differ at once, and rows that differ only once the first status is shown.
    for (key, of_rows) in [(&["id"][..], [1, 2]), (&["id"], [1, 1]), (&[], [1, 2]), (&[], [1, 1])] {
        let first = notes(key, of_rows, 0);
        for status in 1..16 {
            assert_eq!(notes(key, of_rows, status), first, "{key:?} {of_rows:?} {status}");
        }
    }
}
