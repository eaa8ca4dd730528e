//! From a question to everything a model is trained on or scored with.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::ipc::writer::StreamWriter;
use datafusion::prelude::SessionContext;
use relcast_catalog::{Catalog, Schema, TaskManifest, format_time};
use relcast_connect::Database;
use relcast_graph::TemporalGraph;
use relcast_query::{Cutoffs, DateKnown, LabelPlan, LabelSelect, OnError, Options, bind_with};
use relcast_train::TrainError;
use relcast_train::dataset::{
    LabelSplits, cutoff_column, examples, finite_labels, normalised_weights, open_graph, task_of,
    with_label_history,
};
use relcast_train::evaluate::{RowHistory, SplitExamples};
use relcast_train::examples::Task;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::strays::strays;
use crate::error::EngineError;
use crate::home::Home;
use crate::registry::Origin;
use crate::stored::StoredModel;

/// The columns of predictions beside the entity's key and the label, whose names they cannot have.
/// SQLite does not tell upper from lower case, so neither do we.
const RESULT_COLUMNS: [&str; 13] = [
    "cutoff",
    "prediction",
    "probability",
    "probabilities",
    "lower",
    "upper",
    "embedding",
    "in_sample",
    "model",
    "model_version",
    "run_id",
    "predicted_at",
    "data_until",
];

/// Those that a prediction has besides where FOR names keys; no label stands beside them.
const NAMED_COLUMNS: [&str; 2] = ["eligible", "reason"];

/// Refuses a key or a label that would share its name with a column of predictions.
///
/// # Errors
/// [`EngineError::ResultColumn`].
pub(crate) fn refuse_result_columns(plan: &LabelPlan) -> Result<(), EngineError> {
    let is = |name: &str, columns: &[&str]| columns.iter().any(|c| c.eq_ignore_ascii_case(name));
    let taken = |name: &&String| is(name, &RESULT_COLUMNS);
    let taken_key = |name: &&String| taken(name) || is(name, &NAMED_COLUMNS);
    let key = plan.entity_columns.iter().find(taken_key);
    match key.or_else(|| Some(&plan.label_column).filter(taken)) {
        Some(name) => Err(EngineError::ResultColumn { name: name.clone() }),
        None => Ok(()),
    }
}

/// What is to be predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Question {
    /// A task that the database's folder declares.
    Task(Box<TaskManifest>),
    /// A predictive query, as written.
    Query(String),
    /// The rows of a SELECT.
    Select(Box<LabelSelect>),
}

impl Question {
    /// What the registry records of it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        match self {
            Self::Task(task) => Origin::Task(task.name.clone()),
            Self::Query(text) => Origin::Query(text.clone()),
            Self::Select(select) => Origin::Query(select.to_string()),
        }
    }

    /// The label plan of the question over `schema`, with `set` options applied on top.
    ///
    /// # Errors
    /// Of the query: place, expectation, nearest name; and [`EngineError::ResultColumn`].
    pub fn plan(
        &self,
        schema: &Schema,
        set: &[(String, String)],
    ) -> Result<LabelPlan, EngineError> {
        let plan = self.unchecked_plan(schema, set)?;
        refuse_result_columns(&plan)?;
        Ok(plan)
    }

    /// `schema` with its dates known from when the question, with `set` options on top, says.
    ///
    /// # Errors
    /// Of the query's text, and for an option that is unknown or has no such value.
    pub fn known_schema(
        &self,
        schema: &Schema,
        set: &[(String, String)],
    ) -> Result<Schema, EngineError> {
        let mut options = match self {
            Self::Task(_) => Options::default(),
            Self::Select(select) => select.options.clone(),
            Self::Query(text) => {
                let in_text = EngineError::in_text(text);
                let query = relcast_query::parse(text).map_err(&in_text)?;
                Options::from_statement(&query.options).map_err(&in_text)?
            }
        };
        for (name, value) in set {
            options.set(name, value)?;
        }
        Ok(match options.date_known {
            DateKnown::StartOfDay => schema.clone(),
            DateKnown::EndOfDay => schema.with_dates_known_at_end(),
        })
    }

    /// `schema` as models of the question read it: without the columns that a task removes.
    ///
    /// # Errors
    /// [`EngineError::Catalog`] if the task removes a foreign key.
    pub fn schema_of_inputs(&self, schema: Schema) -> Result<Schema, EngineError> {
        match self {
            Self::Task(task) => Ok(task.schema_of_inputs(schema)?),
            Self::Query(_) | Self::Select(_) => Ok(schema),
        }
    }

    fn unchecked_plan(
        &self,
        schema: &Schema,
        set: &[(String, String)],
    ) -> Result<LabelPlan, EngineError> {
        match self {
            Self::Task(task) => Ok(LabelPlan::from_task_with(task, schema, set)?),
            Self::Select(select) => Ok(LabelPlan::from_select(select, schema, set)?),
            Self::Query(text) => {
                let in_text = EngineError::in_text(text);
                let parsed = relcast_query::parse(text).map_err(&in_text)?;
                let query = bind_with(&parsed, schema, set).map_err(&in_text)?;
                if query.names_entities() {
                    return Err(EngineError::NamesEntities);
                }
                Ok(LabelPlan::from_query(&query, schema)?)
            }
        }
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
    /// The schema with the semantic types of training.
    pub source_schema: Schema,
    /// The same with the table of closed labels.
    pub schema: Schema,
    /// Rows and links.
    pub graph: Arc<TemporalGraph>,
    /// The end of what was known when the labels that have closed were taken.
    pub known_until: i64,
    /// A hash of the label rows where they may change while the database stays as it is.
    pub label_hash: Option<String>,
    /// Which label rows are left out, if any, since the options say so.
    pub left_out: Option<String>,
    /// What a person should look at before the model is trusted; told in training alone.
    pub doubts: Vec<String>,
}

