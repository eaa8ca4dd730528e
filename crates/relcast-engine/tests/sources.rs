//! Attached folders: kept by the home folder, gone without harm, and never with a password.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::session::Asked;
use relcast_testkit::{Permute, Table, warehouse_churn};
use tempfile::TempDir;

struct World {
    source: PathBuf,
    home: PathBuf,
    attached: PathBuf,
    _directory: TempDir,
}

fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (source, home, attached) = (at("shop"), at("home"), at("attached"));
    warehouse_churn(&source, 2, Permute::No).unwrap();
    fs::create_dir(&attached).unwrap();
    let ages = (1..=300).map(|c| c % 7);
    Table::new("notes")
        .int("customer_id", 1..=300)
        .int("stars", ages.clone())
        .write(&attached)
        .unwrap();
    Table::new("others").int("stars", ages).write(&attached).unwrap();
    World { source, home, attached, _directory: directory }
}

impl World {
    async fn open(&self) -> Asked {
        Asked::open(&self.source, &self.home).await
    }

    fn create(&self, name: &str) -> String {
        let path = self.attached.display();
        format!("CREATE SOURCE {name} TYPE folder OPTIONS (path '{path}')")
    }
}

const NOTES: &str = "SELECT count(*) FROM extra.notes JOIN customers USING (customer_id)";

#[tokio::test]
async fn a_source_is_there_at_the_next_start_and_until_it_is_dropped() {
    let world = world();
    let asked = world.open().await;
    asked.run(&world.create("extra")).await;
    assert_eq!(asked.count(NOTES).await, 300);
    let error = asked.error(&world.create("Extra")).await;
    assert!(error.contains("there is a source or schema \"Extra\" already"), "{error}");

    let next = world.open().await;
    assert_eq!(next.told.take(), [""; 0]);
    let listed = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'extra'";
    assert_eq!(next.count(listed).await, 2);
    assert_eq!(next.count(NOTES).await, 300);
    next.run("DROP SOURCE extra").await;
    assert!(next.error(NOTES).await.contains("no table \"notes\""));
    assert!(world.open().await.error(NOTES).await.contains("no table \"notes\""));
    assert_eq!(next.count("SELECT count(*) FROM relcast.sources").await, 0);
    assert!(world.attached.join("notes.parquet").exists());
}

#[tokio::test]
async fn a_source_that_goes_away_is_an_error_and_the_session_goes_on() {
    let world = world();
    let asked = world.open().await;
    asked.run(&world.create("extra")).await;
    assert_eq!(asked.count(NOTES).await, 300);
    fs::remove_file(world.attached.join("notes.parquet")).unwrap();
    let error = asked.error("SELECT sum(stars) FROM extra.notes").await;
    assert!(error.contains("notes.parquet: it has gone"), "{error}");
    assert_eq!(asked.count("SELECT count(*) FROM extra.others").await, 300);

    fs::remove_dir_all(&world.attached).unwrap();
    let error = asked.error("SELECT sum(stars) FROM extra.others").await;
    assert!(error.contains("others.parquet: it has gone"), "{error}");
    assert_eq!(asked.count("SELECT count(*) FROM customers").await, 3000);

    let next = world.open().await;
    let told = next.told.take();
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("source \"extra\" cannot be read: there is no directory"));
    assert!(told[0].ends_with("; DROP SOURCE forgets it"), "{told:?}");
    let error = next.error(NOTES).await;
    assert!(error.contains("source \"extra\": there is no directory"), "{error}");
    assert_eq!(next.count("SELECT count(*) FROM customers").await, 3000);
    next.run("DROP SOURCE extra").await;
}

#[tokio::test]
async fn a_source_that_cannot_be_attached_is_not_kept_and_no_password_is_told() {
    let world = world();
    let asked = world.open().await;
    let nowhere = "CREATE SOURCE s TYPE folder OPTIONS (path 'no such folder')";
    assert!(asked.error(nowhere).await.contains("source \"s\": there is no directory"));
    for options in [
        "url 'postgres://ana:s3cret@localhost/db'",
        "host 'localhost', password 's3cret'",
        "url 'postgres://ana:s3cret'",
    ] {
        let error =
            asked.error(&format!("CREATE SOURCE s TYPE postgres OPTIONS ({options})")).await;
        assert!(error.starts_with("not yet: sources of TYPE postgres"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let misplaced = "CREATE SOURCE s TYPE postgres OPTIONS ('postgres://ana:s3cret@localhost/db')";
    let error = asked.error(misplaced).await;
    assert!(error.contains("ana:***@localhost") && !error.contains("s3cret"), "{error}");
    assert!(asked.told.take().iter().all(|told| !told.contains("s3cret")));
    assert_eq!(asked.count("SELECT count(*) FROM relcast.sources").await, 0);
    for entry in fs::read_dir(&world.home).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"s3cret"), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn labels_may_come_from_a_source() {
    let world = world();
    let asked = world.open().await;
    asked.run(&world.create("extra")).await;
    let select = "SELECT t.cutoff, n.customer_id, n.stars AS label FROM extra.notes AS n \
                  CROSS JOIN (SELECT DISTINCT date_trunc('month', ordered_at) AS cutoff FROM orders) AS t";
    asked
        .run(&format!(
            "CREATE MODEL m FOR customers.customer_id AS ({select}) WITH (horizon = '30 days', epochs = 1, max_train_rows = 200)"
        ))
        .await;
    assert_eq!(asked.property("m", "task_type").await, "regression");
    let predicted = "SELECT count(*) FROM (PREDICT USING MODEL m) WHERE prediction IS NOT NULL";
    assert_eq!(asked.count(predicted).await, 3000);
}
