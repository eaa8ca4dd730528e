//! `relcast serve --freshness` over a source that changes, and one that goes away.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use chrono::NaiveDateTime;
use common::served::Served;
use tokio_postgres::Client;

const PREDICT: &str = "PREDICT USING MODEL churn FOR customers.customer_id = 3";

async fn data_until(client: &Client) -> NaiveDateTime {
    client.query_one(PREDICT, &[]).await.unwrap().get("data_until")
}

/// Asks until the answer is as wanted, or too much time has gone by.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is().await {
        assert!(started.elapsed() < Duration::from_secs(60), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_from_what_the_source_holds_now() {
    let served = Served::start(&["--freshness", "300ms"]);
    let client = served.connect().await;
    client.batch_execute(&served.create_model()).await.unwrap();
    assert_eq!(data_until(&client).await, "2021-12-11T10:00:00".parse().unwrap());

    client
        .batch_execute("CREATE VIEW latest AS SELECT max(ordered_at) AS moment FROM orders")
        .await
        .unwrap();
    client.batch_execute(&format!("CREATE VIEW of_three AS {PREDICT}")).await.unwrap();

    // A newer order arrives.
    let orders = served.shop.path().join("orders.csv");
    let mut file = fs::OpenOptions::new().append(true).open(&orders).unwrap();
    file.write_all(b"9000,3,2022-01-05 10:00:00,7.5\n").unwrap();
    drop(file);
    let newer: NaiveDateTime = "2022-01-05T10:00:00".parse().unwrap();
    until("the newer order", async || data_until(&client).await == newer).await;
    let count = "SELECT count(*) FROM orders WHERE order_id = 9000";
    assert_eq!(client.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 1);
    // Views go on standing over it, in this session and in others.
    for client in [&client, &served.connect().await] {
        let latest = client.query_one("SELECT moment FROM latest", &[]).await.unwrap();
        assert_eq!(latest.get::<_, NaiveDateTime>(0), newer);
        let predicted = client.query_one("SELECT data_until FROM of_three", &[]).await.unwrap();
        assert_eq!(predicted.get::<_, NaiveDateTime>(0), newer);
    }

    // A column is gone: the model is refused, the rest goes on.
    let customers = served.shop.path().join("customers.csv");
    let whole = fs::read_to_string(&customers).unwrap();
    let without_name: Vec<String> = whole
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            format!("{},{}", cells[0], cells[2])
        })
        .collect();
    fs::write(&customers, without_name.join("\n")).unwrap();
    let refused = async || match client.query_one(PREDICT, &[]).await {
        Ok(_) => false,
        Err(error) => {
            let error = error.as_db_error().unwrap();
            error.message().contains("column \"name\" of table \"customers\" is gone")
        }
    };
    until("the refusal", refused).await;
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);

    // It comes back.
    fs::write(&customers, whole).unwrap();
    until("the answer", async || client.query_one(PREDICT, &[]).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_older_than_freshness_allows() {
    let served = Served::start(&["--freshness", "0s"]);
    let client = served.connect().await;
    client.batch_execute(&served.create_model()).await.unwrap();
    let orders = served.shop.path().join("orders.csv");
    let moment = |text: &str| text.parse::<NaiveDateTime>().unwrap();

    let mut text = fs::read_to_string(&orders).unwrap();
    text.push_str("9000,3,2022-01-05 10:00:00,7.5\n");
    fs::write(&orders, &text).unwrap();
    assert_eq!(data_until(&client).await, moment("2022-01-05T10:00:00"));

    // Written in place, as large as before.
    let text = text.replace("2022-01-05 10", "2022-01-06 10");
    fs::write(&orders, &text).unwrap();
    assert_eq!(data_until(&client).await, moment("2022-01-06T10:00:00"));

    // Another file of the same size and time of writing takes its place.
    let written = fs::metadata(&orders).unwrap().modified().unwrap();
    let other = served.shop.path().join("orders.new");
    fs::write(&other, text.replace("2022-01-06 10", "2022-01-07 10")).unwrap();
    fs::OpenOptions::new().write(true).open(&other).unwrap().set_modified(written).unwrap();
    fs::rename(&other, &orders).unwrap();
    assert_eq!(data_until(&client).await, moment("2022-01-07T10:00:00"));

    // Data that cannot be read again are too old.
    fs::rename(&orders, &other).unwrap();
    let error = client.query_one(PREDICT, &[]).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert!(error.message().contains("is older than --freshness allows"), "{error:?}");
    fs::rename(&other, &orders).unwrap();
    assert_eq!(data_until(&client).await, moment("2022-01-07T10:00:00"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_goes_away_fails_its_query_and_not_the_session() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    let orders = served.shop.path().join("orders.csv");
    let aside = served.shop.path().join("orders.away");
    fs::rename(&orders, &aside).unwrap();
    let error = client.query("SELECT * FROM orders", &[]).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert!(error.message().contains("orders.csv"), "{error:?}");
    let error = client.batch_execute(&served.create_model()).await.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("orders.csv"), "{error:?}");
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);
    fs::rename(&aside, &orders).unwrap();
    client.batch_execute(&served.create_model()).await.unwrap();
}
