//! Who may ask.

use std::fs;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::client::Served;
use super::common::{QUERY, error, relcast, shop};

const WRITER: &str = "0123456789abcdef-writer";
const READER: &str = "0123456789abcdef-reader";

/// The shop with tokens for a writer and a reader beside it.
fn shop_with_tokens() -> TempDir {
    let shop = shop();
    let tokens = format!(
        "ana: {{ token: {WRITER}, role: writer }}\nrob: {{ token: {READER}, role: reader }}\n"
    );
    fs::write(shop.path().join("tokens.yaml"), tokens).unwrap();
    shop
}

#[test]
fn a_token_says_who_asks_and_a_reader_changes_nothing() {
    let served = Served::over(shop_with_tokens(), &["--tokens", "tokens.yaml"]);
    let [writer, reader] = [WRITER, READER].map(|token| format!("Bearer {token}"));
    let ask = |token: &str, sql: &str| {
        served.post_with("/v1/sql", &[("authorization", token)], &json!({ "sql": sql }))
    };
    let train = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 1)");
    assert_eq!(ask(&reader, &train).failure(), (403, "42501".to_owned()));
    assert_eq!(ask(&writer, &train).json()["tag"], "CREATE MODEL");
    assert_eq!(ask(&reader, "SELECT 1 AS a").json()["rows"], json!([{"a": 1}]));
    let predict = "/v1/models/churn/predict";
    let predicted = served.post_with(predict, &[("authorization", &reader)], &json!({})).json();
    assert_eq!(predicted["rows"].as_array().unwrap().len(), 40);
    let listed = served.get_with("/v1/models", &[("authorization", &reader)]).json();
    assert_eq!(listed["models"][0]["name"], "churn");
    for sql in ["DROP MODEL churn", "CREATE TABLE t AS SELECT 1", QUERY] {
        let refused = ask(&reader, sql);
        assert_eq!(refused.failure(), (403, "42501".to_owned()), "{sql}");
        assert!(refused.error()["message"].as_str().unwrap().contains("\"rob\""));
    }
    let wrong = [&WRITER[1..], "", "ana"].map(|token| format!("Bearer {token}"));
    for token in wrong.iter().map(String::as_str).chain(["Basic YW5hOmFuYQ==", WRITER]) {
        let refused = ask(token, "SELECT 1");
        assert_eq!(refused.failure(), (401, "28000".to_owned()), "{token}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"relcast\""));
        assert!(!refused.text().contains(&WRITER[1..]));
    }
    assert_eq!(served.post(predict, &json!({})).status, 401);
    assert_eq!(served.get("/v1/models").status, 401);
    for open in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(served.get(open).status, 200, "{open}");
    }
}

#[test]
fn beyond_this_machine_nothing_is_open_without_tokens() {
    let shop = shop_with_tokens();
    let arguments = ["serve", "--db", ".", "--pg", "127.0.0.1:0", "--http", "0.0.0.0:0"];
    let refused = error(&relcast(shop.path(), &arguments), 1);
    assert!(refused.contains("--tokens FILE"), "{refused}");
    let served = Served::at("0.0.0.0:0", shop, &["--tokens", "tokens.yaml"]);
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(served.get(open).status, 200, "{open}");
    }
    assert_eq!(served.get("/metrics").failure(), (401, "28000".to_owned()));
    let token = format!("Bearer {READER}");
    let shown = served.get_with("/metrics", &[("authorization", &token)]);
    assert!(shown.text().contains("relcast_http_requests_total"), "{}", shown.text());
}

#[test]
fn a_page_of_another_site_cannot_ask_for_its_reader() {
    let served = Served::start(&[]);
    let ask = |host: &str| {
        served.raw(&format!("GET /v1/models HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"))
    };
    assert!(ask("localhost").starts_with("HTTP/1.1 200"));
    assert!(ask(&served.http.to_string()).starts_with("HTTP/1.1 200"));
    let refused = ask("rebound.example");
    assert!(refused.starts_with("HTTP/1.1 421") && refused.contains("localhost"), "{refused}");
}

#[test]
fn a_bad_list_of_tokens_is_refused_and_no_token_told() {
    let shop = shop();
    let serve = ["serve", "--db", ".", "--pg", "127.0.0.1:0"];
    for (tokens, words) in [
        ("ana: { token: tiny-one, role: writer }", "shorter than 16"),
        ("ana: { token: \"sixteen or more letters\", role: writer }", "spaces"),
        ("ana: { token: 0123456789abcdef, role: owner }", "line 1"),
        ("ana: { secret: 0123456789abcdef, role: writer }", "line 1"),
        ("{}", "names nobody"),
        (
            "ana: { token: 0123456789abcdef, role: writer }\nbob: { token: 0123456789abcdef, role: reader }",
            "somebody else's",
        ),
    ] {
        fs::write(shop.path().join("tokens.yaml"), tokens).unwrap();
        let more = ["--http", "127.0.0.1:0", "--tokens", "tokens.yaml"];
        let refused = error(&relcast(shop.path(), &[&serve[..], &more].concat()), 1);
        assert!(refused.contains(words) && refused.contains("hint"), "{tokens}: {refused}");
        for secret in ["tiny-one", "sixteen or more", "0123456789abcdef"] {
            assert!(!refused.contains(secret), "{refused}");
        }
    }
    let alone = [&serve[..], &["--tokens", "tokens.yaml"]].concat();
    assert!(error(&relcast(shop.path(), &alone), 2).contains("--http"));
}

/// Runs a program; says so and gives nothing where there is none.
fn run(program: &str, arguments: &[&str], shop: &std::path::Path) -> Option<String> {
    let Ok(output) = Command::new(program).args(arguments).current_dir(shop).output() else {
        eprintln!("not run: there is no {program} on this machine");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn with_a_certificate_all_is_encrypted() {
    let shop = shop();
    let made = "req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 1 -keyout key.pem -out cert.pem";
    let made: Vec<&str> = made.split(' ').collect();
    if run("openssl", &made, shop.path()).is_none() {
        return;
    }
    let directory = shop.path().to_owned();
    let served = Served::over(shop, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let url = format!("https://{}/healthz", served.http);
    // Whoever is silent at the handshake holds nobody else up.
    let _silent = std::net::TcpStream::connect(served.http).unwrap();
    let Some(answer) = run("curl", &["-sk", "--max-time", "8", &url], &directory) else { return };
    assert_eq!(answer, "{\"status\":\"ok\"}");
}
