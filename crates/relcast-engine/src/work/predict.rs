//! `predict`: predictions for entities as a table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema as ArrowSchema};
use relcast_catalog::Catalog;
use relcast_connect::{Database, Target};
use relcast_query::ast::Name;
use relcast_query::{History, LabelPlan, OptionValue};
use relcast_train::conformal::Band;
use relcast_train::dataset::examples;
use relcast_train::evaluate::{SplitName, visible_end};

use super::columns::{Scores, Shown, prediction_column, prediction_fields};
use super::prepare::staleness;
use super::scorer::Scorer;
use crate::error::EngineError;
use crate::home::Home;
use crate::outside::check_outside_home;
use crate::registry::{Registry, now};
use crate::runs::{RunId, RunKind};
use crate::stored::StoredModel;

/// Which entities are predicted, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredictAt {
    /// Every entity that passes, at a moment; the newest time of the data if none is named.
    Moment(Option<i64>),
    /// The label rows of a split, with their labels beside the predictions.
    Split(SplitName, History),
}

/// Predicts as [`predict`] with the `written` options over those of training, and writes the rows to
/// each of `targets`. All of it is one run on record: one that predicted and could not write has
/// failed.
///
/// # Errors
/// As [`predict`], for an option that is none of predictions or would do nothing, and if a target
/// cannot be written, would be a table of the source or lies in the home folder.
pub async fn predict_into(
    registry: &Registry,
    database: &Database,
    catalog: &Catalog,
    stored: &Arc<StoredModel>,
    at: PredictAt,
    written: &[(Name, OptionValue)],
    targets: &[Target],
) -> Result<RecordBatch, EngineError> {
    targets.iter().try_for_each(relcast_connect::check_target)?;
    targets.iter().try_for_each(|target| database.check_apart(target))?;
    let home = registry.home().path();
    targets.iter().try_for_each(|target| check_outside_home(home, target.path()))?;
    let plan = stored.plan_with(written)?;
    let band = stored.band(&plan.options, written)?;
    let work = async |run| {
        let asked = Asked { plan: &plan, band, run };
        let rows = predict_stored(registry.home(), database, catalog, stored, at, asked).await?;
        for target in targets {
            relcast_connect::write(target, std::slice::from_ref(&rows)).await?;
        }
        Ok((stored.version, rows))
    };
    registry.record(RunKind::Predict, &stored.name, work).await
}

/// Predicts with `stored`: the entity's key, `cutoff`, `prediction`, `probability` or
/// `probabilities` by task, `lower`, `upper` and `embedding` where the model was trained to say them,
/// the model and its version, and the label for a split.
///
/// # Errors
/// If the schema changed since training, or a stage fails.
pub async fn predict(
    registry: &Registry,
    database: &Database,
    catalog: &Catalog,
    stored: &Arc<StoredModel>,
    at: PredictAt,
) -> Result<RecordBatch, EngineError> {
    predict_into(registry, database, catalog, stored, at, &[], &[]).await
}

/// What is asked of the model, and which run asks.
#[derive(Clone, Copy)]
struct Asked<'a> {
    plan: &'a LabelPlan,
    band: Option<Band>,
    run: RunId,
}

async fn predict_stored(
    home: &Home,
    database: &Database,
    catalog: &Catalog,
    stored: &Arc<StoredModel>,
    at: PredictAt,
    asked: Asked<'_>,
) -> Result<RecordBatch, EngineError> {
    let moment = match at {
        PredictAt::Moment(Some(moment)) => Some(moment),
        PredictAt::Moment(None) => Some(stored.newest_time(database).await?),
        PredictAt::Split(..) => None,
    };
    let scorer = Scorer::open(home, database, &catalog.schema, stored.clone(), moment).await?;
    let prepared = &scorer.prepared;
    let embedded = asked.plan.options.embedding;
    match at {
        PredictAt::Moment(_) => {
            let newest = prepared.cutoffs.data_end;
            let cutoff = moment.unwrap_or(newest);
            staleness(stored, newest, cutoff).iter().for_each(|told| tracing::warn!("{told}"));
            let keys = asked.plan.entities(&database.context, cutoff).await?;
            let scores = scorer.scores(keys.columns(), cutoff, embedded)?;
            table(&scorer, asked, &keys, &vec![cutoff; keys.num_rows()], scores)
        }
        PredictAt::Split(split, history) => {
            let rows = match split {
                SplitName::Val => &prepared.splits.validation,
                SplitName::Test => &prepared.splits.test,
            };
            let seeds = examples(&prepared.graph, &prepared.plan, &prepared.task, rows)?;
            let end = visible_end(split, history, &prepared.cutoffs);
            let scores = scorer.scores_of(&seeds, end, embedded)?;
            let keys: Vec<usize> = (1..rows.num_columns()).collect();
            table(&scorer, asked, &rows.project(&keys)?, &seeds.cutoffs, scores)
        }
    }
}

/// Keys, cutoffs and predictions, the labels if `rows` has them, and where it all comes from.
fn table(
    scorer: &Scorer,
    Asked { plan, band, run }: Asked<'_>,
    rows: &RecordBatch,
    cutoffs: &[i64],
    scores: Scores,
) -> Result<RecordBatch, EngineError> {
    let (prepared, stored) = (&scorer.prepared, &scorer.model);
    let keys = plan.entity_columns.len();
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (name, key) in plan.entity_columns.iter().zip(rows.columns()) {
        columns.push((name.clone(), key.clone()));
    }
    let times = TimestampMicrosecondArray::from_iter_values(cutoffs.iter().copied());
    columns.push(("cutoff".to_owned(), Arc::new(times)));
    let shown = Shown::from(&plan.options);
    // Whoever passes is predicted for, with a row or without.
    let scores = Scores { there: vec![true; cutoffs.len()], ..scores };
    for field in prediction_fields(plan.task_type, &plan.options) {
        let task = &stored.plan.fit.task;
        let column = prediction_column(field.name(), task, &scores, shown, band)?;
        columns.push((field.name().clone(), column));
    }
    if rows.num_columns() > keys {
        columns.push((plan.label_column.clone(), rows.column(keys).clone()));
    }
    let count = cutoffs.len();
    let moment = |at| Arc::new(TimestampMicrosecondArray::from_value(at, count)) as ArrayRef;
    let number = |n| Arc::new(Int64Array::from_value(n, count)) as ArrayRef;
    let trained_until = stored.cutoffs.data_end;
    let in_sample: BooleanArray = cutoffs.iter().map(|c| Some(*c < trained_until)).collect();
    columns.extend([
        ("in_sample".to_owned(), Arc::new(in_sample) as ArrayRef),
        ("model".to_owned(), Arc::new(StringArray::from(vec![stored.name.as_str(); count]))),
        ("model_version".to_owned(), number(stored.version)),
        ("run_id".to_owned(), number(run.0)),
        ("predicted_at".to_owned(), moment(now())),
        ("data_until".to_owned(), moment(prepared.cutoffs.data_end)),
    ]);
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, values)| Field::new(name, values.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, values)| values).collect();
    Ok(RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays)?)
}
