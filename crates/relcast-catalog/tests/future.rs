//! Rows dated later than now move cutoffs: `inspect` says so.

#![allow(clippy::unwrap_used)]

mod common;

use common::{database, folder};
use relcast_catalog::{Finding, FindingKind, Inspection, inspect, inspect_at, load, parse_time};

const FILES: [(&str, &str); 4] = [
    ("orders.csv", "id,at\n1,2020-01-01\n2,2500-01-01\n3,9999-12-31\n4,\n"),
    ("items.csv", "id,order_id\n1,3\n2,1\n"),
    ("visits.csv", "id,at\n1,2020-01-01\n2,2020-02-01\n"),
    (
        "relcast.yaml",
        "tables:\n  orders: { primary_key: id, time_column: at }\n  \
         items: { primary_key: id, time_column: null, foreign_keys: { order_id: orders } }\n  \
         visits: { primary_key: id, time_column: at }\n",
    ),
];

async fn inspected(now: Option<&str>) -> Inspection {
    let folder = folder(&FILES);
    let database = database(folder.path()).await;
    let catalog = load(&database, None).await.unwrap();
    match now {
        Some(now) => inspect_at(&database, &catalog, parse_time(now).unwrap()).await.unwrap(),
        None => inspect(&database, &catalog).await.unwrap(),
    }
}

/// Table and number of the rows that are later than now.
fn later(inspection: &Inspection) -> Vec<(&str, Option<u64>)> {
    let is_later = |f: &&Finding| f.kind == FindingKind::FutureTime;
    let found = inspection.findings.iter().filter(is_later);
    found.map(|f| (f.table.as_str(), f.count)).collect()
}

#[tokio::test]
async fn rows_later_than_now_are_counted_where_their_time_stands() {
    // Items are known with their orders: the order is what is wrong.
    assert_eq!(later(&inspected(None).await), [("orders", Some(2))]);
    let inspection = inspected(Some("2020-01-15")).await;
    assert_eq!(later(&inspection), [("orders", Some(2)), ("visits", Some(1))]);
    assert_eq!(later(&inspected(Some("2020-01-01")).await)[1], ("visits", Some(1)));
    assert!(later(&inspected(Some("9999-12-31")).await).is_empty());
}

#[tokio::test]
async fn text_and_json_say_so() {
    let inspection = inspected(None).await;
    let text = inspection.to_text();
    assert!(text.contains("2 rows are later than now (the latest: 9999-12-31)"), "{text}");
    let json = serde_json::to_value(&inspection).unwrap();
    let findings = json["findings"].as_array().unwrap();
    let finding = findings.iter().find(|f| f["kind"] == "future_time").unwrap();
    assert_eq!((&finding["table"], &finding["count"]), (&"orders".into(), &2.into()));
}
