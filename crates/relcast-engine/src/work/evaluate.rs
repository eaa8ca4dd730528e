//! `evaluate`: metrics per split and history, with the baselines beside them.

use std::collections::BTreeMap;

use relcast_catalog::{Catalog, format_time};
use relcast_connect::Database;
use relcast_nn::RelationalModel;
use relcast_query::History;
use relcast_train::evaluate::{
    Evaluation, SplitName, baselines, measure, predictions, visible_end,
};
use relcast_train::model::ModelPlan;
use relcast_train::score::Inputs;
use serde::{Deserialize, Serialize};

use super::prepare::{Prepared, prepare};
use crate::error::EngineError;
use crate::home::Home;
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
            results,
        }
    }
}

fn task_type(model: &ModelPlan) -> &'static str {
    use relcast_train::examples::Task;
    match model.fit.task {
        Task::Binary => "binary_classification",
        Task::Regression { .. } => "regression",
        Task::Multiclass { .. } => "multiclass_classification",
    }
}

/// Evaluates a stored model afresh on `database`.
///
/// # Errors
/// If the schema changed since training, or a stage fails.
pub async fn evaluate(
    home: &Home,
    database: &Database,
    catalog: &Catalog,
    stored: &StoredModel,
    split: Option<SplitName>,
    history: Option<History>,
) -> Result<EvaluationReport, EngineError> {
    stored.check_schema(&catalog.schema)?;
    let started = std::time::Instant::now();
    let plan = stored.question.plan(&catalog.schema, &stored.set)?;
    let task = stored.plan.fit.task.clone();
    let prepared = prepare(home, database, catalog, plan, Some(task)).await?;
    let inputs = stored.plan.inputs(prepared.graph.clone())?;
    let network = stored.plan.network(&stored.weights)?;
    let results = evaluate_prepared(&prepared, &stored.plan, &inputs, &network, split, history)?;
    let seconds = BTreeMap::from([("evaluate".to_owned(), started.elapsed().as_secs_f64())]);
    Ok(EvaluationReport::new(
        &stored.name,
        stored.version,
        &prepared,
        &stored.plan,
        seconds,
        results,
    ))
}

/// The figures for the splits and histories asked for; validation is the same in both histories.
pub(super) fn evaluate_prepared(
    prepared: &Prepared,
    model: &ModelPlan,
    inputs: &Inputs,
    network: &RelationalModel,
    split: Option<SplitName>,
    history: Option<History>,
) -> Result<Vec<Evaluation>, EngineError> {
    let mut results = Vec::new();
    for s in [SplitName::Val, SplitName::Test] {
        for h in [History::Frozen, History::Rolling] {
            if split.is_some_and(|asked| asked != s) || history.is_some_and(|asked| asked != h) {
                continue;
            }
            let examples = prepared.examples.of(s);
            let end = visible_end(s, h, &prepared.cutoffs);
            let outputs = inputs.score(network, examples, end, model.fit.batch_size.max(256))?;
            let predicted = predictions(&model.fit, &outputs);
            results.push(Evaluation {
                split: s,
                history: h,
                metrics: measure(&model.fit.task, &examples.labels, &predicted),
                baselines: baselines(
                    inputs,
                    &model.fit,
                    &prepared.examples,
                    &prepared.cutoffs,
                    s,
                    h,
                )?,
            });
        }
    }
    Ok(results)
}
