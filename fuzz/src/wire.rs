//! Bytes of a client, given to the front of the server as if they came from a socket.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use relcast_engine::{Engine, Home, Registry};
use relcast_server::{Front, Live, Role, ServeOptions, Users};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Bytes of an input that count.
const LONGEST: usize = 4096;
/// Inputs after which a client that keeps to the protocol is answered once more.
const EVERY: usize = 64;
/// How long a statement may take.
const STATEMENT: Duration = Duration::from_secs(1);
/// How long the connection of one input may last.
const PATIENCE: Duration = Duration::from_secs(5);
/// As in the binary: what plans SQL does so by recursion.
const STACK: usize = 16 << 20;

static WIRE: LazyLock<Wire> = LazyLock::new(Wire::open);

/// Gives `input` to a server that this process has for it.
///
/// # Panics
/// As [`Wire::give`], after five seconds.
pub fn wire(input: &[u8]) {
    WIRE.give(input, PATIENCE);
}

/// A server over a tiny database.
pub struct Wire {
    runtime: Runtime,
    /// Asks for no password, and lets nobody change anything.
    open: Arc<Front>,
    /// Asks for a password that no input holds.
    guarded: Arc<Front>,
    given: AtomicUsize,
    _folder: TempDir,
}

impl Wire {
    /// Makes the database, and all that a server needs.
    ///
    /// # Panics
    /// If that cannot be done.
    #[must_use]
    pub fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let live = runtime.block_on(database(&folder));
        let mut known = Users::default();
        known.add("ana", "correct horse battery staple", Role::Writer);
        let front = |users: Users| {
            let options = ServeOptions {
                users: Arc::new(users),
                tls: None,
                max_connections: 1,
                statement_timeout: Some(STATEMENT),
                statement_memory: Some(64 << 20),
                files: Arc::from(Vec::new()),
            };
            Arc::new(Front::new(live.clone(), options).unwrap())
        };
        let (open, guarded) = (front(Users::everybody(Role::Reader)), front(known));
        Self { runtime, open, guarded, given: AtomicUsize::new(0), _folder: folder }
    }

    /// Talks with the server as `input` says: its first byte chooses whom it meets and how far it
    /// comes by itself, the others are what it sends then.
    ///
    /// # Panics
    /// If the server panics, is not done with the input within `patience`, sends half a message,
    /// answers somebody who has not proved who it is, or does not answer others any more.
    pub fn give(&self, input: &[u8], patience: Duration) {
        let Some((&how, rest)) = input.split_first() else { return };
        let rest = rest.get(..LONGEST).unwrap_or(rest);
        let is_guarded = how & 1 == 1;
        let front = if is_guarded { &self.guarded } else { &self.open };
        let sent = match (how >> 1) % 4 {
            0 => None,
            1 => Some(rest.to_vec()),
            2 => Some(message(b'Q', &[rest, &[0]].concat())),
            _ => Some(extended(rest)),
        };
        match sent {
            None => drop(self.exchange(front, rest, patience)),
            Some(sent) => {
                let answer = self.exchange(front, &[startup(), sent].concat(), patience);
                let kinds = kinds(&answer).unwrap_or_else(|| panic!("half a message: {answer:?}"));
                // Questions who it is, and errors.
                let unknown = kinds.iter().all(|kind| b"RE".contains(kind));
                assert!(!is_guarded || unknown, "nobody was answered: {answer:?}");
            }
        }
        if self.given.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY) {
            self.still_answers(patience);
        }
    }

    fn still_answers(&self, patience: Duration) {
        let sent = [startup(), message(b'Q', b"SELECT 1\0")].concat();
        let answer = self.exchange(&self.open, &sent, patience);
        let kinds = kinds(&answer).unwrap_or_default();
        assert!(kinds.ends_with(b"TDCZ"), "SELECT 1 is answered by {answer:?}");
    }

    /// What a client is sent that sends `bytes` and then nothing more.
    fn exchange(&self, front: &Arc<Front>, bytes: &[u8], patience: Duration) -> Vec<u8> {
        let (client, server) = tokio::io::duplex(64 << 10);
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let front = front.clone();
        let all = async {
            // On a thread of the server, whose stack is large enough.
            let talk = tokio::spawn(async move {
                let (from, stop) =
                    (SocketAddr::from(([127, 0, 0, 1], 1)), CancellationToken::new());
                front.talk(server, from, &stop).await
            });
            let send = async {
                // The server may have ended the connection.
                let _ = to_server.write_all(bytes).await;
                let _ = to_server.shutdown().await;
            };
            let mut answer = Vec::new();
            let (talked, (), received) =
                tokio::join!(talk, send, from_server.read_to_end(&mut answer));
            // How a connection ends is the client's affair; a panic is not.
            let _ = talked.unwrap();
            received.unwrap();
            answer
        };
        let begun = Instant::now();
        let answer = self.runtime.block_on(async { tokio::time::timeout(patience, all).await });
        answer.unwrap_or_else(|_| panic!("not done after {:?}", begun.elapsed()))
    }
}

