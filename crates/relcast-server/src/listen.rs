//! Accepting connections until the server is told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use relcast_engine::EngineError;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use crate::front::Front;
use crate::live::Live;
use crate::users::Users;

/// How long nothing is accepted after the operating system refused a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// How a server serves.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Who may connect; everybody from this machine if there are no users.
    pub users: Arc<Users>,
    /// The certificate and the private key of TLS, as PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Connections at a time, of clients that are known.
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
    front: Front,
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
        let front = Front::new(live, options)?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self { listener, front })
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
        let (mut open, front) = (JoinSet::new(), Arc::new(self.front));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            while open.try_join_next().is_some() {}
            let (socket, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // Answers are small: they should not wait for each other.
            let _ = socket.set_nodelay(true);
            let (front, stop) = (front.clone(), stop.clone());
            open.spawn(async move {
                if let Err(error) = front.talk(socket, from, &stop).await {
                    tracing::debug!(%error, %from, "a connection ended");
                }
            });
        }
        let ended = async { while open.join_next().await.is_some() {} };
        ended.await;
        Ok(())
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
