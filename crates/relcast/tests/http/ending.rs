//! Clients that go, and a server that ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Served, wait_for};
use super::common::QUERY;

/// Whether a training has begun, as its run says.
fn has_begun(served: &Served) -> bool {
    let runs = "SELECT count(*) AS n FROM relcast.runs WHERE kind = 'train' AND status = 'running'";
    served.sql(runs).json()["rows"] != json!([{"n": 0}])
}

#[test]
fn a_client_that_goes_stops_its_training_and_leaves_nothing() {
    let served = Served::start(&[]);
    let training = served.begin_long_training();
    wait_for(Duration::from_secs(20), || has_begun(&served));
    drop(training);
    let counted =
        "relcast_statements_total{protocol=\"http\",kind=\"train\",outcome=\"cancelled\"} 1";
    wait_for(Duration::from_secs(3), || served.get("/metrics").text().contains(counted));
    assert_eq!(served.get("/v1/models").json(), json!({ "models": [] }));
    // Whoever trained it holds no lock any more.
    let again = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 1)");
    wait_for(Duration::from_secs(20), || served.sql(&again).status == 200);
    assert_eq!(served.get("/v1/models").json()["models"][0]["default_version"], 1);
}

/// A statement that would take hours before it has a row.
const LONG: &str = "SELECT max(value % 7) FROM generate_series(1, 100000000000000)";

/// A message of a client of Postgres.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

#[test]
fn a_client_that_goes_stops_what_it_asked_for() {
    let served = Served::start(&[]);
    let cancelled = |protocol: &str, count: usize| {
        let counted = format!(
            "relcast_statements_total{{protocol=\"{protocol}\",kind=\"select\",outcome=\"cancelled\"}} {count}\n"
        );
        wait_for(Duration::from_secs(10), || served.get("/metrics").text().contains(&counted));
    };
    let body = b"user\0ana\0database\0relcast\0\0";
    let length = u32::try_from(body.len() + 8).unwrap();
    let startup = [&length.to_be_bytes()[..], &196_608u32.to_be_bytes(), body].concat();
    // The last message of the second lies behind the statement all the while that it runs.
    let simple = message(b'Q', format!("{LONG}\0").as_bytes());
    let extended = [
        message(b'P', format!("\0{LONG}\0\0\0").as_bytes()),
        message(b'B', &[0; 8]),
        message(b'E', &[0; 5]),
        message(b'S', b""),
    ];
    for (asked, count) in [(simple, 1), (extended.concat(), 2)] {
        let mut client = TcpStream::connect(served.pg).unwrap();
        client.write_all(&[startup.clone(), asked].concat()).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        drop(client);
        cancelled("postgres", count);
    }
    let asking = served.begin(LONG);
    std::thread::sleep(Duration::from_millis(500));
    drop(asking);
    cancelled("http", 1);
}

/// Tells a server to end, as a service manager does.
#[cfg(unix)]
fn terminate(served: &Served) {
    let process = served.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
}

#[cfg(unix)]
fn wait_for_end(served: &mut Served, patience: Duration) {
    let started = Instant::now();
    let status = loop {
        if let Some(status) = served.process.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < patience, "the server has not ended");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{status}");
}

#[cfg(unix)]
#[test]
fn a_server_that_is_told_to_end_waits_for_no_idle_connection() {
    let mut served = Served::start(&[]);
    served.sql("SELECT 1").json();
    terminate(&served);
    wait_for_end(&mut served, Duration::from_secs(5));
}

#[cfg(unix)]
#[test]
fn a_training_that_does_not_end_in_time_is_told_so_and_leaves_nothing() {
    let mut served = Served::start(&[]);
    let mut training = served.begin_long_training();
    wait_for(Duration::from_secs(20), || has_begun(&served));
    terminate(&served);
    let mut answer = String::new();
    training.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("57P01"), "{answer}");
    wait_for_end(&mut served, Duration::from_secs(20));
    let home = served.path().join(".relcast");
    // A checkpoint may stay, to go on from.
    let Ok(left) = std::fs::read_dir(home.join("artifacts/churn")) else { return };
    let names = left.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let others: Vec<String> = names.filter(|name| !name.starts_with("checkpoint-")).collect();
    assert!(others.is_empty(), "{others:?}");
}
