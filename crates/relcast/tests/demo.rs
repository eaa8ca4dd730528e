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

#[test]
fn the_demo_shows_ten_names_and_compares_honestly() {
    let directory = tempfile::tempdir().unwrap();
    let text = stdout(&relcast(directory.path(), &["demo"]));
    let comparison = text.lines().find(|line| line.starts_with("Test AUROC")).unwrap();
    let figures: Vec<f64> = comparison
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .filter(|figure| *figure != 0.5)
        .collect();
    assert!(matches!(figures[..], [network, single] if network > single), "{comparison}");
    assert!(
        comparison.ends_with("the links say what the customers' table cannot."),
        "{comparison}"
    );
    // What the line says is what the table of figures says.
    let figure = |by: &str| -> f64 {
        let row =
            text.lines().find(|line| line.split_whitespace().take(3).eq(["test", "rolling", by]));
        row.unwrap().split_whitespace().nth(3).unwrap().parse().unwrap()
    };
    assert!((figure("model") - figures[0]).abs() < 0.001, "{comparison}");
    assert!((figure("boosting_own_columns") - figures[1]).abs() < 0.001, "{comparison}");

    let top = &text[text.find("== With names").unwrap()..];
    let rows: Vec<Vec<&str>> = top
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows[0], ["customer", "segment", "chance"]);
    assert_eq!(rows.len(), 11);
    assert!(rows[1..].iter().all(|row| row[0].split(' ').count() == 2), "{top}");
    let chances: Vec<f64> = rows[1..].iter().map(|row| row[2].parse().unwrap()).collect();
    assert!(chances.is_sorted_by(|a, b| a >= b) && chances[0] <= 1.0, "{chances:?}");
    for step in ["relcast inspect", "EXPLAIN LABELS", "relcast train", "relcast predict"] {
        assert!(text.contains(step), "{step}");
    }
}
