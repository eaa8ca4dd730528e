//! Malformed queries and the errors that they give: place, what was expected, nearest name.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write;

use common::{bound, shop};
use proptest::prelude::*;

const MALFORMED: &[&str] = &[
    // The statement
    "",
    "PREDIKT COUNT(orders.*, 0, 30) FOR EACH customers.id",
    "EXPLAIN PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30)",
    "PREDICT FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30) FORR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WERE age > 3",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id ASSUMING age > 3 WHERE age > 3",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id; PREDICT 1",
    "PREDICT COUNT(orders.*, 0, 30) RANK 10 FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30) FORECAST 0 TIMEFRAMES FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id AS OF 'soon'",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id USING churn",
    "PREDICT 'open FOR EACH customers.id",
    // Aggregates and windows
    "PREDICT CONT(orders.*, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders.*) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 1.5, days) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30, dais) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 30, 0, days) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, -30, 0, days) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, INF) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id\nWHERE COUNT(orders.*, 0, 30, days) > 0",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id ASSUMING COUNT(orders.*, -30, 0) > 0",
    "PREDICT SUM(products.price VIA shelves, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(customers.*, 0, 30, days) FOR EACH orders.id",
    "PREDICT SUM(orders.*, 0, 30) FOR EACH customers.id",
    "PREDICT SUM(orders.status, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders.* WHERE COUNT(items.*, 0, 1) > 0, 0, 30) FOR EACH customers.id",
    // Names and paths
    "PREDICT COUNT(ordrs.*, 0, 30) FOR EACH customers.id",
    "PREDICT SUM(orders.amont, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders.* WHERE statsu = 'x', 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH custmers.id",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.age",
    "PREDICT COUNT(stockings.*, 0, 30) FOR EACH shelves.shop",
    "PREDICT COUNT(stockings.*, 0, 30) FOR EACH stockings.shop",
    "PREDICT COUNT(referrals.*, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(referrals.* VIA referrals, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders.* VIA orders.id, 0, 30) FOR EACH customers.id",
    "PREDICT SUM(products.price, 0, 30) FOR EACH customers.id WHERE orders.amount > 3",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH shelves.(shop, shelf)",
    // Types and tasks
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WHERE age",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WHERE age = 'old'",
    "PREDICT COUNT(orders.* WHERE status + 1 > 3, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders.* WHERE placed > 'soon', 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders.* WHERE amount LIKE 'a%', 0, 30) FOR EACH customers.id",
    "PREDICT LIST_DISTINCT(orders.status, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30) RANK TOP 3 FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30) + age FOR EACH customers.id",
    "PREDICT 3 > 2 FOR EACH customers.id",
    "PREDICT LAST(orders.placed, 0, 30) FOR EACH customers.id",
    "PREDICT COUNT(orders.*, 0, 30) FOR customers.id = 'five'",
    "PREDICT COUNT(stockings.*, 0, 30) FOR shelves.(shop, shelf) = 1",
    // Options
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WITH (epoch = 3)",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WITH (epochs = 'many')",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WITH (seed = 1, seed = 2)",
    "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WITH (seed = 1) WITH (epochs = 2)",
];

#[test]
fn every_error_says_where_what_and_what_to_do() {
    let schema = shop();
    let mut errors = String::new();
    for sql in MALFORMED {
        let error = bound(sql, &schema).expect_err(sql);
        assert!(error.place().is_some(), "{sql}: {error}");
        writeln!(errors, "{}\n    {error}", sql.replace('\n', "\n  ")).unwrap();
    }
    insta::assert_snapshot!(errors);
}

/// A malformed or valid query with a piece cut out or put elsewhere.
fn mangled() -> impl Strategy<Value = String> {
    let pieces = (0..MALFORMED.len(), 0..MALFORMED.len(), 0usize..90, 0usize..90, 0usize..90);
    pieces.prop_map(|(one, other, start, end, at)| {
        let characters: Vec<char> = MALFORMED[one].chars().collect();
        let clip = |n: usize| n.min(characters.len());
        let (start, end) = (clip(start.min(end)), clip(start.max(end)));
        let piece: String = characters[start..end].iter().collect();
        let other: Vec<char> = MALFORMED[other].chars().collect();
        let at = at.min(other.len());
        other[..at].iter().collect::<String>() + &piece + &other[at..].iter().collect::<String>()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_the_parser_or_the_binder_panic(text in ".{0,80}", mangled in mangled()) {
        let schema = shop();
        for sql in [text, mangled] {
            let _ = bound(&sql, &schema);
        }
    }
}
