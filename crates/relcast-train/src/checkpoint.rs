//! Checkpoints: the whole state of a fit after an epoch, in one file that appears at once.

use std::fs;
use std::path::{Path, PathBuf};

use burn::optim::ModuleOptimizer;
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Bytes;
use relcast_nn::RelationalModel;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::examples::Task;
use crate::fit::{EpochReport, FitPlan};

/// A model's weights in the safetensors format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights(pub Vec<u8>);

impl Weights {
    /// The weights of `model`.
    ///
    /// # Errors
    /// If a tensor cannot be written.
    pub fn of(model: &RelationalModel) -> Result<Self, TrainError> {
        let mut store = SafetensorsStore::from_bytes(None);
        model.save_into(&mut store).map_err(|e| state_error("write the weights", e))?;
        store.get_bytes().map(Self).map_err(|e| state_error("write the weights", e))
    }

    /// Puts the weights into `model`.
    ///
    /// # Errors
    /// If they are damaged or belong to a model of other sizes.
    pub fn apply(&self, model: &mut RelationalModel) -> Result<(), TrainError> {
        let mut store = SafetensorsStore::from_bytes(Some(self.0.clone()));
        model.load_from(&mut store).map_err(|e| state_error("read the weights", e))?;
        Ok(())
    }
}

/// The state of a fit after its last finished epoch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Current weights.
    pub weights: Weights,
    /// Weights of the best epoch.
    pub best: Weights,
    /// That epoch, counted from one; zero before the first.
    pub best_epoch: usize,
    /// Every finished epoch.
    pub epochs: Vec<EpochReport>,
    optimizer: Vec<u8>,
}

impl Checkpoint {
    /// The state before the first epoch.
    #[must_use]
    pub fn start(weights: Weights) -> Self {
        let best = weights.clone();
        Self { weights, best, best_epoch: 0, epochs: Vec::new(), optimizer: Vec::new() }
    }

    /// Whether `plan` asks for no further epoch.
    #[must_use]
    pub fn finished(&self, plan: &FitPlan) -> bool {
        let done = self.epochs.len();
        done >= plan.epochs || (self.best_epoch > 0 && done - self.best_epoch >= plan.patience)
    }

    /// Takes in a finished epoch with its weights.
    pub fn record(&mut self, report: EpochReport, weights: Weights, plan: &FitPlan) {
        if self.best_epoch == 0 || self.is_better(report.metric, &plan.task) {
            self.best_epoch = report.epoch;
            self.best = weights.clone();
        }
        self.epochs.push(report);
        self.weights = weights;
    }

    fn is_better(&self, metric: Option<f64>, task: &Task) -> bool {
        let best = self.epochs.get(self.best_epoch.wrapping_sub(1)).and_then(|e| e.metric);
        match (metric, best) {
            (Some(new), Some(old)) if task.larger_is_better() => new > old,
            (Some(new), Some(old)) => new < old,
            (Some(_), None) => true,
            // Without a defined metric (one class in validation) the last epoch stands.
            (None, best) => best.is_none(),
        }
    }

    /// Keeps the optimiser's moments.
    ///
    /// # Errors
    /// If they cannot be serialised.
    pub fn remember_optimizer(&mut self, optimizer: &ModuleOptimizer) -> Result<(), TrainError> {
        let bytes = optimizer.into_bytes().map_err(|e| state_error("write the optimiser", e))?;
        self.optimizer = bytes.to_vec();
        Ok(())
    }

    /// Gives `optimizer` the moments kept.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn restore_optimizer(
        &self,
        optimizer: ModuleOptimizer,
    ) -> Result<ModuleOptimizer, TrainError> {
        optimizer
            .from_bytes(Bytes::from_bytes_vec(self.optimizer.clone()))
            .map_err(|e| state_error("read the optimiser", e))
    }
}

/// Where the checkpoint of one run lies. The path must name the run's plan and data.
#[derive(Debug, Clone)]
pub struct CheckpointFile(PathBuf);

impl CheckpointFile {
    /// A checkpoint at `path`; its folder must exist.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The saved state; `None` where no epoch was finished.
    ///
    /// # Errors
    /// If the file is there but cannot be read.
    pub fn load(&self) -> Result<Option<Checkpoint>, TrainError> {
        let what =
            || format!("read the checkpoint {} (delete it to start afresh)", self.0.display());
        if !self.0.exists() {
            return Ok(None);
        }
        let bytes = fs::read(&self.0).map_err(|e| state_error(&what(), e))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|e| state_error(&what(), e))
    }

    /// Writes `state` beside the file and renames it into place.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&self, state: &Checkpoint) -> Result<(), TrainError> {
        let what = || format!("write the checkpoint {}", self.0.display());
        let bytes = serde_json::to_vec(state).map_err(|e| state_error(&what(), e))?;
        let unfinished = self.0.with_extension("part");
        fs::write(&unfinished, bytes).map_err(|e| state_error(&what(), e))?;
        fs::rename(&unfinished, &self.0).map_err(|e| state_error(&what(), e))
    }

    /// Removes the file, if it is there.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remove(&self) -> Result<(), TrainError> {
        match fs::remove_file(&self.0) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(state_error(&format!("remove the checkpoint {}", self.0.display()), e))
            }
            _ => Ok(()),
        }
    }
}

fn state_error(what: &str, reason: impl std::fmt::Display) -> TrainError {
    TrainError::State { what: what.to_owned(), reason: reason.to_string() }
}
