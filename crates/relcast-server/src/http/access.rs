//! Who may ask, and as what.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use pgwire::api::auth::sasl::scram::{gen_salted_password, random_nonce};
use relcast_engine::Access;
use relcast_query::statement::Statement;

use super::error::HttpError;
use super::server::Shared;
use crate::listen::ServeError;
use crate::users::Role;

/// Characters that a token has at least: it is all that keeps strangers out.
const SHORTEST: usize = 16;

/// The tokens, salted, with whose they are and what their owners may do.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    salt: Vec<u8>,
    tokens: Vec<Token>,
}

#[derive(Clone)]
struct Token {
    name: String,
    role: Role,
    salted: Vec<u8>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Adds the token of `name`. It is kept salted only.
    ///
    /// # Errors
    /// [`ServeError::Token`] if it is easily guessed, cannot be sent, or is somebody else's.
    pub fn add(&mut self, name: &str, token: &str, role: Role) -> Result<(), ServeError> {
        let refused = |reason| Err(ServeError::Token { name: name.to_owned(), reason });
        if token.len() < SHORTEST {
            return refused(
                "is shorter than 16 characters; `openssl rand -hex 32` makes a good one",
            );
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refused("has spaces or letters beyond ASCII; use letters and digits");
        }
        if self.find(token).is_some() {
            return refused("is somebody else's, too; give everybody a token of their own");
        }
        if self.salt.is_empty() {
            self.salt = random_nonce().into_bytes();
        }
        let salted = self.salted(token);
        self.tokens.push(Token { name: name.to_owned(), role, salted });
        Ok(())
    }

    /// Whether there are none, so that everybody on this machine may do everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whose token it is. How long that takes does not depend on the tokens.
    fn find(&self, given: &str) -> Option<&Token> {
        let given = self.salted(given);
        let mut found = None;
        for token in &self.tokens {
            let bytes = token.salted.iter().zip(&given);
            let differing = bytes.fold(0, |differing, (a, b)| differing | (a ^ b));
            if black_box(differing) == 0 {
                found = Some(token);
            }
        }
        found
    }

    /// A token is random, so that one round is enough.
    fn salted(&self, token: &str) -> Vec<u8> {
        gen_salted_password(token, &self.salt, 1)
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    name: String,
    role: Role,
}

impl Caller {
    /// What the caller's SQL may do.
    pub(super) fn access(&self) -> Access {
        self.role.access()
    }

    /// Refuses a statement that the caller's role may not run.
    pub(super) fn check(&self, statement: &Statement) -> Result<(), HttpError> {
        if self.role.may_run(statement) { Ok(()) } else { Err(self.refused()) }
    }

    /// That the caller may only read.
    pub(super) fn refused(&self) -> HttpError {
        let name = &self.name;
        let message = format!("\"{name}\" may read and predict, but not train, write or drop");
        HttpError::new("42501", message)
    }
}

/// Lets a request pass that carries a token, or where there are none, one from this machine.
pub(super) async fn authenticate(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Result<Response, HttpError> {
    let caller = match shared.tokens.is_empty() {
        true => check_host(request.headers())
            .map(|()| Caller { name: "anybody".to_owned(), role: Role::Writer })?,
        false => find_caller(&shared.tokens, request.headers())?,
    };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn find_caller(tokens: &Tokens, headers: &HeaderMap) -> Result<Caller, HttpError> {
    let refused = |message: &str| {
        HttpError::new("28000", message)
            .with_hint("send the header authorization: Bearer TOKEN, with a token of --tokens FILE")
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|text| text.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = given else { return Err(refused("the request carries no token")) };
    match tokens.find(token.trim()) {
        Some(token) => Ok(Caller { name: token.name.clone(), role: token.role }),
        None => Err(refused("the token is not known")),
    }
}

/// A page of another site may have its name point at this machine, but cannot hide that name.
fn check_host(headers: &HeaderMap) -> Result<(), HttpError> {
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    let authority = host.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    let is_this_machine = authority.is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        let address = name.parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
    });
    if is_this_machine {
        return Ok(());
    }
    let error = HttpError::new("28000", "without tokens only localhost is served")
        .with_hint("ask for http://localhost, or name tokens with --tokens FILE");
    Err(error.with_status(StatusCode::MISDIRECTED_REQUEST))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn a_token_is_found_whole_or_not_at_all() {
        let mut tokens = Tokens::default();
        assert!(tokens.is_empty() && tokens.find("").is_none());
        tokens.add("ana", TOKEN, Role::Writer).unwrap();
        tokens.add("rob", "fedcba9876543210", Role::Reader).unwrap();
        assert_eq!(tokens.find(TOKEN).unwrap().name, "ana");
        assert_eq!(tokens.find("fedcba9876543210").unwrap().role, Role::Reader);
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF"] {
            assert!(tokens.find(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{tokens:?}").contains(TOKEN));
    }

    #[test]
    fn a_bad_token_is_refused_without_being_told() {
        let mut tokens = Tokens::default();
        tokens.add("ana", TOKEN, Role::Writer).unwrap();
        for bad in ["tiny", "sixteen letters and spaces", "ünïcödé-ünïcödé", TOKEN] {
            let error = tokens.add("rob", bad, Role::Reader).unwrap_err().to_string();
            assert!(error.contains("\"rob\"") && !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn only_names_of_this_machine_pass_without_tokens() {
        let passes = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            check_host(&headers).is_ok()
        };
        for host in ["localhost:8080", "LOCALHOST", "127.0.0.1:1", "127.8.8.8", "[::1]:8080"] {
            assert!(passes(host), "{host}");
        }
        for host in ["example.com", "localhost.example.com:8080", "10.0.0.1", "[2001:db8::1]:80"] {
            assert!(!passes(host), "{host}");
        }
        assert!(check_host(&HeaderMap::new()).is_ok());
    }
}
