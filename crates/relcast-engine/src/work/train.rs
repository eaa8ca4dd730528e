//! `train`: from a question to a registered model.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use relcast_catalog::Catalog;
use relcast_connect::Database;
use relcast_query::TaskType;
use relcast_train::checkpoint::CheckpointFile;
use relcast_train::conformal::residuals;
use relcast_train::fit::{Progress, fit};
use relcast_train::model::{ModelPlan, TrainingData, sample_plan};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_128;

use super::budget::{ResolvedBudget, keep_to_budget};
use super::evaluate::{EvaluationReport, every, judge, notes};
use super::prepare::{Prepared, Question, fit_options};
use crate::artefact::Artefact;
use crate::error::EngineError;
use crate::home::{Home, ModelLock};
use crate::registry::{NewVersion, Registry};
use crate::runs::RunKind;
use crate::stored::{check_validation, versions};

/// How long a second writer of one model waits for the first.
const PATIENCE: Duration = Duration::from_secs(5);

/// Refuses what has labels and cannot be trained for, before any work.
pub(crate) fn refuse_untrained(task_type: &TaskType) -> Result<(), EngineError> {
    match task_type {
        TaskType::Binary | TaskType::Regression | TaskType::Multiclass => Ok(()),
        other => Err(EngineError::NotYet { what: other.to_string() }),
    }
}

/// The right to train the model `name`; waits a little for whoever has it.
///
/// # Errors
/// As [`crate::home::Home::lock_model`].
pub fn lock_to_train(registry: &Registry, name: &str) -> Result<ModelLock, EngineError> {
    registry.home().lock_model(name, PATIENCE)
}

/// Trains a model for `question`, evaluates it and registers it as the next version of the lock's.
///
/// An interrupted run of the same question, data and options goes on after its last whole epoch.
///
/// # Errors
/// Of every stage; then nothing is registered.
pub async fn train(
    registry: &Registry,
    database: &Database,
    catalog: &Catalog,
    question: &Question,
    set: &[(String, String)],
    lock: &ModelLock,
    progress: &mut dyn Progress,
) -> Result<EvaluationReport, EngineError> {
    let mut left = Left { home: registry.home(), lock, goes: true };
    let work = async |_| {
        let trained =
            train_locked(registry, database, catalog, question, set, lock, progress).await;
        left.goes = trained.as_ref().err().is_none_or(EngineError::is_stop);
        trained.map(|report| (report.version, report))
    };
    registry.record(RunKind::Train, lock.model(), work).await
}

/// What a training leaves to go on from. Whoever stops one wants nothing of it, wherever it was;
/// one that was killed, or failed, goes on.
struct Left<'a> {
    home: &'a Home,
    lock: &'a ModelLock,
    goes: bool,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if self.goes {
            self.home.drop_checkpoints(self.lock);
        }
    }
}

