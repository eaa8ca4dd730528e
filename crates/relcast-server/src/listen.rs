//! Accepting connections until the server is told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt;
use pgwire::api::auth::noop::NoopStartupHandler;
use pgwire::api::auth::sasl::SASLAuthStartupHandler;
use pgwire::api::auth::sasl::scram::ScramAuth;
use pgwire::api::auth::{DefaultServerParameterProvider, StartupHandler};
use pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::{ConnectionManager, PgWireServerHandlers};
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage;
use pgwire::tokio::{TlsAcceptor, process_socket};
use relcast_engine::{EngineError, Reach, Session};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, Running};
use crate::errors::fatal;
use crate::live::{Live, LiveSession};
use crate::measure::{Open, Protocol};
use crate::notices::Notices;
use crate::postgres::PostgresDialect;
use crate::prepared::Preparer;
use crate::settings::Settings;
use crate::users::{Passwords, Users};

/// How long statements that run may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long a client that is refused may take to read why.
const PARTING: Duration = Duration::from_secs(2);

/// How a server serves.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Who may connect; everybody from this machine if there are no users.
    pub users: Arc<Users>,
    /// The certificate and the private key of TLS, as PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Connections at a time.
    pub max_connections: usize,
    /// How long a statement may take, unless its session says otherwise.
    pub statement_timeout: Option<Duration>,
    /// Bytes that the SQL of one statement may take for sorting, joining and grouping; as many as
    /// there are if not said.
    pub statement_memory: Option<usize>,
    /// Folders whose files statements may name.
    pub files: Arc<[PathBuf]>,
}

/// Why a server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Without users only this machine may connect.
    #[error(
        "{address} can be reached from other machines, and nobody needs a password; name users with --users FILE, or listen at 127.0.0.1"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// Without tokens only this machine may ask.
    #[error(
        "{address} can be reached from other machines, and nobody needs a token; name tokens with --tokens FILE, or listen at 127.0.0.1"
    )]
    OpenHttp {
        /// The address.
        address: SocketAddr,
    },
    /// A token that nobody should have.
    #[error("the token of \"{name}\" {reason}")]
    Token {
        /// Whose it is.
        name: String,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// Certificate or key cannot be used.
    #[error("cannot use {}: {reason}; expected a certificate and its private key as PEM files", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The catalog of Postgres cannot be set up.
    #[error("cannot set up pg_catalog: {0}")]
    Catalog(String),
    /// A session cannot be opened.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A connection broke off.
    #[error("a connection broke off: {0}")]
    Connection(std::io::Error),
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    live: Arc<Live>,
    options: ServeOptions,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Listens at `address` (port 0: any free port).
    ///
    /// # Errors
    /// [`ServeError`]; then nothing listens.
    pub async fn bind(
        address: SocketAddr,
        live: Arc<Live>,
        options: ServeOptions,
    ) -> Result<Self, ServeError> {
        if options.users.is_empty() && !address.ip().is_loopback() {
            return Err(ServeError::Open { address });
        }
        let tls = options.tls.as_ref().map(|(certificate, key)| acceptor(certificate, key));
        let tls = tls.transpose()?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self { listener, live, options, tls })
    }

    /// The address that is listened at.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is cancelled; statements that run then have a moment to end.
    ///
    /// # Errors
    /// None while it serves; a connection that fails is logged.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), ServeError> {
        let places = Arc::new(Semaphore::new(self.options.max_connections));
        let (mut open, manager) = (JoinSet::new(), Arc::new(ConnectionManager::new()));
        let server = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = server.listener.accept() => accepted,
            };
            while open.try_join_next().is_some() {}
            let (socket, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    continue;
                }
            };
            // Whoever finds no place is told so; a request to cancel needs none.
            let place = places.clone().try_acquire_owned().ok();
            let (server, manager, stop) = (server.clone(), manager.clone(), stop.clone());
            open.spawn(async move {
                if let Err(error) = server.talk(socket, place.is_some(), manager, &stop).await {
                    tracing::debug!(%error, %from, "a connection ended");
                }
                drop(place);
            });
        }
        let ended = async { while open.join_next().await.is_some() {} };
        ended.await;
        Ok(())
    }

    /// Serves one connection until it ends. Once `stop` is cancelled, it ends with the statement
    /// that runs, which has a moment to finish; what does not finish is rolled back.
    async fn talk(
        &self,
        socket: TcpStream,
        has_place: bool,
        manager: Arc<ConnectionManager>,
        stop: &CancellationToken,
    ) -> Result<(), ServeError> {
        let _counted = Open::new(Protocol::Postgres);
        let connection = Arc::new(self.connection().await?);
        let users = self.options.users.clone();
        let refused = CancellationToken::new();
        let handlers = Handlers {
            connection: connection.clone(),
            users,
            manager,
            has_place,
            refused: refused.clone(),
        };
        let at_rest = async {
            stop.cancelled().await;
            if tokio::time::timeout(GRACE, connection.running.none()).await.is_err() {
                tracing::info!("a statement that still ran is rolled back");
            }
        };
        tokio::select! {
            ended = process_socket(socket, self.tls.clone(), handlers) => {
                ended.map_err(ServeError::Connection)
            }
            () = refused.cancelled() => Ok(()),
            () = at_rest => Ok(()),
        }
    }

    async fn connection(&self) -> Result<Connection, ServeError> {
        let (watcher, lines) = Notices::new();
        let session = Session::open(self.live.engine(), Arc::new(watcher)).await?;
        let session = session
            .with_dialect(Arc::new(PostgresDialect::new()))
            .with_statement_memory(self.options.statement_memory)
            .with_reach(Reach::Folders(self.options.files.clone()));
        let settings = Arc::new(Settings::new(self.options.statement_timeout));
        let session = Arc::new(LiveSession::new(self.live.clone(), session));
        let preparer = Preparer { session: session.clone(), settings: settings.clone() };
        Ok(Connection {
            session,
            settings,
            users: self.options.users.clone(),
            notices: Mutex::new(lines),
            preparer: Arc::new(preparer),
            running: Running::default(),
        })
    }
}

pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, ServeError> {
    let wrong = |path: &Path, reason: String| ServeError::Tls { path: path.to_owned(), reason };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(|error| wrong(certificate, error.to_string()))?
        .collect();
    let chain = chain.map_err(|error| wrong(certificate, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, e.to_string()))?;
    // Another library may have chosen already.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| wrong(certificate, error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The handlers of one connection.
struct Handlers {
    connection: Arc<Connection>,
    users: Arc<Users>,
    manager: Arc<ConnectionManager>,
    has_place: bool,
    /// The client was not let in.
    refused: CancellationToken,
}

impl Handlers {
    fn startup(&self, login: Login) -> Arc<Startup> {
        Arc::new(Startup { login, refused: self.refused.clone() })
    }
}

/// Lets everybody in.
struct Trust(Arc<ConnectionManager>);

impl NoopStartupHandler for Trust {
    fn connection_manager(&self) -> Option<Arc<ConnectionManager>> {
        Some(self.0.clone())
    }
}

/// Lets a client in or refuses it, once.
struct Startup {
    login: Login,
    refused: CancellationToken,
}

/// Asks for a password, or not, or lets nobody in.
enum Login {
    Full,
    Trust(Trust),
    Scram(Box<SASLAuthStartupHandler<DefaultServerParameterProvider>>),
}

#[async_trait::async_trait]
impl StartupHandler for Startup {
    /// The protocol's own loop goes on reading after an error that ends the connection, as if the
    /// client were let in: who is refused is told so here, and nothing more is read.
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: pgwire::messages::PgWireFrontendMessage,
    ) -> pgwire::error::PgWireResult<()>
    where
        C: pgwire::api::ClientInfo + futures::Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: std::fmt::Debug,
        pgwire::error::PgWireError: From<<C as futures::Sink<PgWireBackendMessage>>::Error>,
    {
        let begun = match &self.login {
            Login::Full => Err(fatal("53300", "all connections are in use; try again later")),
            Login::Trust(trust) => trust.on_startup(client, message).await,
            Login::Scram(scram) => scram.on_startup(client, message).await,
        };
        let Err(error) = begun else { return Ok(()) };
        let mut told = ErrorInfo::from(error);
        told.severity = "FATAL".to_owned();
        // Who does not read it is not waited for.
        let told = client.send(PgWireBackendMessage::ErrorResponse(told.into()));
        let _ = tokio::time::timeout(PARTING, told).await;
        self.refused.cancel();
        std::future::pending().await
    }
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.connection.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.connection.clone()
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        if !self.has_place {
            return self.startup(Login::Full);
        }
        if self.users.is_empty() {
            return self.startup(Login::Trust(Trust(self.manager.clone())));
        }
        let scram = ScramAuth::new(Arc::new(Passwords(self.users.clone())));
        let parameters = Arc::new(DefaultServerParameterProvider::default());
        let handler = SASLAuthStartupHandler::new(parameters)
            .with_scram(scram)
            .with_connection_manager(self.manager.clone());
        self.startup(Login::Scram(Box::new(handler)))
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(DefaultCancelHandler::new(self.manager.clone()))
    }
}