impl Prepared {
    /// Prepares a question that is asked for the first time, with `set` options on top.
    ///
    /// What a column means is inferred from what is known at the last training cutoff, so that
    /// nothing later has a say in it.
    ///
    /// # Errors
    /// Of the query, the labels or the graph.
    pub async fn new(
        home: &Home,
        database: &Database,
        catalog: &Catalog,
        question: &Question,
        set: &[(String, String)],
    ) -> Result<Self, EngineError> {
        let mut catalog = catalog.clone();
        catalog.schema = question.known_schema(&catalog.schema, set)?;
        let plan = question.plan(&catalog.schema, set)?;
        let cutoffs = plan.cutoffs(&database.context, &catalog.schema).await?;
        let schema = match cutoffs.train.last() {
            Some(until) => catalog.schema_known_at(database, *until).await?,
            None => catalog.schema.clone(),
        };
        let schema = &question.schema_of_inputs(schema)?;
        let plan = question.plan(schema, set)?;
        let (splits, left_out) = label_splits(&database.context, &plan, &cutoffs).await?;
        if splits.train.num_rows() == 0 {
            refuse_null_labels(&database.context, &plan, &cutoffs).await?;
        }
        splits.check_finite()?;
        let task = task_of(&plan.task_type, &splits.train)?;
        let known_until = cutoffs.data_end;
        let weights = splits.weights.as_deref().map(normalised_weights).transpose()?;
        let mut prepared =
            Self::build(home, database, schema, plan, cutoffs, splits, task, known_until).await?;
        prepared.examples.train.weights = weights.unwrap_or_default();
        prepared.left_out = left_out;
        prepared.doubts = catalog.time_doubts(prepared.plan.entity);
        let odd = database.odd_cells.iter().filter(|odd| odd.is_typed);
        prepared.doubts.extend(odd.map(|odd| {
            format!("{}.{}: {}; they are read as NULL", odd.table, odd.column, odd.text)
        }));
        let unread = database.left_out.iter();
        prepared.doubts.extend(unread.map(|(name, what)| format!("{name} is not read: {what}")));
        if prepared.plan.as_of.is_none() {
            prepared.doubts.extend(strays(database, &catalog.schema, known_until).await?);
        }
        Ok(prepared)
    }

    /// Prepares the question of a stored model for predictions at `cutoff`, or at the cutoffs of
    /// its splits. Schema, splits and classes stay those of training, whatever the data are today.
    ///
    /// # Errors
    /// As [`Prepared::new`], and if the schema changed.
    pub async fn again(
        home: &Home,
        database: &Database,
        schema: &Schema,
        stored: &StoredModel,
        cutoff: Option<i64>,
    ) -> Result<Self, EngineError> {
        Self::known_by(home, database, schema, stored, cutoff, None).await
    }

    /// Prepares the question of a stored model for the cutoffs of its splits with nothing later than
    /// `as_of`: labels that had not closed by the newest time up to then are left out.
    ///
    /// # Errors
    /// As [`Prepared::again`], and if no label to judge by had closed.
    pub async fn as_of(
        home: &Home,
        database: &Database,
        schema: &Schema,
        stored: &StoredModel,
        as_of: i64,
    ) -> Result<Self, EngineError> {
        Self::known_by(home, database, schema, stored, None, Some(as_of)).await
    }

