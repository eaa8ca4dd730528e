//! Rows without a time, their own or an inherited one, are left out, counted, and reached by nobody.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::prelude::SessionContext;
use relcast_catalog::{Column, KnownFrom, Link, LinkId, Schema, SemanticType, Table, TableId};
use relcast_graph::TemporalGraph;

const ITEMS: TableId = TableId(0);
const ORDERS: TableId = TableId(1);
const PARTS: TableId = TableId(2);

/// parts → items → orders, items → kinds; only orders have a time column, kinds have no parents.
fn schema() -> Schema {
    let column = |name: &&str| {
        let (data_type, semantic) = match *name {
            "at" => (DataType::Timestamp(TimeUnit::Microsecond, None), SemanticType::Timestamp),
            _ => (DataType::Int64, SemanticType::Key),
        };
        let name = (*name).to_owned();
        Column { name, data_type, semantic, planned: false, known_from: None }
    };
    let table = |name: &str, columns: &[&str]| Table {
        name: name.to_owned(),
        columns: columns.iter().map(column).collect(),
        primary_key: vec!["id".to_owned()],
        time_column: columns.contains(&"at").then(|| "at".to_owned()),
        end_time_column: None,
        known_from: KnownFrom::Static,
    };
    let link = |child, column: &str, parent| Link {
        child: TableId(child),
        columns: vec![column.to_owned()],
        parent: TableId(parent),
    };
    let mut schema = Schema {
        tables: vec![
            table("items", &["id", "order", "kind"]),
            table("orders", &["id", "at"]),
            table("parts", &["id", "item"]),
            table("kinds", &["id"]),
        ],
        links: vec![link(0, "order", 1), link(0, "kind", 3), link(2, "item", 0)],
        ..Schema::default()
    };
    schema.resolve_known_from();
    schema
}

fn tables() -> SessionContext {
    let ints = |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let ids = |count: i64| ints(&(0..count).map(Some).collect::<Vec<_>>());
    let context = SessionContext::new();
    let add = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        let columns = columns.into_iter().map(|(name, values)| (name, values, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        context.register_batch(name, batch).unwrap();
    };
    let at = Arc::new(TimestampMicrosecondArray::from(vec![Some(10), None, Some(20)])) as ArrayRef;
    add("orders", vec![("id", ids(3)), ("at", at)]);
    add("kinds", vec![("id", ids(1))]);
    // Of a timed order, of none, of a missing one, of one without a time, of a timed order.
    let orders = [Some(0), None, Some(9), Some(1), Some(2)];
    add("items", vec![("id", ids(5)), ("order", ints(&orders)), ("kind", ints(&[Some(0); 5]))]);
    let items = [Some(0), Some(1), Some(2), Some(3), Some(4), None];
    add("parts", vec![("id", ids(6)), ("item", ints(&items))]);
    context
}

#[test]
fn rows_whose_parents_all_lack_a_time_are_left_out_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("graph");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(relcast_graph::build(&tables(), &schema(), &path)).unwrap();
    let graph = TemporalGraph::open(&path).unwrap();
    let left_out = |table: TableId| {
        let report = &graph.report().tables[table.index()];
        (report.rows, report.without_time)
    };
    assert_eq!((left_out(ORDERS), left_out(ITEMS), left_out(PARTS)), ((2, 1), (2, 3), (2, 4)));
    assert_eq!((graph.times(ITEMS), graph.times(PARTS)), (&[10, 20][..], &[10, 20][..]));
    let ids = graph.table_columns(PARTS).unwrap().column(0).clone();
    assert_eq!(ids.as_primitive::<Int64Type>().values(), &[0, 4]);
    assert_eq!(graph.children_known(LinkId(1), 0, i64::MIN), [0u32; 0], "kinds are always there");
    assert_eq!(graph.children_known(LinkId(1), 0, i64::MAX).len(), 2);
}
