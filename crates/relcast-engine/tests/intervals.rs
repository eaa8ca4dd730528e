//! Intervals hold the share of labels that is asked for, and are the residuals of validation.
#![allow(clippy::unwrap_used)]

mod common;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use common::Bench;
use common::session::Asked;
use relcast_engine::work::{self, PredictAt, Question};
use relcast_query::ast::Name;
use relcast_query::{History, OptionValue, Place};
use relcast_testkit::{DAY, Random, Table, date_micros};
use relcast_train::evaluate::SplitName;
use relcast_train::examples::Task;

fn column(rows: &RecordBatch, name: &str) -> Vec<f64> {
    rows.column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec()
}

/// Events that no history foretells: each window's sum is drawn anew, so that labels are exchangeable.
fn write_events(folder: &std::path::Path) {
    let mut random = Random::new(11);
    let (shops, events, start) = (200, 24_000, date_micros(2022, 1, 1));
    let drawn: Vec<(i64, i64, f64)> = (0..events)
        .map(|_| {
            let shop = 1 + random.below(shops) as i64;
            let at = start + random.below(400 * DAY as usize) as i64;
            (shop, at, random.below(1_000_000) as f64 / 1e5)
        })
        .collect();
    Table::new("shops")
        .int("shop_id", 1..=shops as i64)
        .float("size", (0..shops).map(|shop| shop as f64))
        .write(folder)
        .unwrap();
    Table::new("events")
        .int("shop_id", drawn.iter().map(|event| event.0))
        .time("at", drawn.iter().map(|event| Some(event.1)))
        .float("amount", drawn.iter().map(|event| event.2))
        .write(folder)
        .unwrap();
    let yaml = "tables:\n  shops: { primary_key: shop_id, time_column: null }\n  \
        events: { primary_key: null, time_column: at, foreign_keys: { shop_id: shops } }\n";
    std::fs::write(folder.join("relcast.yaml"), yaml).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_the_test_split_lie_within_as_often_as_asked() {
    let (source, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_events(source.path());
    let bench = Bench::open(source.path(), home.path(), 2).await;
    let query = "PREDICT SUM(events.amount, 0, 10, days) FOR EACH shops.shop_id";
    let set = [("epochs", "1"), ("max_train_rows", "2000")];
    bench.train(&Question::Query(query.to_owned()), &set).await;
    let stored = bench.stored().await;
    let predict = async |split, name: &str, value: &str| {
        let name = Name { text: name.to_owned(), at: Place::default() };
        let written = [(name, OptionValue::from_text(value))];
        let (registry, database, catalog) = (&bench.registry, &bench.database, &bench.catalog);
        let at = PredictAt::Split(split, History::Rolling);
        work::predict_into(registry, database, catalog, &stored, at, &written, &[]).await.unwrap()
    };

    let validated = predict(SplitName::Val, "interval", "0.8").await;
    let (labels, predicted) = (column(&validated, "label"), column(&validated, "prediction"));
    let Task::Regression { scale, .. } = &stored.plan.fit.task else { panic!("no numbers") };
    let residual = |(label, p): (&f64, &f64)| scale.scaled(*label) - scale.scaled(*p);
    let mut residuals: Vec<f64> = labels.iter().zip(&predicted).map(residual).collect();
    residuals.sort_unstable_by(f64::total_cmp);
    let rows = residuals.len();
    assert!((400..=1000).contains(&rows), "{rows}");
    // A tenth of one row more, and nine of them.
    let ranks = [(rows + 1) / 10, (9 * (rows + 1)).div_ceil(10)];
    for (bound, rank) in ["lower", "upper"].into_iter().zip(ranks) {
        for (found, p) in column(&validated, bound).iter().zip(&predicted) {
            let expected = scale.value(scale.scaled(*p) + residuals[rank - 1]);
            assert!((found - expected).abs() < 1e-6, "{bound}: {found}, expected {expected}");
        }
    }

    for (name, value, asked) in
        [("interval", "0.8", 0.8), ("interval", "0.5", 0.5), ("quantiles", "(0.2, 0.5)", 0.3)]
    {
        let tested = predict(SplitName::Test, name, value).await;
        let [labels, lower, upper] = ["label", "lower", "upper"].map(|name| column(&tested, name));
        let within = (0..labels.len()).filter(|i| (lower[*i]..=upper[*i]).contains(&labels[*i]));
        let share = within.count() as f64 / labels.len() as f64;
        let error =
            4.0 * (asked * (1.0 - asked) * (1.0 / rows as f64 + 1.0 / labels.len() as f64)).sqrt();
        assert!((share - asked).abs() < error, "{name} = {value}: {share}, give or take {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_left_out_are_told() {
    let (source, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_events(source.path());
    let asked = Asked::open(source.path(), home.path()).await;
    let create = "CREATE MODEL spend FOR shops.shop_id AS (SELECT c.cutoff, s.shop_id, CASE WHEN s.shop_id = 3 THEN 1e308 * 1e10 ELSE s.shop_id END AS label FROM shops AS s CROSS JOIN (SELECT DISTINCT date_trunc('month', at) AS cutoff FROM events) AS c) WITH (horizon = '20 days', epochs = 1, max_train_rows = 500, on_error = 'skip')";
    asked.run(create).await;
    let told = asked.told.take();
    assert!(
        told.iter().any(|note| note.starts_with("label rows that are left out: ")
            && note.ends_with(" infinite or not a number (NaN)")),
        "{told:?}"
    );
    let keys = "SELECT * FROM (VALUES ('7'), ('x')) AS v(k)";
    let rows = asked
        .run(&format!(
            "PREDICT USING MODEL spend FOR shops.shop_id IN ({keys}) WITH (on_error = 'skip')"
        ))
        .await;
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    assert_eq!(
        asked.told.take(),
        ["rows of FOR … IN (SELECT …) that are left out: 1 row with a key that is none"]
    );
}
