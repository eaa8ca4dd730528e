//! Accepting connections, with TLS or without; a slow handshake holds nobody else up.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::front::Stream;
use crate::measure::{Open, Protocol};

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long nothing is accepted after the operating system refused a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections come in.
pub(super) struct Door {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    greeting: JoinSet<Option<(Connection, SocketAddr)>>,
}

/// A connection; its place is free again when it ends.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    _place: OwnedSemaphorePermit,
    _open: Open,
}

impl Door {
    /// At most `connections` are open at a time.
    pub(super) fn new(listener: TcpListener, tls: Option<TlsAcceptor>, connections: usize) -> Self {
        let places = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
        Self { listener, tls, places, greeting: JoinSet::new() }
    }

    fn greet(&mut self, stream: TcpStream, from: SocketAddr) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            tracing::warn!(%from, "refused: all connections are in use");
            return;
        };
        let tls = self.tls.clone();
        self.greeting.spawn(async move {
            // Answers are small: they should not wait for each other.
            let _ = stream.set_nodelay(true);
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(stream),
                Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => Box::new(stream),
                    Ok(Err(error)) => {
                        tracing::debug!(%error, %from, "no TLS was agreed on");
                        return None;
                    }
                    Err(_) => {
                        tracing::debug!(%from, "the handshake of TLS took too long");
                        return None;
                    }
                },
            };
            let connection = Connection { stream, _place: place, _open: Open::new(Protocol::Http) };
            Some((connection, from))
        });
    }

    /// The next connection, once TLS is agreed on.
    pub(super) async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => self.greet(stream, from),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                greeted = self.greeting.join_next(), if !self.greeting.is_empty() => {
                    if let Some(Ok(Some(connection))) = greeted {
                        return connection;
                    }
                }
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
