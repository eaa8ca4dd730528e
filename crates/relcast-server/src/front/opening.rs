//! How a connection opens: TLS where both sides want it, then a first message in clear bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_util::bytes::BytesMut;

use super::message::{MOST_UNKNOWN, read_to};

/// Codes that stand where a first message has its version.
const WANTS_TLS: u32 = 80_877_103;
const WANTS_GSS: u32 = 80_877_104;
/// A client asks for either kind of encryption once, and says who it is.
const MOST_QUESTIONS: usize = 3;
/// Bytes of a length and a version or code.
const LEAST: usize = 8;

/// A byte stream in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

/// A connection that has been opened.
pub(super) struct Opened {
    pub(super) stream: Box<dyn Stream>,
    /// Whether it is under TLS.
    pub(super) is_secure: bool,
    /// The first message that is not about encryption.
    pub(super) first: BytesMut,
}

/// Agrees on TLS, if `tls` is there and the client asks for it, and reads the first message proper.
///
/// Not one byte is read beyond it: what a client sends in clear can never pass for what it sends
/// under TLS.
pub(super) async fn open(
    mut stream: Box<dyn Stream>,
    tls: Option<&TlsAcceptor>,
) -> io::Result<Opened> {
    let mut is_secure = false;
    for _ in 0..MOST_QUESTIONS {
        let (code, first) = first_message(&mut stream).await?;
        match (code, tls) {
            (WANTS_TLS, Some(tls)) if !is_secure => {
                stream.write_all(b"S").await?;
                stream.flush().await?;
                stream = Box::new(tls.accept(stream).await?);
                is_secure = true;
            }
            (WANTS_TLS | WANTS_GSS, _) => {
                stream.write_all(b"N").await?;
                stream.flush().await?;
            }
            _ => return Ok(Opened { stream, is_secure, first }),
        }
    }
    Err(invalid("the client asks for encryption again and again"))
}

/// A message without a kind, and the version or code that it starts with.
async fn first_message(stream: &mut Box<dyn Stream>) -> io::Result<(u32, BytesMut)> {
    let mut bytes = BytesMut::with_capacity(LEAST);
    read_to(stream, &mut bytes, LEAST).await?;
    let Some(&[a, b, c, d, ref code @ ..]) = bytes.first_chunk::<LEAST>() else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let code = u32::from_be_bytes(*code);
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let most = if matches!(code, WANTS_TLS | WANTS_GSS) { LEAST } else { MOST_UNKNOWN };
    if !(LEAST..=most).contains(&length) {
        return Err(invalid("the first message is none of the protocol of Postgres"));
    }
    read_to(stream, &mut bytes, length).await?;
    Ok((code, bytes))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn question(code: u32) -> Vec<u8> {
        [8u32.to_be_bytes(), code.to_be_bytes()].concat()
    }

    /// What a client that sends `bytes` and hangs up is answered, and how the connection opened.
    async fn answered(bytes: &[u8]) -> (Vec<u8>, io::Result<Opened>) {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let opened = open(Box::new(server), None).await;
        let opened = opened.map(|opened| Opened { stream: Box::new(tokio::io::empty()), ..opened });
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        (answer, opened)
    }

    #[tokio::test]
    async fn without_tls_a_client_goes_on_in_clear() {
        let startup = [&10u32.to_be_bytes()[..], &196_608u32.to_be_bytes(), b"\0\0"].concat();
        let asked = [question(WANTS_GSS), question(WANTS_TLS), startup.clone()].concat();
        let (answer, opened) = answered(&[&asked[..], b"Q"].concat()).await;
        assert_eq!(answer, b"NN");
        let opened = opened.unwrap();
        assert_eq!((&opened.first[..], opened.is_secure), (startup.as_slice(), false));
        let (answer, opened) = answered(&question(WANTS_TLS).repeat(4)).await;
        assert_eq!((answer.as_slice(), opened.is_err()), (&b"NNN"[..], true));
    }

    #[tokio::test]
    async fn what_is_no_first_message_is_refused_by_its_length() {
        for length in [0u32, 7, 10_001, 0x7fff_ffff, u32::MAX] {
            let bytes = [length.to_be_bytes(), 196_608u32.to_be_bytes()].concat();
            let error = answered(&bytes).await.1.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length}");
        }
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\0\x01\0\x01", b"abc", b""]
        {
            assert!(answered(bytes).await.1.is_err());
        }
    }
}
