//! `relcast serve` through clients of Postgres: a driver, and psql.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, NaiveDateTime};
use common::served::Served;
use common::{QUERY, shop};
use futures::{StreamExt, TryStream, TryStreamExt};
use tokio_postgres::error::{ErrorPosition, SqlState};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Column, NoTls};

fn at(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_trains_predicts_with_parameters_and_writes() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    client.batch_execute(&served.create_model()).await.unwrap();
    let versions = client.query("SELECT model, version FROM relcast.models", &[]).await.unwrap();
    assert_eq!((versions[0].get::<_, &str>(0), versions[0].get::<_, i64>(1)), ("churn", 1));

    let given = "SELECT customer_id, cutoff, probability FROM (PREDICT USING MODEL churn AS OF $1) p ORDER BY 1";
    let given = client.prepare(given).await.unwrap();
    for cutoff in ["2021-03-31T00:00:00", "2021-09-30T12:00:00"] {
        let rows = client.query(&given, &[&at(cutoff)]).await.unwrap();
        let literal = format!(
            "SELECT customer_id, cutoff, probability FROM (PREDICT USING MODEL churn AS OF '{cutoff}') p ORDER BY 1"
        );
        let literal = client.query(&literal, &[]).await.unwrap();
        assert_eq!((rows.len(), literal.len()), (40, 40));
        for (a, b) in rows.iter().zip(&literal) {
            assert_eq!(a.get::<_, NaiveDateTime>(1), at(cutoff));
            assert_eq!(a.get::<_, i64>(0), b.get::<_, i64>(0));
            assert_eq!(a.get::<_, f64>(2).to_bits(), b.get::<_, f64>(2).to_bits());
        }
    }

    let one = "PREDICT USING MODEL churn FOR customers.customer_id = $1";
    let rows = client.query(one, &[&7i64]).await.unwrap();
    assert_eq!((rows.len(), rows[0].get::<_, i64>("customer_id")), (1, 7));
    let joined = "SELECT c.name FROM (PREDICT USING MODEL churn) p JOIN customers c USING (customer_id) WHERE c.customer_id = $1";
    assert_eq!(client.query(joined, &[&3i64]).await.unwrap()[0].get::<_, &str>(0), "Customer 3");

    let embedded =
        "PREDICT USING MODEL churn FOR customers.customer_id = $1 WITH (embedding = true)";
    let embedded = client.prepare(embedded).await.unwrap();
    let of_lists = |c: &Column| *c.type_() == Type::FLOAT4_ARRAY;
    let announced = embedded.columns().iter().find(|c| of_lists(c)).unwrap();
    assert_eq!(announced.name(), "embedding");
    let rows = client.query(&embedded, &[&7i64]).await.unwrap();
    assert_eq!(rows[0].get::<_, Vec<f32>>("embedding").len(), 128);

    parameters_of_a_prediction_equal_literals(&client).await;

    // What a prediction is made of, at the same moment.
    let explain = "EXPLAIN MODEL churn FOR customers.customer_id = $1 AS OF $2";
    let explain = client.prepare(explain).await.unwrap();
    let one = client.prepare(&format!("{one} AS OF $2")).await.unwrap();
    for cutoff in ["2021-03-31T00:00:00", "2021-09-30T12:00:00"] {
        let parts = client.query(&explain, &[&7i64, &at(cutoff)]).await.unwrap();
        let sum: f64 = parts.iter().map(|part| part.get::<_, f64>("contribution")).sum();
        let row = client.query_one(&one, &[&7i64, &at(cutoff)]).await.unwrap();
        let score = row.get::<_, f64>("probability");
        assert!((sum - score).abs() < 1e-6, "{sum} instead of {score} at {cutoff}");
    }

    client.batch_execute("CREATE TABLE leaving AS PREDICT USING MODEL churn").await.unwrap();
    let count = client.query_one("SELECT count(*) FROM leaving", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 40);
    let inserted = "INSERT INTO leaving PREDICT USING MODEL churn AS OF '2021-03-31'";
    assert_eq!(client.execute(inserted, &[]).await.unwrap(), 40);
}

