//! A conversation with one client, from its first byte to its last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pgwire::api::auth::StartupHandler;
use pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire::api::{
    ClientInfo, ConnectionManager, DefaultClient, NoopHandler, PgWireConnectionState,
};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireFrontendMessage;
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use relcast_engine::{EngineError, Reach, Session};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, Empty, Join, ReadHalf, WriteHalf,
};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;

use super::incoming::Incoming;
use super::message::{Expected, context, next_message};
use super::opening::{Stream, open};
use super::startup::Startup;
use crate::connection::{Connection, Running};
use crate::errors::{fatal, of_engine};
use crate::listen::{ServeError, ServeOptions, acceptor};
use crate::live::{Live, LiveSession};
use crate::measure::{Open, Protocol};
use crate::notices::Notices;
use crate::postgres::PostgresDialect;
use crate::prepared::{Prepared, Preparer};
use crate::settings::Settings;

/// How long a client may take to say and prove who it is.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long statements that run may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long a client may take to read that the server stops.
const PARTING: Duration = Duration::from_secs(2);
/// Clients that may be about to say who they are, beside as many as may be known.
const UNKNOWN: usize = 100;

/// A client as the library knows it: what is written to it, and the state that it is in.
type Client = Framed<Join<Empty, WriteHalf<Box<dyn Stream>>>, PgWireMessageServerCodec<Prepared>>;
/// What the client sends, which is read by [`next_message`].
type Sent = BufReader<Incoming<ReadHalf<Box<dyn Stream>>>>;

/// Talks with clients of Postgres over whatever carries bytes.
pub struct Front {
    live: Arc<Live>,
    options: ServeOptions,
    tls: Option<TlsAcceptor>,
    manager: Arc<ConnectionManager>,
    patience: Duration,
    /// Places of clients that are known.
    places: Semaphore,
    /// Places of those that have yet to say who they are.
    unknown: Semaphore,
}

/// A client that is known, and its place.
struct Known<'a> {
    client: Client,
    sent: Sent,
    startup: Arc<Startup>,
    place: SemaphorePermit<'a>,
}

impl Front {
    /// Answers from `live`.
    ///
    /// # Errors
    /// [`ServeError::Tls`] if certificate or key cannot be used.
    pub fn new(live: Arc<Live>, options: ServeOptions) -> Result<Self, ServeError> {
        let tls = options.tls.as_ref().map(|(certificate, key)| acceptor(certificate, key));
        let most = options.max_connections.min(Semaphore::MAX_PERMITS - UNKNOWN);
        Ok(Self {
            live,
            tls: tls.transpose()?,
            manager: Arc::new(ConnectionManager::new()),
            patience: PATIENCE,
            places: Semaphore::new(most),
            unknown: Semaphore::new(most + UNKNOWN),
            options,
        })
    }

