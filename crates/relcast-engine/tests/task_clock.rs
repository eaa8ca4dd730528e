//! A declared task has one clock, that of the tables its SQL reads; all tables decide only where its
//! cutoffs lie.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use common::Bench;
use common::session::Asked;
use relcast_catalog::parse_time;
use relcast_engine::work::PredictAt;
use relcast_query::History;
use relcast_testkit::{DAY, Table, date_micros};
use relcast_train::evaluate::SplitName;

const MANIFEST: &str = "name: shop\nval_timestamp: '2021-05-01'\ntest_timestamp: '2021-09-01'\ntables:\n  \
    customers: { pkey: customer_id, time_col: signed_up, fkeys: {} }\n  \
    orders: { pkey: order_id, time_col: ordered_at, fkeys: { customer_id: customers } }\n  \
    visits: { pkey: visit_id, time_col: at, fkeys: { customer_id: customers } }\n";

const TASK: &str = "kind: forecast\ntask_type: binary_classification\nentity_table: customers\n\
    entity_col: customer_id\ntarget_col: churned\ntime_col: timestamp\ntimedelta: 30 days\n\
    num_eval_timestamps: 9\nsql: >\n  \
    SELECT t.timestamp, c.customer_id, COUNT(o.order_id) = 0 AS churned\n  \
    FROM timestamps t CROSS JOIN customers c LEFT JOIN orders o ON o.customer_id = c.customer_id\n  \
    AND o.ordered_at > t.timestamp AND o.ordered_at <= t.timestamp + INTERVAL '{timedelta}'\n  \
    GROUP BY t.timestamp, c.customer_id\n";

/// Forty customers, orders until 2021-12-11, and visits until 2022-02-20, which the task does not read.
fn write_shop(folder: &Path) {
    let (db, task) = (folder.join("db"), folder.join("tasks/churn"));
    std::fs::create_dir_all(&db).unwrap();
    std::fs::create_dir_all(&task).unwrap();
    Table::new("customers")
        .int("customer_id", 1..=40)
        .time("signed_up", (0..40).map(|_| Some(date_micros(2020, 1, 1))))
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
    let last = date_micros(2022, 2, 20);
    Table::new("visits")
        .int("visit_id", 1..=400)
        .int("customer_id", (0..400).map(|visit| visit % 40 + 1))
        .time("at", (0..400).map(|visit| Some(last - visit * DAY)))
        .write(&db)
        .unwrap();
    std::fs::write(folder.join("manifest.yaml"), MANIFEST).unwrap();
    std::fs::write(task.join("manifest.yaml"), TASK).unwrap();
}

fn times(rows: &RecordBatch, column: &str) -> Vec<i64> {
    let times = rows.column_by_name(column).unwrap();
    times.as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_of_a_task_end_where_the_tables_end_that_it_reads() {
    let (source, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_shop(source.path());
    let until = parse_time("2021-12-11").unwrap();
    let bench = Bench::open(source.path(), home.path(), 2).await;
    bench.train(&bench.task("churn"), &[("epochs", "1"), ("max_train_rows", "200")]).await;
    let stored = bench.stored().await;
    assert_eq!(stored.cutoffs.data_end, until);
    let version = bench.registry.find_version("m", None).await.unwrap();
    assert_eq!(version.data_until, Some(until));
    // The windows of the test split lie before the last visit, some after the last order.
    assert_eq!(stored.cutoffs.test.len(), 5);
    assert_eq!(stored.cutoffs.test.last(), Some(&parse_time("2021-12-30").unwrap()));
    let split = PredictAt::Split(SplitName::Test, History::Rolling);
    assert_eq!(bench.predict(&stored, split).await.num_rows(), 5 * 40);

    let rows = bench.predict(&stored, PredictAt::Moment(None)).await;
    assert_eq!(rows.num_rows(), 40);
    assert!(times(&rows, "cutoff").iter().all(|cutoff| *cutoff == until));
    assert!(times(&rows, "data_until").iter().all(|end| *end == until));
    assert_eq!(rows.column_by_name("in_sample").unwrap().as_boolean().true_count(), 0);
    drop(bench);

    let asked = Asked::open(source.path(), home.path()).await;
    let rows = asked.run("PREDICT USING MODEL m").await;
    assert!(times(&rows[0], "cutoff").iter().all(|cutoff| *cutoff == until));
    assert!(times(&rows[0], "data_until").iter().all(|end| *end == until));
    asked.told.take();
    asked.run("PREDICT USING MODEL m AS OF '2022-02-01'").await;
    let told = asked.told.take();
    let stale = |note: &String| note.contains("the data are stale: they end on 2021-12-11");
    assert!(told.iter().any(stale), "{told:?}");
}
