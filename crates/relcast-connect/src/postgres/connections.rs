//! The few connections to one database: opened when they are needed, kept for whoever comes next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::errors;
use super::url::PostgresUrl;
use crate::error::ConnectError;

/// Connections in use at most: a database has others to serve.
const MOST: usize = 16;
/// Connections that are kept open at most, and for how long.
const KEPT: usize = 4;
const KEPT_FOR: Duration = Duration::from_secs(300);
/// How long a server may take to answer, and how long the others may take to finish.
const ANSWER: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);

/// The connections of this process to one database.
///
/// Not sqlx's own pool: that one waits for a server which refuses, and then says only that it waited.
pub(super) struct Connections {
    place: String,
    url: PostgresUrl,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
}

/// A connection in use. One that is not given back is closed, and what it was doing undone.
pub(super) struct Lease {
    pub(super) connection: PgConnection,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(place: String, url: PostgresUrl) -> Self {
        let permits = Arc::new(Semaphore::new(MOST));
        Self { place, url, permits, idle: Mutex::default() }
    }

    /// A connection that answers: one that was kept, else a new one.
    pub(super) async fn take(&self) -> Result<Lease, ConnectError> {
        let permit = match timeout(PATIENCE, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(errors::dropped(&self.place)),
            Err(_) => return Err(errors::busy(&self.place, MOST)),
        };
        while let Some(mut connection) = self.idle() {
            // The server may have been restarted since.
            if let Ok(Ok(())) = timeout(ANSWER, connection.ping()).await {
                return Ok(Lease { connection, _permit: permit });
            }
        }
        Ok(Lease { connection: self.connect().await?, _permit: permit })
    }

    /// Keeps a connection for whoever comes next; it has to be at rest.
    pub(super) fn give_back(&self, lease: Lease) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT && !self.permits.is_closed() {
            idle.push((lease.connection, Instant::now()));
        }
    }

    /// A new connection that counts for nobody.
    pub(super) async fn connect(&self) -> Result<PgConnection, ConnectError> {
        let failed = |error: sqlx::Error| errors::unreachable(&self.place, &error);
        // Statements hold values of the data: they are not for the log.
        let options = self.url.options().map_err(failed)?.disable_statement_logging();
        match timeout(ANSWER, PgConnection::connect_with(&options)).await {
            Ok(connected) => connected.map_err(failed),
            Err(_) => Err(errors::silent(&self.place, ANSWER)),
        }
    }

    /// Nobody gets a connection any more; those in use are closed once they are at rest.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for (connection, _) in idle {
            // One that is broken needs no farewell.
            let _ = timeout(ANSWER, connection.close()).await;
        }
    }

    fn idle(&self) -> Option<PgConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < KEPT_FOR);
        idle.pop().map(|(connection, _)| connection)
    }
}
