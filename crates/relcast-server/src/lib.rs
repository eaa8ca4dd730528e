//! The Postgres wire protocol over a session, so that psql, drivers and BI tools are clients.
//!
//! Comes in: an engine and a listener. Promises that each connection has a session of its own,
//! that a statement which is cancelled or times out leaves nothing behind, that a reader can
//! change nothing, and that no password is logged.

mod connection;
mod copy;
mod errors;
mod listen;
mod live;
mod notices;
mod postgres;
mod prepared;
mod settings;
mod users;

pub use listen::{ServeError, ServeOptions, Server};
pub use live::Live;
pub use users::{Role, Users};
