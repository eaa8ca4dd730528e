//! What the network learns and what it must not: links, the past, and nothing else.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{test_baseline, test_metric, train_generated};
use relcast_testkit::{
    GeneratedDatabase, Permute, TestkitError, untimed_items_control, untimed_items_leak,
    upgraded_at_control, upgraded_at_leak, warehouse_churn,
};

type Generate = fn(&Path, u64) -> Result<GeneratedDatabase, TestkitError>;

async fn auroc(generate: Generate) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let database = generate(directory.path(), 1).unwrap();
    test_metric(&train_generated(&database, &[("epochs", "10")]).await, "auroc")
}

#[tokio::test]
async fn complaints_of_others_at_the_same_warehouse_are_found_and_own_columns_tell_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = warehouse_churn(directory.path(), 1, Permute::No).unwrap();
    let report = train_generated(&database, &[]).await;
    let network = test_metric(&report, "auroc");
    assert!(network >= 0.85, "{network}");
    let boosted = test_baseline(&report, "boosting_own_columns", "auroc");
    assert!(boosted <= 0.60, "{boosted}");
}

#[tokio::test]
async fn a_permuted_foreign_key_leaves_nothing_to_find() {
    let directory = tempfile::tempdir().unwrap();
    let database = warehouse_churn(directory.path(), 1, Permute::ForeignKey).unwrap();
    let network = test_metric(&train_generated(&database, &[]).await, "auroc");
    assert!(network <= 0.55, "{network}");
}

#[tokio::test]
async fn shuffled_labels_teach_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = warehouse_churn(directory.path(), 1, Permute::Labels).unwrap();
    let report = train_generated(&database, &[]).await;
    let rows = report.rows["test"] as f64;
    // The constant says the commoner class to all, and is right about its share of the rows.
    let commoner = rows * test_baseline(&report, "constant", "accuracy");
    let rarer = rows - commoner;
    // The standard error of an AUROC without signal (Mann and Whitney 1947).
    let error = ((rows + 1.0) / (12.0 * commoner * rarer)).sqrt();
    let network = test_metric(&report, "auroc");
    assert!((network - 0.5).abs() <= 3.0 * error, "{network}, standard error {error}");
}

#[tokio::test]
async fn items_of_future_orders_tell_nothing() {
    let leak = auroc(untimed_items_leak).await;
    assert!((0.45..=0.55).contains(&leak), "{leak}");
}

#[tokio::test]
async fn items_of_past_orders_tell_what_they_can() {
    let control = auroc(untimed_items_control).await;
    assert!(control >= 0.80, "{control}");
}

#[tokio::test]
async fn a_timestamp_filled_in_later_tells_nothing() {
    let leak = auroc(upgraded_at_leak).await;
    assert!((0.45..=0.55).contains(&leak), "{leak}");
}

#[tokio::test]
async fn a_timestamp_of_the_past_tells_what_it_can() {
    let control = auroc(upgraded_at_control).await;
    assert!(control >= 0.80, "{control}");
}
