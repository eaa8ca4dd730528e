//! From a question to everything a model is trained on or scored with.

use std::sync::Arc;

use arrow::array::RecordBatch;
use relcast_catalog::{Catalog, Schema, TaskManifest};
use relcast_connect::Database;
use relcast_graph::TemporalGraph;
use relcast_query::{Cutoffs, LabelPlan, Options};
use relcast_train::dataset::{LabelSplits, add_label_history, examples, open_graph, task_of};
use relcast_train::evaluate::SplitExamples;
use relcast_train::examples::Task;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::EngineError;
use crate::home::Home;
use crate::registry::Origin;

/// What is to be predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// A task that the database's folder declares.
    Task(Box<TaskManifest>),
    /// A predictive query, as written.
    Query(String),
}

impl Question {
    /// What the registry records of it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        match self {
            Self::Task(task) => Origin::Task(task.name.clone()),
            Self::Query(text) => Origin::Query(text.clone()),
        }
    }

    /// The label plan of the question over `schema`, with `set` options applied on top.
    ///
    /// # Errors
    /// Of the query: place, expectation, nearest name.
    pub fn plan(
        &self,
        schema: &Schema,
        set: &[(String, String)],
    ) -> Result<LabelPlan, EngineError> {
        let mut plan = match self {
            Self::Task(task) => LabelPlan::from_task(task, schema)?,
            Self::Query(text) => {
                let query = relcast_query::parse(text)?;
                LabelPlan::from_query(&relcast_query::bind(&query, schema)?, schema)?
            }
        };
        for (key, value) in set {
            plan.options.set(key, value)?;
        }
        Ok(plan)
    }
}

/// The labels, the graph and the examples of a question.
pub struct Prepared {
    /// How labels are computed.
    pub plan: LabelPlan,
    /// When they are.
    pub cutoffs: Cutoffs,
    /// Label rows by split.
    pub splits: LabelSplits,
    /// The same rows as seeds.
    pub examples: SplitExamples,
    /// What kind of label it is.
    pub task: Task,
    /// The schema with the table of closed labels.
    pub schema: Schema,
    /// Rows and links.
    pub graph: Arc<TemporalGraph>,
}

/// Computes labels, adds those that closed to the graph, builds or opens it.
///
/// `task` is the stored model's, where there is one: then nothing is learnt anew.
///
/// # Errors
/// Of the query, the graph or the labels.
pub async fn prepare(
    home: &Home,
    database: &Database,
    catalog: &Catalog,
    plan: LabelPlan,
    task: Option<Task>,
) -> Result<Prepared, EngineError> {
    let ctx = &database.context;
    let cutoffs = plan.cutoffs(ctx, &catalog.schema).await?;
    let splits = LabelSplits::read(ctx, &plan, &cutoffs).await?;
    let task = match task {
        Some(task) => task,
        None => task_of(&plan.task_type, &splits.train)?,
    };
    let history = closed_labels(database, &plan, &cutoffs).await?;
    let schema = add_label_history(ctx, &catalog.schema, &plan, &cutoffs, &task, &history)?;
    let identity = format!("{}\n{}\n{cutoffs:?}\n{schema:?}", database.fingerprint, plan.sql());
    let directory = home.graph(&format!("{:032x}", xxh3_128(identity.as_bytes())));
    let graph = open_graph(ctx, &schema, &directory).await?;
    let examples = SplitExamples {
        train: examples(&graph, &plan, &task, &splits.train)?,
        validation: examples(&graph, &plan, &task, &splits.validation)?,
        test: examples(&graph, &plan, &task, &splits.test)?,
    };
    Ok(Prepared { plan, cutoffs, splits, examples, task, schema, graph })
}

/// Label rows at every cutoff of the grid whose window closes within the data.
async fn closed_labels(
    database: &Database,
    plan: &LabelPlan,
    cutoffs: &Cutoffs,
) -> Result<RecordBatch, EngineError> {
    let mut grid = cutoffs.train.clone();
    let mut at = cutoffs.val_timestamp;
    while cutoffs.horizon.after(at) <= cutoffs.data_end {
        grid.push(at);
        at = cutoffs.horizon.after(at);
    }
    grid.sort_unstable();
    grid.dedup();
    Ok(plan.label_rows(&database.context, &grid).await?)
}

/// The options of a fit that the query language names.
#[must_use]
pub fn fit_options(options: &Options) -> relcast_train::model::FitOptions {
    relcast_train::model::FitOptions {
        seed: options.seed,
        fanout: options.fanout.clone(),
        layers: options.layers,
        channels: options.channels,
        epochs: options.epochs,
        batch_size: options.batch_size,
        learning_rate: options.learning_rate,
        max_train_rows: options.max_train_rows,
        class_weights: options.class_weights,
    }
}
