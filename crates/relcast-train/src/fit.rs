//! Fitting: mini-batches, early stopping on the validation metric, a checkpoint each epoch.

use std::time::Instant;

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use relcast_nn::{ModelConfig, RelationalModel, loss};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointFile, Weights};
use crate::error::TrainError;
use crate::examples::{Examples, Task};
use crate::metrics;
use crate::score::Inputs;

/// How a model is fitted; every number is resolved, so that the plan replays the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitPlan {
    /// The kind of label.
    pub task: Task,
    /// The model's sizes.
    pub model: ModelConfig,
    /// Seed of weights, shuffles, dropout and sampling.
    pub seed: u64,
    /// Passes over the training rows, at most.
    pub epochs: usize,
    /// Epochs without a better validation metric after which fitting stops.
    pub patience: usize,
    /// Seeds per step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Share of the head's hidden values dropped in training.
    pub dropout: f32,
    /// Weight of a positive over that of a negative (binary), else one.
    pub positive_weight: f64,
    /// Training rows visited per epoch, at most.
    pub max_train_rows: usize,
}

/// One pass over the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Counted from one.
    pub epoch: usize,
    /// Mean training loss.
    pub loss: f64,
    /// The validation metric; `None` where it is undefined.
    pub metric: Option<f64>,
    /// Training seeds per second, validation not counted.
    pub seeds_per_second: f64,
}

/// A fitted model.
#[derive(Debug)]
pub struct Fitted {
    /// The best epoch's weights.
    pub weights: Weights,
    /// Every epoch.
    pub epochs: Vec<EpochReport>,
    /// The best epoch, counted from one.
    pub best_epoch: usize,
}

/// Who watches a fit.
pub trait Progress {
    /// A step of an epoch is done: `done` of `total` seeds, mean loss so far.
    fn step(&mut self, epoch: usize, done: usize, total: usize, loss: f64);
    /// An epoch is done.
    fn epoch(&mut self, report: &EpochReport);
}

/// Fits a model on `train`, choosing the epoch on `validation`; goes on from `checkpoint` where
/// that holds an earlier, interrupted run of the same plan.
///
/// # Errors
/// Diverging losses, leaking batches, unwritable checkpoints.
pub fn fit(
    inputs: &Inputs,
    plan: &FitPlan,
    train: &Examples,
    validation: &Examples,
    checkpoint: Option<&CheckpointFile>,
    progress: &mut dyn Progress,
) -> Result<Fitted, TrainError> {
    let device = Device::flex().autodiff();
    let mut model = RelationalModel::new(&plan.model, plan.seed, &device);
    let mut optimizer = AdamWConfig::new()
        .with_weight_decay(plan.weight_decay)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
        .init();
    let mut state = Checkpoint::start(Weights::of(&model)?);
    if let Some(saved) = checkpoint.map(CheckpointFile::load).transpose()?.flatten() {
        saved.weights.apply(&mut model)?;
        optimizer = saved.restore_optimizer(optimizer)?;
        state = saved;
    }
    while !state.finished(plan) {
        let epoch = state.epochs.len() + 1;
        let started = Instant::now();
        let positions = visited(train, plan, epoch);
        let (trained, mean_loss) =
            run_epoch(inputs, plan, train, &positions, model, &mut optimizer, epoch, progress)?;
        model = trained;
        let seconds = started.elapsed().as_secs_f64();
        let scores =
            inputs.score(&model.valid(), validation, i64::MAX, plan.batch_size.max(256))?;
        let report = EpochReport {
            epoch,
            loss: mean_loss,
            metric: validation_metric(&plan.task, &scores, &validation.labels),
            seeds_per_second: positions.len() as f64 / seconds.max(1e-9),
        };
        progress.epoch(&report);
        state.record(report, Weights::of(&model)?, plan);
        if let Some(file) = checkpoint {
            state.remember_optimizer(&optimizer)?;
            file.save(&state)?;
        }
    }
    Ok(Fitted { weights: state.best, best_epoch: state.best_epoch, epochs: state.epochs })
}

/// The rows that an epoch visits, in its order.
fn visited(train: &Examples, plan: &FitPlan, epoch: usize) -> Vec<usize> {
    let mut positions = train.shuffled(plan.seed, epoch);
    positions.truncate(plan.max_train_rows);
    positions
}

