//! Health, metrics, the description, and limits.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Served, wait_for};
use super::common::{QUERY, relbench, relcast, stdout};

/// The value of a counter; 0 if nothing was counted.
fn counted(served: &Served, line: &str) -> f64 {
    let text = served.get("/metrics").text().to_owned();
    let found = text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_default()
}

fn statements(served: &Served, protocol: &str, kind: &str, outcome: &str) -> f64 {
    let labels = format!("protocol=\"{protocol}\",kind=\"{kind}\",outcome=\"{outcome}\"");
    counted(served, &format!("relcast_statements_total{{{labels}}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_statements_of_both_protocols_are_counted() {
    let served = Served::start(&[]);
    let requests = "relcast_http_requests_total{route=\"/v1/sql\",status=\"200\"}";
    assert!(counted(&served, requests) < 0.5);
    for _ in 0..3 {
        served.sql("SELECT 1").json();
    }
    assert_eq!(served.sql("SELECT * FROM nothing").status, 400);
    assert_eq!(served.get("/nothing").status, 404);
    assert!((counted(&served, requests) - 3.0).abs() < 0.5);
    let seconds = "relcast_http_request_seconds_count{route=\"/v1/sql\"}";
    assert!((counted(&served, seconds) - 4.0).abs() < 0.5);
    let others = "relcast_http_requests_total{route=\"other\",status=\"404\"}";
    assert!((counted(&served, others) - 1.0).abs() < 0.5);
    assert!((statements(&served, "http", "select", "done") - 3.0).abs() < 0.5);
    assert!((statements(&served, "http", "select", "failed") - 1.0).abs() < 0.5);
    assert!(counted(&served, "relcast_open_connections{protocol=\"http\"}") > 0.5);

    let config = format!("host=127.0.0.1 port={} user=ana dbname=relcast", served.pg.port());
    let (client, connection) =
        tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.simple_query("SHOW MODELS").await.unwrap();
    assert!((statements(&served, "postgres", "show", "done") - 1.0).abs() < 0.5);
}

#[test]
fn the_server_is_ready_as_long_as_its_data_can_be_read() {
    let database = relbench();
    let db = database.path().join("db");
    let served = Served::over(database, &[]);
    assert_eq!(served.get("/healthz").json(), json!({ "status": "ok" }));
    assert_eq!(served.get("/readyz").json(), json!({ "status": "ok" }));
    fs::remove_dir_all(db).unwrap();
    let answer = served.get("/readyz");
    assert_eq!(answer.failure(), (503, "57P03".to_owned()));
    assert!(answer.error()["message"].as_str().unwrap().contains("database"));
    assert_eq!(served.get("/healthz").status, 200);
}

#[test]
fn the_description_names_every_route_and_all_that_it_refers_to() {
    let served = Served::start(&[]);
    let document = served.get("/openapi.json").json();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let statuses = operation["responses"].as_object().unwrap().keys().cloned();
            let statuses = statuses.collect::<Vec<_>>().join(" ");
            routes.push(format!("{} {path}: {statuses}", method.to_uppercase()));
        }
    }
    routes.sort();
    insta::assert_snapshot!(routes.join("\n"), @r"
    GET /healthz: 200
    GET /metrics: 200
    GET /openapi.json: 200
    GET /readyz: 200 400 401 403 404 408 409 413 415 500 501 503 504
    GET /v1/models: 200 400 401 403 404 408 409 413 415 500 501 503 504
    POST /v1/models/{model}/predict: 200 400 401 403 404 408 409 413 415 500 501 503 504
    POST /v1/sql: 200 400 401 403 404 408 409 413 415 500 501 503 504
    ");
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let referred = references(&document);
    assert!(referred.iter().any(|name| name == "SqlRequest"), "{referred:?}");
    for name in referred {
        assert!(schemas.contains_key(&name), "{name}");
    }
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// The names of all schemas that a part of the document refers to.
fn references(part: &Value) -> Vec<String> {
    match part {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str);
            let own = own.map(|text| text.trim_start_matches("#/components/schemas/").to_owned());
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_statement_may_take_so_long_and_no_longer() {
    let served = Served::start(&["--statement-timeout", "2s"]);
    let long = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 10000, batch_size = 1)");
    assert_eq!(served.sql(&long).failure(), (504, "57014".to_owned()));
    assert_eq!(served.get("/v1/models").json(), json!({ "models": [] }));
    assert_eq!(served.sql("SELECT 1 AS a").json()["rows"], json!([{"a": 1}]));
}

#[test]
fn who_finds_no_place_is_told_to_come_again() {
    let served = Served::start(&["--max-connections", "1"]);
    let training = served.begin_long_training();
    // Looked at from beside: a question to the server might take the only place before it.
    let begun = ["sql", "--db", ".", "--format", "csv", "-c", "SELECT status FROM relcast.runs"];
    wait_for(Duration::from_secs(20), || {
        stdout(&relcast(served.path(), &begun)).contains("running")
    });
    let refused = served.sql("SELECT 1");
    assert_eq!(refused.failure(), (503, "53300".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Looking after the server needs no place.
    assert_eq!(served.get("/readyz").status, 200);
    assert_eq!(served.get("/v1/models").json(), json!({ "models": [] }));
    drop(training);
    wait_for(Duration::from_secs(10), || served.sql("SELECT 1").status == 200);
}
