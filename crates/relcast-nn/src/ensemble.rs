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
        let outputs = self.members.iter().map(|member| member.forward(batch, None)).collect();
        let stacked: Tensor<3> = Tensor::stack(outputs, 0);
        stacked.mean_dim(0).squeeze_dim(0)
    }

    /// Outputs per seed.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.members.first().map_or(0, |member| member.config().outputs)
    }
}
