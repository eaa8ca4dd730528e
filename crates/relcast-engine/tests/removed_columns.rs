//! Columns that a task removes: its models neither learn from them nor read them.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{Bench, bits};
use relcast_catalog::SemanticType;
use relcast_engine::work::PredictAt;
use relcast_testkit::{Table, date_micros};

const MANIFEST: &str = "name: shop\nval_timestamp: '2021-05-01'\ntest_timestamp: '2021-09-01'\ntables:\n  \
    customers: { pkey: customer_id, time_col: signed_up, fkeys: {} }\n  \
    orders: { pkey: order_id, time_col: ordered_at, fkeys: { customer_id: customers } }\n";

const TASK: &str = "kind: forecast\ntask_type: binary_classification\nentity_table: customers\n\
    entity_col: customer_id\ntarget_col: churned\ntime_col: timestamp\ntimedelta: 30 days\n\
    num_eval_timestamps: 3\nremove_columns: [will_leave]\nsql: >\n  \
    SELECT t.timestamp, c.customer_id, COUNT(o.order_id) = 0 AS churned\n  \
    FROM timestamps t CROSS JOIN customers c LEFT JOIN orders o ON o.customer_id = c.customer_id\n  \
    AND o.ordered_at > t.timestamp AND o.ordered_at <= t.timestamp + INTERVAL '{timedelta}'\n  \
    GROUP BY t.timestamp, c.customer_id\n";

/// Forty customers, two years of orders, and a column that the task removes.
fn write_shop(folder: &Path, will_leave: fn(i64) -> f64) {
    let db = folder.join("db");
    let task = folder.join("tasks/churn");
    std::fs::create_dir_all(&db).unwrap();
    std::fs::create_dir_all(&task).unwrap();
    Table::new("customers")
        .int("customer_id", 1..=40)
        .time("signed_up", (0..40).map(|_| Some(date_micros(2020, 1, 1))))
        .float("will_leave", (1..=40).map(will_leave))
        .write(&db)
        .unwrap();
    let orders: Vec<(i64, i64)> = (1..=40)
        .flat_map(|customer| (0..24).map(move |month| (customer, month)))
        .filter(|(customer, month)| (customer * 7 + month * 5) % 3 != 0)
        .collect();
    let time = |month: i64| Some(date_micros(2020 + month / 12, month % 12 + 1, 11));
    Table::new("orders")
        .int("order_id", 1..=orders.len() as i64)
        .int("customer_id", orders.iter().map(|(customer, _)| *customer))
        .time("ordered_at", orders.iter().map(|(_, month)| time(*month)))
        .write(&db)
        .unwrap();
    std::fs::write(folder.join("manifest.yaml"), MANIFEST).unwrap();
    // Declared, so that a model would notice another type.
    let yaml = "tables: { customers: { columns: { will_leave: { type: numerical } } } }\n";
    std::fs::write(folder.join("relcast.yaml"), yaml).unwrap();
    std::fs::write(task.join("manifest.yaml"), TASK).unwrap();
}

#[tokio::test]
async fn what_a_removed_column_holds_changes_no_weight_and_no_prediction() {
    let mut found = Vec::new();
    let contents: [fn(i64) -> f64; 2] =
        [|customer| customer as f64, |customer| f64::from(customer % 3 == 0)];
    for will_leave in contents {
        let (source, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_shop(source.path(), will_leave);
        let bench = Bench::open(source.path(), home.path(), 2).await;
        bench.train(&bench.task("churn"), &[("epochs", "1"), ("max_train_rows", "200")]).await;
        let stored = bench.stored().await;
        let customers = stored.schema.table(stored.schema.find_table("customers").unwrap());
        let removed = customers.find_column("will_leave").unwrap();
        assert_eq!(removed.semantic, SemanticType::Ignored);
        let rows = bench.predict(&stored, PredictAt::Moment(None)).await;
        found.push((stored.weights.0.clone(), bits(&rows, "probability")));
    }
    assert!(found[0] == found[1]);
}
