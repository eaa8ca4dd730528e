//! What clients of the Postgres protocol may rely on: when statements end, in which order answers
//! come, and what those get who do not say who they are.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::served::Served;
use common::shop;
use futures::{StreamExt, TryStreamExt};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

/// Rows that take minutes to count.
const LONG: &str = "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 3";

fn open(served: &Served) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

/// The first message of a client.
fn startup(user: &str) -> Vec<u8> {
    let mut body = 196_608i32.to_be_bytes().to_vec();
    body.extend(format!("user\0{user}\0\0").bytes());
    let length = i32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes()[..], &body].concat()
}

/// A message of a kind.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// All that comes until the server closes the connection.
fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is reset has ended, too.
    let _ = socket.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Connects as soon as there is a place.
async fn connected(served: &Served) -> tokio_postgres::Client {
    let started = Instant::now();
    loop {
        match served.connect_as("user=bob").await {
            Ok(client) => return client,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(10), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_answers_before_the_next_begins() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    let text = "CREATE TABLE t AS SELECT 7 AS value; SELECT value FROM t; DROP TABLE t";
    let found = client.simple_query(text).await.unwrap();
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    assert_eq!(found.iter().find_map(row).as_deref(), Some("7"));

    let answers = client.simple_query_raw("SELECT 8 AS value; SELECT nope").await.unwrap();
    let answers: Vec<_> = answers.collect().await;
    let (last, before) = answers.split_last().unwrap();
    assert_eq!(last.as_ref().unwrap_err().code(), Some(&SqlState::UNDEFINED_COLUMN));
    let first = before.iter().find_map(|answer| row(answer.as_ref().unwrap()));
    assert_eq!(first.as_deref(), Some("8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_that_is_gone_began_is_stopped() {
    let served = Served::start(&["--max-connections", "1"]);
    let mut socket = open(&served);
    // What comes after the statement is not read before it has ended.
    let sent = [startup("ana"), query(LONG), query("SELECT 1")].concat();
    socket.write_all(&sent).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert!(served.connect_as("user=bob").await.is_err());
    drop(socket);
    connected(&served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_say_who_they_are_takes_no_place() {
    let served = Served::start(&["--max-connections", "1"]);
    let silent: Vec<TcpStream> = (0..5).map(|_| open(&served)).collect();
    let client = served.connect().await;
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);
    let started = Instant::now();
    for mut socket in silent {
        assert_eq!(rest(&mut socket), "");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_after_a_login_that_failed() {
    let shop = shop();
    let users = "ana: { password: anas secret, role: writer }\n";
    std::fs::write(shop.path().join("users.yaml"), users).unwrap();
    let served = Served::over(shop, &["--users", "users.yaml"]);
    let mut socket = open(&served);
    let login = message(b'p', b"NONSENSE\0\0\0\0\0");
    let sent = [startup("ana"), login, query("CREATE TABLE stolen AS SELECT 1 AS a")].concat();
    socket.write_all(&sent).unwrap();
    assert!(rest(&mut socket).contains("FATAL"));
    let writer = served.connect_as("user=ana password='anas secret'").await.unwrap();
    let error = writer.simple_query("SELECT * FROM stolen").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE), "{error}");

    for user in ["ana", "eve"] {
        let error = served.connect_as(&format!("user={user} password=wrong")).await.err().unwrap();
        let error = error.as_db_error().unwrap();
        let expected = format!("password authentication failed for user \"{user}\"");
        assert_eq!((error.code(), error.message()), (&SqlState::INVALID_PASSWORD, &*expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_have_a_bound_that_is_small_before_the_login() {
    let shop = shop();
    std::fs::write(shop.path().join("users.yaml"), "ana: { password: secret, role: reader }\n")
        .unwrap();
    let served = Served::over(shop, &["--users", "users.yaml"]);
    let mut socket = open(&served);
    socket.write_all(&startup("ana")).unwrap();
    // A message of a gigabyte is told, and some of it sent.
    let begun = [&b"Q"[..], &0x3fff_fff0i32.to_be_bytes(), &[b'x'; 1 << 20]].concat();
    let _ = socket.write_all(&begun);
    let asked = Instant::now();
    rest(&mut socket);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(served.connect_as("user=ana password=secret").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_says_so() {
    let served = Served::start(&[]);
    let (mut idle, mut busy) = (open(&served), open(&served));
    idle.write_all(&startup("ana")).unwrap();
    busy.write_all(&[startup("bob"), query(LONG)].concat()).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let (took, _) = tokio::task::spawn_blocking(|| served.end()).await.unwrap();
    assert!(took < Duration::from_secs(16), "{took:?}");
    for socket in [&mut idle, &mut busy] {
        let told = rest(socket);
        assert!(told.contains("FATAL") && told.contains("57P01"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_failed_waits_for_its_end() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    client.batch_execute("BEGIN").await.unwrap();
    client.batch_execute("SELECT nope").await.unwrap_err();
    for refused in ["SELECT 1", "SET statement_timeout = 0"] {
        let error = client.batch_execute(refused).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION), "{error}");
    }
    client.batch_execute("COMMIT").await.unwrap();
    client.batch_execute("SELECT 1").await.unwrap();

    // What was written stays, and that is said.
    let mut socket = open(&served);
    let text = "BEGIN; CREATE TABLE kept AS SELECT 1 AS a; ROLLBACK";
    socket.write_all(&[startup("ana"), query(text), message(b'X', b"")].concat()).unwrap();
    let told = rest(&mut socket);
    assert!(told.contains("WARNING") && told.contains("stays"), "{told}");
    client.batch_execute("SELECT a FROM kept").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense_are_refused() {
    let served = Served::start(&["--statement-timeout", "30s"]);
    let client = served.connect_as("user=ana options='-c statement_timeout=500'").await.unwrap();
    let shown = async || {
        let row = client.query_one("SHOW statement_timeout", &[]).await.unwrap();
        row.get::<_, String>(0)
    };
    assert_eq!(shown().await, "500");
    let error = client.batch_execute("SET statement_timeout = 'nonsense'").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PARAMETER_VALUE), "{error}");
    client.batch_execute("SET statement_timeout = '2s'").await.unwrap();
    assert_eq!(shown().await, "2s");
    client.batch_execute("DISCARD ALL").await.unwrap();
    assert_eq!(shown().await, "500");
    let error = client.simple_query(LONG).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{error}");
    let nonsense = "user=ana options='-c statement_timeout=nonsense'";
    let error = served.connect_as(nonsense).await.err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PARAMETER_VALUE), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_heeds_its_options() {
    let served = Served::start(&[]);
    let client = served.connect().await;
    let rows = "COPY (SELECT 1 AS a, 'x;y' AS b, CAST(NULL AS BIGINT) AS c) TO STDOUT";
    let copied = async |options: &str| {
        let copied = client.copy_out(&format!("{rows} {options}")).await?;
        let copied: Vec<_> = copied.try_collect().await?;
        let bytes = copied.concat();
        Ok::<_, tokio_postgres::Error>(String::from_utf8(bytes).unwrap())
    };
    assert_eq!(copied("").await.unwrap(), "1\tx;y\t\\N\n");
    let csv = "WITH (FORMAT csv, HEADER, DELIMITER ';', NULL '-')";
    assert_eq!(copied(csv).await.unwrap(), "a;b;c\n1;\"x;y\";-\n");
    let error = copied("WITH (FORMAT binary)").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED), "{error}");

    let aside = tempfile::tempdir().unwrap();
    let file = aside.path().join("rows.csv");
    let prepared = format!("COPY (SELECT 1 AS a) TO '{}' STORED AS CSV", file.display());
    assert_eq!(client.execute(&prepared, &[]).await.unwrap(), 1);
    assert!(file.exists());
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i64>(0), 1);
}