/// In a SELECT that names entities, in options, in a condition, in EVALUATE.
async fn parameters_of_a_prediction_equal_literals(client: &Client) {
    let scores =
        "SELECT customer_id, cutoff, prediction, probability FROM (PREDICT USING MODEL churn";
    let kept = format!(
        "{scores} FOR customers.customer_id IN \
         (SELECT customer_id, $1 FROM customers WHERE customer_id < $2 AND name <> $3) \
         WITH (threshold = $4)) p ORDER BY 1 LIMIT $5"
    );
    let types = [Type::TIMESTAMP, Type::INT8, Type::TEXT, Type::FLOAT8, Type::INT2];
    let kept = client.prepare_typed(&kept, &types).await.unwrap();
    let values: [&(dyn ToSql + Sync); 5] =
        [&at("2021-09-30T12:00:00"), &9i64, &"it''s", &0.75f64, &5i16];
    let rows = client.query(&kept, &values).await.unwrap();
    let written = format!(
        "{scores} FOR customers.customer_id IN (SELECT customer_id, arrow_cast('2021-09-30T12:00:00', 'Timestamp(Microsecond, None)') \
         FROM customers WHERE customer_id < 9) WITH (threshold = 0.75)) p ORDER BY 1 LIMIT 5"
    );
    let literal = client.query(&written, &[]).await.unwrap();
    assert_eq!((rows.len(), literal.len()), (5, 5));
    for (a, b) in rows.iter().zip(&literal) {
        assert_eq!(a.get::<_, i64>(0), b.get::<_, i64>(0));
        assert_eq!(a.get::<_, NaiveDateTime>(1), at("2021-09-30T12:00:00"));
        assert_eq!(a.get::<_, f64>(3).to_bits(), b.get::<_, f64>(3).to_bits());
    }

    // A condition compares what it is given with a column of its own type.
    let labels = "EXPLAIN LABELS PREDICT COUNT(orders.* WHERE amount > $1, 0, 30, days) = 0 \
                  FOR EACH customers.customer_id WHERE signed_up < $2";
    let explain = client.prepare(labels).await.unwrap();
    assert_eq!(explain.params(), [Type::FLOAT8, Type::TIMESTAMP]);
    assert!(
        !client.query(&explain, &[&2.0f64, &at("2020-06-01T00:00:00")]).await.unwrap().is_empty()
    );

    let evaluate = client.prepare("EVALUATE MODEL churn AS OF $1").await.unwrap();
    assert_eq!(evaluate.params(), [Type::TIMESTAMP]);
    let figures = client.query(&evaluate, &[&at("2021-11-30T00:00:00")]).await.unwrap();
    let written = client.query("EVALUATE MODEL churn AS OF '2021-11-30'", &[]).await.unwrap();
    assert_eq!(figures.len(), written.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_keep_their_types() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    let types =
        [Type::FLOAT8, Type::TIMESTAMP, Type::DATE, Type::INT2, Type::INT8_ARRAY, Type::BYTEA];
    let same = client.prepare_typed("SELECT $1, $2, $3, $4, $5, $6", &types).await.unwrap();
    let told: Vec<&Type> = same.columns().iter().map(Column::type_).collect();
    assert_eq!(told, types.iter().collect::<Vec<_>>());
    let (moment, list, bytes) = (at("2021-09-30T12:00:00.25"), vec![1i64, 2], b"a'\\".to_vec());
    let row = client
        .query_one(&same, &[&1.0f64, &moment, &moment.date(), &-3i16, &list, &bytes])
        .await
        .unwrap();
    assert_eq!(row.get::<_, f64>(0).to_bits(), 1.0f64.to_bits());
    assert_eq!(
        (row.get::<_, NaiveDateTime>(1), row.get::<_, NaiveDate>(2)),
        (moment, moment.date())
    );
    assert_eq!((row.get::<_, i16>(3), row.get::<_, Vec<i64>>(4)), (-3, list));
    assert_eq!(row.get::<_, Vec<u8>>(5), bytes);
    let halves = "SELECT CAST($1 / 2 AS DOUBLE)";
    let halves = client.prepare_typed(halves, &[Type::FLOAT8]).await.unwrap();
    assert_eq!(client.query_one(&halves, &[&3.0f64]).await.unwrap().get::<_, f64>(0), 1.5);
    let any = "SELECT count(*) FROM customers WHERE customer_id = ANY($1) LIMIT $2";
    let any = client.prepare_typed(any, &[Type::INT8_ARRAY]).await.unwrap();
    let counted = client.query_one(&any, &[&vec![1i64, 2, 70_000], &1i64]).await.unwrap();
    assert_eq!(counted.get::<_, i64>(0), 2);
    // A text stays what it is, whatever stands in it.
    for text in ["it's", "it''s", "x' OR 1=1 -- 'array_in'::regproc", "back\\slash", "\"", "$1", ""]
    {
        let row = client.query_one("SELECT CAST($1 AS VARCHAR)", &[&text]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), text);
    }
    for open in ["PREDICT USING MODEL churn AS OF $1", "SELECT $1", "EVALUATE MODEL churn AS OF $1"]
    {
        let error = client.simple_query(open).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::UNDEFINED_PARAMETER), "{open}: {error}");
    }
    let error = client.prepare("SELECT $70000").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::SYNTAX_ERROR), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_has_its_code_its_place_and_a_hint_and_the_session_goes_on() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    for (sql, code, position, hint) in [
        ("SELECT *\nFROM custmers", SqlState::UNDEFINED_TABLE, Some(15), Some("customers")),
        ("SELCT 1", SqlState::SYNTAX_ERROR, Some(1), Some("SELECT")),
        (
            "PREDICT COUNT(ordrs.*, 0, 30, days) FOR EACH customers.customer_id",
            SqlState::UNDEFINED_TABLE,
            Some(15),
            Some("orders"),
        ),
        ("PREDICT USING MODEL nothing", SqlState::UNDEFINED_OBJECT, None, None),
        ("SELECT nothing FROM customers", SqlState::UNDEFINED_COLUMN, Some(8), None),
        (
            "CREATE MODEL m FOR customers.customer_id AS (SELECT * FROM nothing) WITH (horizon = '1 day')",
            SqlState::UNDEFINED_TABLE,
            Some(60),
            None,
        ),
        ("DROP TABLE customers", SqlState::READ_ONLY_SQL_TRANSACTION, None, Some("INSERT")),
        ("CHECK MODEL nothing", SqlState::UNDEFINED_OBJECT, None, None),
        ("DROP SOURCE nothing", SqlState::UNDEFINED_OBJECT, Some(13), None),
        ("EXPLAIN MODEL nothing", SqlState::UNDEFINED_OBJECT, None, None),
        (
            "PREDICT LIST_DISTINCT(orders.customer_id, 0, 30, days) RANK TOP 3 FOR EACH customers.customer_id",
            SqlState::FEATURE_NOT_SUPPORTED,
            None,
            None,
        ),
    ] {
        for error in
            [client.simple_query(sql).await.unwrap_err(), client.query(sql, &[]).await.unwrap_err()]
        {
            let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
            assert_eq!(error.code(), &code, "{sql}: {error}");
            let found = error.position().map(|p| match p {
                ErrorPosition::Original(at) => *at,
                ErrorPosition::Internal { position, .. } => *position,
            });
            assert_eq!(found, position, "{sql}");
            if let Some(hint) = hint {
                assert!(error.hint().unwrap_or_default().contains(hint), "{sql}: {error:?}");
            }
        }
    }
    for (sql, code) in [
        ("SELECT 1 / (customer_id - customer_id) FROM customers", SqlState::DIVISION_BY_ZERO),
        ("SELECT CAST(name AS INT) FROM customers", SqlState::INVALID_TEXT_REPRESENTATION),
        ("SELECT nothing(1)", SqlState::UNDEFINED_FUNCTION),
        ("CREATE MODEL m AS PREDICT", SqlState::SYNTAX_ERROR),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&code), "{sql}: {error}");
    }
    assert_eq!(client.query_one("SELECT 1 + 1", &[]).await.unwrap().get::<_, i64>(0), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_is_cancelled_ends_at_once_and_leaves_nothing() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    let long = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 10000, batch_size = 1)");
    let cancel = client.cancel_token();
    let (ended, asked) = tokio::join!(client.batch_execute(&long), async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let asked = Instant::now();
        cancel.cancel_query(NoTls).await.unwrap();
        asked
    });
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    let error = ended.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error}");
    let models = client.query("SELECT * FROM relcast.models", &[]).await.unwrap();
    assert!(models.is_empty());
    let runs = "SELECT count(*) FROM relcast.runs WHERE status = 'failed'";
    let asked = Instant::now();
    while client.query_one(runs, &[]).await.unwrap().get::<_, i64>(0) != 1 {
        assert!(asked.elapsed() < Duration::from_secs(10), "the run is not on record as failed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Whoever trained it holds no lock any more.
    client.batch_execute(&served.create_model()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_may_take_so_long_and_no_longer() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    client.batch_execute("SET statement_timeout = '1500ms'").await.unwrap();
    let long = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 10000, batch_size = 1)");
    let error = client.batch_execute(&long).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error}");
    client.batch_execute("SET statement_timeout = 0").await.unwrap();
    let shown = client.query_one("SHOW statement_timeout", &[]).await.unwrap();
    assert_eq!(shown.get::<_, &str>(0), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_not_do_it_does_not_say() {
    let served = Served::start(&["--statement-timeout", "30s"]);
    let config = format!("host=127.0.0.1 port={} dbname=relcast user=ana", served.port);
    let (client, mut connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(move |now| connection.poll_message(now));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message {
                let _ = tell.send(notice);
            }
        }
    });
    client.batch_execute("BEGIN; SELECT 1").await.unwrap();
    drained(client.copy_out("COPY (SELECT 1) TO STDOUT").await.unwrap()).await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    assert!(told.recv_timeout(Duration::from_millis(200)).is_err());
    client.batch_execute("BEGIN; CREATE TABLE kept AS SELECT 1 AS a; ROLLBACK").await.unwrap();
    let notice = told.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!((notice.severity(), notice.code().code()), ("WARNING", "25P01"));
    assert_eq!(client.query("SELECT a FROM kept", &[]).await.unwrap().len(), 1);

    let error = client.batch_execute("SET statement_timeout = 'soon'").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PARAMETER_VALUE), "{error}");
    client.batch_execute("SET statement_timeout = 5000; RESET statement_timeout").await.unwrap();
    let shown = client.query_one("SHOW statement_timeout", &[]).await.unwrap();
    assert_eq!(shown.get::<_, &str>(0), "30000");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_flow_end_with_the_time_or_when_they_are_cancelled() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    let many = "SELECT value FROM generate_series(1, 200000000)";
    client.batch_execute("SET statement_timeout = '500ms'").await.unwrap();
    let error = client.query_raw(many, Vec::<i64>::new()).await.unwrap();
    let error = drained(error).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error}");
    let copied = client.copy_out(&format!("COPY ({many}) TO STDOUT")).await.unwrap();
    let error = drained(copied).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error}");

    client.batch_execute("SET statement_timeout = 0").await.unwrap();
    let token = client.cancel_token();
    let rows = client.query_raw(many, Vec::<i64>::new()).await.unwrap();
    let begun = Instant::now();
    let (outcome, ()) = tokio::join!(drained(rows), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        token.cancel_query(NoTls).await.unwrap();
    });
    assert_eq!(outcome.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);
}

