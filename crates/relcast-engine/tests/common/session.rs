//! Sessions, their statements, and what these answer and tell.

use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type};
use relcast_engine::{Engine, EngineError, LogWatcher, Session, StoredModel, Watcher};
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

/// A session over the source and home of `bench`.
pub async fn session(bench: Bench) -> Session {
    let Bench { registry, database, catalog } = bench;
    let engine = Arc::new(Engine::new(registry, database, catalog));
    Session::open(engine, Arc::new(LogWatcher)).await.unwrap()
}

/// The rows that a statement answers with, as it described them.
pub async fn answer(session: &Session, sql: &str) -> RecordBatch {
    let statement = statements(sql).unwrap().next().unwrap().unwrap();
    let described = session.describe_own(&statement).await.unwrap().schema;
    let frame = session.run(&statement).await.unwrap().rows.unwrap();
    let schema = frame.schema().inner().clone();
    let batch = concat_batches(&schema, &frame.collect().await.unwrap()).unwrap();
    let names = |fields: &arrow::datatypes::Fields| -> Vec<(String, arrow::datatypes::DataType)> {
        fields.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    };
    assert_eq!(names(described.fields()), names(schema.fields()));
    batch
}

/// What is wrong with a statement.
pub async fn refusal(session: &Session, sql: &str) -> String {
    let statement = statements(sql).unwrap().next().unwrap().unwrap();
    session.run(&statement).await.unwrap_err().to_string()
}

/// A column of texts; `NULL` where there is none.
pub fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let values = batch.column_by_name(column).unwrap().as_string::<i32>();
    values.iter().map(|text| text.unwrap_or("NULL").to_owned()).collect()
}

/// A column of floats.
pub fn floats(batch: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    batch.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().collect()
}

/// A column of whole numbers.
pub fn wholes(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    let values = batch.column_by_name(column).unwrap().as_primitive::<Int64Type>();
    assert_eq!(values.len(), batch.num_rows());
    values.iter().collect()
}