    async fn known_by(
        home: &Home,
        database: &Database,
        schema: &Schema,
        stored: &StoredModel,
        cutoff: Option<i64>,
        as_of: Option<i64>,
    ) -> Result<Self, EngineError> {
        stored.check_schema(schema)?;
        let plan = stored.question.plan(&stored.schema, &stored.set)?;
        let mut cutoffs = stored.cutoffs.clone();
        let newest = plan.newest_time(&database.context, as_of).await?;
        cutoffs.data_end = newest.or(as_of).unwrap_or(cutoffs.data_end);
        let closed = |cutoff: &i64| cutoffs.horizon.after(*cutoff) <= cutoffs.data_end;
        for split in [&mut cutoffs.val, &mut cutoffs.test] {
            split.retain(closed);
        }
        if as_of.is_some() {
            cutoffs.train.retain(closed);
            refuse_none_closed(stored, &cutoffs)?;
        }
        let (splits, _) = label_splits(&database.context, &plan, &cutoffs).await?;
        let known_until = match cutoff {
            Some(at) => known_until(&database.context, &plan, &cutoffs, at).await?,
            None => cutoffs.data_end,
        };
        let task = stored.plan.fit.task.clone();
        let schema = &stored.schema;
        Self::build(home, database, schema, plan, cutoffs, splits, task, known_until).await
    }

    #[allow(clippy::too_many_arguments)] // the parts that both ways of preparing bring
    async fn build(
        home: &Home,
        database: &Database,
        schema: &Schema,
        plan: LabelPlan,
        cutoffs: Cutoffs,
        splits: LabelSplits,
        task: Task,
        known_until: i64,
    ) -> Result<Self, EngineError> {
        let ctx = &database.context;
        let closed = closed_labels(ctx, &plan, &cutoffs, &splits, known_until).await?;
        let label_hash = match plan.reads_beyond_tables() {
            true => Some(hash_of(
                &[&closed, &splits.train, &splits.validation],
                splits.weights.as_deref(),
            )?),
            false => None,
        };
        let source_schema = schema.clone();
        let (session, schema) =
            with_label_history(ctx, schema, &plan, &cutoffs, &task, &closed).await?;
        let identity = format!(
            "{}\n{}\n{}\n{cutoffs:?}\n{}\n{schema:?}",
            database.fingerprint,
            plan.sql(),
            label_hash.as_deref().unwrap_or_default(),
            closed_until(&plan, &cutoffs, known_until),
        );
        let directory = home.graph(&format!("{:032x}", xxh3_128(identity.as_bytes())));
        let writing = home.writing_graphs().await?;
        let graph = open_graph(&session, &schema, &directory).await?;
        drop(writing);
        home.graph_used(&directory);
        let examples = SplitExamples {
            train: examples(&graph, &plan, &task, &splits.train)?,
            validation: examples(&graph, &plan, &task, &splits.validation)?,
            test: examples(&graph, &plan, &task, &splits.test)?,
        };
        Ok(Self {
            plan,
            cutoffs,
            splits,
            examples,
            task,
            source_schema,
            schema,
            graph,
            known_until,
            label_hash,
            left_out: None,
            doubts: Vec::new(),
        })
    }

    /// The rows that the target reads, for the baseline over the last of them.
    ///
    /// # Errors
    /// Of the query.
    pub async fn row_history(
        &self,
        database: &Database,
    ) -> Result<Option<RowHistory>, EngineError> {
        let rows = self.plan.row_values(&database.context).await?;
        Ok(rows.map(|rows| RowHistory::read(&rows, &self.task)).transpose()?)
    }
}

/// The label rows of all splits. Those that nothing can be learnt from or judged by are left out if the
/// options say so; then they are told.
async fn label_splits(
    ctx: &SessionContext,
    plan: &LabelPlan,
    cutoffs: &Cutoffs,
) -> Result<(LabelSplits, Option<String>), EngineError> {
    let mut splits = LabelSplits::read(ctx, plan, cutoffs).await?;
    let left_out = match plan.options.on_error {
        OnError::Abort => None,
        OnError::Skip => splits.leave_out_infinite()?,
    };
    Ok((splits, left_out))
}

/// Refuses labels that are NULL for all entities at the last training cutoff, if there are any
/// entities.
async fn refuse_null_labels(
    ctx: &SessionContext,
    plan: &LabelPlan,
    cutoffs: &Cutoffs,
) -> Result<(), EngineError> {
    let Some(last) = cutoffs.train.last() else { return Ok(()) };
    let count = plan.entities(ctx, *last).await?.num_rows();
    if count == 0 {
        return Ok(());
    }
    Err(TrainError::Labels(format!(
        "there is no label row to learn from: {count} entities take part at the last training cutoff {}, but their labels are NULL there and at all before it: \
         no row lies in their windows, what the target reads is NULL in all of them, or ASSUMING leaves them out",
        format_time(*last)
    ))
    .into())
}

