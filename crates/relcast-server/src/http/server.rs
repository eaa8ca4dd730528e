//! Listening, and serving requests until told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
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

/// How long a client may take until the head of its next request is there.
const PATIENCE: Duration = Duration::from_secs(60);
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
    patience: Duration,
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
        let door = Door::new(listener, tls, connections);
        Ok(Self { door, address, session, options, patience: PATIENCE })
    }

    /// The same, where a client may be silent for so long before it asks; a minute if not said.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
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
        let Self { door, address, session, options, patience } = self;
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
        let serving = answer(door, router(shared.clone()), patience, &stop);
        let ended = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
            ending.cancel();
            tokio::time::sleep(CLOSING).await;
        };
        tokio::select! {
            () = serving => Ok(()),
            () = ended => {
                tracing::info!("requests that were still open are closed");
                Ok(())
            }
            () = measure::upkeep() => Ok(()),
            () = shared.session.keep_up() => Ok(()),
        }
    }
}

/// Answers who comes in until `stop` is cancelled, and then until all are answered.
async fn answer(mut door: Door, router: Router, patience: Duration, stop: &CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let (service, open) = (TowerToHyperService::new(router), GracefulShutdown::new());
    loop {
        let (connection, from) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = door.accept() => accepted,
        };
        let serving = http.serve_connection(TokioIo::new(connection), service.clone());
        let serving = open.watch(serving);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, %from, "a connection ended");
            }
        });
    }
    drop(door);
    open.shutdown().await;
}
