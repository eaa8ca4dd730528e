//! Plans as EXPLAIN tells them, as snapshots.
#![allow(clippy::unwrap_used)]

mod common;

use common::{QUERY, relcast, shop};

/// The text of a plan; what depends on the machine is left out.
fn told(directory: &std::path::Path, sql: &str) -> String {
    let output = relcast(directory, &["sql", "--db", ".", "--format", "csv", "-c", sql]);
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| match line.split_once(" MB of encoded rows") {
        Some((before, _)) => format!("{before} MB of encoded rows …\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn plans_are_as_written() {
    let shop = shop();
    let create = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 1)");
    assert!(relcast(shop.path(), &["sql", "--db", ".", "-c", &create]).status.success());
    for (name, sql) in [
        ("explain_predict", format!("EXPLAIN {QUERY} WHERE COUNT(orders.*, -90, 0, days) > 0")),
        ("explain_create_model", format!("EXPLAIN CREATE MODEL other AS {QUERY}")),
        (
            "explain_using_model",
            "EXPLAIN PREDICT USING MODEL churn AS OF '2021-06-30'".to_owned(),
        ),
        (
            "explain_select_of_one",
            "EXPLAIN FORMAT INDENT SELECT probability FROM (PREDICT USING MODEL churn) p WHERE customer_id = 42"
                .to_owned(),
        ),
        (
            "explain_select_of_few",
            "EXPLAIN FORMAT INDENT SELECT customer_id FROM (PREDICT USING MODEL churn) p LIMIT 3".to_owned(),
        ),
        (
            "explain_join",
            "EXPLAIN FORMAT INDENT SELECT c.name, p.probability FROM (PREDICT USING MODEL churn) p JOIN customers c USING (customer_id)"
                .to_owned(),
        ),
    ] {
        insta::assert_snapshot!(name, told(shop.path(), &sql));
    }
}

#[test]
fn a_plan_says_when_and_for_whom() {
    let shop = shop();
    let labels = "  train: 760 rows at 19 cutoffs, 2020-01-21 10:00:00 .. 2021-07-14 10:00:00";
    for (query, lines) in [
        // A quick model learns from all the data, whenever it predicts.
        (
            format!("{QUERY} AS OF '2021-06-30'"),
            ["cutoff 2021-06-30", "entities: seen 40 of 40, seeds 40", labels],
        ),
        (
            QUERY.replace("EACH customers.customer_id", "customers.customer_id IN (3, 4, 999)"),
            ["cutoff 2021-12-11 10:00:00", "entities: seen 40 of 40, seeds 3", labels],
        ),
        // No one had signed up yet.
        (
            format!("{QUERY} AS OF '2019-12-31'"),
            ["cutoff 2019-12-31", "entities: seen 0 of 40, seeds 0", labels],
        ),
        (
            QUERY.replace(
                "EACH customers.customer_id",
                "customers.customer_id IN (SELECT * FROM (VALUES (3, TIMESTAMP '2021-06-30'), (4, TIMESTAMP '2021-07-30')) AS v(k, c))",
            ),
            ["cutoffs 2021-06-30 .. 2021-07-30", "entities: seen 40 of 40 at the last, seeds 2", labels],
        ),
    ] {
        let text = told(shop.path(), &format!("EXPLAIN {query}"));
        for line in lines {
            assert!(text.lines().any(|l| l.trim_matches('"') == line), "{query}: {line}\n{text}");
        }
    }
}

#[test]
fn what_cannot_be_trained_for_is_promised_no_network() {
    let shop = shop();
    for (query, training) in [
        (
            "LIST_DISTINCT(orders.customer_id, 0, 30, days) RANK TOP 3 FOR EACH customers.customer_id",
            "ranking (top 3)",
        ),
        (
            "COUNT(orders.*, 0, 30, days) FORECAST 2 TIMEFRAMES FOR EACH customers.customer_id",
            "forecasting (2 steps)",
        ),
        (
            "LIST_DISTINCT(orders.amount, 0, 30, days) CLASSIFY FOR EACH customers.customer_id",
            "multi-label classification",
        ),
        ("orders.amount FOR EACH orders.order_id", "filling in a column"),
    ] {
        for explain in ["EXPLAIN", "EXPLAIN CREATE MODEL m AS"] {
            let text = told(shop.path(), &format!("{explain} PREDICT {query}"));
            let training = format!("training: not yet ({training})");
            assert!(text.lines().any(|line| line == training), "{text}");
            for promise in ["quick", "to be trained", "network:", "cost:"] {
                assert!(!text.contains(promise), "{promise}: {text}");
            }
            // What is filled in is no input.
            let is_input = text.contains("amount numerical");
            assert_eq!(is_input, !query.starts_with("orders.amount"), "{text}");
        }
    }
}

/// How many entities the only prediction of an EXPLAIN ANALYZE was made for.
fn seeds_scored(text: &str) -> u64 {
    let (_, rest) = text.split_once("seeds_scored=").unwrap();
    rest.split([',', ']']).next().unwrap().parse().unwrap()
}

#[test]
fn nobody_is_scored_whom_nothing_above_asks_for() {
    let shop = shop();
    let create = format!(
        "CREATE MODEL churn AS {QUERY} WITH (epochs = 1); \
         CREATE VIEW scores AS SELECT customer_id, probability FROM (PREDICT USING MODEL churn) p"
    );
    assert!(relcast(shop.path(), &["sql", "--db", ".", "-c", &create]).status.success());
    for (query, scored) in [
        ("PREDICT USING MODEL churn", 40),
        ("PREDICT USING MODEL churn FOR customers.customer_id = 7", 1),
        ("SELECT probability FROM (PREDICT USING MODEL churn) p WHERE customer_id = 7", 1),
        (
            "SELECT c.name, p.probability FROM (PREDICT USING MODEL churn) p JOIN customers c USING (customer_id) WHERE c.customer_id = 7",
            1,
        ),
        ("SELECT probability FROM scores WHERE customer_id IN (7, 8)", 2),
        ("SELECT customer_id FROM (PREDICT USING MODEL churn) p", 0),
        ("SELECT customer_id, cutoff FROM (PREDICT USING MODEL churn) p", 0),
        ("SELECT customer_id FROM scores", 0),
        ("SELECT * FROM (PREDICT USING MODEL churn) p LIMIT 3", 3),
        ("SELECT * FROM scores LIMIT 3", 3),
        // What is asked of a score takes all of them.
        ("SELECT customer_id FROM scores WHERE probability >= 0", 40),
    ] {
        let text = told(shop.path(), &format!("EXPLAIN ANALYZE {query}"));
        assert_eq!(seeds_scored(&text), scored, "{query}: {text}");
    }
}
