//! Bad input: exit code 1, one message that says what, where and what to do, nothing half-written.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{QUERY, error, json, relcast, shop, stdout};
use relcast_engine::Home;

const TRAIN: [&str; 7] = ["train", "--db", ".", "--model", "m", "--query", QUERY];
const QUICK: [&str; 4] = ["--set", "epochs=1", "--set", "max_train_rows=200"];

fn train(directory: &Path) -> std::process::Output {
    relcast(directory, &[&TRAIN[..], &QUICK[..]].concat())
}

/// Trains and fails: the message has all `parts`, and no version nor artefact was left.
fn train_fails(directory: &Path, parts: &[&str]) {
    let message = error(&train(directory), 1);
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
    let models = json(&relcast(directory, &["models", "list", "--format", "json"]));
    assert_eq!(models.as_array().map(Vec::len), Some(0), "{models}");
    assert!(!directory.join(".relcast/artifacts/m/1").exists());
}

/// Replaces text in a file of the shop.
fn edit(directory: &Path, file: &str, from: &str, to: &str) {
    let path = directory.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {file}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn write(directory: &Path, file: &str, text: &str) {
    fs::write(directory.join(file), text).unwrap();
}

#[test]
fn a_truncated_parquet_file_is_named() {
    let shop = shop();
    write(shop.path(), "broken.parquet", "PAR1 and then nothing");
    train_fails(shop.path(), &["broken.parquet"]);
}

#[test]
fn a_declared_table_without_a_file_is_named() {
    let shop = shop();
    fs::remove_file(shop.path().join("orders.csv")).unwrap();
    train_fails(shop.path(), &["orders"]);
}

#[test]
fn ragged_rows_name_their_line() {
    let shop = shop();
    edit(shop.path(), "orders.csv", "\n5,", "\n5,one,too,many,");
    train_fails(shop.path(), &["orders.csv", "line 6"]);
}

#[test]
fn a_yaml_with_a_wrong_column_names_the_nearest() {
    let shop = shop();
    edit(shop.path(), "relcast.yaml", "time_column: ordered_at", "time_column: orderd_at");
    train_fails(shop.path(), &["relcast.yaml", "orderd_at", "ordered_at"]);
}

#[test]
fn a_yaml_with_a_wrong_table_names_the_nearest() {
    let shop = shop();
    edit(shop.path(), "relcast.yaml", "customer_id: customers", "customer_id: custmers");
    train_fails(shop.path(), &["relcast.yaml", "custmers", "customers"]);
}

#[test]
fn a_manifest_with_a_wrong_column_is_refused() {
    let shop = shop();
    let db = shop.path().join("db");
    fs::create_dir(&db).unwrap();
    write(
        shop.path(),
        "manifest.yaml",
        "tables:\n  customers:\n    primary_key: customr_id\n    foreign_keys: {}\n",
    );
    let message = error(&train(shop.path()), 1);
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn a_duplicate_primary_key_is_reported_and_named() {
    let shop = shop();
    edit(shop.path(), "customers.csv", "\n2,", "\n1,");
    let text = stdout(&relcast(shop.path(), &["inspect", "--db", "."]));
    assert!(text.contains("repeat a primary key"), "{text}");
    train_fails(shop.path(), &["customers", "customer_id"]);
}

#[test]
fn circles_and_self_references_train() {
    let shop = shop();
    edit(shop.path(), "customers.csv", "name,signed_up", "name,signed_up,friend_id,last_order");
    let path = shop.path().join("customers.csv");
    let text = fs::read_to_string(&path).unwrap();
    let rows: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(n, line)| if n == 0 { line.to_owned() } else { format!("{line},{},{n}", n % 7 + 1) })
        .collect();
    fs::write(&path, rows.join("\n")).unwrap();
    edit(
        shop.path(),
        "relcast.yaml",
        "time_column: signed_up\n",
        "time_column: signed_up\n    foreign_keys: { friend_id: customers, last_order: orders }\n",
    );
    let query = QUERY.replace("orders.*", "orders.* VIA orders.customer_id");
    let arguments = ["train", "--db", ".", "--model", "m", "--query", &query];
    stdout(&relcast(shop.path(), &[&arguments[..], &QUICK[..]].concat()));
}

#[test]
fn tables_without_rows_and_columns_without_values_train() {
    let shop = shop();
    write(shop.path(), "reviews.csv", "review_id,customer_id,stars\n");
    let path = shop.path().join("orders.csv");
    let text = fs::read_to_string(&path).unwrap();
    let rows: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(n, line)| if n == 0 { format!("{line},note") } else { format!("{line},") })
        .collect();
    fs::write(&path, rows.join("\n")).unwrap();
    stdout(&train(shop.path()));
}

#[test]
fn a_csv_without_rows_cannot_hold_the_declared_times() {
    let shop = shop();
    write(shop.path(), "customers.csv", "customer_id,name,signed_up\n");
    train_fails(shop.path(), &["customers.signed_up", "time column"]);
}

