//! Checkpoints: the whole state of a fit after an epoch, in one file that appears at once.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::optim::ModuleOptimizer;
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Bytes;
use relcast_nn::Ensemble;
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
    pub fn of(model: &Ensemble) -> Result<Self, TrainError> {
        let mut store = SafetensorsStore::from_bytes(None);
        model.save_into(&mut store).map_err(|e| state_error("write the weights", e))?;
        let bytes = store.get_bytes().map_err(|e| state_error("write the weights", e))?;
        canonical(&bytes).map(Self)
    }

    /// Puts the weights into `model`.
    ///
    /// # Errors
    /// If they are damaged or belong to a model of other sizes.
    pub fn apply(&self, model: &mut Ensemble) -> Result<(), TrainError> {
        let mut store = SafetensorsStore::from_bytes(Some(self.0.clone()));
        model.load_from(&mut store).map_err(|e| state_error("read the weights", e))?;
        Ok(())
    }
}

/// The same tensors with the header in one order: the library leaves that of its metadata to chance.
///
/// A safetensors file is the header's length (eight bytes, little endian), the header as JSON padded
/// with blanks to eight bytes, and the tensors at offsets counted from the header's end.
fn canonical(bytes: &[u8]) -> Result<Vec<u8>, TrainError> {
    let damaged = || state_error("write the weights", "they have no header");
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
    let (header, tensors) = rest.split_at_checked(length).ok_or_else(damaged)?;
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|e| state_error("write the weights", e))?;
    let mut header =
        serde_json::to_vec(&header).map_err(|e| state_error("write the weights", e))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice(), tensors].concat())
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
    optimizers: Vec<Vec<u8>>,
}

impl Checkpoint {
    /// The state before the first epoch.
    #[must_use]
    pub fn start(weights: Weights) -> Self {
        let best = weights.clone();
        Self { weights, best, best_epoch: 0, epochs: Vec::new(), optimizers: Vec::new() }
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

    /// Keeps the moments of the members' optimisers.
    ///
    /// # Errors
    /// If they cannot be serialised.
    pub fn remember_optimizers<'a>(
        &mut self,
        optimizers: impl Iterator<Item = &'a ModuleOptimizer>,
    ) -> Result<(), TrainError> {
        let bytes = optimizers.map(|optimizer| {
            let bytes = optimizer.into_bytes();
            bytes.map(|b| b.to_vec()).map_err(|e| state_error("write the optimiser", e))
        });
        self.optimizers = bytes.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Gives `optimizers` the moments kept, in their order.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn restore_optimizers<'a>(
        &self,
        optimizers: impl Iterator<Item = &'a mut ModuleOptimizer>,
    ) -> Result<(), TrainError> {
        for (optimizer, kept) in optimizers.zip(&self.optimizers) {
            let bytes = Bytes::from_bytes_vec(kept.clone());
            let restored = optimizer.clone().from_bytes(bytes);
            *optimizer = restored.map_err(|e| state_error("read the optimiser", e))?;
        }
        Ok(())
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
    /// If the disk refuses; then the old file stays, and nothing of the new one.
    pub fn save(&self, state: &Checkpoint) -> Result<(), TrainError> {
        let what = || format!("write the checkpoint {}", self.0.display());
        let bytes = serde_json::to_vec(state).map_err(|e| state_error(&what(), e))?;
        let folder = self.0.parent().unwrap_or(Path::new("."));
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".unfinished-").tempfile_in(folder)?;
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            file.persist(&self.0)?;
            Ok::<(), std::io::Error>(())
        };
        write().map_err(|e| state_error(&what(), e))
    }
}

fn state_error(what: &str, reason: impl std::fmt::Display) -> TrainError {
    TrainError::State { what: what.to_owned(), reason: reason.to_string() }
}
