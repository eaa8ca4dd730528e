//! What happens during a statement, told to the client as NOTICEs.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::NoticeResponse;
use relcast_engine::{Watcher, redacted};
use relcast_train::fit::EpochReport;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// How often the progress within an epoch is told.
const EVERY: Duration = Duration::from_secs(5);

/// Turns what a session says into lines for the client.
pub(crate) struct Notices {
    lines: UnboundedSender<String>,
    told: Mutex<Instant>,
}

impl Notices {
    pub(crate) fn new() -> (Self, UnboundedReceiver<String>) {
        let (lines, receiver) = unbounded_channel();
        (Self { lines, told: Mutex::new(Instant::now()) }, receiver)
    }

    fn tell(&self, text: String) {
        // Nobody listens once the connection is closed.
        let _ = self.lines.send(text);
    }
}

impl Watcher for Notices {
    fn notice(&self, text: &str) {
        self.tell(redacted(text));
    }

    fn step(&self, epoch: usize, done: usize, total: usize, loss: f64) {
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.elapsed() >= EVERY {
            *told = Instant::now();
            self.tell(format!("epoch {epoch}: {done} of {total} seeds, loss {loss:.4}"));
        }
    }

    fn epoch(&self, report: &EpochReport) {
        self.tell(report.to_string());
    }
}

/// A line as a message of the protocol.
pub(crate) fn message(text: String) -> PgWireBackendMessage {
    notice("NOTICE", "00000", text)
}

/// A warning with its SQLSTATE.
pub(crate) fn warning(code: &str, text: &str) -> PgWireBackendMessage {
    notice("WARNING", code, text.to_owned())
}

fn notice(severity: &str, code: &str, text: String) -> PgWireBackendMessage {
    let fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', code.to_owned()),
        (b'M', text),
    ];
    PgWireBackendMessage::NoticeResponse(NoticeResponse::new(fields))
}
