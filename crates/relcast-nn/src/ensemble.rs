//! Several models that differ in their initial weights: their mean is steadier than each
//! (Lakshminarayanan, Pritzel and Blundell 2017).

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::batch::GraphBatch;
use crate::init::Initializer;
use crate::model::{ModelConfig, RelationalModel};

/// Models of one shape; predictions are the means of their outputs.
#[derive(Module, Debug)]
pub struct Ensemble {
    /// At least one.
    pub members: Vec<RelationalModel>,
}

impl Ensemble {
    /// `members` models (at least one) with initial weights drawn from `seed`, on `device`.
    #[must_use]
    pub fn new(config: &ModelConfig, members: usize, seed: u64, device: &Device) -> Self {
        let mut init = Initializer::new(seed, device);
        let members =
            (0..members.max(1)).map(|_| RelationalModel::new(config, &mut init)).collect();
        Self { members }
    }

    /// The mean of the members' outputs, `[seeds, outputs]`.
    #[must_use]
    pub fn forward(&self, batch: &GraphBatch) -> Tensor<2> {
        mean(self.members.iter().map(|member| member.forward(batch, None)).collect())
    }

    /// The same with what the members make of the seeds before their heads, one member's after the
    /// other's: `[seeds, members * channels]`.
    #[must_use]
    pub fn represent(&self, batch: &GraphBatch) -> (Tensor<2>, Tensor<2>) {
        let states: Vec<_> = self.members.iter().map(|member| member.represent(batch)).collect();
        let outputs = self.members.iter().zip(&states);
        let outputs = outputs.map(|(member, state)| member.outputs(batch, state.clone(), None));
        (mean(outputs.collect()), Tensor::cat(states, 1))
    }

    /// Outputs per seed.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.members.first().map_or(0, |member| member.config().outputs)
    }

    /// Numbers that represent a seed.
    #[must_use]
    pub fn width(&self) -> usize {
        self.members.iter().map(|member| member.config().channels).sum()
    }
}

fn mean(outputs: Vec<Tensor<2>>) -> Tensor<2> {
    let stacked: Tensor<3> = Tensor::stack(outputs, 0);
    stacked.mean_dim(0).squeeze_dim(0)
}
