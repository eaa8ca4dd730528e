//! Weights and predictions are the same, bit for bit, on any number of threads: of DataFusion, of the
//! sampler and of the network.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{json, relcast, stdout};
use relcast_testkit::{Permute, warehouse_churn};
use serde_json::Value;

#[test]
fn weights_and_predictions_do_not_depend_on_the_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let database = warehouse_churn(&directory.path().join("shop"), 3, Permute::No).unwrap();
    let source = database.dir.display().to_string();
    let query = database.query_with_splits();
    let trained = |threads: &str| -> (Vec<u8>, Value) {
        let home = format!("home {threads}");
        let common = ["--db", &source, "--home", &home, "--threads", threads, "--model", "churn"];
        let options = ["--set", "epochs=2", "--set", "max_train_rows=2000"];
        let train = [&["train", "--query", &query][..], &common, &options].concat();
        stdout(&relcast(directory.path(), &train));
        let weights = format!("{home}/artifacts/churn/1/weights.safetensors");
        let weights = fs::read(directory.path().join(weights)).unwrap();
        let predict = [&["predict", "--format", "json"][..], &common].concat();
        let mut rows = json(&relcast(directory.path(), &predict));
        for row in rows.as_array_mut().unwrap() {
            row.as_object_mut().unwrap().remove("predicted_at").unwrap();
        }
        (weights, rows)
    };
    let (weights, rows) = trained("1");
    assert!(rows.as_array().unwrap().len() > 10);
    for threads in ["2", "3"] {
        let (other_weights, other_rows) = trained(threads);
        assert!(weights == other_weights, "other weights on {threads} threads");
        assert!(rows == other_rows, "other predictions on {threads} threads");
    }
}
