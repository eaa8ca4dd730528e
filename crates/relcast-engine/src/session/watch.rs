//! Who is told what happens during a statement.

use std::ops::ControlFlow;
use std::sync::Arc;

use relcast_train::fit::{EpochReport, Progress};

/// Is told what a person should know while a statement runs.
pub trait Watcher: Send + Sync {
    /// Something worth knowing that is no result.
    fn notice(&self, text: &str);
    /// A training goes on: `done` of `total` seeds of an epoch, mean loss so far.
    fn step(&self, epoch: usize, done: usize, total: usize, loss: f64);
    /// An epoch is done.
    fn epoch(&self, report: &EpochReport);
    /// A training has ended, well or not.
    fn trained(&self) {}
}

/// Logs notices and epochs.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogWatcher;

impl Watcher for LogWatcher {
    fn notice(&self, text: &str) {
        tracing::info!("{}", relcast_connect::redacted(text));
    }

    fn step(&self, _: usize, _: usize, _: usize, _: f64) {}

    fn epoch(&self, report: &EpochReport) {
        tracing::info!("{report}");
    }
}

/// Tells a watcher of a fit.
pub(super) struct Watch(pub(super) Arc<dyn Watcher>);

impl Progress for Watch {
    fn step(&mut self, epoch: usize, done: usize, total: usize, loss: f64) -> ControlFlow<()> {
        self.0.step(epoch, done, total, loss);
        ControlFlow::Continue(())
    }

    fn epoch(&mut self, report: &EpochReport) {
        self.0.epoch(report);
    }

    fn notice(&mut self, text: &str) {
        self.0.notice(text);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.trained();
    }
}
