//! Listening, and serving requests until told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use relcast_engine::{LogWatcher, Reach, Session};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::access::Tokens;
use super::door::Door;
use super::routes::router;
use crate::listen::{ServeError, acceptor};
use crate::live::{Live, LiveSession};
use crate::measure;

/// How long statements that run may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long answers may then take to be sent.
const CLOSING: Duration = Duration::from_secs(2);
/// Open connections for each statement that may run: most of them wait for the next request.
const CONNECTIONS_A_STATEMENT: usize = 8;

/// How a server serves HTTP.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Who may ask; everybody from this machine if there are no tokens.
    pub tokens: Tokens,
    /// The certificate and the private key of TLS, as PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Statements that run at a time; who comes then is told to come again later.
    pub max_statements: usize,
    /// How long a statement may take, its rows included.
    pub statement_timeout: Option<Duration>,
    /// Bytes that the SQL of one statement may take; as many as there are if not said.
    pub statement_memory: Option<usize>,
    /// Folders whose files statements may name.
    pub files: Arc<[PathBuf]>,
}

/// A server that listens for HTTP.
pub struct HttpServer {
    door: Door,
    address: SocketAddr,
    session: LiveSession,
    options: HttpOptions,
}

/// What all requests share.
pub(super) struct Shared {
    /// What every request's session is made from: opening one anew would open all tables anew.
    pub(super) session: LiveSession,
    pub(super) tokens: Tokens,
    /// Whether only this machine can ask.
    pub(super) is_local: bool,
    pub(super) places: Arc<Semaphore>,
    pub(super) statement_timeout: Option<Duration>,
    /// Nothing new is begun.
    pub(super) stopping: CancellationToken,
    /// What still runs is stopped.
    pub(super) ending: CancellationToken,
}

impl HttpServer {
    /// Listens at `address` (port 0: any free port).
    ///
    /// # Errors
    /// [`ServeError`]; then nothing listens.
    pub async fn bind(
        address: SocketAddr,
        live: Arc<Live>,
        options: HttpOptions,
    ) -> Result<Self, ServeError> {
        if options.tokens.is_empty() && !address.ip().is_loopback() {
            return Err(ServeError::OpenHttp { address });
        }
        let tls = options.tls.as_ref().map(|(certificate, key)| acceptor(certificate, key));
        let tls = tls.transpose()?;
        let session = Session::open(live.engine(), Arc::new(LogWatcher)).await?;
        let session = session
            .with_statement_memory(options.statement_memory)
            .with_reach(Reach::Folders(options.files.clone()));
        let session = LiveSession::new(live, session);
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        measure::start();
        let connections = options.max_statements.saturating_mul(CONNECTIONS_A_STATEMENT);
        let door = Door::new(listener, address, tls, connections);
        Ok(Self { door, address, session, options })
    }

    /// The address that is listened at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled; statements that run then have a moment to end.
    ///
    /// # Errors
    /// None while it serves; a connection that fails is logged.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), ServeError> {
        let Self { door, address, session, options } = self;
        let ending = CancellationToken::new();
        let shared = Arc::new(Shared {
            session,
            tokens: options.tokens,
            is_local: address.ip().is_loopback(),
            places: Arc::new(Semaphore::new(options.max_statements.min(Semaphore::MAX_PERMITS))),
            statement_timeout: options.statement_timeout,
            stopping: stop.clone(),
            ending: ending.clone(),
        });
        let serving = axum::serve(door, router(shared))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let ended = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
            ending.cancel();
            tokio::time::sleep(CLOSING).await;
        };
        tokio::select! {
            served = async { serving.await } => {
                served.map_err(|source| ServeError::Listen { address, source })
            }
            () = ended => {
                tracing::info!("requests that were still open are closed");
                Ok(())
            }
            () = measure::upkeep() => Ok(()),
        }
    }
}
