//! What a client sends: read message by message, and watched while one of them is answered.

use std::future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio_util::bytes::BytesMut;

/// Bytes that are read ahead of the message that is answered. Who sends more waits, as without us.
const MOST_AHEAD: usize = 64 << 10;
/// How long an answer may still take after the client has said that it sends nothing more: to be
/// read by who closed one direction alone, or to change what was asked for before it went.
const FAREWELL: Duration = Duration::from_secs(2);

/// The bytes of a client, of which some may have been read ahead.
pub(super) struct Incoming<R> {
    stream: R,
    ahead: BytesMut,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, ahead: BytesMut::new() }
    }

    /// Ends when the client is gone, and not before. Nothing that it sent is lost, whether this is
    /// waited for to its end or not.
    pub(super) async fn gone(&mut self) {
        while self.ahead.len() < MOST_AHEAD {
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(0) => return tokio::time::sleep(FAREWELL).await,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        // Too much is sent to look behind it.
        future::pending::<()>().await;
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Incoming<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(count));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncWriteExt, BufReader};

    use super::*;

    #[tokio::test]
    async fn what_is_sent_meanwhile_is_kept_in_its_order() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut incoming = BufReader::new(Incoming::new(server));
        client.write_all(b"one").await.unwrap();
        assert_eq!(incoming.read_u8().await.unwrap(), b'o');
        let more: Vec<u8> = (0..=u8::MAX).cycle().take(3 * MOST_AHEAD).collect();
        client.write_all(&more).await.unwrap();
        for _ in 0..2 {
            let gone = incoming.get_mut().gone();
            tokio::time::timeout(Duration::from_millis(50), gone).await.unwrap_err();
        }
        drop(client);
        let mut rest = Vec::new();
        incoming.read_to_end(&mut rest).await.unwrap();
        assert!(rest == [&b"ne"[..], &more].concat());
    }

    #[tokio::test]
    async fn who_hangs_up_is_gone_a_moment_later() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut incoming = Incoming::new(server);
        client.write_all(b"last").await.unwrap();
        drop(client);
        let began = Instant::now();
        incoming.gone().await;
        assert!(began.elapsed() >= FAREWELL);
        let mut rest = String::new();
        incoming.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "last");
    }
}
