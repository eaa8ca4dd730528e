//! Attached folders and SQLite files: kept by the home folder, gone without harm, and never with a
//! password.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use arrow::datatypes::DataType;
use arrow::util::pretty::pretty_format_batches;
use common::session::Asked;
use relcast_testkit::{Permute, Table, warehouse_churn};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
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
    assert!(told[0].starts_with("source \"extra\": there is no directory"));
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
    for (options, reason) in [
        ("url 'postgres://ana:s3cret@127.0.0.1:1/db'", "source \"s\": cannot connect: "),
        ("url 'postgres://127.0.0.1:1/db?user=ana&password=s3cret'", "cannot connect: "),
        ("host 'localhost', password 's3cret'", "a Postgres database has no option \"host\""),
        ("url 'postgres://ana:s3cret'", "invalid port number"),
        ("url 'postgres://ana:1/s3cret@localhost/db'", "/ %2F"),
    ] {
        let error =
            asked.error(&format!("CREATE SOURCE s TYPE postgres OPTIONS ({options})")).await;
        assert!(error.contains(reason), "{error}");
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

/// Makes a SQLite file by these statements, or changes it.
async fn write_sqlite(file: &Path, sql: &str) {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// A session with the SQLite file of these statements as source `db`.
async fn with_sqlite(world: &World, sql: &str) -> (Asked, PathBuf) {
    let file = world.attached.join("notes.db");
    write_sqlite(&file, sql).await;
    let asked = world.open().await;
    let create = format!("CREATE SOURCE db TYPE sqlite OPTIONS (path '{}')", file.display());
    asked.run(&create).await;
    (asked, file)
}

/// The cells of a statement's rows, those of a row with `|` between.
async fn cells(asked: &Asked, sql: &str) -> Vec<String> {
    let table = pretty_format_batches(&asked.run(sql).await).unwrap().to_string();
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(1);
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|");
    rows.map(cells).collect()
}

const KINDS: &str = "
    CREATE TABLE kinds (id INTEGER PRIMARY KEY, \"group\" VARCHAR(9) COLLATE NOCASE NOT NULL,
        paid BOOLEAN, at DATETIME, price DECIMAL(8, 2), share REAL, raw BLOB, mixed, whole ANY);
    INSERT INTO kinds VALUES
        (1, 'a', 1, '2024-01-31 12:30:00.5', 2, 0.5, x'01ff', 1, 7),
        (2, 'A', 0, '2024-01-31', 2.5, 1, NULL, 'two', 8),
        (3, 'b', NULL, '2024-01-31T12:30:00+02:00', NULL, NULL, NULL, 3.5, NULL);
    CREATE VIEW totals AS SELECT lower(\"group\") AS word, count(*) AS n, sum(share) AS total
        FROM kinds GROUP BY 1;";

#[tokio::test]
async fn columns_of_sqlite_are_what_they_are_declared_to_be() {
    let world = world();
    let (asked, _) = with_sqlite(&world, KINDS).await;
    let rows = cells(&asked, "SELECT * FROM db.kinds ORDER BY id").await;
    assert_eq!(
        rows,
        [
            "1|a|true|2024-01-31T12:30:00.500|2.0|0.5|01ff|1|7",
            "2|A|false|2024-01-31T00:00:00|2.5|1.0||two|8",
            "3|b||2024-01-31T10:30:00||||3.5|",
        ]
    );
    let schema = asked.run("SELECT * FROM db.KINDS").await[0].schema();
    let types: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
    assert_eq!(types[..3], [&DataType::Int64, &DataType::Utf8, &DataType::Boolean]);
    assert_eq!(types[6..], [&DataType::Binary, &DataType::Utf8, &DataType::Int64]);
    let nullable: Vec<bool> = schema.fields().iter().map(|field| field.is_nullable()).collect();
    assert_eq!(nullable[..3], [false, false, true]);
    // Its own collation would find two.
    let same = "SELECT count(*) FROM db.kinds WHERE \"group\" = 'a'";
    assert_eq!(asked.count(same).await, 1);
    let totals = "SELECT * FROM db.totals ORDER BY total";
    assert_eq!(cells(&asked, totals).await, ["a|2|1.5", "b|1|"]);
    let listed =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'db' ORDER BY 1";
    assert_eq!(cells(&asked, listed).await, ["kinds", "totals"]);
}

#[tokio::test]
async fn sqlite_checks_what_means_the_same_there() {
    let world = world();
    let (asked, _) = with_sqlite(&world, KINDS).await;
    let plan = async |sql: &str| cells(&asked, &format!("EXPLAIN {sql}")).await.join("\n");
    let pushed =
        plan("SELECT id FROM db.kinds WHERE id BETWEEN 2 AND 3 AND paid IS NOT NULL LIMIT 1").await;
    for part in [
        "RemoteScan: source \"db\", sql=SELECT `id` FROM `kinds` WHERE ",
        "(`id` >= 2)",
        "(`id` <= 3)",
        "`paid` IS NOT NULL",
        " LIMIT 1",
    ] {
        assert!(pushed.contains(part), "{part}: {pushed}");
    }
    assert!(!pushed.contains("FilterExec"), "{pushed}");
    let kept = plan("SELECT id FROM db.kinds WHERE \"group\" = 'a' AND share > 0.1").await;
    assert!(kept.contains("FilterExec") && !kept.contains("WHERE"), "{kept}");
    let ids =
        cells(&asked, "SELECT id FROM db.kinds WHERE NOT paid OR id IN (1, 7) ORDER BY id").await;
    assert_eq!(ids, ["1", "2"]);
}

#[tokio::test]
async fn a_value_of_another_kind_is_told_with_table_and_column() {
    let world = world();
    let (asked, file) = with_sqlite(
        &world,
        "CREATE TABLE odd (id INTEGER PRIMARY KEY, n INT, paid BOOLEAN, at DATE, name TEXT);
         INSERT INTO odd VALUES (1, 'many', 2, 'soon', x'00');",
    )
    .await;
    for (column, told) in [
        ("n", "a text stands where a whole number belongs"),
        ("paid", "2 is no boolean, which is 0 or 1"),
        ("at", "a text is no date and no moment"),
        ("name", "a blob stands where a text belongs"),
    ] {
        let error = asked.error(&format!("SELECT {column} FROM db.odd")).await;
        let place = format!("source \"db\", table \"odd\": column \"{column}\": {told}");
        assert!(error.contains(&place), "{error}");
    }
    assert_eq!(asked.count("SELECT count(*) FROM db.odd").await, 1);
    // What is put in its place is what is read, as soon as it is there.
    write_sqlite(&file, "DROP TABLE odd; CREATE TABLE odd (id INTEGER, name TEXT);").await;
    assert_eq!(asked.count("SELECT count(*) FROM db.odd").await, 0);
    assert!(asked.error("SELECT n FROM db.odd").await.contains("no column \"n\""));
    fs::remove_file(&file).unwrap();
    let error = asked.error("SELECT count(*) FROM db.odd").await;
    assert!(error.contains("notes.db: unable to open database file"), "{error}");
    assert_eq!(asked.count("SELECT count(*) FROM customers").await, 3000);
}

#[tokio::test]
async fn a_sqlite_source_is_there_at_the_next_start_and_joins() {
    let world = world();
    let (asked, file) = with_sqlite(
        &world,
        "CREATE TABLE notes (customer_id INTEGER, stars INTEGER);
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20000)
             INSERT INTO notes SELECT i, i % 7 FROM c;",
    )
    .await;
    let joined = "SELECT count(*) FROM db.notes JOIN customers USING (customer_id)";
    // More than one batch.
    assert_eq!(asked.count("SELECT count(*) FROM db.notes WHERE stars >= 0").await, 20000);
    assert_eq!(asked.count(joined).await, 3000);
    asked.run("CREATE TABLE kept AS SELECT * FROM db.notes WHERE stars = 1").await;
    asked.run("CREATE VIEW low AS SELECT customer_id FROM db.notes WHERE stars < 2").await;
    assert_eq!(asked.count("SELECT count(*) FROM kept").await, 2858);
    assert_eq!(asked.count("SELECT count(*) FROM low WHERE customer_id <= 7").await, 2);
    let next = world.open().await;
    assert_eq!(next.told.take(), [""; 0]);
    assert_eq!(next.count(joined).await, 3000);
    let options = format!("path '{}'", file.display());
    let kept = "SELECT type, options FROM relcast.sources";
    assert_eq!(cells(&next, kept).await, [format!("sqlite|{options}")]);
    next.run("DROP SOURCE db").await;
    assert!(next.error(joined).await.contains("no table \"notes\""));
    assert!(file.exists());
}
