//! EXPLAIN MODEL: what was planted is found, and contributions add up to the prediction.
#![allow(clippy::unwrap_used)]

mod common;

use arrow::array::RecordBatch;
use common::Bench;
use common::session::{answer, floats, refusal, session, texts, wholes};
use relcast_engine::Session;
use relcast_engine::work::Question;
use relcast_testkit::{GeneratedDatabase, Permute, upgraded_at_control, warehouse_churn};
use tempfile::TempDir;

/// A session with a model `m` for `query`; the folders last as long as it.
async fn trained(
    database: &GeneratedDatabase,
    query: String,
    set: &[(&str, &str)],
) -> (Session, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let bench = Bench::open(&database.dir, home.path(), 2).await;
    bench.train(&Question::Query(query), set).await;
    (session(bench).await, home)
}

/// Table, column (`NULL` for whole rows), hop and share, in the order of importance.
fn importance(rows: &RecordBatch) -> Vec<(String, String, i64, f64)> {
    let kinds = texts(rows, "kind");
    let (tables, columns) = (texts(rows, "table"), texts(rows, "column"));
    let (hops, shares) = (wholes(rows, "hop"), floats(rows, "share"));
    (0..rows.num_rows())
        .filter(|row| kinds[*row] == "importance")
        .map(|row| {
            let share = shares[row].expect("a model with skill has shares");
            (tables[row].clone(), columns[row].clone(), hops[row].unwrap(), share)
        })
        .collect()
}

/// Range and mean prediction of the cohorts of a column.
fn cohorts(rows: &RecordBatch, table: &str, column: &str) -> Vec<(String, f64)> {
    let (kinds, ranges) = (texts(rows, "kind"), texts(rows, "range"));
    let (tables, columns) = (texts(rows, "table"), texts(rows, "column"));
    let means = floats(rows, "mean_prediction");
    (0..rows.num_rows())
        .filter(|row| kinds[*row] == "cohort" && tables[*row] == table && columns[*row] == column)
        .map(|row| (ranges[row].clone(), means[row].unwrap()))
        .collect()
}

