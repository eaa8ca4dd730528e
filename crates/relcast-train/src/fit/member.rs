//! One member of an ensemble while it is fitted: its model, its optimiser, a step.

use burn::grad_clipping::GradientClippingConfig;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use relcast_nn::{GraphBatch, RelationalModel, loss};

use super::FitPlan;
use crate::error::TrainError;
use crate::examples::{Examples, Task};

/// A model in the making.
pub(super) struct Member {
    /// Taken while a step is made.
    model: Option<RelationalModel>,
    pub(super) optimizer: ModuleOptimizer,
    number: u64,
}

/// A step to be made: which rows, and how far the fit has come.
pub(super) struct Step<'a> {
    pub(super) plan: &'a FitPlan,
    pub(super) train: &'a Examples,
    /// Positions of the batch's rows among the training rows.
    pub(super) chunk: &'a [usize],
    pub(super) batch: &'a GraphBatch,
    /// Counted over all epochs from zero.
    pub(super) number: usize,
    pub(super) steps_per_epoch: usize,
}

impl Member {
    pub(super) fn new(model: RelationalModel, number: usize, plan: &FitPlan) -> Self {
        let optimizer = AdamWConfig::new()
            .with_weight_decay(plan.weight_decay)
            .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
            .init();
        Self { model: Some(model), optimizer, number: number as u64 }
    }

    pub(super) fn model(&self) -> Option<&RelationalModel> {
        self.model.as_ref()
    }

    /// One step down the loss of the batch; gives the loss before it.
    pub(super) fn step(&mut self, step: &Step<'_>) -> Result<f32, TrainError> {
        let Some(model) = self.model.take() else {
            return Err(TrainError::Labels("a step after a failed step".into()));
        };
        let device = Device::flex().autodiff();
        let keep = dropout_mask(step, self.number, &device);
        let outputs = model.forward(step.batch, keep);
        let loss = loss_of(step, outputs, &device);
        let value = loss.clone().into_scalar::<f32>();
        if !value.is_finite() {
            let epoch = step.number / step.steps_per_epoch.max(1) + 1;
            return Err(TrainError::Diverged { epoch, loss: value });
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let rate = learning_rate(step);
        self.model = Some(self.optimizer.step(rate, model, gradients));
        Ok(value)
    }
}

/// A short linear warm-up, then half a cosine down to a twentieth of the peak.
fn learning_rate(step: &Step<'_>) -> f64 {
    let total = (step.plan.epochs * step.steps_per_epoch).max(1) as f64;
    let warm = (total * 0.05).max(1.0);
    let at = step.number as f64 + 1.0;
    let shape = if at < warm {
        at / warm
    } else {
        let phase = std::f64::consts::PI * ((at - warm) / (total - warm).max(1.0)).min(1.0);
        0.05 + 0.95 * 0.5 * (1.0 + phase.cos())
    };
    step.plan.learning_rate * shape
}

/// Zeros and `1 / (1 - dropout)`, a function of (seed, member, step, position).
fn dropout_mask(step: &Step<'_>, member: u64, device: &Device) -> Option<Tensor<2>> {
    let (plan, rows) = (step.plan, step.chunk.len());
    if plan.dropout <= 0.0 {
        return None;
    }
    let channels = plan.model.channels;
    let keep = 1.0 / (1.0 - plan.dropout);
    let threshold = (f64::from(plan.dropout) * u32::MAX as f64) as u32;
    let mut values = Vec::with_capacity(rows * channels);
    for word in 0..rows * channels / 2 + 1 {
        let mut bytes = [0u8; 24];
        for (slot, part) in bytes.chunks_exact_mut(8).zip([member, step.number as u64, word as u64])
        {
            slot.copy_from_slice(&part.to_le_bytes());
        }
        let draw = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, plan.seed);
        for half in [draw as u32, (draw >> 32) as u32] {
            values.push(if half < threshold { 0.0 } else { keep });
        }
    }
    values.truncate(rows * channels);
    Some(Tensor::from_data(TensorData::new(values, [rows, channels]), device))
}

fn loss_of(step: &Step<'_>, outputs: Tensor<2>, device: &Device) -> Tensor<1> {
    let Step { plan, train, chunk, .. } = step;
    let n = chunk.len();
    let column = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [n, 1]), device);
    let labels = || chunk.iter().map(|i| train.labels[*i]);
    let weight = |i: &usize| train.weight(*i) * plan.class_weight(train.labels[*i]);
    let weights = || chunk.iter().map(|i| weight(i) as f32).collect::<Vec<f32>>();
    let loss = match &plan.task {
        Task::Binary => {
            let weights = column(weights());
            loss::binary(outputs, column(labels().map(|y| y as f32).collect()), weights)
        }
        Task::Regression { scale, .. } => {
            let targets = labels().map(|y| scale.scaled(y) as f32).collect();
            loss::huber(outputs, column(targets), column(weights()), 0.25)
        }
        Task::Multiclass { .. } => {
            let classes: Vec<i32> = labels().map(|y| y as i32).collect();
            let classes = Tensor::<2, Int>::from_data(TensorData::new(classes, [n, 1]), device);
            loss::multiclass(outputs, classes, column(weights()))
        }
    };
    if train.weights.is_empty() {
        return loss;
    }
    // A mean within the batch says nothing of how much its rows count beside those of others.
    let of_rows = chunk.iter().map(|i| train.weight(*i) as f32).sum::<f32>();
    loss * (of_rows / n.max(1) as f32)
}