#[test]
fn dates_as_text_and_times_of_several_zones_are_times() {
    let shop = shop();
    edit(shop.path(), "orders.csv", " 10:00:00,", "T10:00:00+02:00,");
    edit(shop.path(), "orders.csv", " 10:00:00,", ",");
    let text = stdout(&relcast(shop.path(), &["inspect", "--db", "."]));
    assert!(text.contains("ordered_at"), "{text}");
    stdout(&train(shop.path()));
}

#[test]
fn a_time_out_of_range_does_not_pass_for_a_time() {
    let shop = shop();
    edit(shop.path(), "orders.csv", "2020-", "999999-");
    train_fails(shop.path(), &["ordered_at"]);
}

#[test]
fn a_label_of_one_class_says_what_to_change() {
    let shop = shop();
    let query = "PREDICT COUNT(orders.*, 0, 300, days) >= 0 FOR EACH customers.customer_id";
    let arguments = ["train", "--db", ".", "--model", "m", "--query", query];
    let message = error(&relcast(shop.path(), &arguments), 1);
    assert!(message.contains("equal") || message.contains("cutoffs"), "{message}");
    let query = "PREDICT COUNT(orders.*, 0, 30, days) >= 0 FOR EACH customers.customer_id";
    let arguments = ["train", "--db", ".", "--model", "m", "--query", query];
    let message = error(&relcast(shop.path(), &arguments), 1);
    assert!(message.contains("nothing to learn") && message.contains("hint"), "{message}");
}

#[test]
fn fewer_than_three_cutoffs_say_what_to_change() {
    let shop = shop();
    let query = "PREDICT COUNT(orders.*, 0, 300, days) = 0 FOR EACH customers.customer_id";
    let arguments = ["train", "--db", ".", "--model", "m", "--query", query];
    let message = error(&relcast(shop.path(), &arguments), 1);
    assert!(message.contains("3 cutoffs") && message.contains("shorten"), "{message}");
}

#[test]
fn five_rows_are_too_few_and_said_to_be() {
    let shop = shop();
    write(
        shop.path(),
        "orders.csv",
        "order_id,customer_id,ordered_at,amount\n1,1,2020-01-01 00:00:00,1.0\n2,1,2020-03-01 00:00:00,1.0\n3,2,2020-05-01 00:00:00,1.0\n",
    );
    write(
        shop.path(),
        "customers.csv",
        "customer_id,name,signed_up\n1,A,2020-01-01 00:00:00\n2,B,2020-01-01 00:00:00\n",
    );
    let output = train(shop.path());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{text}");
}

#[test]
fn targets_that_cannot_be_trained_yet_say_so() {
    let shop = shop();
    for target in [
        "LIST_DISTINCT(orders.amount, 0, 30) CLASSIFY",
        "COUNT(orders.*, 0, 30) FORECAST 2 TIMEFRAMES",
    ] {
        let query = format!("PREDICT {target} FOR EACH customers.customer_id");
        let arguments = ["train", "--db", ".", "--model", "m", "--query", &query];
        let message = error(&relcast(shop.path(), &arguments), 1);
        assert!(message.contains("yet") || message.contains("no label"), "{message}");
    }
}

#[test]
fn a_query_that_names_entities_cannot_be_trained() {
    let shop = shop();
    let query = "PREDICT COUNT(orders.*, 0, 30) = 0 FOR customers.customer_id = 3";
    let arguments = ["train", "--db", ".", "--model", "m", "--query", query];
    let message = error(&relcast(shop.path(), &arguments), 1);
    assert!(message.contains("FOR EACH"), "{message}");
}

#[test]
fn a_second_writer_of_a_model_waits_and_is_refused() {
    let shop = shop();
    let home = Home::open(&shop.path().join(".relcast")).unwrap();
    let lock = home.lock_model("m", Duration::ZERO).unwrap();
    train_fails(shop.path(), &["is writing model", "wait"]);
    drop(lock);
    stdout(&train(shop.path()));
}

#[test]
fn a_changed_schema_is_refused_with_what_differs() {
    let shop = shop();
    stdout(&train(shop.path()));
    edit(shop.path(), "orders.csv", ",amount", ",price");
    let predict = ["predict", "--db", ".", "--model", "m", "--into", "p.csv"];
    let message = error(&relcast(shop.path(), &predict), 1);
    assert!(message.contains("amount") && message.contains("train the model again"), "{message}");
    assert!(!shop.path().join("p.csv").exists());
}

#[test]
fn a_full_disk_leaves_no_model() {
    let shop = shop();
    let small = shop.path().join("small");
    fs::create_dir(&small).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=300k", "tmpfs"];
    let mounted = Command::new("mount").args(mount).arg(&small).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("notice: no right to mount a small disk; nothing checked");
        return;
    }
    let home = small.join("home").display().to_string();
    let output =
        relcast(shop.path(), &[&TRAIN[..], &QUICK[..], &["--home", home.as_str()]].concat());
    let has_artefact = small.join("home/artifacts/m/1").exists();
    Command::new("umount").arg(&small).output().unwrap();
    let message = error(&output, 1);
    assert!(message.contains("space") || message.contains("full"), "{message}");
    assert!(!has_artefact && !message.contains("panicked"), "{message}");
}
