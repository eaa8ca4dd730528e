//! Messages of clients, one at a time: whole, not too long, and shaped as their kind has to be.
//!
//! The library that reads them takes all this on trust: where it is not so, it panics, or reads on
//! in the next message.

use std::io;

use pgwire::error::PgWireResult;
use pgwire::messages::{DecodeContext, PgWireFrontendMessage, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::bytes::BytesMut;

use crate::errors::fatal;

/// Bytes of a message before it is known who sends it, as in Postgres.
pub(super) const MOST_UNKNOWN: usize = 10_000;
/// Bytes of a message after that, such as a statement with its values.
const MOST: usize = 16 << 20;
/// Bytes of a message's kind and length.
const HEAD: usize = 5;

/// Which messages may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// The choice of a way to prove who one is.
    Choice,
    /// The proof.
    Proof,
    /// Statements, and what belongs to them.
    Statements,
}

/// The next message, or what is wrong with it, after which nothing can be read any more; none once
/// the client has hung up.
pub(super) async fn next_message<S: AsyncRead + Unpin>(
    stream: &mut S,
    expected: Expected,
) -> io::Result<Option<PgWireResult<PgWireFrontendMessage>>> {
    let mut bytes = BytesMut::with_capacity(64);
    if (&mut *stream).take(1).read_buf(&mut bytes).await? == 0 {
        return Ok(None);
    }
    read_to(stream, &mut bytes, HEAD).await?;
    let Some(&[kind, ref length @ ..]) = bytes.first_chunk::<HEAD>() else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if let Err(wrong) = check_kind(kind, expected) {
        return Ok(Some(Err(wrong)));
    }
    let most = if expected == Expected::Statements { MOST } else { MOST_UNKNOWN };
    if !(4..=most).contains(&length) {
        let message =
            format!("a message of {length} bytes; expected at least 4 and at most {most}");
        return Ok(Some(Err(fatal("08P01", &message))));
    }
    read_to(stream, &mut bytes, 1 + length).await?;
    Ok(Some(decode(kind, bytes, expected)))
}

