//! An evaluation as of a moment reads nothing later than it.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::Bench;
use common::future::{Future, rewrite};
use relcast_engine::work::{self, EvaluationReport, Question};
use relcast_testkit::{DAY, Permute, warehouse_churn};
use relcast_train::evaluate::SplitName;

async fn evaluated(source: &Path, home: &Path, at: i64) -> EvaluationReport {
    let bench = Bench::open(source, home, 2).await;
    let stored = bench.stored().await;
    let (registry, database, catalog) = (&bench.registry, &bench.database, &bench.catalog);
    work::evaluate(registry, database, catalog, &stored, None, None, Some(at)).await.unwrap()
}

#[tokio::test]
async fn what_comes_later_makes_no_difference_and_open_labels_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let (source, home) = (directory.path().join("shop"), directory.path().join("home"));
    let shop = warehouse_churn(&source, 2, Permute::No).unwrap();
    let bench = Bench::open(&source, &home, 2).await;
    let query = Question::Query(shop.query_with_splits());
    let set = [("epochs", "1"), ("max_train_rows", "1000")];
    let whole = bench.train(&query, &set).await;
    drop(bench);

    // The first test label has closed, the second has not.
    let at = shop.test_timestamp + 31 * DAY + 1_234_567;
    let before = evaluated(&source, &home, at).await;
    assert_eq!(before.rows["val"], whole.rows["val"]);
    assert!(before.rows["test"] > 0 && before.rows["test"] < whole.rows["test"]);
    assert_eq!(before.results.len(), 4);
    for future in [Future::Changed, Future::Gone] {
        let changed = tempfile::tempdir().unwrap();
        rewrite(&source, changed.path(), Some((at, future))).await;
        let after = evaluated(changed.path(), &home, at).await;
        assert_eq!((&before.rows, &before.data_until), (&after.rows, &after.data_until));
        assert_eq!(before.results, after.results);
    }

    // Before the first test label has closed there are figures of validation alone.
    let early = evaluated(&source, &home, shop.test_timestamp + DAY).await;
    assert!(early.results.iter().all(|r| r.split == SplitName::Val));
    assert_eq!((early.rows["test"], early.results.len()), (0, 2));

    let bench = Bench::open(&source, &home, 2).await;
    let stored = bench.stored().await;
    let (registry, database, catalog) = (&bench.registry, &bench.database, &bench.catalog);
    let at = Some(shop.val_timestamp);
    let none = work::evaluate(registry, database, catalog, &stored, None, None, at).await;
    let error = none.unwrap_err().to_string();
    assert!(error.contains("no label to judge model \"m\" by had closed by"), "{error}");
}
