//! Convolutions: how a row takes in what its neighbours say.

mod sage;

pub use sage::{Messages, SageConv};
