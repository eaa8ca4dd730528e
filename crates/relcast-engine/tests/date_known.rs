//! Dates that are known from the midnight that ends them: what happens on the day of a cutoff is not
//! seen at it, and a model remembers.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::session::{answer, floats, refusal, session, texts};
use common::{Bench, bits};
use relcast_catalog::parse_time;
use relcast_engine::work::{PredictAt, Question};

const QUERY: &str = "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id";

/// Forty customers and two years of their orders, each of the 11th of a month. Those of the day `on`
/// have other amounts where it is given; `time` follows each date.
fn write_shop(folder: &Path, on: Option<&str>, time: &str) {
    let mut customers = "customer_id,signed_up\n".to_owned();
    let mut orders = "order_id,customer_id,placed,paid,amount\n".to_owned();
    let mut order = 0;
    for customer in 1..=40 {
        writeln!(customers, "{customer},2020-01-01").unwrap();
        for month in 0..24 {
            if (customer * 7 + month * 5) % 3 == 0 {
                continue;
            }
            order += 1;
            let month = format!("{}-{:02}", 2020 + month / 12, month % 12 + 1);
            let (placed, paid) = (format!("{month}-11"), format!("{month}-13"));
            let changed = if on == Some(placed.as_str()) { 1000 } else { 0 };
            let amount = changed + order % 17;
            writeln!(orders, "{order},{customer},{placed}{time},{paid}{time},{amount}.5").unwrap();
        }
    }
    let yaml = "tables:\n  customers:\n    primary_key: customer_id\n    time_column: signed_up\n  \
                orders:\n    primary_key: order_id\n    time_column: placed\n    \
                foreign_keys: { customer_id: customers }\n";
    for (name, text) in
        [("customers.csv", customers.as_str()), ("orders.csv", &orders), ("relcast.yaml", yaml)]
    {
        fs::write(folder.join(name), text).unwrap();
    }
}

const QUICK: [(&str, &str); 2] = [("epochs", "1"), ("max_train_rows", "500")];

#[tokio::test(flavor = "multi_thread")]
async fn the_day_of_the_cutoff_is_seen_once_it_is_over() {
    let (source, changed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_shop(source.path(), None, "");
    write_shop(changed.path(), Some("2021-09-11"), "");
    let [on_the_day, next_day] = ["2021-09-11", "2021-09-12"].map(|day| parse_time(day).unwrap());
    for (known, moves) in [("start_of_day", [true, true]), ("end_of_day", [false, true])] {
        let home = tempfile::tempdir().unwrap();
        let bench = Bench::open(source.path(), home.path(), 2).await;
        // The last training cutoff lies before the day, so that the weights are the same.
        let splits = [("val_timestamp", "2021-05-01"), ("test_timestamp", "2021-07-01")];
        let set = [&QUICK[..], &splits, &[("date_known", known)]].concat();
        bench.train(&Question::Query(QUERY.to_owned()), &set).await;
        let stored = bench.stored().await;
        let other = Bench::open(changed.path(), home.path(), 2).await;
        for (cutoff, moves) in [on_the_day, next_day].into_iter().zip(moves) {
            let at = PredictAt::Moment(Some(cutoff));
            let before = bits(&bench.predict(&stored, at).await, "prediction");
            let after = bits(&other.predict(&stored, at).await, "prediction");
            assert_eq!(before.len(), 40);
            assert_eq!(before != after, moves, "{known} at {cutoff}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_remembers_from_when_dates_are_known() {
    let (source, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_shop(source.path(), None, "");
    let bench = Bench::open(source.path(), home.path(), 2).await;
    let question = Question::Query(format!("{QUERY} WITH (date_known = 'end_of_day')"));
    bench.train(&question, &QUICK).await;
    let stored = bench.stored().await;
    // The newest time is the end of the last day.
    let last = bench.predict(&stored, PredictAt::Moment(None)).await;
    let until = parse_time("2021-12-12").unwrap();
    assert_eq!(stored.cutoffs.data_end, until);

    let session = session(bench).await;
    for (sql, rows) in
        [("PREDICT USING MODEL m", &last), ("PREDICT USING MODEL m AS OF '2021-12-12'", &last)]
    {
        let answered = answer(&session, sql).await;
        assert_eq!(bits(&answered, "prediction"), bits(rows, "prediction"), "{sql}");
        assert_eq!(
            answered.column_by_name("data_until").unwrap(),
            rows.column_by_name("data_until").unwrap()
        );
    }
    let message = refusal(&session, "PREDICT USING MODEL m WITH (date_known = 'start_of_day')");
    let message = message.await;
    assert!(message.contains("\"date_known\" is decided when a model is trained"), "{message}");

    // Columns are told by the names that the source gives them.
    let explained = answer(&session, "EXPLAIN MODEL m").await;
    let columns = texts(&explained, "column");
    assert!(columns.iter().any(|column| column == "placed"), "{columns:?}");
    assert!(columns.iter().all(|column| !column.starts_with("relcast_end_of_")), "{columns:?}");
    let one = answer(&session, "EXPLAIN MODEL m FOR customers.customer_id = 7").await;
    let sum: f64 = floats(&one, "contribution").into_iter().flatten().sum();
    let score = answer(&session, "PREDICT USING MODEL m FOR customers.customer_id = 7").await;
    let score = floats(&score, "prediction")[0].unwrap();
    assert!((sum - score).abs() < 1e-6 * score.abs().max(1.0), "{sum} instead of {score}");
    answer(&session, "CHECK MODEL m").await;

    let timed = tempfile::tempdir().unwrap();
    write_shop(timed.path(), None, " 10:00:00");
    let bench = Bench::open(timed.path(), home.path(), 2).await;
    let message = stored.check_schema(&bench.catalog.schema).unwrap_err().to_string();
    assert!(
        message.contains("\"placed\" of table \"orders\" holds no dates any more"),
        "{message}"
    );
}