/// Until when the world is known to someone who predicts at `cutoff`: at least until then, unless
/// the newest time up to the cutoff lies more than a horizon before it and the data are stale.
///
/// Whether there are rows after the cutoff makes no difference: it is not known at the cutoff.
pub(crate) async fn known_until(
    ctx: &SessionContext,
    plan: &LabelPlan,
    cutoffs: &Cutoffs,
    cutoff: i64,
) -> Result<i64, EngineError> {
    let newest = match cutoff >= cutoffs.data_end {
        true => Some(cutoffs.data_end),
        false => plan.newest_time(ctx, Some(cutoff)).await?,
    };
    let stale = newest.filter(|newest| cutoffs.horizon.after(*newest) < cutoff);
    Ok(stale.unwrap_or(cutoffs.data_end.max(cutoff)))
}

/// The first moment with the same closed labels as `until`, and so with the same graph.
pub(crate) fn closed_until(plan: &LabelPlan, cutoffs: &Cutoffs, until: i64) -> i64 {
    // The rows of a SELECT stand where they like; what validation judges has closed when test starts.
    if plan.reads_beyond_tables() || until < cutoffs.test_timestamp {
        return until;
    }
    let last = cutoffs.closed_from_validation(until).last().map(|c| cutoffs.horizon.after(*c));
    last.unwrap_or(i64::MIN).max(cutoffs.test_timestamp)
}

/// What should be known before `model` is believed at `cutoff` over data that end at `newest`: how far
/// before it they end, and whether the model learnt from far older ones.
pub(crate) fn staleness(model: &StoredModel, newest: i64, cutoff: i64) -> Vec<String> {
    let Cutoffs { horizon, data_end, .. } = model.cutoffs;
    let mut told = Vec::new();
    if newest < cutoff {
        let days = (cutoff - newest) as f64 / 86_400e6;
        let (at, end) = (format_time(cutoff), format_time(newest));
        told.push(match horizon.after(newest) < cutoff {
            true => format!(
                "the data are stale: they end on {end}, {days:.1} days before the cutoff {at}, more than the horizon {horizon}; predictions see the world as of {end}"
            ),
            false => format!("the data end on {end}, {days:.1} days before the cutoff {at}"),
        });
    }
    let seen = newest.min(cutoff);
    if horizon.after(data_end) < seen {
        told.push(format!(
            "model \"{}\" is stale: it learnt from data until {}, more than the horizon {horizon} before {}; REFRESH MODEL trains it anew",
            model.name,
            format_time(data_end),
            format_time(seen)
        ));
    }
    told
}

/// Label rows whose windows have closed by `until`, at the cutoffs to learn from and those that
/// follow at the same step. Labels that are no finite number are left out.
async fn closed_labels(
    ctx: &SessionContext,
    plan: &LabelPlan,
    cutoffs: &Cutoffs,
    splits: &LabelSplits,
    until: i64,
) -> Result<RecordBatch, EngineError> {
    let rows = if plan.closes_late() || cutoffs.step != cutoffs.horizon {
        let later = cutoffs.closed_from_validation(until);
        plan.closed_rows(ctx, &[cutoffs.train.as_slice(), &later].concat()).await?
    } else {
        let later = plan.later_cutoffs(ctx, cutoffs, until).await?;
        let later = plan.label_rows(ctx, &later).await?;
        concat_batches(&splits.train.schema(), [&splits.train, &splits.validation, &later])?
    };
    let finite = finite_labels(&rows)?;
    let closed: BooleanArray = cutoff_column(&rows)?
        .into_iter()
        .zip(finite)
        .map(|(cutoff, finite)| Some(finite && cutoffs.horizon.after(cutoff) <= until))
        .collect();
    Ok(filter_record_batch(&rows, &closed)?)
}

/// A hash of label rows and weights.
fn hash_of(rows: &[&RecordBatch], weights: Option<&[f64]>) -> Result<String, EngineError> {
    let mut bytes = Vec::new();
    for batch in rows {
        let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema())?;
        writer.write(batch)?;
        writer.finish()?;
    }
    for weight in weights.into_iter().flatten() {
        bytes.extend(weight.to_le_bytes());
    }
    Ok(format!("{:032x}", xxh3_128(&bytes)))
}

/// Refuses an evaluation at a moment when there was no label yet to judge by.
fn refuse_none_closed(stored: &StoredModel, cutoffs: &Cutoffs) -> Result<(), EngineError> {
    if !cutoffs.val.is_empty() || !cutoffs.test.is_empty() {
        return Ok(());
    }
    let first = stored.cutoffs.val.first().copied().unwrap_or(stored.cutoffs.val_timestamp);
    Err(EngineError::Sql {
        at: None,
        message: format!(
            "no label to judge model \"{}\" by had closed by {}, the newest time of the data up to AS OF",
            stored.name,
            format_time(cutoffs.data_end)
        ),
        hint: Some(format!(
            "the first of its validation split closes on {}",
            format_time(cutoffs.horizon.after(first))
        )),
    })
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
