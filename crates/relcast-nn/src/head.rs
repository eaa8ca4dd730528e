//! The head: from the state of a seed to its outputs.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::init::Initializer;

/// Two layers: `[seeds, channels]` to `[seeds, outputs]`.
#[derive(Module, Debug)]
pub struct Head {
    /// `[channels, channels]`.
    pub hidden: Param<Tensor<2>>,
    /// `[channels]`.
    pub hidden_bias: Param<Tensor<1>>,
    /// `[channels, outputs]`.
    pub output: Param<Tensor<2>>,
    /// `[outputs]`.
    pub output_bias: Param<Tensor<1>>,
}

impl Head {
    /// A head with `outputs` values per seed: one logit, one number, or a logit per class.
    pub fn new(channels: usize, outputs: usize, init: &mut Initializer) -> Self {
        let bound = (channels as f32).sqrt().recip();
        Self {
            hidden: init.uniform([channels, channels], bound),
            hidden_bias: init.constant(channels, 0.0),
            output: init.uniform([channels, outputs], 0.1 * bound),
            output_bias: init.constant(outputs, 0.0),
        }
    }

    /// Outputs of `states`. `keep` `[seeds, channels]` multiplies the hidden layer: dropout in
    /// training, absent otherwise.
    pub fn forward(&self, states: Tensor<2>, keep: Option<Tensor<2>>) -> Tensor<2> {
        let mut hidden =
            relu(states.matmul(self.hidden.val()) + self.hidden_bias.val().unsqueeze());
        if let Some(keep) = keep {
            hidden = hidden * keep;
        }
        hidden.matmul(self.output.val()) + self.output_bias.val().unsqueeze()
    }
}
