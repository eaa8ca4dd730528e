//! `relcast train`: from a question to a registered model.

use indicatif::{ProgressBar, ProgressStyle};
use relcast_engine::work::{self, Question};
use relcast_engine::{Home, Registry};
use relcast_train::fit::{EpochReport, Progress};

use super::open;
use crate::arguments::{Common, Train};
use crate::failure::Failure;

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
    let mut bar = Bar::new();
    let report =
        work::train(&registry, &database, &catalog, &question, &set, &arguments.model, &mut bar)
            .await?;
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

impl Progress for Bar {
    fn step(&mut self, epoch: usize, done: usize, total: usize, loss: f64) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar.set_prefix(format!("epoch {epoch}"));
        self.bar.set_message(format!("loss {loss:.4}{}", self.metric));
    }

    fn epoch(&mut self, report: &EpochReport) {
        self.metric = report.metric.map(|m| format!("  val {m:.4}")).unwrap_or_default();
        let line = format!(
            "epoch {}: loss {:.4}{}, {:.0} seeds/s",
            report.epoch, report.loss, self.metric, report.seeds_per_second
        );
        self.bar.reset();
        self.bar.suspend(|| tracing::info!("{line}"));
    }
}
