//! Malformed queries and the errors that they give: place, what was expected, nearest name.
#![allow(clippy::unwrap_used)]

mod common;

use common::{bound, shop};

/// A query and its error.
const ERRORS: &[(&str, &str)] = &[
    // The statement
    ("", "?"),
    ("PREDIKT COUNT(orders.*, 0, 30) FOR EACH customers.id", "?"),
    ("EXPLAIN PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30)", "?"),
    ("PREDICT FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FORR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WERE age > 3", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id ASSUMING age > 3 WHERE age > 3", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id; PREDICT 1", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) RANK 10 FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FORECAST 0 TIMEFRAMES FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id AS OF 'soon'", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id USING churn", "?"),
    ("PREDICT 'open FOR EACH customers.id", "?"),
    // Aggregates and windows
    ("PREDICT CONT(orders.*, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 1.5, days) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30, dais) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 30, 0, days) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, -30, 0, days) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, INF) FOR EACH customers.id", "?"),
    (
        "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id\nWHERE COUNT(orders.*, 0, 30, days) > 0",
        "?",
    ),
    (
        "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id ASSUMING COUNT(orders.*, -30, 0) > 0",
        "?",
    ),
    ("PREDICT SUM(products.price VIA shelves, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(customers.*, 0, 30, days) FOR EACH orders.id", "?"),
    ("PREDICT SUM(orders.*, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT SUM(orders.status, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.* WHERE COUNT(items.*, 0, 1) > 0, 0, 30) FOR EACH customers.id", "?"),
    // Names and paths
    ("PREDICT COUNT(ordrs.*, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT SUM(orders.amont, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.* WHERE statsu = 'x', 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH custmers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.age", "?"),
    ("PREDICT COUNT(stockings.*, 0, 30) FOR EACH shelves.shop", "?"),
    ("PREDICT COUNT(stockings.*, 0, 30) FOR EACH stockings.shop", "?"),
    ("PREDICT COUNT(referrals.*, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(referrals.* VIA referrals, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.* VIA orders.id, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT SUM(products.price, 0, 30) FOR EACH customers.id WHERE orders.amount > 3", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH shelves.(shop, shelf)", "?"),
    // Types and tasks
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WHERE age", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WHERE age = 'old'", "?"),
    ("PREDICT COUNT(orders.* WHERE status + 1 > 3, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.* WHERE placed > 'soon', 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.* WHERE amount LIKE 'a%', 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT LIST_DISTINCT(orders.status, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) RANK TOP 3 FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) + age FOR EACH customers.id", "?"),
    ("PREDICT 3 > 2 FOR EACH customers.id", "?"),
    ("PREDICT LAST(orders.placed, 0, 30) FOR EACH customers.id", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR customers.id = 'five'", "?"),
    ("PREDICT COUNT(stockings.*, 0, 30) FOR shelves.(shop, shelf) = 1", "?"),
    // Options
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WITH (epoch = 3)", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WITH (epochs = 'many')", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WITH (seed = 1, seed = 2)", "?"),
    ("PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WITH (seed = 1) WITH (epochs = 2)", "?"),
];

#[test]
fn every_error_says_where_what_and_what_to_do() {
    let schema = shop();
    let mut wrong = String::new();
    for (sql, expected) in ERRORS {
        let found = match bound(sql, &schema) {
            Ok(_) => "(accepted)".to_owned(),
            Err(error) => {
                assert!(error.place().is_some(), "{sql}: {error}");
                error.to_string()
            }
        };
        if found != *expected {
            wrong.push_str(&format!("    ({sql:?}, {found:?}),\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