    /// The same, where a client may take so long to say and prove who it is; a minute if not said.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Talks with the client behind `stream` until either side ends it. A client that goes stops its
    /// statement. Once `stop` is cancelled, it ends with the statement that runs, which has a moment
    /// to finish; what does not finish is rolled back, and the client is told why. It takes one of
    /// the places once it is known; if none is free it is told so. To cancel a statement it needs
    /// none.
    ///
    /// # Errors
    /// If the connection breaks off, or no session can be opened.
    pub async fn talk<S>(
        &self,
        stream: S,
        from: SocketAddr,
        stop: &CancellationToken,
    ) -> Result<(), ServeError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
    {
        let _counted = Open::new(Protocol::Postgres);
        let Ok(unknown) = self.unknown.try_acquire() else {
            tracing::warn!(%from, "refused: too many clients have yet to say who they are");
            return Ok(());
        };
        let begun = tokio::time::timeout(self.patience, self.begin(Box::new(stream), from));
        let begun = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            begun = begun => begun,
        };
        // Who takes too long is no more than gone.
        let Ok(begun) = begun else { return Ok(()) };
        let Some(known) = begun.map_err(ServeError::Connection)? else { return Ok(()) };
        let Known { mut client, mut sent, startup, place: _place } = known;
        drop(unknown);
        let connection = match self.connection().await {
            Ok(connection) => Arc::new(connection),
            Err(error) => {
                let told = of_engine(&error, "");
                report(&mut client, fatally(told), false).await.map_err(ServeError::Connection)?;
                return Err(error.into());
            }
        };
        let handlers = Handlers { startup, connection: connection.clone(), cancel: self.cancel() };
        let at_rest = async {
            stop.cancelled().await;
            if tokio::time::timeout(GRACE, connection.running.none()).await.is_err() {
                tracing::info!("a statement that still ran is rolled back");
            }
        };
        tokio::select! {
            ended = handlers.converse(&mut client, &mut sent) => {
                return ended.map_err(ServeError::Connection);
            }
            () = at_rest => {}
        }
        let told = fatal("57P01", "terminating connection due to administrator command");
        match tokio::time::timeout(PARTING, report(&mut client, told, false)).await {
            Ok(told) => told.map(drop).map_err(ServeError::Connection),
            // Who does not read it is not waited for.
            Err(_) => Ok(()),
        }
    }

    /// Opens the connection and finds out who asks; none if it ended with that.
    async fn begin(
        &self,
        stream: Box<dyn Stream>,
        from: SocketAddr,
    ) -> io::Result<Option<Known<'_>>> {
        let mut opened = open(stream, self.tls.as_ref()).await?;
        let codec = PgWireMessageServerCodec::new(DefaultClient::new(from, opened.is_secure));
        let (read, write) = tokio::io::split(opened.stream);
        let mut sent = BufReader::new(Incoming::new(read));
        let mut client: Client = Framed::new(tokio::io::join(tokio::io::empty(), write), codec);
        client.set_state(PgWireConnectionState::AwaitingStartup);
        let startup = Startup::new(&self.options.users, &self.manager);
        let mut message = PgWireFrontendMessage::decode(&mut opened.first, &context(true));
        let mut expected = Expected::Choice;
        loop {
            // Held while a message is answered, and kept by who is known then: nobody holds a place
            // by saying nothing.
            let place = self.places.try_acquire().ok();
            let answered = match message {
                Ok(Some(PgWireFrontendMessage::CancelRequest(request))) => {
                    self.cancel().on_cancel_request(request).await;
                    return Ok(None);
                }
                Ok(None | Some(PgWireFrontendMessage::Terminate(_))) => return Ok(None),
                Ok(Some(_)) if place.is_none() => {
                    Err(fatal("53300", "all connections are in use; try again later"))
                }
                Ok(Some(message)) => startup.on_startup(&mut client, message).await,
                Err(error) => Err(error),
            };
            // Whatever is wrong here, nobody knows who asks.
            if let Err(error) = answered {
                report(&mut client, fatally(error), false).await?;
                return Ok(None);
            }
            if let (PgWireConnectionState::ReadyForQuery, Some(place)) = (client.state(), place) {
                return Ok(Some(Known { client, sent, startup: Arc::new(startup), place }));
            }
            message = next_message(&mut sent, expected).await?.transpose();
            expected = Expected::Proof;
        }
    }

    fn cancel(&self) -> Arc<DefaultCancelHandler> {
        Arc::new(DefaultCancelHandler::new(self.manager.clone()))
    }

    async fn connection(&self) -> Result<Connection, EngineError> {
        let (watcher, lines) = Notices::new();
        let session = Session::open(self.live.engine(), Arc::new(watcher)).await?;
        let settings = Arc::new(Settings::new(self.options.statement_timeout));
        let session = session
            .with_dialect(Arc::new(PostgresDialect::new(settings.clone())))
            .with_statement_memory(self.options.statement_memory)
            .with_reach(Reach::Folders(self.options.files.clone()));
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

/// What answers the messages of one client that is known.
struct Handlers {
    startup: Arc<Startup>,
    connection: Arc<Connection>,
    cancel: Arc<DefaultCancelHandler>,
}

impl Handlers {
    /// Answers one message after the other, up to the last or the first fatal error.
    async fn converse(&self, client: &mut Client, sent: &mut Sent) -> io::Result<()> {
        loop {
            tokio::select! {
                biased;
                // Takes nothing yet, so that nothing is lost.
                come = sent.fill_buf() => { come?; }
                () = self.connection.session.keep_up() => {}
            }
            let Some(message) = next_message(sent, Expected::Statements).await? else {
                return Ok(());
            };
            let waits = message.as_ref().is_ok_and(PgWireFrontendMessage::is_extended_query);
            let answered = match message {
                Ok(PgWireFrontendMessage::Terminate(_)) => return Ok(()),
                Ok(message) => tokio::select! {
                    answered = self.answer(client, message) => answered,
                    // A statement stops when nothing waits for its answer.
                    () = sent.get_mut().gone() => return Ok(()),
                },
                Err(error) => Err(error),
            };
            if let Err(error) = answered
                && report(client, error, waits).await?
            {
                return Ok(());
            }
        }
    }

    async fn answer(
        &self,
        client: &mut Client,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()> {
        process_message(
            message,
            client,
            self.startup.clone(),
            self.connection.clone(),
            self.connection.clone(),
            Arc::new(NoopHandler),
            self.cancel.clone(),
        )
        .await
    }
}

/// Tells the client what is wrong, and whether that ends the connection.
///
/// The library takes whoever has been told for a client that may go on, so nothing more may be read
/// from a client after a fatal error.
async fn report(client: &mut Client, error: PgWireError, waits_for_sync: bool) -> io::Result<bool> {
    let info = ErrorInfo::from(error);
    let ends = info.is_fatal();
    // Who waits for no Sync is told that the next statement may come, which after this none may.
    let waits = waits_for_sync || ends;
    process_error(client, PgWireError::UserError(Box::new(info)), waits).await?;
    Ok(ends)
}

/// The same error, ending the connection.
fn fatally(error: PgWireError) -> PgWireError {
    let mut info = ErrorInfo::from(error);
    "FATAL".clone_into(&mut info.severity);
    PgWireError::UserError(Box::new(info))
}