/// Reads all rows.
async fn drained<T>(
    rows: impl TryStream<Ok = T, Error = tokio_postgres::Error>,
) -> Result<usize, tokio_postgres::Error> {
    rows.try_fold(0, |count, _| async move { Ok(count + 1) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_on_its_way_is_an_error_like_any_other() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    let copy = "COPY (SELECT 10 / (90000 - value) FROM generate_series(1, 100000)) TO STDOUT";
    let error = match client.copy_out(copy).await {
        Ok(rows) => drained(rows).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO), "{error}");
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);
    // What stands before a copy is sent before it.
    let shown = psql(&served, &["-At", "-c", "SELECT 7; COPY (SELECT 8) TO STDOUT"]);
    if let Some(shown) = shown {
        assert_eq!(shown, "7\n8\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_and_predicts_and_a_password_is_asked_for() {
    let shop = shop();
    let users =
        "ana: { password: anas secret, role: writer }\nrob: { password: robs, role: reader }\n";
    std::fs::write(shop.path().join("users.yaml"), users).unwrap();
    let served = Served::over(shop, &["--users", "users.yaml"]);
    let writer = served.connect_as("user=ana password='anas secret'").await.unwrap();
    writer.batch_execute(&served.create_model()).await.unwrap();
    let reader = served.connect_as("user=rob password=robs").await.unwrap();
    let rows = reader.query("PREDICT USING MODEL churn", &[]).await.unwrap();
    assert_eq!(rows.len(), 40);
    for sql in ["DROP MODEL churn", "CREATE TABLE t AS SELECT 1", QUERY] {
        let error = reader.simple_query(sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error}");
    }
    // A view predicts for whoever reads it, by a model that there is.
    writer
        .batch_execute(&format!(
            "CREATE VIEW leaving AS PREDICT USING MODEL churn; CREATE VIEW asked AS {QUERY}"
        ))
        .await
        .unwrap();
    assert_eq!(reader.query("SELECT * FROM leaving", &[]).await.unwrap().len(), 40);
    // Whatever hides the change, it is refused; a text in a parameter stays a text.
    let target = served.shop.path().join("written.csv");
    for sql in [
        format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{}' STORED AS CSV", target.display()),
        format!("EXPLAIN ANALYZE VERBOSE COPY (SELECT 1) TO '{}' STORED AS CSV", target.display()),
        "SELECT 1 AS a INTO taken".to_owned(),
        "WITH x AS (SELECT 1 AS a) SELECT a INTO taken FROM x".to_owned(),
        "CREATE VIEW v AS SELECT 1 AS a".to_owned(),
        "SELECT * FROM asked".to_owned(),
        "SET datafusion.runtime.memory_limit = '1M'".to_owned(),
        "SET datafusion.execution.target_partitions = 1000".to_owned(),
    ] {
        let error = reader.simple_query(&sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error}");
    }
    assert!(!target.exists());
    let named = "SELECT count(*) FROM customers WHERE name = $1";
    for text in ["x' OR 1=1 --", "x' OR 1=1 -- regproc"] {
        let rows = reader.query_one(named, &[&text]).await.unwrap();
        assert_eq!(rows.get::<_, i64>(0), 0, "{text}");
    }
    // What drivers do by themselves.
    reader.batch_execute("BEGIN; SELECT 1; COMMIT; SET statement_timeout = '1min'").await.unwrap();
    let copied = reader.copy_out("COPY (SELECT 1 AS a) TO STDOUT").await.unwrap();
    drop(copied);
    for who in ["user=ana password=wrong", "user=eve password=robs", "user=ana"] {
        assert!(served.connect_as(who).await.is_err(), "{who}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_name_the_files_of_named_folders_alone() {
    let shop = shop();
    std::fs::create_dir(shop.path().join("clients")).unwrap();
    let served = Served::over(shop, &["--files", "clients"]);
    let client = served.connect().await;
    client.batch_execute("COPY customers TO 'clients/customers.csv'").await.unwrap();
    let create = "CREATE SOURCE again TYPE folder OPTIONS (path 'clients')";
    client.batch_execute(create).await.unwrap();
    let rows = client.query_one("SELECT count(*) FROM again.customers", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 40);
    let written = served.shop.path().join("out").join("written.csv");
    let refused = [
        format!("COPY (SELECT 1 AS a) TO '{}'", written.display()),
        "COPY (SELECT 1 AS a) TO 'clients/../out/written.csv'".to_owned(),
        "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO 'out/written.csv'".to_owned(),
        "CREATE SOURCE s TYPE folder OPTIONS (path '/')".to_owned(),
        "CREATE SOURCE s TYPE sqlite OPTIONS (path '.relcast/registry.db')".to_owned(),
    ];
    for sql in &refused {
        let error = client.simple_query(sql).await.unwrap_err();
        let error = error.as_db_error().unwrap_or_else(|| panic!("{sql}: {error}"));
        assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE, "{sql}: {error}");
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains("TO STDOUT") && hint.contains("--files"), "{sql}: {hint}");
    }
    assert!(!written.exists());
    let set = "SET datafusion.runtime.memory_limit = '1M'";
    let error = client.simple_query(set).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{error}");

    let served = Served::start(&[]);
    let client = served.connect().await;
    for sql in ["COPY customers TO 'out/customers.csv'", create] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_connections_gets_its_own_answer() {
    let served = Served::start(&[]);
    served.connect().await.batch_execute(&served.create_model()).await.unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for number in 1..=40i64 {
        let client = served.connect().await;
        asking.spawn(async move {
            for _ in 0..3 {
                let one = "PREDICT USING MODEL churn FOR customers.customer_id = $1";
                let rows = client.query(one, &[&number]).await.unwrap();
                assert_eq!(rows[0].get::<_, i64>("customer_id"), number);
                let name = "SELECT name FROM customers WHERE customer_id = $1";
                let rows = client.query(name, &[&number]).await.unwrap();
                assert_eq!(rows[0].get::<_, String>(0), format!("Customer {number}"));
                let wrong = format!("SELECT * FROM nothing_{number}");
                let error = client.query(&wrong, &[]).await.unwrap_err();
                assert!(error.to_string().contains("db error"), "{error}");
                let error = error.as_db_error().unwrap();
                assert!(error.message().contains(&format!("nothing_{number}")), "{error}");
            }
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
}

/// Runs psql; says so and gives nothing where there is none.
fn psql(served: &Served, arguments: &[&str]) -> Option<String> {
    let port = served.port.to_string();
    let output = Command::new("psql")
        .args(["-X", "-h", "127.0.0.1", "-p", &port, "-U", "ana", "-d", "relcast"])
        .args(arguments)
        .current_dir(Path::new(served.shop.path()))
        .output();
    let Ok(output) = output else {
        eprintln!("not run: there is no psql on this machine");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_shows_tables_trains_and_copies() {
    let served = Served::start(&[]);
    let Some(tables) = psql(&served, &["-c", "\\dt"]) else { return };
    assert!(tables.contains("customers") && tables.contains("orders"), "{tables}");
    let columns = psql(&served, &["-c", "\\d customers"]).unwrap();
    assert!(columns.contains("customer_id") && columns.contains("signed_up"), "{columns}");
    psql(&served, &["-c", &served.create_model()]).unwrap();
    let shown = psql(&served, &["-At", "-c", "SELECT count(*) FROM (PREDICT USING MODEL churn) p"]);
    assert_eq!(shown.unwrap().trim(), "40");
    let csv = psql(
        &served,
        &[
            "-c",
            "COPY (SELECT customer_id, name FROM customers ORDER BY 1 LIMIT 2) TO STDOUT WITH (FORMAT csv, HEADER)",
        ],
    );
    assert_eq!(csv.unwrap(), "customer_id,name\n1,Customer 1\n2,Customer 2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_told_to_end_does_so_at_once_and_rolls_back_what_does_not_finish() {
    let served = Served::start(&[]);
    let idle = served.connect().await;
    idle.query_one("SELECT 1", &[]).await.unwrap();
    let (took, _) = served.end();
    assert!(took < Duration::from_secs(3), "{took:?}");

    let served = Served::start(&[]);
    let client = served.connect().await;
    let long = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 10000, batch_size = 1)");
    let training = tokio::spawn(async move { client.batch_execute(&long).await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (took, shop) = tokio::task::spawn_blocking(|| served.end()).await.unwrap();
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(training.await.unwrap().is_err());
    // The next server finds no half of a model, and no lock.
    let served = Served::over(shop, &[]);
    let client = served.connect().await;
    assert!(client.query("SELECT * FROM relcast.models", &[]).await.unwrap().is_empty());
    client.batch_execute(&served.create_model()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_told_so_and_can_still_cancel() {
    let served = Served::start(&["--max-connections", "1"]);
    let client = served.connect().await;
    let error = served.connect_as("user=bob").await.err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::TOO_MANY_CONNECTIONS), "{error}");
    let long = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 10000, batch_size = 1)");
    let cancel = client.cancel_token();
    let (ended, ()) = tokio::join!(client.batch_execute(&long), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        cancel.cancel_query(NoTls).await.unwrap();
    });
    assert_eq!(ended.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    drop(client);
    let started = Instant::now();
    while served.connect_as("user=bob").await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(10), "the place was not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_has_so_much_memory_and_no_more() {
    let served = Served::start(&["--statement-memory", "1"]);
    let client = served.connect().await;
    // What an aggregate without groups holds cannot go to a file.
    let large = "SELECT cardinality(array_agg(a.order_id * b.order_id)) FROM orders a, orders b";
    let error = client.simple_query(large).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code(), &SqlState::OUT_OF_MEMORY, "{error:?}");
    assert!(error.hint().unwrap().contains("--statement-memory"), "{error:?}");
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_sql_is_answered_or_refused_and_the_server_stays() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    let (open, close) = ("(SELECT * FROM ".repeat(60), ")".repeat(60));
    for (sql, count) in [
        (format!("SELECT count(*) FROM {open}customers{close}"), 40),
        (format!("SELECT count(*) FROM ({})", vec!["SELECT 1"; 1_000].join(" UNION ALL ")), 1_000),
    ] {
        assert_eq!(client.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0), count);
    }
    let sum = format!("SELECT {}", vec!["1"; 20_000].join("+"));
    let error = client.simple_query(&sum).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::SYNTAX_ERROR), "{error}");
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_ask_for_tls() {
    let shop = shop();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(shop.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(shop.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let served = Served::over(shop, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let how = ["-d", "sslmode=verify-full sslrootcert=cert.pem dbname=relcast"];
    let Some(shown) = psql(&served, &[&how[..], &["-At", "-c", "SELECT 1 + 1"]].concat()) else {
        return;
    };
    assert_eq!(shown.trim(), "2");
}

#[test]
fn what_cannot_be_served_is_told_before_anything_listens() {
    let shop = shop();
    std::fs::write(shop.path().join("users.yaml"), "ana: { password: s3cret, role: king }")
        .unwrap();
    std::fs::write(shop.path().join("cert.pem"), "no certificate").unwrap();
    for (arguments, says) in [
        (&["--pg", "0.0.0.0:0"][..], "--users FILE"),
        (&["--users", "users.yaml"], "roles are reader and writer"),
        (&["--users", "nobody.yaml"], "nobody.yaml"),
        (&["--tls-cert", "cert.pem", "--tls-key", "cert.pem"], "cert.pem"),
        (&["--tls-cert", "cert.pem"], "--tls-key"),
        (&["--freshness", "often"], "often"),
    ] {
        let asked = [&["serve", "--db", "."][..], arguments].concat();
        let output = common::relcast(shop.path(), &asked);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.contains(says) && !said.contains("s3cret"), "{arguments:?}: {said}");
    }
}
