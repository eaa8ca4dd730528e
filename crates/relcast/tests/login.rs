//! Nobody gets in after a login that failed.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::served::Served;
use common::shop;
use tokio_postgres::error::SqlState;

/// A message of the protocol; the first has no kind.
fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap();
    [kind, &length.to_be_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_after_a_login_that_failed_do_not_run() {
    let shop = shop();
    let users = "ana: { password: secret, role: writer }\n";
    std::fs::write(shop.path().join("users.yaml"), users).unwrap();
    let served = Served::over(shop, &["--users", "users.yaml"]);
    let mut socket = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let begin = [&196_608i32.to_be_bytes()[..], b"user\0ana\0\0"].concat();
    let sent = [
        message(b"", &begin),
        message(b"p", b"NONSENSE\0\0\0\0\0"),
        message(b"Q", b"CREATE TABLE stolen AS SELECT 1 AS a\0"),
    ];
    socket.write_all(&sent.concat()).unwrap();
    let mut told = Vec::new();
    // What is left unread resets the connection, which ends it too.
    let _ = socket.read_to_end(&mut told);
    assert!(String::from_utf8_lossy(&told).contains("FATAL"));
    let writer = served.connect_as("user=ana password=secret").await.unwrap();
    let error = writer.simple_query("SELECT * FROM stolen").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE), "{error}");
}
