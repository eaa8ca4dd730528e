//! CREATE OR REPLACE MODEL killed at any moment leaves the last good state.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{QUERY, json, relcast, shop, stdout};
use serde_json::Value;

/// How often a training is killed, at moments spread over all that it does.
const KILLS: u32 = 20;

fn ask(shop: &Path, sql: &str) -> Value {
    json(&relcast(shop, &["sql", "--db", ".", "--format", "json", "-c", sql]))
}

/// The versions that the registry knows.
fn versions(shop: &Path) -> BTreeSet<String> {
    let rows = ask(shop, "SELECT version FROM relcast.models");
    rows.as_array().unwrap().iter().map(|row| row["version"].to_string()).collect()
}

/// What lies beside the versions in the model's folder, and the versions.
fn folders(shop: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(shop.join(".relcast/artifacts/churn")).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    // What a training goes on from is no orphan while it may go on.
    names.filter(|name| !name.starts_with("checkpoint-")).collect()
}

#[test]
fn a_kill_at_any_moment_leaves_the_last_good_state() {
    let shop = shop();
    let shop = shop.path();
    let create = format!("CREATE OR REPLACE MODEL churn AS {QUERY} WITH (epochs = 2)");
    let train = ["sql", "--db", ".", "-c", &create];
    let started = Instant::now();
    stdout(&relcast(shop, &train));
    let whole = started.elapsed();
    let first =
        "SELECT customer_id, probability FROM (PREDICT USING MODEL churn VERSION 1) ORDER BY 1";
    let before = ask(shop, first);
    assert_eq!(before.as_array().unwrap().len(), 40);
    let mut killed = 0;
    for kill in 0..KILLS {
        let mut training = Command::new(env!("CARGO_BIN_EXE_relcast"))
            .current_dir(shop)
            .args(train)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole * kill / KILLS + Duration::from_millis(5));
        let _ = training.kill();
        killed += u32::from(!training.wait().unwrap().success());
        // Loading a version compares its checksums.
        assert_eq!(ask(shop, first), before, "after kill {kill}");
        let known = versions(shop);
        assert_eq!(folders(shop), known, "after kill {kill}");
        let newest = known.iter().filter_map(|v| v.parse::<i64>().ok()).max().unwrap();
        let newest =
            format!("SELECT count(*) AS n FROM (PREDICT USING MODEL churn VERSION {newest})");
        assert_eq!(ask(shop, &newest)[0]["n"], 40);
    }
    assert!(killed >= KILLS / 2, "only {killed} trainings were killed in time");
    stdout(&relcast(shop, &train));
    assert_eq!(folders(shop), versions(shop));
}