/// Reads until there are `length` bytes. Memory grows with what comes, not with what is announced.
pub(super) async fn read_to<S: AsyncRead + Unpin>(
    stream: &mut S,
    bytes: &mut BytesMut,
    length: usize,
) -> io::Result<()> {
    let missing = length.saturating_sub(bytes.len());
    let mut stream = stream.take(u64::try_from(missing).unwrap_or(u64::MAX));
    while bytes.len() < length {
        if stream.read_buf(bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn check_kind(kind: u8, expected: Expected) -> PgWireResult<()> {
    match (kind, expected) {
        (b'p' | b'X', _) => Ok(()),
        (
            b'B' | b'C' | b'D' | b'E' | b'H' | b'P' | b'Q' | b'S' | b'c' | b'd' | b'f',
            Expected::Statements,
        ) => Ok(()),
        (_, Expected::Statements) => {
            Err(fatal("08P01", &format!("invalid frontend message type {kind}")))
        }
        _ => {
            let message = format!("expected password response, got message type {kind}");
            Err(fatal("08P01", &message))
        }
    }
}

fn decode(
    kind: u8,
    mut bytes: BytesMut,
    expected: Expected,
) -> PgWireResult<PgWireFrontendMessage> {
    let malformed = || {
        let kind = char::from(kind);
        fatal(
            "08P01",
            &format!("invalid message format: a message \"{kind}\" is not as it should be"),
        )
    };
    let mut body = Body(bytes.get(HEAD..).unwrap_or_default());
    match body.read(kind, expected) {
        Some(()) if body.0.is_empty() => {}
        _ => return Err(malformed()),
    }
    PgWireFrontendMessage::decode(&mut bytes, &context(false))?.ok_or_else(malformed)
}

/// How the library reads what is before it: the first message of a connection, or any later one.
pub(super) fn context(first: bool) -> DecodeContext {
    let mut context = DecodeContext::new(ProtocolVersion::default());
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = first;
    context
}

/// What is left of a message's body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    /// Steps over the body of a message of this kind.
    fn read(&mut self, kind: u8, expected: Expected) -> Option<()> {
        match kind {
            b'Q' | b'f' => self.text(),
            b'P' => {
                self.text()?;
                self.text()?;
                let types = self.count()?;
                self.bytes(4 * types)?;
                Some(())
            }
            b'B' => self.bind(),
            b'C' | b'D' => {
                self.bytes(1)?;
                self.text()
            }
            b'E' => {
                self.text()?;
                self.bytes(4).map(drop)
            }
            b'p' if expected == Expected::Choice => {
                self.text()?;
                self.value()
            }
            b'd' | b'p' => {
                self.0 = &[];
                Some(())
            }
            _ => Some(()),
        }
    }

    fn bind(&mut self) -> Option<()> {
        self.text()?;
        self.text()?;
        let formats = self.count()?;
        self.bytes(2 * formats)?;
        let values = self.count()?;
        for _ in 0..values {
            self.value()?;
        }
        let columns = self.count()?;
        self.bytes(2 * columns)?;
        // None, one for all, or one for each.
        (formats <= 1 || formats == values).then_some(())
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A text and the zero that ends it.
    fn text(&mut self) -> Option<()> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        self.bytes(end + 1).map(drop)
    }

    fn count(&mut self) -> Option<usize> {
        let bytes: [u8; 2] = self.bytes(2)?.try_into().ok()?;
        Some(usize::from(u16::from_be_bytes(bytes)))
    }

    /// A length and so many bytes; -1 is NULL.
    fn value(&mut self) -> Option<()> {
        let bytes: [u8; 4] = self.bytes(4)?.try_into().ok()?;
        match i32::from_be_bytes(bytes) {
            -1 => Some(()),
            length => self.bytes(usize::try_from(length).ok()?).map(drop),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pgwire::error::PgWireError;

    use super::*;

    /// The message as bytes of a client.
    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    async fn read(
        mut bytes: &[u8],
        expected: Expected,
    ) -> io::Result<Option<PgWireResult<PgWireFrontendMessage>>> {
        next_message(&mut bytes, expected).await
    }

    async fn refusal(bytes: &[u8], expected: Expected) -> String {
        match read(bytes, expected).await {
            Ok(Some(Err(PgWireError::UserError(info)))) => {
                assert_eq!((info.severity.as_str(), info.code.as_str()), ("FATAL", "08P01"));
                info.message
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn whole_messages_are_read_one_at_a_time() {
        let bytes = [message(b'Q', b"SELECT 1\0"), message(b'S', b""), message(b'X', b"")].concat();
        let mut stream = bytes.as_slice();
        let mut kinds = Vec::new();
        while let Some(message) = next_message(&mut stream, Expected::Statements).await.unwrap() {
            kinds.push(match message.unwrap() {
                PgWireFrontendMessage::Query(query) => query.query,
                other => format!("{other:?}"),
            });
        }
        assert_eq!(kinds, ["SELECT 1", "Sync(Sync)", "Terminate(Terminate)"]);
        assert!(read(b"", Expected::Statements).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_message_that_breaks_off_is_the_end() {
        let whole = message(b'Q', b"SELECT 1\0");
        for length in 1..whole.len() {
            let error = read(&whole[..length], Expected::Statements).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
    }

    #[tokio::test]
    async fn absurd_lengths_are_refused_before_anything_is_kept() {
        for length in [0u32, 3, 16_777_217, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let bytes = [&b"Q"[..], &length.to_be_bytes()].concat();
            let refusal = refusal(&bytes, Expected::Statements).await;
            assert!(refusal.starts_with(&format!("a message of {length} bytes")), "{refusal}");
        }
        let bytes = message(b'p', &[b'x'; 10_000]);
        assert!(refusal(&bytes, Expected::Proof).await.contains("at most 10000"));
    }

    #[tokio::test]
    async fn nothing_but_a_proof_may_come_from_nobody() {
        for kind in [b'Q', b'P', b'B', b'E', b'S', b'd', b'?', 0] {
            for expected in [Expected::Choice, Expected::Proof] {
                let refusal = refusal(&message(kind, b"SELECT 1\0"), expected).await;
                assert!(refusal.starts_with("expected password response"), "{refusal}");
            }
        }
        assert!(refusal(&message(b'?', b""), Expected::Statements).await.contains("type 63"));
    }

    #[tokio::test]
    async fn malformed_messages_are_refused() {
        let bind: &[&[u8]] = &[
            b"",
            b"\0\0",
            b"\0\0\0\x01\0",
            b"\0\0\0\0\0\x01\0\0\0\x09x\0\0",
            b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0",
            b"\0\0\0\0\0\0\0\x02\0\0",
            b"\0\0\0\0\0\0\0\0\0",
            // Two formats and three values.
            b"\0\0\0\x02\0\0\0\0\0\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0",
        ];
        let of_kind = |kind: u8, bodies: &[&[u8]]| {
            bodies.iter().map(|body| message(kind, body)).collect::<Vec<_>>()
        };
        let malformed = [
            of_kind(b'B', bind),
            of_kind(b'P', &[b"", b"\0", b"\0\0", b"\0\0\0\x01", b"\0\0\0\0\0"]),
            of_kind(b'Q', &[b"", b"SELECT 1", b"SELECT 1\0\0"]),
            of_kind(b'D', &[b"", b"S", b"\0"]),
            of_kind(b'C', &[b"", b"Px"]),
            of_kind(b'E', &[b"", b"\0\0\0\0", b"p"]),
            of_kind(b'S', &[b"x"]),
            of_kind(b'H', &[b"\0"]),
            of_kind(b'f', &[b"why"]),
        ];
        for bytes in malformed.concat() {
            let refusal = refusal(&bytes, Expected::Statements).await;
            assert!(refusal.starts_with("invalid message format"), "{refusal}");
        }
        for body in [&b"SCRAM-SHA-256"[..], b"S\0", b"S\0\0\0\0\x05abc", b"S\0\xff\xff\xff\xf0"] {
            let refusal = refusal(&message(b'p', body), Expected::Choice).await;
            assert!(refusal.starts_with("invalid message format"), "{refusal}");
        }
        let chosen = message(b'p', b"SCRAM-SHA-256\0\0\0\0\x03abc");
        assert!(read(&chosen, Expected::Choice).await.unwrap().unwrap().is_ok());
    }
}
