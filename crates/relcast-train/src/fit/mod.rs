//! Fitting: mini-batches, early stopping on the validation metric, a checkpoint each epoch.

mod member;
mod pace;
mod predictions;

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use relcast_graph::Stopped;
use relcast_nn::{Ensemble, ModelConfig};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointFile, Weights};
use crate::error::TrainError;
use crate::examples::{Examples, Task};
use crate::score::Inputs;
use member::{Member, Step};
pub use pace::{BudgetPlan, Pace};

pub use crate::metrics::argmax;
pub use predictions::{measure, predictions, top_classes};

/// How a model is fitted; every number is resolved, so that the plan replays the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitPlan {
    /// The kind of label.
    pub task: Task,
    /// The model's sizes.
    pub model: ModelConfig,
    /// Models whose outputs are averaged.
    pub members: usize,
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
    /// Weight of each of several classes; none where all weigh the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_weights: Vec<f64>,
    /// Training rows visited per epoch, at most.
    pub max_train_rows: usize,
}

impl FitPlan {
    /// How much a row with this label counts in the loss.
    #[must_use]
    pub fn class_weight(&self, label: f64) -> f64 {
        match self.task {
            Task::Binary if label > 0.5 => self.positive_weight,
            Task::Multiclass { .. } => {
                self.class_weights.get(label as usize).copied().unwrap_or(1.0)
            }
            Task::Binary | Task::Regression { .. } => 1.0,
        }
    }
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

impl fmt::Display for EpochReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}: loss {:.4}", self.epoch, self.loss)?;
        if let Some(metric) = self.metric {
            write!(f, "  val {metric:.4}")?;
        }
        write!(f, ", {:.0} seeds/s", self.seeds_per_second)
    }
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

/// Who watches a fit, and may stop it.
pub trait Progress: Send {
    /// A step of an epoch is done: `done` of `total` seeds, mean loss so far. The fit ends with
    /// [`TrainError::Stopped`] if the answer is to break.
    fn step(&mut self, epoch: usize, done: usize, total: usize, loss: f64) -> ControlFlow<()>;
    /// An epoch is done.
    fn epoch(&mut self, report: &EpochReport);
    /// Something worth knowing that is no step.
    fn notice(&mut self, text: &str) {
        tracing::info!("{text}");
    }
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
    let mut start = Ensemble::new(&plan.model, plan.members, plan.seed, &device);
    let saved = checkpoint.map(CheckpointFile::load).transpose()?.flatten();
    if let Some(saved) = &saved {
        saved.weights.apply(&mut start)?;
    }
    let mut state = match &saved {
        Some(saved) => saved.clone(),
        None => Checkpoint::start(Weights::of(&start)?),
    };
    let models = start.members.into_iter().enumerate();
    let mut members: Vec<Member> =
        models.map(|(number, model)| Member::new(model, number, plan)).collect();
    if saved.is_some() {
        let optimizers = members.iter_mut().map(|member| &mut member.optimizer);
        state.restore_optimizers(optimizers)?;
    }
    while !state.finished(plan) {
        let epoch = state.epochs.len() + 1;
        let started = Instant::now();
        let positions = visited(train, plan, epoch);
        let loss = run_epoch(inputs, plan, train, &positions, &mut members, epoch, progress)?;
        let seconds = started.elapsed().as_secs_f64();
        let models = members.iter().filter_map(Member::model).map(Module::valid).collect();
        let current = Ensemble { members: models };
        let scores = inputs.score(&current, validation, i64::MAX, plan.batch_size.max(256))?;
        let report = EpochReport {
            epoch,
            loss,
            metric: measure(&plan.task, &validation.labels, &predictions(plan, &scores))
                .get(plan.task.metric()),
            seeds_per_second: positions.len() as f64 / seconds.max(1e-9),
        };
        progress.epoch(&report);
        state.record(report, Weights::of(&current)?, plan);
        if let Some(file) = checkpoint {
            state.remember_optimizers(members.iter().map(|member| &member.optimizer))?;
            file.save(&state)?;
        }
    }
    Ok(Fitted { weights: state.best, best_epoch: state.best_epoch, epochs: state.epochs })
}

/// The rows that an epoch visits, in its order.
fn visited(train: &Examples, plan: &FitPlan, epoch: usize) -> Vec<usize> {
    let mut positions = train.shuffled(plan.seed, epoch);
    positions.retain(|position| train.weight(*position) as f32 > 0.0);
    positions.truncate(plan.max_train_rows);
    positions
}

/// One epoch of all members over the same batches; gives the mean loss.
fn run_epoch(
    inputs: &Inputs,
    plan: &FitPlan,
    train: &Examples,
    positions: &[usize],
    members: &mut [Member],
    epoch: usize,
    progress: &mut dyn Progress,
) -> Result<f64, TrainError> {
    let device = Device::flex().autodiff();
    let chunks: Vec<&[usize]> = positions.chunks(plan.batch_size).collect();
    let batches =
        chunks.iter().map(|c| train.seeds(c, i64::MAX, &inputs.graph, inputs.entity)).collect();
    let steps_per_epoch = chunks.len();
    let (mut total, mut done) = (0.0, 0);
    let epoch_inputs = Inputs { run_seed: inputs.run_seed ^ epoch as u64, ..inputs.clone() };
    epoch_inputs.for_each_batch(batches, &device, |number, batch| {
        let chunk = chunks[number];
        let number = (epoch - 1) * steps_per_epoch + number;
        let step = Step { plan, train, chunk, batch: &batch, number, steps_per_epoch };
        total += step_all(members, &step)? * chunk.len() as f64;
        done += chunk.len();
        match progress.step(epoch, done, positions.len(), total / done as f64) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stopped.into()),
        }
    })?;
    Ok(total / done.max(1) as f64)
}

/// A step of every member, side by side; gives their mean loss.
fn step_all(members: &mut [Member], step: &Step<'_>) -> Result<f64, TrainError> {
    let count = members.len();
    let share = count.div_ceil(rayon::current_num_threads().max(1)).max(1);
    // Threads of their own: a task of the pool that waits for a matrix product would take up
    // another member's step in the middle of its own.
    let losses: Vec<Result<f64, TrainError>> = std::thread::scope(|scope| {
        let workers: Vec<_> = members
            .chunks_mut(share)
            .map(|members| {
                scope.spawn(|| {
                    let losses = members.iter_mut().map(|member| member.step(step).map(f64::from));
                    losses.sum::<Result<f64, TrainError>>()
                })
            })
            .collect();
        let ended = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().map(ended).collect()
    });
    Ok(losses.into_iter().sum::<Result<f64, TrainError>>()? / count.max(1) as f64)
}
