//! Folders open as sessions with normalised columns; bad ones are named.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Decimal128Array, Int64Array, LargeStringArray, RecordBatch,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::parquet::arrow::ArrowWriter;
use relcast_connect::{OpenOptions, open, open_with};

fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
            .unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn ids() -> ArrayRef {
    Arc::new(Int64Array::from(vec![1, 2]))
}

async fn message(folder: &Path) -> String {
    open(folder.to_str().unwrap()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn columns_are_normalised_and_names_keep_their_case() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("a folder [x]");
    std::fs::create_dir(&odd).unwrap();
    let berlin =
        TimestampMillisecondArray::from(vec![Some(0), None]).with_timezone("Europe/Berlin");
    let east = TimestampNanosecondArray::from(vec![1_500, 0]).with_timezone("+05:30");
    write_parquet(
        &odd.join("Races.2.parquet"),
        vec![
            ("raceId", ids()),
            ("berlin", Arc::new(berlin)),
            ("east", Arc::new(east)),
            ("day", Arc::new(Date32Array::from(vec![1, -1]))),
            ("name", Arc::new(LargeStringArray::from(vec!["a", "b"]))),
            ("bytes", Arc::new(BinaryArray::from(vec![b"a".as_slice(), &[0xff]]))),
            ("old_text", Arc::new(BinaryArray::from(vec![b"a".as_slice(), b"b"]))),
            (
                "amount",
                Arc::new(
                    Decimal128Array::from(vec![150, 250]).with_precision_and_scale(10, 2).unwrap(),
                ),
            ),
        ],
    );
    std::fs::write(odd.join("laps.csv"), "lapId,at\n1,2020-01-01\n").unwrap();
    let database =
        open_with(odd.to_str().unwrap(), &OpenOptions { threads: Some(2) }).await.unwrap();
    assert_eq!(database.tables, ["Races.2", "laps"]);
    assert_eq!(database.fingerprint.len(), 32);
    let dates = [("Races.2", "day"), ("laps", "at")];
    assert_eq!(database.dates, dates.map(|(t, c)| (t.to_owned(), c.to_owned())).into());
    let sql = "SELECT raceId, berlin, east, day, name, bytes, old_text, amount FROM \"Races.2\" ORDER BY raceId";
    let batches = database.context.sql(sql).await.unwrap().collect().await.unwrap();
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let types: Vec<DataType> =
        batches[0].schema().fields().iter().map(|f| f.data_type().clone()).collect();
    let expected = [
        DataType::Int64,
        time.clone(),
        time.clone(),
        time.clone(),
        DataType::Utf8,
        DataType::Binary,
        DataType::Utf8,
        DataType::Float64,
    ];
    assert_eq!(types, expected);
    let sql = "SELECT CAST(berlin AS BIGINT), CAST(east AS BIGINT), CAST(day AS BIGINT), amount FROM \"Races.2\" WHERE raceId = 1";
    let row = database.context.sql(sql).await.unwrap().collect().await.unwrap();
    let value =
        |i: usize| arrow::util::display::array_value_to_string(row[0].column(i), 0).unwrap();
    assert_eq!([value(0), value(1), value(2), value(3)], ["0", "1", "86400000000", "1.5"]);
}

/// The types of the columns of table `t` in `folder`.
async fn types(folder: &Path) -> Vec<DataType> {
    let database = open(folder.to_str().unwrap()).await.unwrap();
    let table = database.context.table("t").await.unwrap();
    table.schema().fields().iter().map(|f| f.data_type().clone()).collect()
}

#[tokio::test]
async fn bytes_are_text_if_every_value_is_wherever_the_odd_one_stands() {
    let folder = tempfile::tempdir().unwrap();
    for odd in [None, Some(0), Some(2999)] {
        let latin: &[u8] = b"caf\xe9";
        let cell = |row| if Some(row) == odd { latin } else { "café".as_bytes() };
        let words: Vec<&[u8]> = (0..3000).map(cell).collect();
        write_parquet(
            &folder.path().join("t.parquet"),
            vec![("word", Arc::new(BinaryArray::from(words)))],
        );
        let expected = if odd.is_some() { DataType::Binary } else { DataType::Utf8 };
        assert_eq!(types(folder.path()).await, [expected], "{odd:?}");
        let database = open(folder.path().to_str().unwrap()).await.unwrap();
        let rows = database.context.sql("SELECT count(DISTINCT word) FROM t").await.unwrap();
        rows.collect().await.unwrap();
    }
}

#[tokio::test]
async fn decimals_without_a_fraction_are_whole_numbers_where_their_values_fit() {
    let folder = tempfile::tempdir().unwrap();
    let decimals = |values: Vec<Option<i128>>, precision, scale| -> ArrayRef {
        let values = Decimal128Array::from(values);
        Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
    };
    // Neighbours beyond 2^53 are one and the same as floats.
    let keys = vec![Some((1 << 53) + 1), Some(1 << 53)];
    write_parquet(
        &folder.path().join("t.parquet"),
        vec![
            ("key", decimals(keys, 38, 0)),
            ("short", decimals(vec![Some(1), None], 18, 0)),
            ("most", decimals(vec![Some(i128::from(i64::MIN)), Some(i128::from(i64::MAX))], 38, 0)),
            ("far", decimals(vec![Some(1), Some(i128::from(i64::MAX) + 1)], 38, 0)),
            ("cents", decimals(vec![Some(150), None], 38, 2)),
            ("nothing", decimals(vec![None, None], 38, 0)),
        ],
    );
    let (whole, float) = (DataType::Int64, DataType::Float64);
    let expected = [&whole, &whole, &whole, &float, &float, &whole].map(Clone::clone);
    assert_eq!(types(folder.path()).await, expected);
    let database = open(folder.path().to_str().unwrap()).await.unwrap();
    let sql = "SELECT count(DISTINCT key) FROM t";
    let rows = database.context.sql(sql).await.unwrap().collect().await.unwrap();
    assert_eq!(arrow::util::display::array_value_to_string(rows[0].column(0), 0).unwrap(), "2");
}

#[tokio::test]
async fn a_table_without_rows_opens() {
    let folder = tempfile::tempdir().unwrap();
    write_parquet(
        &folder.path().join("e.parquet"),
        vec![("id", Arc::new(Int64Array::from(Vec::<i64>::new())))],
    );
    std::fs::write(folder.path().join("f.csv"), "id,x\n").unwrap();
    let database = open(folder.path().to_str().unwrap()).await.unwrap();
    for table in ["e", "f"] {
        let frame = database.context.table(table).await.unwrap();
        assert_eq!(frame.count().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn bad_sources_are_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(message(&folder.path().join("nowhere")).await.contains("no directory"));
    assert!(message(folder.path()).await.contains("no .parquet or .csv"));
    let sqlite = open("sqlite://x.db").await.unwrap_err().to_string();
    assert!(sqlite.contains("not supported yet"), "{sqlite}");

    let file = folder.path().join("orders.parquet");
    write_parquet(&file, vec![("id", ids())]);
    assert!(message(&file).await.contains("not a directory"));
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let cut = message(folder.path()).await;
    assert!(cut.contains("orders.parquet") && cut.contains("cut off"), "{cut}");

    std::fs::write(folder.path().join("orders.csv"), "id\n1\n").unwrap();
    assert!(message(folder.path()).await.contains("would both be table"));
    std::fs::remove_file(&file).unwrap();
    std::fs::write(folder.path().join("orders.csv"), "id,x\n1\n").unwrap();
    assert!(message(folder.path()).await.contains("orders.csv"));
}

#[tokio::test]
async fn what_looks_like_a_table_and_is_not_read_is_kept_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("shops.tsv"), "id\tname\n1\ta, b\n2\tc\n").unwrap();
    for part in ["orders", "visits/year=2020", "notes"] {
        std::fs::create_dir_all(at(part)).unwrap();
    }
    write_parquet(&at("orders/part-0.parquet"), vec![("id", ids())]);
    write_parquet(&at("orders/part-1.parquet"), vec![("id", ids())]);
    write_parquet(&at("notes/churn.parquet"), vec![("id", ids())]);
    std::fs::write(at("items.csv.gz"), "").unwrap();
    for name in ["README.md", "a.json", "b.jsonl", "c.xls", "d.db", "e.sqlite"] {
        std::fs::write(at(name), "").unwrap();
    }
    std::fs::create_dir_all(at("tasks/churn")).unwrap();
    write_parquet(&at("tasks/churn/train.parquet"), vec![("id", ids())]);
    let database = open(folder.path().to_str().unwrap()).await.unwrap();
    assert_eq!(database.tables, ["shops"]);
    let names: Vec<&str> = database.left_out.iter().map(|(name, _)| name.as_str()).collect();
    let read = ["a.json", "b.jsonl", "c.xls", "d.db", "e.sqlite"];
    assert_eq!(names, [&read[..], &["items.csv.gz", "notes", "orders", "visits"][..]].concat());
    let rows = database.context.sql("SELECT name FROM shops WHERE id = 1").await.unwrap();
    let rows = rows.collect().await.unwrap();
    assert_eq!(arrow::util::display::array_value_to_string(rows[0].column(0), 0).unwrap(), "a, b");
}

#[tokio::test]
async fn a_parquet_file_with_a_column_twice_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write_parquet(&folder.path().join("t.parquet"), vec![("id", ids()), ("id", ids())]);
    let error = message(folder.path()).await;
    assert!(error.contains("t.parquet") && error.contains("column \"id\" twice"), "{error}");
}

#[tokio::test]
async fn a_time_out_of_range_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.parquet");
    let far = TimestampMillisecondArray::from(vec![0, i64::MAX / 2]);
    write_parquet(&file, vec![("id", ids()), ("at", Arc::new(far))]);
    let error = message(folder.path()).await;
    assert!(
        error.contains("\"at\"") && error.contains("t.parquet") && error.contains("milliseconds"),
        "{error}"
    );
    write_parquet(
        &file,
        vec![("id", ids()), ("at", Arc::new(Date32Array::from(vec![0, i32::MAX])))],
    );
    let error = message(folder.path()).await;
    assert!(error.contains("days"), "{error}");
}
