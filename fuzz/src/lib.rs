//! What is fuzzed: the text of statements, and the bytes of clients.
//!
//! Each target takes any bytes, and panics where a promise is broken. The targets of libFuzzer, in
//! `fuzz_targets`, and the tests that replay the corpora call the same functions.
// What cannot be set up ends the run.
#![allow(clippy::unwrap_used)]

mod shop;
mod statement;
mod wire;

pub use statement::statement;
pub use wire::{Wire, wire};
