//! The demo runs with nothing set up, and what it shows is what its model reached.
#![allow(clippy::unwrap_used)]

mod common;

use common::{json, relcast, stdout};

#[test]
fn the_demo_shows_that_the_links_tell_what_one_table_cannot() {
    let directory = tempfile::tempdir().unwrap();
    let shown = json(&relcast(directory.path(), &["demo", "--format", "json"]));
    let results = shown["evaluation"]["results"].as_array().unwrap();
    let test = results.iter().find(|r| r["split"] == "test" && r["history"] == "rolling").unwrap();
    let network = test["metrics"]["auroc"].as_f64().unwrap();
    let single = test["baselines"]["boosting_own_columns"]["auroc"].as_f64().unwrap();
    assert!(network > 0.78 && network > single + 0.15, "{network} {single}");
    assert_eq!(shown["top"].as_array().map(Vec::len), Some(10));
    assert!(directory.path().join(".relcast/demo/churn.parquet").is_file());
    assert!(directory.path().join(".relcast/demo/predictions.db").is_file());
    let models = stdout(&relcast(directory.path(), &["models", "list"]));
    assert!(models.contains("demo_churn"), "{models}");
}
