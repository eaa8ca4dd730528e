//! HTTP over a session: SQL and predictions as JSON or Arrow, models, health, metrics.
//!
//! Comes in: the engine that answers and an address. Each request stands alone. Promises that a request whose
//! client has gone stops its statement, that without tokens only this machine is served, and that
//! an error says the same over HTTP as over the protocol of Postgres.

mod access;
mod answer;
mod door;
mod error;
mod models;
mod predict;
mod probes;
mod routes;
mod run;
mod sent;
mod server;
mod sql;

pub use access::Tokens;
pub use server::{HttpOptions, HttpServer};
