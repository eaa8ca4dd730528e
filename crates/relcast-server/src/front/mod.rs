//! The front of the Postgres protocol: what clients send before it is a statement.
//!
//! Promises that nobody is answered before it is known who asks, that a connection ends with the
//! first fatal error, and that no bytes make the server panic, wait or hold memory without end.

mod incoming;
mod message;
mod opening;
mod startup;
mod talk;

pub(crate) use opening::Stream;
pub use talk::Front;
