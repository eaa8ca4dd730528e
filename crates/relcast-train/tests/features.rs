//! Cells that become known later than their row: neither learnt from nor read before then.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use relcast_catalog::{Column, KnownFrom, SemanticType, Table};
use relcast_train::features::{TableFeatures, TablePlan};

/// The last training cutoff, and what lies after it.
const UNTIL: i64 = 100;
const LATER: i64 = 1_000;

fn column(name: &str, semantic: SemanticType, known_from: Option<&str>) -> Column {
    let data_type = match semantic {
        SemanticType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        SemanticType::Categorical => DataType::Utf8,
        _ => DataType::Float64,
    };
    let known_from = known_from.map(str::to_owned);
    Column { name: name.to_owned(), data_type, semantic, planned: false, known_from }
}

fn table(columns: Vec<Column>) -> Table {
    Table {
        name: "orders".to_owned(),
        columns,
        primary_key: Vec::new(),
        time_column: Some("at".to_owned()),
        end_time_column: None,
        known_from: KnownFrom::TimeColumn("at".to_owned()),
    }
}

fn times(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()))
}

fn numbers(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

/// Orders of 10, 20, 30; the third is delivered after the last training cutoff.
fn orders() -> (Table, Vec<(&'static str, ArrayRef)>) {
    let mut due = column("due", SemanticType::Timestamp, None);
    due.planned = true;
    let mut visit = column("visit", SemanticType::Timestamp, Some("delivered"));
    visit.planned = true;
    let table = table(vec![
        column("at", SemanticType::Timestamp, None),
        column("delivered", SemanticType::Timestamp, None),
        column("weight", SemanticType::Numerical, Some("delivered")),
        column("carrier", SemanticType::Categorical, Some("delivered")),
        column("signed", SemanticType::Timestamp, Some("delivered")),
        due,
        visit,
    ]);
    let rows = vec![
        ("at", times(&[Some(10), Some(20), Some(30)])),
        ("delivered", times(&[Some(15), Some(25), Some(200)])),
        ("weight", numbers(&[1.0, 2.0, 3.0])),
        ("carrier", Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef),
        ("signed", times(&[Some(12), Some(22), Some(32)])),
        ("due", times(&[Some(90), Some(300), Some(400)])),
        ("visit", times(&[Some(500), Some(600), Some(700)])),
    ];
    (table, rows)
}

fn batch(columns: &[(&'static str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns.iter().map(|(name, values)| (*name, values.clone(), true)),
    )
    .unwrap()
}

fn learnt(table: &Table, rows: &RecordBatch) -> TablePlan {
    TablePlan::learn(table, rows, rows.num_rows(), UNTIL, true).unwrap()
}

#[test]
fn what_is_learnt_does_not_depend_on_cells_known_later() {
    let (table, rows) = orders();
    let plan = learnt(&table, &batch(&rows));
    let changed: [(usize, ArrayRef); 5] = [
        (1, times(&[Some(15), Some(25), None])),
        (2, numbers(&[1.0, 2.0, 1e6])),
        (3, Arc::new(StringArray::from(vec!["a", "b", "b"]))),
        (4, times(&[Some(12), Some(22), Some(99)])),
        (6, times(&[Some(500), Some(600), None])),
    ];
    for (position, values) in changed {
        let mut other = rows.clone();
        other[position].1 = values;
        assert_eq!(plan, learnt(&table, &batch(&other)), "{} moved", rows[position].0);
    }
    let mut other = rows.clone();
    other[2].1 = numbers(&[1.0, 7.0, 3.0]);
    assert_ne!(plan, learnt(&table, &batch(&other)), "what is known is learnt from");
}

/// All that a seed at `view` reads of a row.
fn read(features: &TableFeatures, row: u32, view: i64) -> (Vec<f32>, Vec<i32>, Vec<f32>, Vec<u64>) {
    let (mut dense, mut entries) = (Vec::new(), Vec::new());
    features.push_row(Some(row), features.hidden(Some(row), view), &mut dense, &mut entries);
    let (mut time, mut moments) = (Vec::new(), Vec::new());
    features.push_time(Some(row), Some(view - 10 * i64::from(row + 1)), view, &mut time);
    features.push_moments(Some(row), view, &mut moments);
    // Bit by bit: what is not known is NaN.
    (dense, entries, time, moments.into_iter().map(f64::to_bits).collect())
}

fn encoded(table: &Table, plan: &TablePlan, rows: &RecordBatch) -> TableFeatures {
    TableFeatures::encode(table, plan, 50, rows, &[10, 20, 30]).unwrap()
}

#[test]
fn cells_are_read_from_when_they_are_known() {
    let (table, rows) = orders();
    let plan = learnt(&table, &batch(&rows));
    let mut other = rows.clone();
    other[2].1 = numbers(&[2.0, 1.0, 2.0]);
    other[3].1 = Arc::new(StringArray::from(vec!["b", "a", "b"]));
    other[4].1 = times(&[Some(13), Some(23), Some(33)]);
    other[6].1 = times(&[Some(510), Some(610), Some(710)]);
    let (one, two) =
        (encoded(&table, &plan, &batch(&rows)), encoded(&table, &plan, &batch(&other)));
    for (row, delivered) in [(0, 15), (1, 25), (2, 200)] {
        for view in [delivered - 1, delivered, LATER] {
            let same = read(&one, row, view) == read(&two, row, view);
            assert_eq!(same, view < delivered, "row {row} at {view}");
        }
    }
}

#[test]
fn a_planned_cell_may_lie_ahead_and_no_other() {
    let (table, rows) = orders();
    let plan = learnt(&table, &batch(&rows));
    let changed = |position: usize, values: &[Option<i64>]| {
        let mut other = rows.clone();
        other[position].1 = times(values);
        encoded(&table, &plan, &batch(&other))
    };
    let one = encoded(&table, &plan, &batch(&rows));
    let due = changed(5, &[Some(90), Some(300), Some(450)]);
    assert_ne!(read(&one, 2, 30), read(&due, 2, 30), "known from the start");
    let visit = changed(6, &[Some(500), Some(600), Some(750)]);
    assert_eq!(read(&one, 2, 199), read(&visit, 2, 199), "planned, but not known yet");
    assert_ne!(read(&one, 2, 200), read(&visit, 2, 200), "known though it lies ahead");
    let delivered = changed(1, &[Some(15), Some(25), Some(300)]);
    assert_eq!(read(&one, 2, 199), read(&delivered, 2, 199));
    assert_ne!(read(&one, 2, 200), read(&delivered, 2, 200));
}

/// A table with `sources` columns of times, each with two columns known from it.
fn wide(sources: usize) -> (Table, RecordBatch) {
    let mut columns = vec![column("at", SemanticType::Timestamp, None)];
    let mut rows = vec![("at".to_owned(), times(&[Some(10), Some(20), Some(30)]), true)];
    for source in 0..sources {
        let name = format!("known_{source}");
        columns.push(column(&name, SemanticType::Ignored, None));
        let from = 40 + source as i64;
        rows.push((name.clone(), times(&[Some(from), Some(from), Some(from)]), true));
        for part in ["a", "b"] {
            let value = format!("{part}_{source}");
            columns.push(column(&value, SemanticType::Numerical, Some(&name)));
            rows.push((value, numbers(&[1.0, 2.0, 4.0]), true));
        }
    }
    (table(columns), RecordBatch::try_from_iter_with_nullable(rows).unwrap())
}

#[test]
fn every_masked_column_is_masked_however_many_there_are() {
    let (table, rows) = wide(64);
    let plan = TablePlan::learn(&table, &rows, 3, LATER, true).unwrap();
    assert_eq!(plan.columns.len(), 128);
    let features = encoded(&table, &plan, &rows);
    let (null, ..) = read(&features, 0, 39);
    for known in 0..=64usize {
        let (dense, ..) = read(&features, 0, 39 + known as i64);
        let shown = dense.iter().zip(&null).filter(|(a, b)| a != b).count();
        let per_column = 4 * 2;
        assert!(shown <= per_column * known && shown >= 2 * known, "{shown} numbers at {known}");
    }
}

#[test]
fn more_sources_of_known_from_than_can_be_told_apart_are_refused() {
    let (table, rows) = wide(65);
    let error = TablePlan::learn(&table, &rows, 3, LATER, true).unwrap_err().to_string();
    assert!(error.contains("names 65 different columns, at most 64"), "{error}");
}
