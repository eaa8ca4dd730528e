//! Training and predicting in a home folder of its own.
#![allow(clippy::unwrap_used, dead_code)]

pub mod future;
pub mod session;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use relcast_catalog::Catalog;
use relcast_connect::{Database, OpenOptions};
use relcast_engine::work::{self, EvaluationReport, PredictAt, Question};
use relcast_engine::{Home, Registry, StoredModel};
use relcast_query::History;
use relcast_testkit::GeneratedDatabase;
use relcast_train::evaluate::SplitName;
use relcast_train::fit::{EpochReport, Progress};

/// Watches nothing.
pub struct Unwatched;

impl Progress for Unwatched {
    fn step(&mut self, _: usize, _: usize, _: usize, _: f64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn epoch(&mut self, _: &EpochReport) {}
}

/// A source and a home, on any number of threads.
pub struct Bench {
    pub registry: Registry,
    pub database: Database,
    pub catalog: Catalog,
}

impl Bench {
    pub async fn open(source: &Path, home: &Path, threads: usize) -> Self {
        let home = Home::open(home).unwrap();
        let registry = Registry::open(&home).await.unwrap();
        let options = OpenOptions { threads: Some(threads) };
        let database =
            relcast_connect::open_with(&source.display().to_string(), &options).await.unwrap();
        let catalog = relcast_catalog::load(&database, None).await.unwrap();
        Self { registry, database, catalog }
    }

    /// Trains `question` as the next version of model `m`.
    pub async fn train(&self, question: &Question, set: &[(&str, &str)]) -> EvaluationReport {
        let set: Vec<(String, String)> =
            set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (registry, database, catalog) = (&self.registry, &self.database, &self.catalog);
        let lock = work::lock_to_train(registry, "m").unwrap();
        let trained =
            work::train(registry, database, catalog, question, &set, &lock, &mut Unwatched).await;
        trained.unwrap()
    }

    pub async fn stored(&self) -> Arc<StoredModel> {
        let version = self.registry.find_version("m", None).await.unwrap();
        let artefact = self.registry.load_artefact(&version).unwrap();
        Arc::new(StoredModel::read("m", version.version, artefact).unwrap())
    }

    pub async fn predict(&self, stored: &Arc<StoredModel>, at: PredictAt) -> RecordBatch {
        work::predict(&self.registry, &self.database, &self.catalog, stored, at).await.unwrap()
    }

    pub fn task(&self, name: &str) -> Question {
        Question::Task(Box::new(self.catalog.find_task(name).unwrap().clone()))
    }
}

/// Trains on a generated database.
pub async fn train_generated(
    database: &GeneratedDatabase,
    set: &[(&str, &str)],
) -> EvaluationReport {
    let home = tempfile::tempdir().unwrap();
    let bench = Bench::open(&database.dir, home.path(), 2).await;
    bench.train(&Question::Query(database.query_with_splits()), set).await
}

/// A metric of the model on the test split with rolling history.
pub fn test_metric(report: &EvaluationReport, name: &str) -> f64 {
    result(report).metrics.get(name).unwrap()
}

/// The same of a baseline.
pub fn test_baseline(report: &EvaluationReport, baseline: &str, name: &str) -> f64 {
    result(report).baselines[baseline].get(name).unwrap()
}

fn result(report: &EvaluationReport) -> &relcast_train::evaluate::Evaluation {
    let is_asked = |r: &&relcast_train::evaluate::Evaluation| {
        r.split == SplitName::Test && r.history == History::Rolling
    };
    report.results.iter().find(is_asked).unwrap()
}

/// A column of floats, bit by bit.
pub fn bits(batch: &RecordBatch, column: &str) -> Vec<u64> {
    let values = batch.column_by_name(column).unwrap().as_primitive::<Float64Type>();
    values.values().iter().map(|v| v.to_bits()).collect()
}
