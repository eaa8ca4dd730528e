//! `relcast serve --http` through a client of HTTP.
#![allow(clippy::unwrap_used)]

mod access;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod ending;
mod operations;
mod predict;
mod sql;
