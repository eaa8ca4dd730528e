//! A hundred connections for a minute: predictions, SQL and nonsense, each with its own answer.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::served::Served;
use tokio::task::JoinSet;
use tokio_postgres::Client;

const CONNECTIONS: usize = 100;
const LASTS: Duration = Duration::from_secs(60);
const ONE: &str = "PREDICT USING MODEL churn FOR customers.customer_id = $1";

/// What the server keeps in memory, in MiB.
fn resident(served: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.process_id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Asks one of each kind, and checks what comes back.
async fn ask(client: &Client, number: i64, right: &HashMap<i64, u64>) {
    let key = number % 40 + 1;
    let rows = client.query(ONE, &[&key]).await.unwrap();
    let probability: f64 = rows[0].get("probability");
    assert_eq!((rows.len(), probability.to_bits()), (1, right[&key]), "customer {key}");

    let name = "SELECT name FROM customers WHERE customer_id = $1";
    let rows = client.query(name, &[&key]).await.unwrap();
    assert_eq!(rows[0].get::<_, String>(0), format!("Customer {key}"));

    let nonsense = match number % 3 {
        0 => format!("SELECT * FROM nothing_{number}"),
        1 => {
            format!("PREDICT COUNT(nothing_{number}.*, 0, 30, days) FOR EACH customers.customer_id")
        }
        _ => format!("SELECT 1 +* nothing_{number}"),
    };
    let error = client.query(&nonsense, &[]).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    let own = error.message().contains(&format!("nothing_{number}")) || number % 3 == 2;
    assert!(own && error.code().code().starts_with("42"), "{nonsense}: {error:?}");
}

async fn all_ask(served: &Served, right: &HashMap<i64, u64>, lasts: Duration) -> usize {
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = served.connect().await;
        let right = right.clone();
        asking.spawn(async move {
            let mut rounds = 0;
            while started.elapsed() < lasts {
                ask(&client, (connection * 1_000 + rounds) as i64, &right).await;
                rounds += 1;
            }
            rounds
        });
    }
    asking.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_connections_for_a_minute_get_right_answers_and_leave_no_memory_behind() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    client.batch_execute(&served.create_model()).await.unwrap();
    let rows = client.query("PREDICT USING MODEL churn", &[]).await.unwrap();
    let bits = |row: &tokio_postgres::Row| row.get::<_, f64>("probability").to_bits();
    let right: HashMap<i64, u64> =
        rows.iter().map(|row| (row.get("customer_id"), bits(row))).collect();
    assert_eq!(right.len(), 40);

    drop(client);
    all_ask(&served, &right, Duration::from_secs(5)).await;
    let before = resident(&served);
    let rounds = all_ask(&served, &right, LASTS).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = resident(&served);
    println!("{rounds} rounds of three statements; {before} MiB before, {after} MiB after");
    assert!(rounds > CONNECTIONS, "{rounds} rounds");
    assert!(after <= before + before / 4 + 16, "{before} MiB before, {after} MiB after");
}
