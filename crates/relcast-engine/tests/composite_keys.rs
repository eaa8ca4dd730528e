//! An entity with a key of two columns: in which order FOR writes them changes nothing.
#![allow(clippy::unwrap_used)]

mod common;

use common::session::{answer, floats, session, texts};
use common::{Bench, bits};
use relcast_engine::work::{PredictAt, Question};
use relcast_testkit::{DAY, Random, Table, date_micros};

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_another_order_give_the_same_weights_and_predictions() {
    let source = tempfile::tempdir().unwrap();
    let mut random = Random::new(4);
    let start = date_micros(2022, 1, 1);
    let shelves: Vec<(i64, i64)> = (1..=12).flat_map(|a| (1..=12).map(move |b| (a, b))).collect();
    let stockings: Vec<(usize, i64)> = (0..6000)
        .map(|_| (random.below(shelves.len()), start + random.below(400 * DAY as usize) as i64))
        .collect();
    Table::new("shelves")
        .int("shop", shelves.iter().map(|s| s.0))
        .int("shelf", shelves.iter().map(|s| s.1))
        .float("width", shelves.iter().map(|s| (s.0 * 100 + s.1) as f64))
        .write(source.path())
        .unwrap();
    Table::new("stockings")
        .int("shop", stockings.iter().map(|s| shelves[s.0].0))
        .int("shelf", stockings.iter().map(|s| shelves[s.0].1))
        .time("at", stockings.iter().map(|s| Some(s.1)))
        .write(source.path())
        .unwrap();
    let yaml = "tables:\n  shelves: { primary_key: [shop, shelf], time_column: null }\n  \
        stockings: { primary_key: null, time_column: at, foreign_keys: { \"shop, shelf\": shelves } }\n";
    std::fs::write(source.path().join("relcast.yaml"), yaml).unwrap();
    let mut found = Vec::new();
    for key in ["shop, shelf", "shelf, shop"] {
        let home = tempfile::tempdir().unwrap();
        let bench = Bench::open(source.path(), home.path(), 2).await;
        let query = format!("PREDICT COUNT(stockings.*, 0, 10, days) > 1 FOR EACH shelves.({key})");
        let set = [("epochs", "1"), ("max_train_rows", "1000")];
        bench.train(&Question::Query(query), &set).await;
        let stored = bench.stored().await;
        let rows = bench.predict(&stored, PredictAt::Moment(None)).await;
        assert_eq!(rows.num_rows(), shelves.len());
        found.push((
            stored.weights.0.clone(),
            rows.project(&[0, 1]).unwrap(),
            bits(&rows, "probability"),
        ));
        let session = session(bench).await;
        let rows = answer(&session, "EXPLAIN MODEL m FOR shelves.(shelf, shop) = (7, 3)").await;
        let sum: f64 = floats(&rows, "contribution").into_iter().flatten().sum();
        let one = "PREDICT USING MODEL m FOR shelves.(shop, shelf) = (3, 7)";
        let score = floats(&answer(&session, one).await, "probability")[0].unwrap();
        assert!((sum - score).abs() < 1e-6, "{sum} instead of {score}");
        let keys = texts(&rows, "row_key");
        assert!(keys.iter().any(|key| key == "(3, 7)"), "{keys:?}");
    }
    assert!(found[0] == found[1]);
}
