//! `relcast train`: from a question to a registered model.

use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use relcast_engine::work::{self, Question};
use relcast_engine::{Home, Registry, Watcher};
use relcast_train::fit::{EpochReport, Progress};

use super::open;
use crate::arguments::{Common, Train};
use crate::failure::Failure;
use crate::output::tell;

/// Trains, evaluates and registers a model, and prints its figures.
pub async fn run(common: &Common, arguments: &Train) -> Result<(), Failure> {
    let home = Home::open(&common.home)?;
    let registry = Registry::open(&home).await?;
    let (database, catalog) = open(common, &arguments.source).await?;
    let asked = &arguments.question;
    let question = match &asked.query {
        Some(text) => Question::Query(text.clone()),
        None => {
            let task = catalog.find_task(asked.task.as_deref().unwrap_or_default())?;
            Question::Task(Box::new(task.clone()))
        }
    };
    let set = common.options(&asked.set);
    let lock = work::lock_to_train(&registry, &arguments.model)?;
    let mut bar = Bar::new();
    let report =
        work::train(&registry, &database, &catalog, &question, &set, &lock, &mut bar).await?;
    drop(bar);
    super::evaluate::print_report(common, &report)
}

/// Seeds, loss and time left of an epoch on a terminal; a log line per epoch everywhere.
pub struct Bar {
    bar: ProgressBar,
    metric: String,
}

impl Bar {
    /// A bar that shows nothing yet.
    pub fn new() -> Self {
        let bar = ProgressBar::new(0);
        let template = "{prefix} {wide_bar} {pos}/{len} seeds  {per_sec}  eta {eta}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, metric: String::new() }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Bar {
    /// Begins anew, with the figure of the epoch that is done.
    fn next_epoch(&mut self, report: &EpochReport) {
        self.metric = report.metric.map(|m| format!("  val {m:.4}")).unwrap_or_default();
        self.bar.reset();
    }
}

impl Progress for Bar {
    fn step(&mut self, epoch: usize, done: usize, total: usize, loss: f64) -> ControlFlow<()> {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar.set_prefix(format!("epoch {epoch}"));
        self.bar.set_message(format!("loss {loss:.4}{}", self.metric));
        ControlFlow::Continue(())
    }

    fn epoch(&mut self, report: &EpochReport) {
        self.next_epoch(report);
        self.bar.suspend(|| tracing::info!("{report}"));
    }

    fn notice(&mut self, text: &str) {
        self.bar.suspend(|| tracing::info!("{text}"));
    }
}

/// Shows the progress of a statement: in place where a terminal can, else as lines of the log.
#[derive(Default)]
pub struct Terminal(Mutex<Shown>);

#[derive(Default)]
struct Shown {
    bar: Option<Bar>,
    /// Nobody looks any more: what is still told comes from work that is about to end.
    ended: bool,
}

impl Terminal {
    /// Removes what is shown, and shows nothing more.
    pub fn end(&self) {
        let mut shown = self.shown();
        shown.ended = true;
        shown.bar = None;
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        // A bar that a panic left behind can still be drawn.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_bar(&self, tell: impl FnOnce(&mut Bar)) {
        let mut shown = self.shown();
        if !shown.ended {
            tell(shown.bar.get_or_insert_with(Bar::new));
        }
    }
}

impl Watcher for Terminal {
    fn notice(&self, text: &str) {
        let text = relcast_connect::redacted(text);
        self.with_bar(|bar| bar.bar.suspend(|| tell(&format!("notice: {text}"))));
    }

    fn step(&self, epoch: usize, done: usize, total: usize, loss: f64) {
        self.with_bar(|bar| {
            let _ = bar.step(epoch, done, total, loss);
        });
    }

    fn epoch(&self, report: &EpochReport) {
        self.with_bar(|bar| match bar.bar.is_hidden() {
            true => bar.epoch(report),
            false => bar.next_epoch(report),
        });
    }

    fn trained(&self) {
        self.shown().bar = None;
    }
}
