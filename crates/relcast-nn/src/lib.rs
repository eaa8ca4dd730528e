//! The neural network: encoders of rows, convolutions over links, heads and losses.
//!
//! Comes in: a [`GraphBatch`] of plain tensors, one block per step of the sampled trees.
//! Goes out: one row of outputs per seed. Everything runs on the device of the model's weights;
//! nothing here reads a clock, a global random stream or the order of threads.

pub mod batch;
pub mod conv;
pub mod encoder;
pub mod ensemble;
pub mod head;
pub mod init;
pub mod loss;
pub mod model;
pub mod ops;

// The AVX-512 matrix kernels of `gemm` are a feature; naming the crate here switches them on for
// burn's CPU backend, which uses the same crate.
use gemm as _;

pub use batch::{BlockInput, GraphBatch, TableInput};
pub use ensemble::Ensemble;
pub use model::{BlockShape, ModelConfig, RelationalModel, TableShape};
