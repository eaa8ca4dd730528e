//! The built binary on a small shop.
#![allow(clippy::unwrap_used, dead_code)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

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
