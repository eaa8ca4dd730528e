//! A session over a generated shop in a home of its own, and what it tells.

use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use relcast_engine::{Engine, EngineError, Session, StoredModel, Watcher};
use relcast_query::statements;
use relcast_train::fit::EpochReport;

use super::Bench;

/// Keeps what it is told.
#[derive(Default)]
pub struct Told(Mutex<Vec<String>>);

impl Told {
    /// The notices so far, which are forgotten.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Watcher for Told {
    fn notice(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn step(&self, _: usize, _: usize, _: usize, _: f64) {}
    fn epoch(&self, _: &EpochReport) {}
}

pub struct Asked {
    pub session: Session,
    pub told: Arc<Told>,
}

impl Asked {
    pub async fn open(source: &Path, home: &Path) -> Self {
        let Bench { registry, database, catalog } = Bench::open(source, home, 2).await;
        Self::over(Arc::new(Engine::new(registry, database, catalog))).await
    }

    /// One more session of an engine.
    pub async fn over(engine: Arc<Engine>) -> Self {
        let told = Arc::new(Told::default());
        let session = Session::open(engine, told.clone()).await.unwrap();
        Self { session, told }
    }

    /// The rows of one statement.
    pub async fn try_run(&self, sql: &str) -> Result<Vec<RecordBatch>, EngineError> {
        let statement = statements(sql)?.next().unwrap()?;
        match self.session.run(&statement).await?.rows {
            Some(rows) => Ok(rows.collect().await?),
            None => Ok(Vec::new()),
        }
    }

    pub async fn run(&self, sql: &str) -> Vec<RecordBatch> {
        self.try_run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub async fn error(&self, sql: &str) -> String {
        self.try_run(sql).await.unwrap_err().to_string()
    }

    /// The one number that a SELECT gives.
    pub async fn count(&self, sql: &str) -> i64 {
        self.run(sql).await[0].column(0).as_primitive::<Int64Type>().value(0)
    }

    /// A property of DESCRIBE MODEL.
    pub async fn property(&self, model: &str, name: &str) -> String {
        let rows = self.run(&format!("DESCRIBE MODEL {model}")).await;
        let (names, values) = (rows[0].column(0).as_string::<i32>(), rows[0].column(1));
        let at = names.iter().position(|n| n == Some(name)).unwrap();
        values.as_string::<i32>().value(at).to_owned()
    }

    /// The AUROC of the newest version on the test split with rolling history.
    pub async fn auroc(&self, model: &str) -> f64 {
        let sql = format!(
            "SELECT value FROM relcast.metrics WHERE model = '{model}' AND split = 'test' AND history = 'rolling' AND \"by\" = 'model' AND metric = 'auroc' ORDER BY version DESC LIMIT 1"
        );
        self.run(&sql).await[0].column(0).as_primitive::<Float64Type>().value(0)
    }

    pub async fn stored(&self, model: &str) -> Arc<StoredModel> {
        self.session.engine().stored(model, None).await.unwrap()
    }
}
