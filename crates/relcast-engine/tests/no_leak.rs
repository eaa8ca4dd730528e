//! The world is changed after a moment, and nothing before that moment may notice.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::TimestampMicrosecondType;
use common::{Bench, bits};
use datafusion::parquet::arrow::ArrowWriter;
use relcast_catalog::{KnownFrom, TableId, known_relation, parse_time, quoted};
use relcast_engine::work::{PredictAt, Question};
use relcast_testkit::{Permute, Random, data_dir, warehouse_churn};

/// What is done to the rows known later than a moment.
#[derive(Clone, Copy, PartialEq)]
enum Future {
    /// Their values are shuffled column by column, a random half of them is deleted.
    Scrambled,
    /// They are all deleted.
    Gone,
}

/// Writes `source` anew into `target` with its rows in another order, and with those known after
/// `moment` changed.
async fn rewrite(source: &Path, target: &Path, change: Option<(i64, Future)>) {
    let scratch = tempfile::tempdir().unwrap();
    let bench = Bench::open(source, scratch.path(), 2).await;
    let schema = &bench.catalog.schema;
    copy_documents(source, target);
    let mut random = Random::new(7);
    for (id, table) in (0u32..).map(TableId).zip(&schema.tables) {
        let (relation, time) = match &table.known_from {
            KnownFrom::Static => (quoted(&table.name), None),
            KnownFrom::TimeColumn(column) => (quoted(&table.name), Some(column.clone())),
            KnownFrom::Parents(_) => {
                (format!("({})", known_relation(schema, id)), Some("relcast_known_at".to_owned()))
            }
        };
        let time = time.map_or("NULL".to_owned(), |t| format!("x.{}", quoted(&t)));
        let sql = format!(
            "SELECT x.*, arrow_cast({time}, 'Timestamp(Microsecond, None)') AS \"known\" FROM {relation} AS x"
        );
        let rows = bench.database.context.sql(&sql).await.unwrap().collect().await.unwrap();
        let rows = concat_batches(&rows[0].schema(), &rows).unwrap();
        let columns: Vec<usize> =
            table.columns.iter().map(|c| rows.schema().index_of(&c.name).unwrap()).collect();
        let known = rows.column(rows.num_columns() - 1).as_primitive::<TimestampMicrosecondType>();
        let is_future = |row: usize| change.is_some_and(|(moment, _)| known.value(row) > moment);
        let (future, mut kept): (Vec<u32>, Vec<u32>) =
            (0..rows.num_rows() as u32).partition(|row| is_future(*row as usize));
        random.shuffle(&mut kept);
        let mut parts = vec![taken(&rows, &columns, &kept)];
        if change.is_some_and(|(_, future)| future == Future::Scrambled) {
            let half: Vec<u32> = future.into_iter().filter(|_| random.chance(0.5)).collect();
            parts.push(scrambled(&taken(&rows, &columns, &half), &table.primary_key, &mut random));
        }
        let batch = concat_batches(&parts[0].schema(), &parts).unwrap();
        write(&batch, source, target, &table.name);
    }
}

fn taken(rows: &RecordBatch, columns: &[usize], positions: &[u32]) -> RecordBatch {
    let positions = UInt32Array::from(positions.to_vec());
    let rows = rows.project(columns).unwrap();
    let columns: Vec<ArrayRef> =
        rows.columns().iter().map(|c| take(c, &positions, None).unwrap()).collect();
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

/// Every column but the key in an order of its own.
fn scrambled(rows: &RecordBatch, key: &[String], random: &mut Random) -> RecordBatch {
    let schema = rows.schema();
    let columns = rows.columns().iter().zip(schema.fields()).map(|(values, field)| {
        if key.contains(field.name()) {
            return values.clone();
        }
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        random.shuffle(&mut order);
        take(values, &UInt32Array::from(order), None).unwrap()
    });
    RecordBatch::try_new(rows.schema(), columns.collect()).unwrap()
}

fn write(batch: &RecordBatch, source: &Path, target: &Path, table: &str) {
    let folder = if source.join("db").is_dir() { target.join("db") } else { target.to_owned() };
    fs::create_dir_all(&folder).unwrap();
    let file = File::create(folder.join(format!("{table}.parquet"))).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Manifests and yaml files, with the folders they lie in.
fn copy_documents(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let to = target.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_documents(&path, &to);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            fs::copy(&path, to).unwrap();
        }
    }
}

async fn predictions(source: &Path, home: &Path, at: i64) -> (RecordBatch, Vec<u64>) {
    let bench = Bench::open(source, home, 2).await;
    let stored = bench.stored().await;
    let rows = bench.predict(&stored, PredictAt::Moment(Some(at))).await;
    let column =
        if rows.column_by_name("probability").is_some() { "probability" } else { "prediction" };
    let values = bits(&rows, column);
    (rows.project(&[0]).unwrap(), values)
}

