//! Every target is written whole or not at all.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use relcast_connect::{Target, open, write};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Row, SqliteConnection};

fn batch() -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef, true),
        ("name", Arc::new(StringArray::from(vec![Some("a, \"b\""), None])), true),
        ("score", Arc::new(Float64Array::from(vec![Some(0.5), None])), true),
        ("won", Arc::new(BooleanArray::from(vec![true, false])), true),
        (
            "cutoff",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1_577_836_800_000_000), None])),
            true,
        ),
    ])
    .unwrap()
}

/// A batch that SQLite can't hold: its second row is too large.
fn too_large() -> RecordBatch {
    let ids: ArrayRef = Arc::new(UInt64Array::from(vec![1, u64::MAX]));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true)]).unwrap()
}

async fn rows_of(folder: &Path, table: &str) -> Vec<RecordBatch> {
    let database = open(folder.to_str().unwrap()).await.unwrap();
    let sql = format!("SELECT * FROM {table} ORDER BY id");
    database.context.sql(&sql).await.unwrap().collect().await.unwrap()
}

#[tokio::test]
async fn parquet_and_csv_read_back_as_written() {
    for name in ["p.parquet", "c.csv"] {
        let folder = tempfile::tempdir().unwrap();
        let target: Target = folder.path().join(name).to_str().unwrap().parse().unwrap();
        assert_eq!(write(&target, &[batch(), batch().slice(0, 0)]).await.unwrap(), 2);
        let stem = name.split('.').next().unwrap();
        let back = rows_of(folder.path(), stem).await;
        assert_eq!(back[0].columns(), batch().columns(), "{name}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }
}

#[tokio::test]
async fn a_failed_file_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.csv");
    let target = Target::Csv(path.clone());
    write(&target, &[batch()]).await.unwrap();
    let before = std::fs::read(&path).unwrap();

    let mixed = write(&target, &[batch(), too_large()]).await.unwrap_err().to_string();
    assert!(mixed.contains("batch 1"), "{mixed}");
    assert!(write(&target, &[]).await.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let nowhere = Target::Parquet(folder.path().join("no/such/f.parquet"));
    let message = write(&nowhere, &[batch()]).await.unwrap_err().to_string();
    assert!(message.contains("create it first"), "{message}");

    std::fs::create_dir(folder.path().join("d.parquet")).unwrap();
    let is_folder = Target::Parquet(folder.path().join("d.parquet"));
    assert!(write(&is_folder, &[batch()]).await.is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file stays");
}

#[tokio::test]
async fn sqlite_holds_typed_values_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.db");
    let target = Target::Sqlite { file: file.clone(), table: "my table".to_owned() };
    assert_eq!(write(&target, &[batch(), batch()]).await.unwrap(), 4);
    assert_eq!(write(&target, &[batch()]).await.unwrap(), 2);

    let mut connection =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
    let rows = sqlx::query(
        "SELECT typeof(id), name, typeof(score), won, cutoff, strftime('%Y', cutoff) FROM \"my table\" ORDER BY id",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get::<String, _>(0), "integer");
    assert_eq!(rows[0].get::<Option<String>, _>(1).as_deref(), Some("a, \"b\""));
    assert_eq!(rows[0].get::<String, _>(2), "real");
    assert!(rows[0].get::<bool, _>(3));
    assert_eq!(rows[0].get::<String, _>(4), "2020-01-01T00:00:00");
    assert_eq!(rows[0].get::<String, _>(5), "2020");
    assert_eq!(rows[1].get::<Option<String>, _>(4), None);
}

#[tokio::test]
async fn a_failed_sqlite_write_leaves_the_old_table() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.db");
    let target = Target::Sqlite { file: file.clone(), table: "t".to_owned() };
    assert!(write(&target, &[too_large()]).await.is_err());
    assert!(!file.exists(), "a database that was never filled is removed");

    write(&target, &[batch()]).await.unwrap();
    let message = write(&target, &[too_large()]).await.unwrap_err().to_string();
    assert!(message.contains("unchanged"), "{message}");
    let mut connection =
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
    let rows = sqlx::query("SELECT id, name FROM t").fetch_all(&mut connection).await.unwrap();
    assert_eq!(rows.len(), 2);
}
