//! What servers do with clients that do not keep to the protocol of Postgres, or say nothing at all.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relcast_engine::{Engine, Home, Registry};
use relcast_server::{
    Front, HttpOptions, HttpServer, Live, Role, ServeOptions, Server, Tokens, Users,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes, shorter than for ever.
const LONG: Duration = Duration::from_secs(30);

/// Two customers, in a folder that goes with its owner.
struct Shop {
    folder: TempDir,
    registry: Registry,
    live: Arc<Live>,
}

/// Over what the folder holds now.
async fn engine(registry: Registry, source: &Path) -> Engine {
    let database = relcast_connect::open(source.to_str().unwrap()).await.unwrap();
    let catalog = relcast_catalog::load(&database, None).await.unwrap();
    Engine::new(registry, database, catalog)
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("customers.csv"), "customer_id,name\n1,ann\n2,bob\n").unwrap();
        let home = Home::open(&folder.path().join("home")).unwrap();
        let registry = Registry::open(&home).await.unwrap();
        let engine = engine(registry.clone(), &source).await;
        Self { folder, registry, live: Arc::new(Live::new(engine).await.unwrap()) }
    }

    fn front(&self, users: Users) -> Front {
        Front::new(self.live.clone(), options(users)).unwrap()
    }

    /// What somebody who keeps to the protocol gets.
    async fn select(&self, sql: &str) -> Vec<Message> {
        let front = self.front(Users::default());
        answer(&front, &[startup("ana"), query(sql)].concat()).await
    }

    async fn still_answers(&self) {
        assert_eq!(kinds(&self.select("SELECT 1").await), "TDCZ");
    }
}

fn options(users: Users) -> ServeOptions {
    ServeOptions {
        users: Arc::new(users),
        tls: None,
        max_connections: 10,
        statement_timeout: None,
        statement_memory: None,
        files: Arc::from(Vec::new()),
    }
}

fn http_options() -> HttpOptions {
    HttpOptions {
        tokens: Tokens::default(),
        tls: None,
        max_statements: 10,
        statement_timeout: None,
        statement_memory: None,
        files: Arc::from(Vec::new()),
    }
}

fn with_password() -> Users {
    let mut users = Users::default();
    users.add("ana", "secret", Role::Writer);
    users
}

type Message = (u8, Vec<u8>);

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

fn startup(user: &str) -> Vec<u8> {
    let body = format!("user\0{user}\0database\0relcast\0\0");
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes()[..], &196_608u32.to_be_bytes(), body.as_bytes()].concat()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// Parse, Bind with these formats of the result, Describe, Execute for so many rows, Sync.
fn extended(sql: &str, formats: &[i16], most_rows: i32) -> Vec<u8> {
    let count = u16::try_from(formats.len()).unwrap();
    let formats = formats.iter().flat_map(|format| format.to_be_bytes()).collect::<Vec<u8>>();
    [
        message(b'P', format!("\0{sql}\0\0\0").as_bytes()),
        message(b'B', &[&[0u8; 6][..], &count.to_be_bytes(), &formats].concat()),
        message(b'D', b"P\0"),
        message(b'E', &[&[0u8][..], &most_rows.to_be_bytes()].concat()),
        message(b'S', b""),
    ]
    .concat()
}

/// What a client that sends `bytes` and then nothing more is sent, until it is ready and after.
async fn answer(front: &Front, bytes: &[u8]) -> Vec<Message> {
    let (client, server) = tokio::io::duplex(1 << 20);
    let stop = CancellationToken::new();
    let talk = front.talk(server, SocketAddr::from(([127, 0, 0, 1], 1)), &stop);
    let (_, answer) = tokio::join!(talk, tokio::time::timeout(LONG, exchange(client, bytes)));
    // What comes before the first statement is the same for everybody.
    let answer = answer.expect("the connection ends");
    let ready = answer.iter().position(|(kind, _)| *kind == b'Z').map_or(0, |ready| ready + 1);
    let is_known = answer.iter().any(|(kind, body)| *kind == b'R' && *body == [0u8; 4]);
    answer.into_iter().skip(if is_known { ready } else { 0 }).collect()
}

