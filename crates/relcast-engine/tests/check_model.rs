//! CHECK MODEL: what changed after training has drifted, what did not is fine.
#![allow(clippy::unwrap_used)]

mod common;

use common::Bench;
use common::session::{answer, floats, session, texts, wholes};
use relcast_engine::work::Question;
use relcast_testkit::{DAY, Random, Table, date_micros};

const CUSTOMERS: usize = 300;
const DAYS: i64 = 400;
/// The last training cutoff: a horizon of ten days before validation.
const TRAINED: i64 = 300;

const YAML: &str = "\
tables:
  customers: { primary_key: customer_id, time_column: null }
  orders:
    primary_key: order_id
    time_column: ordered_at
    foreign_keys: { customer_id: customers }
    columns:
      amount: { type: numerical }
      weight: { type: numerical }
      channel: { type: categorical }
      tip: { type: numerical, known_from: tipped_at }
  visits:
    primary_key: visit_id
    time_column: at
    foreign_keys: { customer_id: customers }
";

/// Visits are written down until then.
const VISITS: i64 = 320;

/// Orders whose amounts grow, that come by a new channel and that get no tips any more once the model
/// is trained; weights stay as they were. Visits are no longer written down.
fn write(directory: &std::path::Path) {
    let mut random = Random::new(9);
    let start = date_micros(2022, 1, 1);
    let mut times: Vec<i64> =
        (0..8000).map(|_| start + (random.uniform() * (DAYS * DAY) as f64) as i64).collect();
    times.sort_unstable();
    let late: Vec<bool> = times.iter().map(|time| *time > start + TRAINED * DAY).collect();
    let customers: Vec<i64> = times.iter().map(|_| 1 + random.below(CUSTOMERS) as i64).collect();
    let amounts: Vec<f64> =
        late.iter().map(|late| 10.0 * random.uniform() + if *late { 30.0 } else { 10.0 }).collect();
    let weights: Vec<f64> = times.iter().map(|_| random.uniform()).collect();
    let channels: Vec<&str> = late
        .iter()
        .map(|late| ["web", "shop", "app"][random.below(if *late { 3 } else { 2 })])
        .collect();
    let ages: Vec<f64> = (0..CUSTOMERS).map(|_| 20.0 + 50.0 * random.uniform()).collect();
    let tipped_at: Vec<Option<i64>> = times
        .iter()
        .zip(&late)
        .map(|(time, late)| (!late && random.uniform() < 0.8).then_some(time + DAY))
        .collect();
    let tips: Vec<f64> = times.iter().map(|_| random.uniform()).collect();
    let visits: Vec<i64> =
        (0..3200).map(|_| start + (random.uniform() * (VISITS * DAY) as f64) as i64).collect();
    let visitors: Vec<i64> = visits.iter().map(|_| 1 + random.below(CUSTOMERS) as i64).collect();
    Table::new("customers")
        .int("customer_id", 1..=CUSTOMERS as i64)
        .float("age", ages)
        .write(directory)
        .unwrap();
    Table::new("orders")
        .int("order_id", 1..=times.len() as i64)
        .int("customer_id", customers)
        .time("ordered_at", times.into_iter().map(Some))
        .float("amount", amounts)
        .float("weight", weights)
        .text("channel", channels)
        .time("tipped_at", tipped_at)
        .float("tip", tips)
        .write(directory)
        .unwrap();
    Table::new("visits")
        .int("visit_id", 1..=visits.len() as i64)
        .int("customer_id", visitors)
        .time("at", visits.into_iter().map(Some))
        .write(directory)
        .unwrap();
    std::fs::write(directory.join("relcast.yaml"), YAML).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_after_training_has_drifted_and_the_rest_is_fine() {
    let (source, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(source.path());
    // 300 days after the start is 28 October 2022.
    let query = "PREDICT COUNT(orders.*, 0, 10, days) > 0 FOR EACH customers.customer_id \
        WITH (val_timestamp = '2022-11-07', test_timestamp = '2022-12-07', epochs = 1, max_train_rows = 2000)";
    let bench = Bench::open(source.path(), home.path(), 2).await;
    bench.train(&Question::Query(query.to_owned()), &[]).await;
    let cutoffs = bench.stored().await.cutoffs.clone();
    assert_eq!(cutoffs.train.last(), Some(&(date_micros(2022, 1, 1) + TRAINED * DAY)));

    let session = session(bench).await;
    let rows = answer(&session, "CHECK MODEL m").await;
    assert_eq!(answer(&session, "CHECK MODEL m").await, rows, "the same each time");
    let (kinds, columns) = (texts(&rows, "kind"), texts(&rows, "column"));
    let place = |kind: &str, column: &str| {
        let found = kinds.iter().zip(&columns).position(|(k, c)| k == kind && c == column);
        found.unwrap_or_else(|| panic!("no line for {kind} {column} among {columns:?}"))
    };
    let (amount, weight, channel) =
        (place("input", "amount"), place("input", "weight"), place("input", "channel"));
    let (verdicts, psi) = (texts(&rows, "verdict"), floats(&rows, "psi"));
    assert_eq!(verdicts[amount], "drift");
    assert!(psi[amount].unwrap() > 1.0, "{psi:?}");
    assert_eq!(verdicts[weight], "ok");
    assert!(psi[weight].unwrap() < 0.05, "{psi:?}");
    assert_eq!(verdicts[channel], "drift");
    let unknown = floats(&rows, "unknown_share");
    assert!((unknown[channel].unwrap() - 1.0 / 3.0).abs() < 0.05, "{unknown:?}");
    assert_eq!(unknown[amount], None);

    let (then, now) = (floats(&rows, "training_mean"), floats(&rows, "current_mean"));
    assert!((then[amount].unwrap() - 15.0).abs() < 0.5, "{then:?}");
    assert!((now[amount].unwrap() - 35.0).abs() < 0.5, "{now:?}");
    let (known, came) = (wholes(&rows, "training_rows"), wholes(&rows, "current_rows"));
    assert_eq!(known[amount].unwrap() + came[amount].unwrap(), 8000);
    assert_eq!(floats(&rows, "training_null_share")[amount], Some(0.0));

    // Tips that are known from a time of their own are not there any more.
    let tip = place("known", "tip");
    assert_eq!(verdicts[tip], "drift");
    let nulls = |side: &str| floats(&rows, &format!("{side}_null_share"))[tip].unwrap();
    assert!((nulls("training") - 0.2).abs() < 0.05, "{}", nulls("training"));
    assert!(nulls("current") > 0.999, "{}", nulls("current"));

    // Orders come as before, visits no longer do.
    let tables = texts(&rows, "table");
    let pace = |table: &str| {
        let found = kinds.iter().zip(&tables).position(|(k, t)| k == "rows" && t == table);
        found.unwrap_or_else(|| panic!("no line for the rows of {table} among {tables:?}"))
    };
    let (orders, visits) = (pace("orders"), pace("visits"));
    assert_eq!((verdicts[orders].as_str(), verdicts[visits].as_str()), ("ok", "drift"));
    assert!((then[orders].unwrap() - 200.0).abs() < 20.0, "{then:?}");
    assert!((5.0..20.0).contains(&now[visits].unwrap()), "{now:?}");
    assert_eq!(known[orders].unwrap() + came[orders].unwrap(), 8000);

    // Rows of a table without times do not come.
    let age = place("input", "age");
    assert_eq!((psi[age], verdicts[age].as_str(), known[age]), (None, "NULL", None));

    let (score, label) = (place("score", "probability"), place("label", "label"));
    assert_eq!(verdicts[label], "ok", "{psi:?}");
    assert!((then[label].unwrap() - now[label].unwrap()).abs() < 0.1, "{then:?} {now:?}");
    assert!(psi[score].is_some() && known[score] == Some(CUSTOMERS as i64), "{known:?}");
    assert_eq!(rows.num_rows(), label + 1, "the labels come last");
}
