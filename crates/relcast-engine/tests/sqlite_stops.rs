//! A SQLite file is not read any further once nobody waits. Alone here: it counts threads.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::session::Asked;
use relcast_testkit::{Permute, warehouse_churn};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

const ENDLESS: &str = "
    CREATE VIEW numbers AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT i FROM n;
    CREATE TABLE two (i INTEGER);
    INSERT INTO two VALUES (1), (2);
    CREATE VIEW endless AS SELECT two.i FROM numbers CROSS JOIN two;
    CREATE VIEW never AS SELECT i FROM endless WHERE i > 2;";

/// The threads that SQLite works on.
fn workers() -> usize {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names.filter(|name| name.starts_with("sqlx-sqlite")).count()
}

/// Waits until as many threads as before are left.
async fn has_stopped(before: usize) {
    let started = Instant::now();
    while workers() > before {
        assert!(started.elapsed() < Duration::from_secs(20), "SQLite goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_is_no_longer_wanted_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    warehouse_churn(&at("shop"), 2, Permute::No).unwrap();
    let options = SqliteConnectOptions::new().filename(at("db")).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(ENDLESS).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let asked = Asked::open(&at("shop"), &at("home")).await;
    let create = format!("CREATE SOURCE db TYPE sqlite OPTIONS (path '{}')", at("db").display());
    asked.run(&create).await;
    let before = workers();

    // Rows without end, of which five are enough.
    let some = "SELECT count(*) FROM (SELECT i FROM db.endless WHERE i % 2 = 0 LIMIT 5)";
    assert_eq!(asked.count(some).await, 5);
    has_stopped(before).await;
    // No row at all, for ever.
    let never = asked.run("SELECT i FROM db.never");
    assert!(tokio::time::timeout(Duration::from_millis(500), never).await.is_err());
    has_stopped(before).await;
}