/// Three customers and what they ordered, opened.
async fn database(folder: &TempDir) -> Arc<Live> {
    let source = folder.path().join("shop");
    std::fs::create_dir(&source).unwrap();
    let mut orders = "order_id,customer_id,ordered_at,amount\n".to_owned();
    for month in 1..=12 {
        let customer = month % 3 + 1;
        orders.push_str(&format!("{month},{customer},2020-{month:02}-11 10:00:00,{month}.5\n"));
    }
    let customers = "customer_id,name,signed_up\n1,ann,2020-01-01\n2,bob,2020-01-02\n3,,\n";
    let declared = "tables:\n  customers:\n    primary_key: customer_id\n    \
                    time_column: signed_up\n  orders:\n    primary_key: order_id\n    \
                    time_column: ordered_at\n    foreign_keys: { customer_id: customers }\n";
    for (name, text) in
        [("customers.csv", customers), ("orders.csv", &orders), ("relcast.yaml", declared)]
    {
        std::fs::write(source.join(name), text).unwrap();
    }
    let home = Home::open(&folder.path().join("home")).unwrap();
    let registry = Registry::open(&home).await.unwrap();
    let database = relcast_connect::open(&source.display().to_string()).await.unwrap();
    let catalog = relcast_catalog::load(&database, None).await.unwrap();
    Arc::new(Live::new(Engine::new(registry, database, catalog)).await.unwrap())
}

fn startup() -> Vec<u8> {
    let body = b"user\0ana\0database\0relcast\0\0";
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes()[..], &196_608u32.to_be_bytes(), body].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// Parse, Bind, Describe, Execute and Sync, of a byte that says how, the statement, and the values
/// of its parameters, with zeros between them.
fn extended(bytes: &[u8]) -> Vec<u8> {
    let (how, rest) = bytes.split_first().map_or((0, bytes), |(how, rest)| (*how, rest));
    let mut parts = rest.split(|byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    let values: Vec<&[u8]> = parts.collect();
    let count = u16::try_from(values.len()).unwrap();
    let format = |binary: bool| [0, 1, 0, u8::from(binary)];
    let mut bind = [&[0u8, 0][..], &format(how & 1 == 1), &count.to_be_bytes()].concat();
    for value in values {
        // Nothing but 0xff is NULL.
        if value == [0xffu8] {
            bind.extend((-1i32).to_be_bytes());
        } else {
            bind.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
            bind.extend(value);
        }
    }
    bind.extend(format(how & 2 == 2));
    let most_rows = match (how >> 2) % 4 {
        0 => 0,
        1 => 1,
        2 => -1,
        _ => i32::MAX,
    };
    [
        message(b'P', &[&[0u8][..], text, &[0, 0, 0]].concat()),
        message(b'D', b"S\0"),
        message(b'B', &bind),
        message(b'D', b"P\0"),
        message(b'E', &[&[0u8][..], &most_rows.to_be_bytes()].concat()),
        message(b'S', b""),
    ]
    .concat()
}

/// The kinds of a server's messages; none if they are not whole.
fn kinds(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut kinds = Vec::new();
    while let Some((&kind, rest)) = bytes.split_first() {
        let (length, body) = rest.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length).checked_sub(4)?;
        bytes = body.get(usize::try_from(length).ok()?..)?;
        kinds.push(kind);
    }
    Some(kinds)
}
