//! `CREATE SOURCE … TYPE postgres`: the tables of a real Postgres, read where they are.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use common::cluster::Cluster;
use common::shop;
use relcast_engine::{Engine, EngineError, Home, Registry, Session, Watcher};
use relcast_train::fit::EpochReport;
use tempfile::TempDir;

/// Keeps the notices that it is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Watcher for Told {
    fn notice(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn step(&self, _: usize, _: usize, _: usize, _: f64) {}
    fn epoch(&self, _: &EpochReport) {}
}

/// A session over the small shop.
struct Asked {
    session: Session,
    told: Arc<Told>,
}

impl Asked {
    async fn open(shop: &TempDir) -> Self {
        let registry = Registry::open(&Home::open(&shop.path().join(".relcast")).unwrap()).await;
        let database = relcast_connect::open(shop.path().to_str().unwrap()).await.unwrap();
        let catalog = relcast_catalog::load(&database, None).await.unwrap();
        let engine = Arc::new(Engine::new(registry.unwrap(), database, catalog));
        let told = Arc::new(Told::default());
        Self { session: Session::open(engine, told.clone()).await.unwrap(), told }
    }

    /// The cells of a statement's rows, those of a row with `|` between; and the types of the columns.
    async fn answer(&self, sql: &str) -> Result<(Vec<String>, Vec<DataType>), EngineError> {
        let statement = relcast_query::statements(sql)?.next().unwrap()?;
        let Some(frame) = self.session.run(&statement).await?.rows else {
            return Ok((Vec::new(), Vec::new()));
        };
        let types = frame.schema().fields().iter().map(|f| f.data_type().clone()).collect();
        let mut rows = Vec::new();
        for batch in frame.collect().await? {
            let options = FormatOptions::default().with_null("NULL");
            let columns: Vec<ArrayFormatter<'_>> = batch
                .columns()
                .iter()
                .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
                .collect();
            for row in 0..batch.num_rows() {
                let cells: Vec<String> =
                    columns.iter().map(|column| column.value(row).to_string()).collect();
                rows.push(cells.join("|"));
            }
        }
        Ok((rows, types))
    }

    async fn rows(&self, sql: &str) -> Vec<String> {
        self.answer(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).0
    }

    async fn error(&self, sql: &str) -> String {
        let error = self.answer(sql).await.unwrap_err();
        format!("{error}; {}", error.hint().unwrap_or_default())
    }
}

/// A cluster in which `sql` was run, and a session with it as source `pg`; none where there is no
/// Postgres.
async fn attached(sql: &str) -> Option<(Cluster, TempDir, Asked)> {
    let cluster = Cluster::start()?;
    cluster.sql("postgres", sql).unwrap();
    let shop = shop();
    let asked = Asked::open(&shop).await;
    asked.rows(&create(&cluster.url("postgres"))).await;
    Some((cluster, shop, asked))
}

fn create(url: &str) -> String {
    format!("CREATE SOURCE pg TYPE postgres OPTIONS (url '{url}')")
}

