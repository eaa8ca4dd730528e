//! Initial weights: a function of (seed, parameter name, position) alone.

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};

/// Draws initial weights and numbers the parameters in the order of their making.
///
/// burn's own initialisers share one random stream per process; here a model's weights depend on
/// its seed only, and parameter ids are the same in every run, so that an optimiser's saved state
/// finds its parameters again.
#[derive(Debug, Clone)]
pub struct Initializer {
    state: u64,
    next_id: u64,
    device: Device,
}

impl Initializer {
    /// A stream of weights for `seed` on `device`.
    #[must_use]
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { state: seed ^ 0x9E37_79B9_7F4A_7C15, next_id: 1, device: device.clone() }
    }

    /// Uniform in ±`bound`, shape `[rows, columns]`.
    pub fn uniform(&mut self, [rows, columns]: [usize; 2], bound: f32) -> Param<Tensor<2>> {
        let values: Vec<f32> =
            (0..rows * columns).map(|_| (self.next_unit() * 2.0 - 1.0) * bound).collect();
        let tensor = Tensor::from_data(TensorData::new(values, [rows, columns]), &self.device);
        self.parameter(tensor)
    }

    /// A vector of `len` times `value`.
    pub fn constant(&mut self, len: usize, value: f32) -> Param<Tensor<1>> {
        let tensor = Tensor::from_data(TensorData::new(vec![value; len], [len]), &self.device);
        self.parameter(tensor)
    }

    fn parameter<const D: usize>(&mut self, tensor: Tensor<D>) -> Param<Tensor<D>> {
        let id = ParamId::from(self.next_id);
        self.next_id += 1;
        // Gradients are kept only where they can be made: on a device that differentiates.
        let tensor = if self.device.is_autodiff() { tensor.require_grad() } else { tensor };
        Param::initialized(id, tensor)
    }

    /// The next number in `[0, 1)`: SplitMix64 (Steele, Lea and Flood 2014).
    fn next_unit(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }
}
