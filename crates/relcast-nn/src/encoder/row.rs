//! A row as the sum of its columns' embeddings.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::batch::TableInput;
use crate::init::Initializer;
use crate::model::TableShape;

/// Encodes the rows of one table: numbers through one matrix, vocabulary entries (categories,
/// booleans, sets, hashed text) through one embedding table, and what depends on the seed's view
/// through a matrix of its own, so that a distinct row is encoded once per batch.
#[derive(Module, Debug)]
pub struct RowEncoder {
    /// `[dense, channels]`.
    pub dense: Option<Param<Tensor<2>>>,
    /// `[vocabulary, channels]`.
    pub embedding: Option<Param<Tensor<2>>>,
    /// `[time, channels]`.
    pub time: Param<Tensor<2>>,
    /// `[channels]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    slots: usize,
}

impl RowEncoder {
    /// An encoder for rows of `shape`.
    pub fn new(shape: &TableShape, channels: usize, init: &mut Initializer) -> Self {
        let bound = |inputs: usize| (inputs.max(1) as f32).sqrt().recip();
        Self {
            dense: (shape.dense > 0)
                .then(|| init.uniform([shape.dense, channels], bound(shape.dense))),
            embedding: (shape.slots > 0)
                .then(|| init.uniform([shape.vocabulary, channels], 0.5 * bound(shape.slots))),
            time: init.uniform([shape.time, channels], bound(shape.time)),
            bias: init.constant(channels, 0.0),
            slots: shape.slots,
        }
    }

    /// The part of the encoding that does not depend on the seed: `[rows, channels]`.
    pub fn encode_rows(&self, input: &TableInput) -> Tensor<2> {
        let [channels] = self.bias.val().dims();
        let mut sum = self.bias.val().unsqueeze::<2>().expand([input.rows, channels]);
        if let (Some(weight), Some(dense)) = (&self.dense, &input.dense) {
            sum = sum + dense.clone().matmul(weight.val());
        }
        if let (Some(table), Some(entries)) = (&self.embedding, &input.entries) {
            let looked_up: Tensor<3> =
                table.val().select(0, entries.clone()).reshape([input.rows, self.slots, channels]);
            sum = sum + looked_up.sum_dim(1).reshape([input.rows, channels]);
        }
        sum
    }

    /// The part that does: `time` `[nodes, time]` gives `[nodes, channels]`.
    pub fn encode_time(&self, time: Tensor<2>) -> Tensor<2> {
        time.matmul(self.time.val())
    }
}