async fn weights(source: &Path, question: &str, set: &[(&str, &str)], threads: usize) -> Vec<u8> {
    let home = tempfile::tempdir().unwrap();
    let bench = Bench::open(source, home.path(), threads).await;
    let question = match bench.catalog.find_task(question) {
        Ok(_) => bench.task(question),
        Err(_) => Question::Query(question.to_owned()),
    };
    bench.train(&question, set).await;
    bench.stored().await.weights.0
}

struct Warehouses {
    source: PathBuf,
    /// One question with labels 0 and 1, one with numbers.
    queries: [String; 2],
    val: i64,
    test: i64,
    _directory: tempfile::TempDir,
}

fn warehouses() -> Warehouses {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("shop");
    let database = warehouse_churn(&source, 2, Permute::No).unwrap();
    let query = database.query_with_splits();
    Warehouses {
        source,
        queries: [query.clone(), query.replace(" = 0 ", " ")],
        val: database.val_timestamp,
        test: database.test_timestamp,
        _directory: directory,
    }
}

const QUICK: [(&str, &str); 2] = [("epochs", "2"), ("max_train_rows", "2000")];

#[tokio::test]
async fn predictions_do_not_move_when_the_future_is_scrambled_or_gone() {
    let shop = warehouses();
    for query in &shop.queries {
        let home = tempfile::tempdir().unwrap();
        let bench = Bench::open(&shop.source, home.path(), 2).await;
        bench.train(&Question::Query(query.clone()), &QUICK).await;
        // Not at the time of a row, and not on the grid of the cutoffs.
        for at in [shop.val - 1_234_567, shop.test + 1_234_567_890] {
            let before = predictions(&shop.source, home.path(), at).await;
            assert!(before.1.len() > 1000);
            for future in [Future::Scrambled, Future::Gone] {
                let changed = tempfile::tempdir().unwrap();
                rewrite(&shop.source, changed.path(), Some((at, future))).await;
                let after = predictions(changed.path(), home.path(), at).await;
                assert_eq!(before.0, after.0);
                assert!(before.1 == after.1, "predictions of {query} moved");
            }
        }
    }
}

#[tokio::test]
async fn a_change_of_the_past_moves_predictions() {
    let shop = warehouses();
    let home = tempfile::tempdir().unwrap();
    let bench = Bench::open(&shop.source, home.path(), 2).await;
    bench.train(&Question::Query(shop.queries[0].clone()), &QUICK).await;
    let before = predictions(&shop.source, home.path(), shop.test).await;
    let changed = tempfile::tempdir().unwrap();
    rewrite(
        &shop.source,
        changed.path(),
        Some((shop.test - 30 * relcast_testkit::DAY, Future::Scrambled)),
    )
    .await;
    let after = predictions(changed.path(), home.path(), shop.test).await;
    assert!(before.1 != after.1);
}

#[tokio::test]
async fn weights_do_not_depend_on_the_test_split_on_row_order_or_on_threads() {
    let shop = warehouses();
    let changed = tempfile::tempdir().unwrap();
    rewrite(&shop.source, changed.path(), Some((shop.test, Future::Scrambled))).await;
    let reordered = tempfile::tempdir().unwrap();
    rewrite(&shop.source, reordered.path(), None).await;
    for query in &shop.queries {
        let original = weights(&shop.source, query, &QUICK, 2).await;
        assert!(original == weights(changed.path(), query, &QUICK, 1).await, "weights moved");
        assert!(original == weights(reordered.path(), query, &QUICK, 2).await, "weights moved");
        let seeded = [QUICK[0], QUICK[1], ("seed", "1")];
        assert!(original != weights(&shop.source, query, &seeded, 2).await);
    }
}

#[tokio::test]
async fn a_real_database_does_not_leak() {
    let Some(source) = data_dir().map(|d| d.join("rel-f1")).filter(|d| d.is_dir()) else { return };
    let set = [("epochs", "1")];
    let home = tempfile::tempdir().unwrap();
    let bench = Bench::open(&source, home.path(), 2).await;
    bench.train(&bench.task("driver-top3"), &set).await;
    let at = parse_time("2011-07-16 12:34:56").unwrap();
    let before = predictions(&source, home.path(), at).await;
    assert!(!before.1.is_empty());
    let changed = tempfile::tempdir().unwrap();
    rewrite(&source, changed.path(), Some((at, Future::Scrambled))).await;
    let after = predictions(changed.path(), home.path(), at).await;
    assert_eq!(before.0, after.0);
    assert!(before.1 == after.1, "predictions moved");

    let test = bench.catalog.schema.test_timestamp.unwrap();
    let changed = tempfile::tempdir().unwrap();
    rewrite(&source, changed.path(), Some((test, Future::Scrambled))).await;
    let retrained = weights(changed.path(), "driver-top3", &set, 2).await;
    assert!(bench.stored().await.weights.0 == retrained, "weights moved");
}
