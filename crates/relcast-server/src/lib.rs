//! The Postgres wire protocol and HTTP over a session, so that psql, drivers, BI tools and whatever
//! speaks JSON or Arrow are clients.
//!
//! Comes in: an engine and an address. Promises that each connection has a session of its own,
//! that a statement which is cancelled or times out leaves nothing behind, that a reader can
//! change nothing, and that no password and no token is logged.

mod connection;
mod copy;
mod errors;
mod fields;
mod front;
mod http;
mod listen;
mod live;
mod measure;
mod notices;
mod postgres;
mod prepared;
mod settings;
mod simple;
mod users;
mod values;

pub use front::Front;
pub use http::{HttpOptions, HttpServer, Tokens};
pub use listen::{ServeError, ServeOptions, Server};
pub use live::Live;
pub use users::{Role, Users};