async fn exchange(mut client: DuplexStream, bytes: &[u8]) -> Vec<Message> {
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    messages(&answer)
}

/// Reads up to the next message that says that a statement may come.
async fn until_ready(client: &mut DuplexStream) -> Vec<u8> {
    let mut sent = Vec::new();
    while !sent.ends_with(b"Z\0\0\0\x05I") {
        sent.push(client.read_u8().await.unwrap());
    }
    sent
}

fn messages(mut rest: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let [kind, a, b, c, d, after @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
        messages.push((*kind, after[..length].to_vec()));
        rest = &after[length..];
    }
    assert!(rest.is_empty(), "half a message: {rest:?}");
    messages
}

/// The kinds of messages, in their order.
fn kinds(messages: &[Message]) -> String {
    messages.iter().map(|(kind, _)| char::from(*kind)).collect()
}

/// The fields of the first error.
fn error(messages: &[Message]) -> String {
    let found = messages.iter().find(|(kind, _)| *kind == b'E');
    let (_, body) = found.unwrap_or_else(|| panic!("no error: {}", kinds(messages)));
    String::from_utf8_lossy(body).replace('\0', "|")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_before_it_is_known_who_asks() {
    let shop = Shop::open().await;
    let front = shop.front(with_password());
    let take = query("CREATE TABLE taken AS SELECT 1 AS a");
    let nope = message(b'p', b"NOPE\0\xff\xff\xff\xff");
    let first = b"n,,n=,r=abc";
    let begin = [&b"SCRAM-SHA-256\0\0\0\0\x0b"[..], first].concat();
    let begin = message(b'p', &begin);
    let proof = message(b'p', b"c=biws,r=abc,p=bm9uZQ==");
    for attempt in [
        vec![take.clone()],
        vec![nope, take.clone()],
        vec![begin.clone(), take.clone()],
        vec![begin, proof, take.clone()],
        vec![message(b'p', b""), take.clone()],
        vec![message(b'S', b""), take.clone()],
        vec![extended("CREATE TABLE taken AS SELECT 1 AS a", &[], 0)],
    ] {
        let answer = answer(&front, &[startup("ana"), attempt.concat()].concat()).await;
        assert!(error(&answer).starts_with("SFATAL|"), "{}", error(&answer));
        let kinds = kinds(&answer);
        assert!(kinds.chars().all(|kind| "RE".contains(kind)), "{kinds}");
    }
    assert!(error(&shop.select("SELECT * FROM taken").await).contains("C42P01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_is_told_so_and_no_more() {
    let shop = Shop::open().await;
    let nobody = ServeOptions { max_connections: 0, ..options(Users::default()) };
    let front = Front::new(shop.live.clone(), nobody).unwrap();
    let take = query("CREATE TABLE taken AS SELECT 1 AS a");
    let answer = answer(&front, &[startup("ana"), take].concat()).await;
    assert!(error(&answer).starts_with("SFATAL|"), "{}", error(&answer));
    assert!(error(&answer).contains("C53300"), "{}", error(&answer));
    assert!(error(&shop.select("SELECT * FROM taken").await).contains("C42P01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_taken_by_who_is_known_and_not_by_who_is_silent() {
    let shop = Shop::open().await;
    let one = ServeOptions { max_connections: 1, ..options(Users::default()) };
    let front = Front::new(shop.live.clone(), one).unwrap();
    let (from, stop) = (SocketAddr::from(([127, 0, 0, 1], 1)), CancellationToken::new());
    let (silent, server) = tokio::io::duplex(1 << 10);
    let with_the_silent = async {
        let known = answer(&front, &[startup("ana"), query("SELECT 1")].concat()).await;
        drop(silent);
        known
    };
    let (_, known) = tokio::join!(front.talk(server, from, &stop), with_the_silent);
    assert_eq!(kinds(&known), "TDCZ");

    // The place is taken until its client goes.
    let (mut first, server) = tokio::io::duplex(1 << 20);
    let with_the_first = async {
        first.write_all(&startup("ana")).await.unwrap();
        until_ready(&mut first).await;
        let second = answer(&front, &[startup("bob"), query("SELECT 1")].concat()).await;
        drop(first);
        second
    };
    let (_, second) = tokio::join!(front.talk(server, from, &stop), with_the_first);
    assert!(error(&second).contains("C53300"), "{}", error(&second));
    assert_eq!(kinds(&answer(&front, &[startup("bob"), query("SELECT 1")].concat()).await), "TDCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_when_the_server_stops_is_told_so() {
    let shop = Shop::open().await;
    let front = shop.front(Users::default());
    let (from, stop) = (SocketAddr::from(([127, 0, 0, 1], 1)), CancellationToken::new());
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let told = async {
        client.write_all(&startup("ana")).await.unwrap();
        until_ready(&mut client).await;
        client.write_all(&query("SELECT 1")).await.unwrap();
        until_ready(&mut client).await;
        stop.cancel();
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        messages(&told)
    };
    let (ended, told) = tokio::join!(front.talk(server, from, &stop), told);
    ended.unwrap();
    assert_eq!(kinds(&told), "E");
    assert!(error(&told).starts_with("SFATAL|"), "{}", error(&told));
    assert!(error(&told).contains("C57P01"), "{}", error(&told));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_holds_no_engine_that_was_replaced() {
    let shop = Shop::open().await;
    let front = shop.front(Users::default());
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let http = HttpServer::bind(address, shop.live.clone(), http_options()).await.unwrap();
    let (from, stop) = (SocketAddr::from(([127, 0, 0, 1], 1)), CancellationToken::new());
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let first = Arc::downgrade(&shop.live.engine());
    let source = shop.folder.path().join("source");
    let open = async || Ok::<_, std::io::Error>(engine(shop.registry.clone(), &source).await);
    let asked = async {
        client.write_all(&startup("ana")).await.unwrap();
        until_ready(&mut client).await;
        client.write_all(&query("SELECT * FROM customers")).await.unwrap();
        until_ready(&mut client).await;
        let written = shop.folder.path().join("customers.csv");
        std::fs::write(&written, "customer_id,name\n1,ann\n2,bob\n3,cat\n").unwrap();
        std::fs::rename(&written, source.join("customers.csv")).unwrap();
        let begun = Instant::now();
        while first.upgrade().is_some() {
            assert!(begun.elapsed() < LONG, "the first engine is still held");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Who asks again is answered from the new one.
        client.write_all(&query("SELECT count(*) FROM customers")).await.unwrap();
        let sent = until_ready(&mut client).await;
        drop(client);
        stop.cancel();
        messages(&sent)
    };
    let (_, _, (), told) = tokio::join!(
        front.talk(server, from, &stop),
        http.serve(stop.clone()),
        shop.live.follow(Duration::from_millis(100), open, stop.clone()),
        asked,
    );
    let row = told.iter().find(|(kind, _)| *kind == b'D').unwrap();
    assert!(row.1.ends_with(b"3"), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_none_end_the_connection_and_nothing_else() {
    let shop = Shop::open().await;
    let front = shop.front(Users::default());
    for wrong in [
        b"Q\x7f\xff\xff\xff".to_vec(),
        b"Q\0\0\0\0".to_vec(),
        b"P\xff\xff\xff\xff".to_vec(),
        message(b'P', b"\0"),
        message(b'B', b"\0\0\0\x05"),
        message(b'D', b""),
        message(b'E', b"\0\0"),
        message(b'?', b"what"),
        message(b'Q', b"SELECT 1"),
    ] {
        let bytes = [startup("ana"), wrong, query("SELECT 1")].concat();
        let answer = answer(&front, &bytes).await;
        assert!(error(&answer).starts_with("SFATAL|C08P01|"), "{}", error(&answer));
        assert_eq!(kinds(&answer), "E");
    }
    for first in
        [&b"\x7f\xff\xff\xff\0\x03\0\0"[..], b"\0\0\0\x04", b"GET / HTTP/1.1\r\n\r\n", b"\0"]
    {
        assert!(answer(&front, first).await.is_empty());
    }
    shop.still_answers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_that_do_not_fit_are_an_error_and_the_session_goes_on() {
    let shop = Shop::open().await;
    let front = shop.front(Users::default());
    let sql = "SELECT 1, 2, 3";
    let answer = answer(
        &front,
        &[startup("ana"), extended(sql, &[0, 1], 0), extended(sql, &[0, 1, 0], 0)].concat(),
    )
    .await;
    assert!(error(&answer).starts_with("SERROR|C08P01|"), "{}", error(&answer));
    assert_eq!(kinds(&answer), "12EZ12TDCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_rows_may_be_asked_for() {
    let shop = Shop::open().await;
    let front = shop.front(Users::default());
    for (most, expected) in [(1, "12TDsZ"), (-1, "12TDDCZ"), (i32::MAX, "12TDDCZ")] {
        let bytes = [startup("ana"), extended("SELECT * FROM customers", &[], most)].concat();
        assert_eq!(kinds(&answer(&front, &bytes).await), expected, "{most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_sent_is_one_error() {
    let shop = Shop::open().await;
    let answer = shop.select("SELECT arrow_cast(1, 'Float16')").await;
    assert_eq!(kinds(&answer), "TEZ", "{}", error(&answer));
    shop.still_answers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_say_who_it_is_is_let_go() {
    let shop = Shop::open().await;
    let (from, stop) = (SocketAddr::from(([127, 0, 0, 1], 1)), CancellationToken::new());
    for begun in [Vec::new(), startup("ana")[..20].to_vec(), startup("ana")] {
        let front = shop.front(with_password()).with_patience(Duration::from_millis(200));
        let (mut client, server) = tokio::io::duplex(1 << 10);
        client.write_all(&begun).await.unwrap();
        let ended = tokio::time::timeout(LONG, front.talk(server, from, &stop)).await;
        ended.expect("nobody waits for ever").unwrap();
        drop(client);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_lengths_are_refused_at_once_over_a_socket_too() {
    let shop = Shop::open().await;
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(address, shop.live.clone(), options(with_password())).await.unwrap();
    let (address, stop) = (server.address().unwrap(), CancellationToken::new());
    let serving = tokio::spawn(server.serve(stop.clone()));
    let huge = 0x7fff_ffffu32.to_be_bytes();
    for bytes in [
        [&huge[..], &196_608u32.to_be_bytes()].concat(),
        [startup("ana"), [&b"p"[..], &huge].concat()].concat(),
        [startup("ana"), [&b"Q"[..], &huge].concat()].concat(),
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        // The client stays, and waits to be let go.
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(LONG, socket.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the server waits for two gigabytes");
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_nothing_by_http_is_let_go() {
    let shop = Shop::open().await;
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = HttpServer::bind(address, shop.live.clone(), http_options()).await.unwrap();
    let server = server.with_patience(Duration::from_millis(200));
    let (address, stop) = (server.address(), CancellationToken::new());
    let serving = tokio::spawn(server.serve(stop.clone()));
    let whole = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // Nothing, half a request, and a request with nothing after it.
    for (begun, answer) in [("", ""), (&whole[..20], ""), (whole, "HTTP/1.1 200")] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(begun.as_bytes()).await.unwrap();
        let mut told = String::new();
        let ended = tokio::time::timeout(LONG, socket.read_to_string(&mut told)).await;
        ended.expect("nobody waits for ever").unwrap();
        assert!(told.starts_with(answer), "{begun:?}: {told}");
    }
    stop.cancel();
    serving.await.unwrap().unwrap();
}