async fn train_locked(
    registry: &Registry,
    database: &Database,
    catalog: &Catalog,
    question: &Question,
    set: &[(String, String)],
    lock: &ModelLock,
    progress: &mut dyn Progress,
) -> Result<EvaluationReport, EngineError> {
    let (home, name) = (registry.home(), lock.model());
    let mut seconds = BTreeMap::new();
    let begun = Instant::now();
    let started = begun;
    let asked = question.plan(&catalog.schema, set)?;
    asked.refuse_ignored(&[])?;
    refuse_untrained(&asked.task_type)?;
    // Too many steps are said before any work.
    sample_plan(&catalog.schema, asked.entity, &fit_options(&asked.options).fanout())?;
    let prepared = Prepared::new(home, database, catalog, question, set).await?;
    let options = fit_options(&prepared.plan.options);
    check_validation(&prepared.plan.options, &[], prepared.examples.validation.len())?;
    notes(&prepared).iter().for_each(|note| tracing::warn!("{note}"));
    seconds.insert("labels_and_graph".to_owned(), started.elapsed().as_secs_f64());

    let started = Instant::now();
    let mut model = learn(&prepared, &options)?;
    let inputs = model.inputs(prepared.graph.clone())?;
    let budget = match prepared.plan.options.budget {
        Some(budget) => {
            Some(keep_to_budget(budget, begun, &prepared, &options, &mut model, &inputs, progress)?)
        }
        None => None,
    };
    let checkpoint = checkpoint_file(home, name, database, &prepared, &model)?;
    let examples = &prepared.examples;
    let fitted = fit(
        &inputs,
        &model.fit,
        &examples.train,
        &examples.validation,
        Some(&checkpoint),
        progress,
    )?;
    seconds.insert("fit".to_owned(), started.elapsed().as_secs_f64());

    let started = Instant::now();
    let network = model.network(&fitted.weights)?;
    let rows = prepared.row_history(database).await?;
    let results =
        judge(&prepared, &model, &inputs, rows.as_ref()).evaluate(&network, &every(None, None))?;
    let residuals = residuals(&inputs, &model.fit, &network, &examples.validation)?;
    seconds.insert("evaluate".to_owned(), started.elapsed().as_secs_f64());

    let mut report = EvaluationReport::new(name, 0, &prepared, &model, seconds, results);
    let new = NewVersion {
        origin: question.origin(),
        schema_fingerprint: fingerprint(&prepared.source_schema)?,
        data_fingerprint: database.fingerprint.clone(),
        data_until: prepared.cutoffs.data_end,
        seed: model.fit.seed,
        options: serde_json::to_value(&model.fit).map_err(EngineError::json)?,
        metrics: serde_json::to_value(&report.results).map_err(EngineError::json)?,
    };
    // What a budget resolved to is set from now on: training anew replays it.
    let set: Vec<_> =
        set.iter().cloned().chain(budget.iter().flat_map(ResolvedBudget::set)).collect();
    let question = json!({
        "question": question, "set": set, "cutoffs": prepared.cutoffs, "budget": budget,
    });
    let epochs = json!({ "best": fitted.best_epoch, "epochs": fitted.epochs });
    let artefact = |version| {
        report.version = version;
        let mut documents = BTreeMap::from([
            ("model".to_owned(), serde_json::to_value(&model).map_err(EngineError::json)?),
            ("question".to_owned(), question),
            (
                "schema".to_owned(),
                serde_json::to_value(&prepared.source_schema).map_err(EngineError::json)?,
            ),
            ("metrics".to_owned(), serde_json::to_value(&report).map_err(EngineError::json)?),
            ("epochs".to_owned(), epochs),
            ("versions".to_owned(), versions()),
        ]);
        if let Some(residuals) = residuals {
            let residuals = serde_json::to_value(residuals).map_err(EngineError::json)?;
            documents.insert("residuals".to_owned(), residuals);
        }
        Ok(Artefact { weights: fitted.weights.0, documents })
    };
    registry.publish(lock, &new, artefact).await?;
    Ok(report)
}

/// A hash of tables, columns, types, keys and links.
fn fingerprint(schema: &relcast_catalog::Schema) -> Result<String, EngineError> {
    let text = serde_json::to_string(schema).map_err(EngineError::json)?;
    Ok(format!("{:032x}", xxh3_128(text.as_bytes())))
}

/// What the training rows teach before any weight is fitted.
fn learn(
    prepared: &Prepared,
    options: &relcast_train::model::FitOptions,
) -> Result<ModelPlan, EngineError> {
    let cutoffs = &prepared.cutoffs;
    let until = cutoffs.train.iter().copied().max().unwrap_or(i64::MIN);
    let horizon = cutoffs.horizon.after(cutoffs.val_timestamp) - cutoffs.val_timestamp;
    let data = TrainingData {
        graph: &prepared.graph,
        schema: &prepared.schema,
        entity: prepared.plan.entity,
        task: &prepared.task,
        train: &prepared.examples.train,
        until,
        horizon,
    };
    Ok(ModelPlan::learn(&data, options)?)
}

/// A file whose name depends on everything that decides the result.
fn checkpoint_file(
    home: &Home,
    name: &str,
    database: &Database,
    prepared: &Prepared,
    model: &ModelPlan,
) -> Result<CheckpointFile, EngineError> {
    let plan = serde_json::to_string(model).map_err(EngineError::json)?;
    let labels = prepared.label_hash.as_deref().unwrap_or_default();
    let identity = format!("{}\n{labels}\n{plan}", database.fingerprint);
    let file = home.checkpoint(name, &format!("{:032x}", xxh3_128(identity.as_bytes())))?;
    Ok(CheckpointFile::new(&file))
}