/// Waits until no connection of relcast to the server does, or holds, anything.
async fn is_at_rest(cluster: &Cluster) {
    let busy = "SELECT count(*) FROM pg_stat_activity \
                WHERE application_name = 'relcast' AND state <> 'idle'";
    let started = Instant::now();
    while cluster.sql("postgres", busy).unwrap() != "0" {
        assert!(started.elapsed() < Duration::from_secs(20), "the server goes on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

const KINDS: &str = "
    CREATE TYPE mood AS ENUM ('calm', 'angry');
    CREATE DOMAIN price AS numeric(12, 3);
    CREATE TABLE \"Kinds\" (
        id int8 PRIMARY KEY, b bool, i2 int2, i4 int4 NOT NULL, f4 float4, f8 float8,
        price price, n numeric, huge numeric(60, 2), t text, v varchar(9), c char(4), u uuid, d date,
        ts timestamp, tz timestamptz, raw bytea, j jsonb, m mood, ints int[], texts text[], i interval);
    INSERT INTO \"Kinds\" VALUES (1, true, -2, 3, 0.5, 'NaN', 12.5, 1234.5, 7, 'it''s', '', 'ab',
        '6f1a2b3c-0000-4000-8000-000000000001', '2024-01-31', '2024-01-31 12:30:00.123456',
        '2024-01-31 12:30:00+02', '\\x01ff', '{\"a\": [1]}', 'angry', '{1,NULL,3}', '{x,\"y z\"}',
        '1 day');
    INSERT INTO \"Kinds\" (id, i4) VALUES (9223372036854775807, -2147483648);";

#[tokio::test(flavor = "multi_thread")]
async fn each_type_is_read_as_what_it_is() {
    let Some((_cluster, _shop, asked)) = attached(KINDS).await else { return };
    let (rows, types) = asked.answer("SELECT * FROM pg.kinds ORDER BY id").await.unwrap();
    assert_eq!(
        rows,
        [
            "1|true|-2|3|0.5|NaN|12.500|1234.5|7.0|it's||ab|6f1a2b3c-0000-4000-8000-000000000001|\
             2024-01-31T00:00:00|2024-01-31T12:30:00.123456|2024-01-31T10:30:00|01ff|{\"a\": [1]}|\
             angry|[1, NULL, 3]|[x, y z]|1 day",
            &format!("9223372036854775807|NULL|NULL|-2147483648{}", "|NULL".repeat(18)),
        ]
    );
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let expected = [
        DataType::Int64,
        DataType::Boolean,
        DataType::Int16,
        DataType::Int32,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(12, 3),
        DataType::Float64,
        DataType::Float64,
        DataType::Utf8,
        DataType::Utf8,
        DataType::Utf8,
        DataType::Utf8,
        time.clone(),
        time.clone(),
        time,
        DataType::Binary,
        DataType::Utf8,
        DataType::Utf8,
        DataType::new_list(DataType::Int64, true),
        DataType::new_list(DataType::Utf8, true),
        DataType::Utf8,
    ];
    assert_eq!(types, expected);
    let nullable = "SELECT column_name FROM information_schema.columns \
                    WHERE table_schema = 'pg' AND is_nullable = 'NO' ORDER BY 1";
    assert_eq!(asked.rows(nullable).await, ["i4", "id"]);
    // No column at all is a count.
    assert_eq!(asked.rows("SELECT count(*) FROM pg.\"Kinds\"").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_held_is_told_with_table_and_column() {
    let sql = "CREATE TABLE odd (at timestamp, until date, n numeric(5, 2), grid int[]);
               INSERT INTO odd VALUES ('infinity', '-infinity', 'NaN', '{{1,2},{3,4}}');";
    let Some((_cluster, _shop, asked)) = attached(sql).await else { return };
    for (column, told) in [
        ("at", "infinity is no moment"),
        ("until", "-infinity is no moment"),
        ("n", "NaN is no decimal number"),
        ("grid", "an array of 2 dimensions"),
    ] {
        let error = asked.error(&format!("SELECT {column} FROM pg.odd")).await;
        let place = format!("source \"pg\", table \"odd\": column \"{column}\": ");
        assert!(error.contains(&place) && error.contains(told), "{error}");
    }
    assert_eq!(asked.rows("SELECT count(*) FROM pg.odd").await, ["1"]);
}

const PEOPLE: &str = r#"
    CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TABLE people (id int PRIMARY KEY, name text, alias text COLLATE loose, paid bool,
        joined timestamptz, day date, score float8);
    INSERT INTO people SELECT g, 'p' || g, 'P' || g, g % 2 = 0, timestamptz '2024-01-01+00' + g * interval '1 day',
        date '2024-01-01' + g, g / 2.0 FROM generate_series(1, 30000) g;
    UPDATE people SET name = E'it''s \\'' OR 1=1 --' WHERE id = 7;"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_server_checks_what_means_the_same_there() {
    let Some((_cluster, _shop, asked)) = attached(PEOPLE).await else { return };
    let plan = async |sql: &str| asked.rows(&format!("EXPLAIN {sql}")).await.join("\n");
    let pushed = "SELECT name FROM pg.people WHERE id > 3 AND name IN ('p4', 'p9') AND day <= '2024-01-05' LIMIT 5";
    let told = plan(pushed).await;
    for part in [
        "RemoteScan: source \"pg\", sql=SELECT \"name\"::text FROM \"public\".\"people\" WHERE ",
        "(\"id\" > 3)",
        "(\"day\" <= CAST('2024-01-05 00:00:00",
        " LIMIT 5, $1=\"p4\", $2=\"p9\"",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("FilterExec"), "{told}");
    assert_eq!(asked.rows(pushed).await, ["p4"]);

    let kept = "SELECT count(*) FROM pg.people WHERE name < 'p2' AND name LIKE 'p1%' AND alias = 'P1' AND score > 0.1";
    let told = plan(kept).await;
    assert!(told.contains("FilterExec") && !told.contains("WHERE"), "{told}");
    assert_eq!(asked.rows(kept).await, ["1"]);
    assert_eq!(asked.rows("SELECT count(*) FROM pg.people WHERE alias = 'p1'").await, ["0"]);

    for (filter, count) in [
        ("joined BETWEEN '2024-01-03' AND '2024-01-04 12:00:00'", "2"),
        ("NOT paid AND id <= 4", "2"),
        ("paid AND id IN (1, 2, 3, 4, 5, 6)", "3"),
        ("id <> 1", "29999"),
        ("name IS NULL OR score IS NULL", "0"),
        ("id NOT IN (1, 2)", "29998"),
        ("name = 'it''s \\'' OR 1=1 --'", "1"),
    ] {
        let sql = format!("SELECT count(*) FROM pg.people WHERE {filter}");
        assert!(!plan(&sql).await.contains("FilterExec"), "{filter}");
        assert_eq!(asked.rows(&sql).await, [count], "{filter}");
    }
    // More than one batch, whole.
    assert_eq!(asked.rows("SELECT sum(id), count(name) FROM pg.people").await, ["450015000|30000"]);
}

const ENDLESS: &str = "
    CREATE VIEW endless AS SELECT g AS n FROM (SELECT generate_series(1, 2000000000) AS g) t;
    CREATE VIEW slow AS SELECT 1 AS n WHERE pg_sleep(600) IS NOT NULL;";

#[tokio::test(flavor = "multi_thread")]
async fn the_server_stops_when_nobody_waits() {
    let Some((cluster, _shop, asked)) = attached(ENDLESS).await else { return };
    let some = "SELECT count(*) FROM (SELECT n FROM pg.endless WHERE n % 1000 = 0 LIMIT 3)";
    assert_eq!(asked.rows(some).await, ["3"]);
    is_at_rest(&cluster).await;
    assert_eq!(asked.rows("SELECT n FROM pg.endless LIMIT 2").await, ["1", "2"]);
    is_at_rest(&cluster).await;
    let slow = asked.rows("SELECT n FROM pg.slow");
    assert!(tokio::time::timeout(Duration::from_secs(1), slow).await.is_err());
    is_at_rest(&cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_told_nowhere_and_kept_in_this_process_alone() {
    let sql = "CREATE ROLE ana LOGIN PASSWORD 's3cret'; CREATE TABLE notes (id int);
               GRANT SELECT ON notes TO ana; CREATE TABLE secret (id int);";
    let Some((cluster, shop, asked)) = attached(sql).await else { return };
    asked.rows("DROP SOURCE pg").await;
    let wrong = asked.error(&create(&cluster.url("ana:wr0ng"))).await;
    assert!(
        wrong.contains("source \"pg\": password authentication failed for user \"ana\""),
        "{wrong}"
    );
    assert!(wrong.contains("~/.pgpass") && !wrong.contains("wr0ng"), "{wrong}");

    asked.rows(&create(&cluster.url("ana:s3cret"))).await;
    let told = asked.told.take().join("\n");
    assert!(
        told.contains("the password of source \"pg\" is known to this process alone"),
        "{told}"
    );
    assert_eq!(asked.rows("SELECT count(*) FROM pg.notes").await, ["0"]);
    // Other sessions of the process share it.
    let other = asked.session.fork(asked.told.clone());
    let other = Asked { session: other, told: asked.told.clone() };
    assert_eq!(other.rows("SELECT count(*) FROM pg.notes").await, ["0"]);
    // What she may not read is not there.
    assert!(asked.error("SELECT * FROM pg.secret").await.contains("no table \"secret\""));
    let explained = asked.rows("EXPLAIN SELECT * FROM pg.notes").await.join("\n");
    let kept = asked.rows("SELECT options FROM relcast.sources").await.join("\n");
    assert!(kept.contains(&cluster.url("ana")), "{kept}");
    for text in [told, explained, kept, format!("{:?}", asked.session)] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    for entry in std::fs::read_dir(shop.path().join(".relcast")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"s3cret"), "{}", path.display());
        }
    }
    let next = Asked::open(&shop).await;
    assert!(next.error("SELECT * FROM pg.notes").await.contains("~/.pgpass"));
    assert_eq!(next.rows("SELECT count(*) FROM customers").await, ["40"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_read_again() {
    let sql = format!("CREATE TABLE notes AS SELECT 1 AS id; {ENDLESS}");
    let Some((mut cluster, _shop, asked)) = attached(&sql).await else { return };
    let notes = "SELECT id FROM pg.notes";
    assert_eq!(asked.rows(notes).await, ["1"]);
    cluster.stop();
    cluster.start_again();
    assert_eq!(asked.rows(notes).await, ["1"]);

    // Gone in the middle of a statement.
    let killed = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                  WHERE application_name = 'relcast' AND state = 'active'";
    let (error, ()) = tokio::join!(asked.error("SELECT n FROM pg.slow"), async {
        let started = Instant::now();
        while cluster.sql("postgres", killed).unwrap() == "0" {
            assert!(started.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(error.contains("source \"pg\", table \"slow\": "), "{error}");
    assert!(error.contains("run the statement again"), "{error}");
    assert_eq!(asked.rows(notes).await, ["1"]);

    cluster.stop();
    let error = asked.error(notes).await;
    assert!(error.contains("source \"pg\": cannot connect: "), "{error}");
    // It holds up nobody who does not ask for it.
    assert_eq!(asked.rows("SELECT count(*) FROM customers").await, ["40"]);
    let listed = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'pg'";
    assert_eq!(asked.rows(listed).await, ["0"]);
    cluster.start_again();
    assert_eq!(asked.rows(notes).await, ["1"]);
    assert_eq!(asked.rows(listed).await, ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told() {
    let sql = "CREATE SCHEMA sales; CREATE TABLE sales.orders (id int);
               CREATE TABLE notes (id int); CREATE TABLE parts (a int) PARTITION BY RANGE (a);
               CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (9);";
    let Some((cluster, _shop, asked)) = attached(sql).await else { return };
    let listed =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'pg' ORDER BY 1";
    assert_eq!(asked.rows(listed).await, ["notes", "parts"]);
    let error = asked.error("SELECT * FROM pg.note").await;
    assert!(
        error.contains("no table \"note\"") && error.contains("did you mean \"notes\"?"),
        "{error}"
    );
    assert!(asked.error("SELECT idd FROM pg.notes").await.contains("no column \"idd\""));
    assert!(asked.error("INSERT INTO pg.notes VALUES (1)").await.contains("belongs to the source"));
    asked.rows("DROP SOURCE pg").await;
    let gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'relcast'";
    let started = Instant::now();
    while cluster.sql("postgres", gone).unwrap() != "0" {
        assert!(started.elapsed() < Duration::from_secs(20), "connections stay open");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let url = cluster.url("postgres");
    let error =
        asked.error(&create(&format!("{}nope", url.strip_suffix("postgres").unwrap()))).await;
    assert!(error.contains("database \"nope\" does not exist"), "{error}");
    let of_schema = |schema: &str| {
        format!("CREATE SOURCE pg TYPE postgres OPTIONS (url '{url}', schema '{schema}')")
    };
    let error = asked.error(&of_schema("sale")).await;
    assert!(
        error.contains("no schema \"sale\" in the database, which has public, sales"),
        "{error}"
    );
    assert_eq!(asked.rows("SELECT count(*) FROM relcast.sources").await, ["0"]);
    asked.rows(&of_schema("sales")).await;
    assert_eq!(asked.rows("SELECT count(*) FROM pg.orders").await, ["0"]);
    assert!(asked.error("SELECT * FROM pg.notes").await.contains("no table \"notes\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_tables_are_read_in_any_sql_and_labels_come_from_them() {
    let sql = "CREATE TABLE notes AS SELECT c AS customer_id, (c * 7 + m) % 5 AS stars,
                   timestamp '2020-03-01' + m * interval '1 month' AS asked_at
               FROM generate_series(1, 40) c, generate_series(0, 17) m;";
    let Some((_cluster, shop, asked)) = attached(sql).await else { return };
    let joined = "SELECT count(*) FROM pg.notes JOIN customers USING (customer_id) WHERE customers.customer_id <= 10";
    assert_eq!(asked.rows(joined).await, ["180"]);
    asked.rows("CREATE TABLE kept AS SELECT * FROM pg.notes").await;
    asked.rows("CREATE VIEW low AS SELECT * FROM pg.notes WHERE stars = 0").await;
    assert_eq!(asked.rows("SELECT count(*) FROM kept").await, ["720"]);
    assert_eq!(asked.rows("SELECT count(*) FROM low").await, ["144"]);
    let file = shop.path().join("out").join("notes.parquet");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    asked.rows(&format!("COPY (SELECT * FROM pg.notes) TO '{}'", file.display())).await;
    assert!(file.exists());
    asked
        .rows(
            "CREATE MODEL rating FOR customers.customer_id AS (
               SELECT asked_at AS cutoff, customer_id, stars AS label FROM pg.notes
             ) WITH (horizon = '30 days', epochs = 1, max_train_rows = 200)",
        )
        .await;
    let predicted = "SELECT count(prediction) FROM (PREDICT USING MODEL rating)";
    assert_eq!(asked.rows(predicted).await, ["40"]);
}
