//! Where files may not grow beyond a limit, a command ends with code 1, says so, and leaves nothing
//! half-written. Unlike a small disk, such a limit needs no rights.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{QUERY, QUICK, error, json, relcast, shop, stdout};

/// Runs relcast where no file may grow beyond `bytes`, rounded down to blocks of 512.
fn limited(directory: &Path, bytes: u64, arguments: &[&str]) -> Output {
    // The signal would end the process; where it is ignored, the write fails.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
    Command::new("sh")
        .current_dir(directory)
        .args(["-c", &script, env!("CARGO_BIN_EXE_relcast")])
        .args(arguments)
        .output()
        .unwrap()
}

/// Checks that a command was refused for the limit, in words.
fn assert_refused(output: &Output) -> String {
    let message = error(output, 1);
    let said = ["File too large", "is full", "disk I/O error"];
    assert!(said.iter().any(|words| message.contains(words)), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// All files below a folder with their contents.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => contents(&path),
            false => BTreeMap::from([(path.clone(), fs::read(&path).unwrap())]),
        })
        .collect()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn training_leaves_a_whole_version_or_none() {
    let shop = shop();
    let mut refused = 0;
    for kilobytes in [2, 8, 32, 64, 128, 256, 512, 1024, 4096] {
        let home = format!("home{kilobytes}");
        let at_home = ["--home", home.as_str()];
        let train = ["train", "--db", ".", "--model", "m", "--query", QUERY];
        let train = [&train[..], &QUICK, &at_home].concat();
        let output = limited(shop.path(), kilobytes * 1024, &train);
        let is_trained = output.status.success();
        if !is_trained {
            assert_refused(&output);
            refused += 1;
        }
        let left: Vec<PathBuf> = contents(&shop.path().join(&home)).into_keys().collect();
        for half in [".unfinished", ".part", ".probe", ".relcast-"] {
            let found = left.iter().any(|f| f.to_string_lossy().contains(half));
            assert!(!found, "{kilobytes} kB: {half} in {left:?}");
        }
        let has_folder = shop.path().join(&home).join("artifacts/m/1").exists();
        let list = [&["models", "list", "--format", "json"][..], &at_home].concat();
        let models = json(&relcast(shop.path(), &list));
        assert_eq!(models.as_array().unwrap().len(), usize::from(has_folder), "{kilobytes} kB");
        assert!(has_folder || !is_trained);
    }
    assert!(refused >= 3, "only {refused} of the limits were too small");
}

#[test]
fn labels_leave_what_was_there() {
    let shop = shop();
    let out = shop.path().join("out");
    fs::create_dir(&out).unwrap();
    let labels = ["labels", "--db", ".", "--query", QUERY, "--split", "train", "-o"];
    let run = |bytes: Option<u64>, target: &str| {
        let arguments = [&labels[..], &[target]].concat();
        bytes.map_or_else(
            || relcast(shop.path(), &arguments),
            |bytes| limited(shop.path(), bytes, &arguments),
        )
    };
    let targets = [
        ("old.csv", "out/old.csv", "out/new.csv"),
        ("old.parquet", "out/old.parquet", "out/new.parquet"),
        ("old.db", "sqlite://out/old.db#t", "sqlite://out/new.db#t"),
    ];
    for (file, old, new) in targets {
        stdout(&run(None, old));
        let (before, whole) = (contents(&out), size(&out.join(file)));
        for quarters in 1..=3 {
            for target in [old, new] {
                let message = assert_refused(&run(Some(whole * quarters / 4), target));
                assert!(message.contains(&format!("can't write {target}")), "{message}");
                assert!(contents(&out) == before, "{target}: {:?}", contents(&out).keys());
            }
        }
        stdout(&run(Some(whole + 64 * 1024), old));
    }
}

#[test]
fn predictions_leave_what_was_there() {
    let shop = shop();
    let out = shop.path().join("out");
    fs::create_dir(&out).unwrap();
    let train = ["train", "--db", ".", "--model", "m", "--query", QUERY];
    stdout(&relcast(shop.path(), &[&train[..], &QUICK].concat()));
    // Many more to predict for, under keys that do not compress: more than the registry writes.
    let customers = shop.path().join("customers.csv");
    let mut text = fs::read_to_string(&customers).unwrap();
    for n in 1..=20_000_u64 {
        let key = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2;
        writeln!(text, "{key},Customer {n},2020-01-01 00:00:00").unwrap();
    }
    fs::write(&customers, text).unwrap();
    let predict = ["predict", "--db", ".", "--model", "m", "--into"];
    stdout(&relcast(shop.path(), &[&predict[..], &["out/old.parquet"]].concat()));
    let limit = 128 * 1024;
    assert!(size(&out.join("old.parquet")) > limit);
    let before = contents(&out);
    for target in ["out/old.parquet", "out/new.csv", "sqlite://out/new.db#t"] {
        assert_refused(&limited(shop.path(), limit, &[&predict[..], &[target]].concat()));
        assert!(contents(&out) == before, "{target}: {:?}", contents(&out).keys());
    }
}

#[test]
fn created_tables_are_whole_or_as_they_were() {
    let shop = shop();
    let run = |bytes: Option<u64>, sql: &str| {
        let arguments = ["sql", "--db", ".", "--format", "json", "-c", sql];
        bytes.map_or_else(
            || relcast(shop.path(), &arguments),
            |bytes| limited(shop.path(), bytes, &arguments),
        )
    };
    // Three megabytes that do not compress: more than the registry writes.
    let rows = "SELECT a.order_id AS a, random() AS b FROM orders a CROSS JOIN orders b";
    let tables = || contents(&shop.path().join(".relcast/tables"));
    let one_row = "SELECT 1 AS a, CAST(2 AS DOUBLE) AS b";
    stdout(&run(None, &format!("CREATE TABLE large AS {rows}")));
    let whole = tables().values().map(|bytes| bytes.len() as u64).max().unwrap();
    stdout(&run(None, &format!("CREATE TABLE small AS {one_row}")));
    let before = tables();
    for sql in [
        format!("CREATE TABLE new AS {rows}"),
        format!("CREATE OR REPLACE TABLE small AS {rows}"),
        format!("INSERT INTO small {rows}"),
    ] {
        assert_refused(&run(Some(whole / 2), &sql));
        assert!(tables() == before, "{sql}: {:?}", tables().keys());
    }
    let count = json(&run(None, "SELECT count(*) AS n FROM small"));
    assert_eq!(count, serde_json::json!([{ "n": 1 }]));
    assert!(error(&run(None, "SELECT * FROM new"), 1).contains("no table \"new\""));
}
