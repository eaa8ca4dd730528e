//! The world is changed after a moment, and nothing before that moment may notice.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use common::future::{Future, rewrite};
use common::{Bench, bits};
use relcast_catalog::{SemanticType, parse_time};
use relcast_engine::shop;
use relcast_engine::work::{PredictAt, Question};
use relcast_testkit::{DAY, Permute, Random, Table, data_dir, date_micros, warehouse_churn};

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
    bench.stored().await.weights.0.clone()
}

/// Checks that predictions at `at` with the model of `home` stay, bit by bit, whatever comes later.
async fn check_predictions(source: &Path, home: &Path, at: i64) {
    let before = predictions(source, home, at).await;
    assert!(!before.1.is_empty());
    for future in [Future::Changed, Future::Gone] {
        let changed = tempfile::tempdir().unwrap();
        rewrite(source, changed.path(), Some((at, future))).await;
        let after = predictions(changed.path(), home, at).await;
        assert_eq!(before.0, after.0);
        assert!(before.1 == after.1, "predictions moved");
    }
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
async fn predictions_do_not_move_when_the_future_is_another_or_gone() {
    let shop = warehouses();
    for query in &shop.queries {
        let home = tempfile::tempdir().unwrap();
        let bench = Bench::open(&shop.source, home.path(), 2).await;
        bench.train(&Question::Query(query.clone()), &QUICK).await;
        // Not at the time of a row, and not on the grid of the cutoffs.
        for at in [shop.val - 1_234_567, shop.test + 1_234_567_890] {
            check_predictions(&shop.source, home.path(), at).await;
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
    let month_before = Some((shop.test - 30 * DAY, Future::Changed));
    rewrite(&shop.source, changed.path(), month_before).await;
    let after = predictions(changed.path(), home.path(), shop.test).await;
    assert!(before.1 != after.1);
}

#[tokio::test]
async fn weights_do_not_depend_on_the_test_split_on_row_order_or_on_partitions() {
    let shop = warehouses();
    let changed = tempfile::tempdir().unwrap();
    rewrite(&shop.source, changed.path(), Some((shop.test, Future::Changed))).await;
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

/// The demonstration shop has cells that become known later, planned ones, and rows that are known
/// with others.
#[tokio::test]
async fn cells_younger_than_their_row_do_not_leak() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("shop");
    let summary = shop::generate(&source, 3).unwrap();
    let test = summary.end - 120 * DAY;
    let query = format!(
        "{} WITH (val_timestamp = '2024-05-01', test_timestamp = '{}', num_eval_timestamps = 1)",
        shop::CHURN_QUERY,
        relcast_catalog::format_time(test)
    );
    let set = [("epochs", "1"), ("max_train_rows", "600")];
    let home = tempfile::tempdir().unwrap();
    let bench = Bench::open(&source, home.path(), 2).await;
    bench.train(&Question::Query(query.clone()), &set).await;
    check_predictions(&source, home.path(), test - 1_234_567).await;

    let changed = tempfile::tempdir().unwrap();
    rewrite(&source, changed.path(), Some((test, Future::Changed))).await;
    let home = tempfile::tempdir().unwrap();
    let again = Bench::open(changed.path(), home.path(), 2).await;
    again.train(&Question::Query(query), &set).await;
    let (before, after) = (bench.stored().await, again.stored().await);
    assert_eq!(before.plan.features, after.plan.features, "what was learnt moved");
    assert!(before.weights.0 == after.weights.0, "weights moved");
}

/// Labels of cells that become known after their windows have closed: as earlier labels of their
/// entity they show what was known when they closed.
#[tokio::test]
async fn closed_labels_do_not_tell_what_becomes_known_after_they_closed() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("shop");
    let summary = shop::generate(&source, 3).unwrap();
    let test = summary.end - 120 * DAY;
    for target in
        ["MAX(orders.days_late, 0, 14, days)", "COUNT(orders.* WHERE days_late > 1, 0, 14, days)"]
    {
        let query = format!(
            "PREDICT {target} FOR EACH customers.customer_id WHERE COUNT(orders.*, -60, 0, days) > 1 \
             WITH (val_timestamp = '2024-05-01', test_timestamp = '{}', num_eval_timestamps = 1)",
            relcast_catalog::format_time(test)
        );
        let set = [("epochs", "1"), ("max_train_rows", "600")];
        let home = tempfile::tempdir().unwrap();
        let bench = Bench::open(&source, home.path(), 2).await;
        bench.train(&Question::Query(query), &set).await;
        check_predictions(&source, home.path(), test - 1_234_567).await;
    }
}

/// Customers who order from January to August only, for three years; nothing is declared.
///
/// Until mid-2022 every note is the same and every channel one of three.
fn seasons(directory: &Path) {
    let mut random = Random::new(5);
    let customers = 120;
    let orders: Vec<(usize, i64)> = [2020, 2021, 2022]
        .into_iter()
        .flat_map(|year| (0..2000).map(move |i| (year, i)))
        .map(|(year, _)| {
            let within = random.below(240) as i64 * DAY + random.below(DAY as usize) as i64;
            (random.below(customers), date_micros(year, 1, 1) + within)
        })
        .collect();
    let channel = |i: usize| ["web", "shop", "phone"][i % 3];
    Table::new("customers")
        .int("customer_id", 1..=customers as i64)
        .time("joined_at", (0..customers as i64).map(|i| Some(date_micros(2020, 1, 1) + i * DAY)))
        .text("city", (0..customers).map(|i| ["Rome", "Oslo"][i % 2]))
        .write(directory)
        .unwrap();
    Table::new("orders")
        .int("order_id", 1..=orders.len() as i64)
        .int("customer_id", orders.iter().map(|o| o.0 as i64 + 1))
        .time("ordered_at", orders.iter().map(|o| Some(o.1)))
        .text("channel", (0..orders.len()).map(channel))
        .text("note", orders.iter().map(|_| "none"))
        .write(directory)
        .unwrap();
}

const SEASONS_QUERY: &str = "PREDICT COUNT(orders.*, 0, 30, days) > 0 \
     FOR EACH customers.customer_id WITH (val_timestamp = '2022-03-01', \
     test_timestamp = '2022-06-01', num_eval_timestamps = 2)";

#[tokio::test]
async fn later_rows_have_no_say_in_what_a_column_means() {
    let source = tempfile::tempdir().unwrap();
    seasons(source.path());
    let changed = tempfile::tempdir().unwrap();
    let test = parse_time("2022-06-01").unwrap();
    rewrite(source.path(), changed.path(), Some((test, Future::Changed))).await;
    let mut types = Vec::new();
    for source in [source.path(), changed.path()] {
        let home = tempfile::tempdir().unwrap();
        let schema = Bench::open(source, home.path(), 2).await.catalog.schema;
        let orders = schema.table(schema.find_table("orders").unwrap());
        assert_eq!((schema.links.len(), orders.time_column.as_deref()), (1, Some("ordered_at")));
        let of = |name: &str| orders.find_column(name).unwrap().semantic;
        types.push([of("channel"), of("note")]);
    }
    assert_eq!(types[0], [SemanticType::Categorical, SemanticType::Ignored]);
    assert_ne!(types[1], types[0], "over all rows they changed");
    let set = [("epochs", "1"), ("max_train_rows", "1000")];
    let original = weights(source.path(), SEASONS_QUERY, &set, 2).await;
    assert!(original == weights(changed.path(), SEASONS_QUERY, &set, 2).await, "weights moved");
}

/// AS OF in the gap between two seasons, where no row stands at the moment itself.
#[tokio::test]
async fn a_model_as_of_a_moment_does_not_tell_what_came_after_it() {
    let source = tempfile::tempdir().unwrap();
    seasons(source.path());
    let moment = parse_time("2021-11-15").unwrap();
    let query = "PREDICT COUNT(orders.*, 0, 30, days) > 0 FOR EACH customers.customer_id AS OF '2021-11-15'";
    let set = [("epochs", "1"), ("max_train_rows", "600")];
    let trained = async |source: &Path| {
        let home = tempfile::tempdir().unwrap();
        let bench = Bench::open(source, home.path(), 2).await;
        bench.train(&Question::Query(query.to_owned()), &set).await;
        let stored = bench.stored().await;
        (stored.cutoffs.clone(), stored.weights.0.clone())
    };
    let (cutoffs, weights) = trained(source.path()).await;
    assert!(cutoffs.data_end < parse_time("2021-09-01").unwrap(), "{cutoffs:?}");
    for future in [Future::Changed, Future::Gone] {
        let changed = tempfile::tempdir().unwrap();
        rewrite(source.path(), changed.path(), Some((moment, future))).await;
        let (same_cutoffs, same_weights) = trained(changed.path()).await;
        assert_eq!(cutoffs, same_cutoffs);
        assert!(weights == same_weights, "weights moved");
    }
}

#[tokio::test]
async fn predictions_between_seasons_do_not_tell_whether_there_is_another_season() {
    let source = tempfile::tempdir().unwrap();
    seasons(source.path());
    let home = tempfile::tempdir().unwrap();
    let bench = Bench::open(source.path(), home.path(), 2).await;
    let set = [("epochs", "1"), ("max_train_rows", "1000")];
    bench.train(&Question::Query(SEASONS_QUERY.to_owned()), &set).await;
    let last = date_micros(2021, 1, 1) + 240 * DAY;
    for days in [10, 75] {
        check_predictions(source.path(), home.path(), last + days * DAY).await;
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
    check_predictions(&source, home.path(), at).await;

    let test = bench.catalog.schema.test_timestamp.unwrap();
    let changed = tempfile::tempdir().unwrap();
    rewrite(&source, changed.path(), Some((test, Future::Changed))).await;
    let retrained = weights(changed.path(), "driver-top3", &set, 2).await;
    assert!(bench.stored().await.weights.0 == retrained, "weights moved");
}
