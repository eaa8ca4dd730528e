//! `evaluate`: metrics per split and history, with the baselines beside them.

use std::collections::BTreeMap;
use std::time::Instant;

use relcast_catalog::{Catalog, format_time};
use relcast_connect::Database;
use relcast_query::History;
use relcast_train::evaluate::{Evaluation, Judge, RowHistory, SplitName, boosting_left_out};
use relcast_train::model::ModelPlan;
use relcast_train::score::Inputs;
use serde::{Deserialize, Serialize};

use super::prepare::Prepared;
use crate::error::EngineError;
use crate::registry::Registry;
use crate::runs::RunKind;
use crate::stored::StoredModel;

/// What `train` and `evaluate` print.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// The model's name.
    pub model: String,
    /// Its version.
    pub version: i64,
    /// `binary_classification`, `regression` or `multiclass_classification`.
    pub task_type: String,
    /// The metric that chose the epoch.
    pub metric: String,
    /// The newest moment in the tables that the labels read.
    pub data_until: String,
    /// Label rows per split.
    pub rows: BTreeMap<String, usize>,
    /// Seconds per stage.
    pub seconds: BTreeMap<String, f64>,
    /// What is missing in the figures, and why.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The figures.
    pub results: Vec<Evaluation>,
}

impl EvaluationReport {
    pub(super) fn new(
        name: &str,
        version: i64,
        prepared: &Prepared,
        model: &ModelPlan,
        seconds: BTreeMap<String, f64>,
        results: Vec<Evaluation>,
    ) -> Self {
        let examples = &prepared.examples;
        let rows = [
            ("train", examples.train.len()),
            ("val", examples.validation.len()),
            ("test", examples.test.len()),
        ];
        Self {
            model: name.to_owned(),
            version,
            task_type: task_type(model).to_owned(),
            metric: model.fit.task.metric().to_owned(),
            data_until: format_time(prepared.cutoffs.data_end),
            rows: rows.map(|(split, n)| (split.to_owned(), n)).into(),
            seconds,
            notes: notes(prepared),
            results,
        }
    }
}

/// What is missing in the labels or will be in the figures of a model, known before it is trained.
pub(super) fn notes(prepared: &Prepared) -> Vec<String> {
    let empty = |split: SplitName, then: &str| {
        let text = || format!("there are no {split:?} label rows: {then}").to_lowercase();
        prepared.examples.of(split).is_empty().then(text)
    };
    [
        prepared.left_out.clone(),
        empty(SplitName::Val, "the last epoch is taken and cannot be chosen"),
        empty(SplitName::Test, "nothing says how good the model is"),
        boosting_left_out(&prepared.task),
    ]
    .into_iter()
    .flatten()
    .chain(prepared.doubts.iter().cloned())
    .collect()
}

fn task_type(model: &ModelPlan) -> &'static str {
    use relcast_train::examples::Task;
    match model.fit.task {
        Task::Binary => "binary_classification",
        Task::Regression { .. } => "regression",
        Task::Multiclass { .. } => "multiclass_classification",
    }
}

/// Evaluates a stored model afresh on `database`: on the `split` and under the `history` that are
/// named, else on all of them. Nothing later than `as_of` is read, where it is given: splits without
/// a label that had closed by then have no figures.
///
/// # Errors
/// If the schema changed since training, no label to judge by had closed by `as_of`, it was stopped,
/// or a stage fails.
pub async fn evaluate(
    registry: &Registry,
    database: &Database,
    catalog: &Catalog,
    stored: &StoredModel,
    split: Option<SplitName>,
    history: Option<History>,
    as_of: Option<i64>,
) -> Result<EvaluationReport, EngineError> {
    let (home, schema) = (registry.home(), &catalog.schema);
    let work = async |_| {
        let started = Instant::now();
        let prepared = match as_of {
            Some(as_of) => Prepared::as_of(home, database, schema, stored, as_of).await?,
            None => Prepared::again(home, database, schema, stored, None).await?,
        };
        let mut asked = every(split, history);
        if as_of.is_some() {
            asked.retain(|(split, _)| !prepared.examples.of(*split).is_empty());
        }
        let mut report = evaluate_prepared(database, &prepared, stored, &asked).await?;
        report.seconds.insert("evaluate".to_owned(), started.elapsed().as_secs_f64());
        Ok((stored.version, report))
    };
    registry.record(RunKind::Evaluate, &stored.name, work).await
}

async fn evaluate_prepared(
    database: &Database,
    prepared: &Prepared,
    stored: &StoredModel,
    asked: &[(SplitName, History)],
) -> Result<EvaluationReport, EngineError> {
    let inputs = stored.plan.inputs(prepared.graph.clone())?;
    let network = stored.plan.network(&stored.weights)?;
    let rows = prepared.row_history(database).await?;
    let results =
        judge(prepared, &stored.plan, &inputs, rows.as_ref()).evaluate(&network, asked)?;
    Ok(EvaluationReport::new(
        &stored.name,
        stored.version,
        prepared,
        &stored.plan,
        BTreeMap::new(),
        results,
    ))
}

/// Who judges a model on what was prepared.
pub(super) fn judge<'a>(
    prepared: &'a Prepared,
    model: &'a ModelPlan,
    inputs: &'a Inputs,
    rows: Option<&'a RowHistory>,
) -> Judge<'a> {
    Judge {
        inputs,
        plan: &model.fit,
        examples: &prepared.examples,
        cutoffs: &prepared.cutoffs,
        rows,
    }
}

/// The splits under the histories that were asked for; all of them where none is named.
pub(super) fn every(
    split: Option<SplitName>,
    history: Option<History>,
) -> Vec<(SplitName, History)> {
    let histories = [History::Frozen, History::Rolling];
    [SplitName::Val, SplitName::Test]
        .into_iter()
        .filter(|s| split.is_none_or(|asked| asked == *s))
        .flat_map(|s| histories.map(|h| (s, h)))
        .filter(|(_, h)| history.is_none_or(|asked| asked == *h))
        .collect()
}
