//! The built binary as a server of HTTP, and a client that asks it.

use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::common::{QUERY, shop};

pub const ARROW: &str = "application/vnd.apache.arrow.stream";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A server over a database; ends with its owner.
pub struct Served {
    pub process: Child,
    pub http: SocketAddr,
    pub pg: SocketAddr,
    database: TempDir,
    agent: Agent,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Served {
    /// Over the small shop.
    pub fn start(more: &[&str]) -> Self {
        Self::over(shop(), more)
    }

    pub fn over(database: TempDir, more: &[&str]) -> Self {
        Self::at("127.0.0.1:0", database, more)
    }

    pub fn at(address: &str, database: TempDir, more: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_relcast"))
            .current_dir(database.path())
            .args(["serve", "--db", ".", "--pg", "127.0.0.1:0", "--http", address])
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut after = |words: &str, end: &str| -> SocketAddr {
            loop {
                let line = lines.next().expect("the server says where it listens").unwrap();
                if let Some((_, rest)) = line.split_once(words) {
                    break rest.split(end).next().unwrap().parse().unwrap();
                }
            }
        };
        let pg = after("listening at ", ": ");
        let scheme = if more.contains(&"--tls-cert") { "https" } else { "http" };
        let mut http = after(&format!("HTTP at {scheme}://"), ";");
        // A full pipe would hold the server up.
        std::thread::spawn(move || lines.for_each(drop));
        if http.ip().is_unspecified() {
            http.set_ip([127, 0, 0, 1].into());
        }
        let agent = Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { process, http, pg, database, agent }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.call().unwrap())
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body)
    }

    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers: Vec<_> = [JSON].into_iter().chain(headers.iter().copied()).collect();
        self.post_text(path, &headers, &body.to_string())
    }

    pub fn post_text(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = self.agent.post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send(body).unwrap())
    }

    pub fn sql(&self, sql: &str) -> Answer {
        self.post("/v1/sql", &json!({ "sql": sql }))
    }

    /// Trains the model `churn` in a moment.
    pub fn create_churn(&self) {
        let created = self.sql(&format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 1)"));
        assert_eq!(created.status, 200, "{}", created.text());
    }

    /// Begins a training that would take hours, on a connection of its own.
    pub fn begin_long_training(&self) -> TcpStream {
        self.begin(&format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 10000, batch_size = 1)"))
    }

    /// Begins a statement on a connection of its own, which stops it when it is dropped.
    pub fn begin(&self, sql: &str) -> TcpStream {
        let body = json!({ "sql": sql }).to_string();
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(
            stream,
            "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
    }

    /// Sends bytes as they are, and gives what comes back until the server closes.
    pub fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The folder of the database, in which the server runs.
    pub fn path(&self) -> &Path {
        self.database.path()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Answer {
    fn read(mut response: Response<Body>) -> Self {
        let headers = response.headers().iter();
        let headers =
            headers.map(|(n, v)| (n.to_string(), v.to_str().unwrap_or_default().to_owned()));
        Self {
            status: response.status().as_u16(),
            headers: headers.collect(),
            body: response.body_mut().read_to_vec().unwrap(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body of an answer without error.
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_str(self.text()).unwrap()
    }

    /// What an answer with an error tells.
    pub fn error(&self) -> Value {
        assert!(self.status >= 400, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_str(self.text()).unwrap();
        body["error"].clone()
    }

    /// Status and SQLSTATE of an answer with an error.
    pub fn failure(&self) -> (u16, String) {
        (self.status, self.error()["code"].as_str().unwrap().to_owned())
    }

    /// The rows of a stream of Arrow; the schema tells what is beside them.
    pub fn batches(&self) -> (arrow::datatypes::SchemaRef, Vec<RecordBatch>) {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some(ARROW));
        let reader = StreamReader::try_new(Cursor::new(&self.body), None).unwrap();
        let schema = reader.schema();
        (schema, reader.map(Result::unwrap).collect())
    }
}

/// Asks until `wanted` is the answer, for at most `patience`.
pub fn wait_for(patience: Duration, mut wanted: impl FnMut() -> bool) {
    let started = Instant::now();
    while !wanted() {
        assert!(started.elapsed() < patience, "not within {patience:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