#[allow(clippy::too_many_arguments)] // one epoch's whole state, used in this file alone
fn run_epoch(
    inputs: &Inputs,
    plan: &FitPlan,
    train: &Examples,
    positions: &[usize],
    model: RelationalModel,
    optimizer: &mut ModuleOptimizer,
    epoch: usize,
    progress: &mut dyn Progress,
) -> Result<(RelationalModel, f64), TrainError> {
    let device = Device::flex().autodiff();
    let chunks: Vec<&[usize]> = positions.chunks(plan.batch_size).collect();
    let batches =
        chunks.iter().map(|c| train.seeds(c, i64::MAX, &inputs.graph, inputs.entity)).collect();
    let steps = chunks.len();
    let mut model = Some(model);
    let (mut total, mut done) = (0.0, 0);
    let epoch_inputs = Inputs { run_seed: inputs.run_seed ^ epoch as u64, ..inputs.clone() };
    epoch_inputs.for_each_batch(batches, &device, |number, batch| {
        let Some(current) = model.take() else { return Ok(()) };
        let chunk = chunks[number];
        let step = (epoch - 1) * steps + number;
        let keep = dropout_mask(plan, chunk.len(), step as u64, &device);
        let outputs = current.forward(&batch, keep);
        let loss = loss_of(plan, outputs, chunk, train, &device);
        let value = loss.clone().into_scalar::<f32>();
        if !value.is_finite() {
            return Err(TrainError::Diverged { epoch, loss: value });
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &current);
        let rate = learning_rate(plan, step, steps);
        model = Some(optimizer.step(rate, current, gradients));
        total += f64::from(value) * chunk.len() as f64;
        done += chunk.len();
        progress.step(epoch, done, positions.len(), total / done as f64);
        Ok(())
    })?;
    let model = model.ok_or_else(|| TrainError::Labels("an epoch without a model".into()))?;
    Ok((model, total / done.max(1) as f64))
}

/// A short linear warm-up, then half a cosine down to a twentieth of the peak.
fn learning_rate(plan: &FitPlan, step: usize, steps_per_epoch: usize) -> f64 {
    let total = (plan.epochs * steps_per_epoch).max(1) as f64;
    let warm = (total * 0.05).max(1.0);
    let at = step as f64 + 1.0;
    let shape = if at < warm {
        at / warm
    } else {
        let phase = std::f64::consts::PI * ((at - warm) / (total - warm).max(1.0)).min(1.0);
        0.05 + 0.95 * 0.5 * (1.0 + phase.cos())
    };
    plan.learning_rate * shape
}

/// Zeros and `1 / (1 - dropout)`, a function of (seed, step, position).
fn dropout_mask(plan: &FitPlan, rows: usize, step: u64, device: &Device) -> Option<Tensor<2>> {
    if plan.dropout <= 0.0 {
        return None;
    }
    let channels = plan.model.channels;
    let keep = 1.0 / (1.0 - plan.dropout);
    let threshold = (f64::from(plan.dropout) * u32::MAX as f64) as u32;
    let mut values = Vec::with_capacity(rows * channels);
    for word in 0..rows * channels / 2 + 1 {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&step.to_le_bytes());
        bytes[8..].copy_from_slice(&(word as u64).to_le_bytes());
        let draw = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, plan.seed);
        for half in [draw as u32, (draw >> 32) as u32] {
            values.push(if half < threshold { 0.0 } else { keep });
        }
    }
    values.truncate(rows * channels);
    Some(Tensor::from_data(TensorData::new(values, [rows, channels]), device))
}

fn loss_of(
    plan: &FitPlan,
    outputs: Tensor<2>,
    chunk: &[usize],
    train: &Examples,
    device: &Device,
) -> Tensor<1> {
    let n = chunk.len();
    let column = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [n, 1]), device);
    let labels = || chunk.iter().map(|i| train.labels[*i]);
    match &plan.task {
        Task::Binary => {
            let weights = labels().map(|y| if y > 0.5 { plan.positive_weight as f32 } else { 1.0 });
            let weights = column(weights.collect());
            loss::binary(outputs, column(labels().map(|y| y as f32).collect()), weights)
        }
        Task::Regression { mean, deviation } => {
            let targets = labels().map(|y| ((y - mean) / deviation) as f32).collect();
            loss::huber(outputs, column(targets), column(vec![1.0; n]), 0.25)
        }
        Task::Multiclass { .. } => {
            let classes: Vec<i32> = labels().map(|y| y as i32).collect();
            let classes = Tensor::<2, Int>::from_data(TensorData::new(classes, [n, 1]), device);
            loss::multiclass(outputs, classes, column(vec![1.0; n]))
        }
    }
}

/// The metric that chooses the epoch, from raw outputs.
fn validation_metric(task: &Task, outputs: &[f32], labels: &[f64]) -> Option<f64> {
    let scores: Vec<f64> = outputs.iter().map(|x| f64::from(*x)).collect();
    match task {
        Task::Binary => metrics::auroc(labels, &scores),
        Task::Regression { mean, deviation } => {
            let predicted: Vec<f64> = scores.iter().map(|x| x * deviation + mean).collect();
            metrics::mae(labels, &predicted)
        }
        Task::Multiclass { classes } => {
            let rows = scores.chunks_exact(classes.len().max(1)).zip(labels);
            let hits =
                rows.filter(|(row, y)| !y.is_nan() && argmax(row) == Some(**y as usize)).count();
            (!labels.is_empty()).then(|| hits as f64 / labels.len() as f64)
        }
    }
}

/// The position of the largest value, the first among equals.
#[must_use]
pub fn argmax(values: &[f64]) -> Option<usize> {
    let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    values.iter().position(|v| *v == best)
}