/// The sum of the contributions of `sql`, and the number that `predict` gives in `column`.
async fn sum_and_score(
    session: &Session,
    sql: &str,
    predict: &str,
    column: &str,
) -> (f64, f64, RecordBatch) {
    let rows = answer(session, sql).await;
    let kinds = texts(&rows, "kind");
    assert_eq!(kinds.iter().filter(|kind| *kind == "base").count(), 1);
    assert_eq!(kinds[0], "base");
    let sum = floats(&rows, "contribution").into_iter().flatten().sum();
    let score = floats(&answer(session, predict).await, column)[0].unwrap();
    (sum, score, rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn complaints_at_the_warehouse_come_first_and_noise_has_no_share() {
    let directory = tempfile::tempdir().unwrap();
    let database = warehouse_churn(directory.path(), 1, Permute::No).unwrap();
    let (session, _home) = trained(&database, database.query_with_splits(), &[]).await;
    let rows = answer(&session, "EXPLAIN MODEL m").await;
    let lines = importance(&rows);
    let columns: Vec<_> = lines.iter().filter(|line| line.1 != "NULL").collect();
    let (table, column, hop, share) = columns[0];
    assert_eq!((table.as_str(), column.as_str(), *hop), ("complaints", "created_at", 2));
    assert!(*share > 0.4, "{share}");
    let tables: Vec<_> = lines.iter().filter(|line| line.1 == "NULL").collect();
    // Who is at another warehouse hears of other complaints.
    assert!(["complaints", "warehouses"].contains(&tables[0].0.as_str()), "{tables:?}");
    for (table, column, _, share) in &lines {
        let noise = [
            ("customers", "age"),
            ("customers", "plan"),
            ("customers", "score"),
            ("orders", "amount"),
        ];
        if noise.contains(&(table.as_str(), column.as_str())) {
            assert!(share.abs() < 0.1, "{table}.{column}: {share}");
        }
    }
    // Where complaints are young, customers leave.
    let cohorts = cohorts(&rows, "complaints", "created_at");
    assert!(cohorts.len() >= 4, "{cohorts:?}");
    assert!(cohorts[0].1 > cohorts[cohorts.len() - 2].1 + 0.1, "{cohorts:?}");
    assert_eq!(answer(&session, "EXPLAIN MODEL m VERSION 1").await, rows, "the same each time");

    let predicted = answer(
        &session,
        "SELECT customer_id, probability FROM (PREDICT USING MODEL m) p ORDER BY probability DESC, customer_id",
    )
    .await;
    let leaver = wholes(&predicted, "customer_id")[0].unwrap();
    let stayer = wholes(&predicted, "customer_id")[predicted.num_rows() - 1].unwrap();
    for customer in [leaver, stayer, 17] {
        let explain = format!("EXPLAIN MODEL m FOR customers.customer_id = {customer}");
        let predict = format!("PREDICT USING MODEL m FOR customers.customer_id = {customer}");
        let (sum, score, rows) = sum_and_score(&session, &explain, &predict, "probability").await;
        assert!((sum - score).abs() < 1e-6, "{sum} instead of {score}");
        assert!(rows.num_rows() > 3, "{rows:?}");
        if customer == leaver {
            let (tables, parts) = (texts(&rows, "table"), floats(&rows, "contribution"));
            let of = |table: &str| -> f64 {
                tables.iter().zip(&parts).filter(|(t, _)| *t == table).filter_map(|(_, p)| *p).sum()
            };
            let planted = of("complaints") + of("warehouses");
            assert!(planted > 0.1, "{planted}");
        }
    }
    let nobody = refusal(&session, "EXPLAIN MODEL m FOR customers.customer_id = 999999").await;
    assert_eq!(nobody, "line 1, column 21: no row has this key");
    let table = refusal(&session, "EXPLAIN MODEL m FOR custmers.customer_id = 1").await;
    assert!(table.starts_with("line 1, column 21: no table \"custmers\""), "{table}");
    let column = refusal(&session, "EXPLAIN MODEL m FOR customers.customer = 1").await;
    assert!(column.contains("no column \"customer\""), "{column}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_column_of_the_entity_comes_first() {
    let directory = tempfile::tempdir().unwrap();
    let database = upgraded_at_control(directory.path(), 1).unwrap();
    let set = [("epochs", "10")];
    let (session, _home) = trained(&database, database.query_with_splits(), &set).await;
    let lines = importance(&answer(&session, "EXPLAIN MODEL m").await);
    let (table, column, hop, share) = &lines[0];
    assert_eq!((table.as_str(), column.as_str(), *hop), ("customers", "upgraded_at", 0));
    assert!(*share > 0.5, "{share}");
    let noise = lines.iter().filter(|line| line.1 == "age" || line.1 == "amount");
    for (table, column, _, share) in noise {
        assert!(share.abs() < 0.1, "{table}.{column}: {share}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contributions_to_a_number_add_up_to_it_with_any_fan_out() {
    let directory = tempfile::tempdir().unwrap();
    let database = warehouse_churn(directory.path(), 2, Permute::No).unwrap();
    let query = database.query_with_splits();
    let query =
        query.replace("COUNT(orders.*, 0, 30, days) = 0", "SUM(orders.amount, 0, 30, days)");
    for fanout in ["fanout = [2]", "fanout = [16, 6]"] {
        let query = query.replace("WITH (", &format!("WITH ({fanout}, "));
        let set = [("epochs", "1"), ("max_train_rows", "1000")];
        let (session, _home) = trained(&database, query, &set).await;
        for customer in [1, 2] {
            let explain = format!("EXPLAIN MODEL m FOR customers.customer_id = {customer}");
            let predict = format!("PREDICT USING MODEL m FOR customers.customer_id = {customer}");
            let (sum, score, rows) =
                sum_and_score(&session, &explain, &predict, "prediction").await;
            assert!((sum - score).abs() < 1e-6 * score.abs().max(1.0), "{sum}, not {score}");
            let cells: Vec<String> = texts(&rows, "kind");
            assert!(cells.iter().any(|kind| kind == "cell"), "{cells:?}");
        }
    }
}
