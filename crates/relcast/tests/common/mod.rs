//! The built binary on a small shop.
#![allow(clippy::unwrap_used, dead_code)]

pub mod cluster;
pub mod served;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use relcast_testkit::{Table, date_micros};
use serde_json::Value;
use tempfile::TempDir;

/// Options of a training that is over in a moment.
pub const QUICK: [&str; 4] = ["--set", "epochs=1", "--set", "max_train_rows=200"];

/// Churn of the shop.
pub const QUERY: &str = "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id";

/// Forty customers and two years of their orders, as CSV files with a relcast.yaml.
pub fn shop() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut customers = "customer_id,name,signed_up\n".to_owned();
    let mut orders = "order_id,customer_id,ordered_at,amount\n".to_owned();
    let mut order = 0;
    for customer in 1..=40 {
        writeln!(customers, "{customer},Customer {customer},2020-01-01 00:00:00").unwrap();
        for month in 0..24 {
            if (customer * 7 + month * 5) % 3 == 0 {
                continue;
            }
            order += 1;
            let (year, month) = (2020 + month / 12, month % 12 + 1);
            writeln!(orders, "{order},{customer},{year}-{month:02}-11 10:00:00,{}.5", order % 17)
                .unwrap();
        }
    }
    let yaml = "tables:\n  customers:\n    primary_key: customer_id\n    time_column: signed_up\n  \
                orders:\n    primary_key: order_id\n    time_column: ordered_at\n    \
                foreign_keys: { customer_id: customers }\n";
    for (name, text) in
        [("customers.csv", customers.as_str()), ("orders.csv", &orders), ("relcast.yaml", yaml)]
    {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// The same shop in RelBench's layout: Parquet below `db`, a manifest, and the task `churn`.
pub fn relbench() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let db = directory.path().join("db");
    fs::create_dir(&db).unwrap();
    let start = date_micros(2020, 1, 1);
    Table::new("customers")
        .int("customer_id", 1..=40)
        .time("signed_up", (0..40).map(|_| Some(start)))
        .write(&db)
        .unwrap();
    let orders: Vec<(i64, i64)> = (1..=40)
        .flat_map(|customer| (0..24).map(move |month| (customer, month)))
        .filter(|(customer, month)| (customer * 7 + month * 5) % 3 != 0)
        .collect();
    let time = |month: i64| Some(date_micros(2020 + month / 12, month % 12 + 1, 11));
    Table::new("orders")
        .int("order_id", 1..=orders.len() as i64)
        .int("customer_id", orders.iter().map(|(customer, _)| *customer))
        .time("ordered_at", orders.iter().map(|(_, month)| time(*month)))
        .write(&db)
        .unwrap();
    let manifest = "name: rel-shop\nmanifest_version: 1\nval_timestamp: '2021-05-01'\n\
                    test_timestamp: '2021-09-01'\ntables:\n  customers:\n    pkey: customer_id\n    \
                    time_col: signed_up\n    fkeys: {}\n  orders:\n    pkey: order_id\n    \
                    time_col: ordered_at\n    fkeys:\n      customer_id: customers\n";
    fs::write(directory.path().join("manifest.yaml"), manifest).unwrap();
    let task = directory.path().join("tasks/churn");
    fs::create_dir_all(&task).unwrap();
    let sql = "SELECT t.timestamp, c.customer_id, CASE WHEN COUNT(o.order_id) = 0 THEN 1 ELSE 0 \
               END AS churned FROM timestamps t CROSS JOIN customers c LEFT JOIN orders o ON \
               o.customer_id = c.customer_id AND o.ordered_at > t.timestamp AND \
               o.ordered_at <= t.timestamp + INTERVAL '{timedelta}' GROUP BY t.timestamp, c.customer_id";
    let manifest = format!(
        "name: churn\nkind: forecast\ntask_type: binary_classification\nentity_table: customers\n\
         entity_col: customer_id\ntarget_col: churned\ntime_col: timestamp\ntimedelta: 30 days\n\
         num_eval_timestamps: 3\nsql: \"{sql}\"\n"
    );
    fs::write(task.join("manifest.yaml"), manifest).unwrap();
    directory
}

pub fn relcast(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relcast"))
        .current_dir(directory)
        .args(arguments)
        .output()
        .unwrap()
}

pub fn stdout(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a failed command says; nothing may be on stdout.
pub fn error(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}
