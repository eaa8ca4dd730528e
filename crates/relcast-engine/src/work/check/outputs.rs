//! What the model says and what came true, at training and since.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take;
use relcast_graph::key_hashes;
use relcast_query::{Cutoffs, TaskType};
use relcast_train::dataset::examples;
use relcast_train::drift::{counts, edges};
use relcast_train::evaluate::top_classes;
use relcast_train::examples::Task;

use super::{CheckLine, CheckedKind, Side};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::stored::StoredModel;
use crate::work::columns::{PREDICTION, PROBABILITY};

/// Entities that are scored at each of the two moments, at most.
const MOST_SCORED: usize = 5_000;

/// Compares the scores at the last validation cutoff, where the model was chosen but not fitted,
/// with those at the newest time.
pub(super) async fn check_scores(
    engine: &Engine,
    model: &Arc<StoredModel>,
    newest: i64,
) -> Result<CheckLine, EngineError> {
    let (then, now) = match chosen_at(&model.cutoffs) {
        Some(cutoff) => {
            (scores(engine, model, cutoff).await?, scores(engine, model, newest).await?)
        }
        None => (Vec::new(), Vec::new()),
    };
    let plan = model.question.plan(&model.schema, &model.set)?;
    let column = if plan.task_type == TaskType::Binary { PROBABILITY } else { PREDICTION };
    let table = &model.schema.table(plan.entity).name;
    let line = CheckLine::new(CheckedKind::Score, table, column);
    Ok(compared(line, &model.plan.fit.task, &then, &now))
}

/// Compares the labels of the training rows with all that have closed since.
pub(super) async fn check_labels(
    engine: &Engine,
    model: &Arc<StoredModel>,
    newest: i64,
) -> Result<CheckLine, EngineError> {
    let scorer = engine.scorer(model, newest).await?;
    let (prepared, task) = (&scorer.prepared, &model.plan.fit.task);
    let cutoffs = prepared.cutoffs.closed_from_validation(newest);
    let rows = prepared.plan.label_rows(&engine.database.context, &cutoffs).await?;
    let closed = examples(&prepared.graph, &prepared.plan, task, &rows)?;
    let table = &model.schema.table(prepared.plan.entity).name;
    let line = CheckLine::new(CheckedKind::Label, table, &prepared.plan.label_column);
    Ok(compared(line, task, &prepared.examples.train.labels, &closed.labels))
}

/// The last moment that the model was chosen at, else the last it was fitted at.
fn chosen_at(cutoffs: &Cutoffs) -> Option<i64> {
    cutoffs.val.last().or_else(|| cutoffs.train.last()).copied()
}

/// The predictions for those who pass at `cutoff`, or for as many of them as are enough, chosen by
/// a hash of their keys; of several classes the place of the predicted one.
async fn scores(
    engine: &Engine,
    model: &Arc<StoredModel>,
    cutoff: i64,
) -> Result<Vec<f64>, EngineError> {
    let scorer = engine.scorer(model, cutoff).await?;
    let entities = scorer.prepared.plan.entities(&engine.database.context, cutoff).await?;
    let (predicted, there) = scorer.predict(&some_of(&entities)?, cutoff)?;
    let values = match &model.plan.fit.task {
        Task::Multiclass { classes } => top_classes(&predicted, classes.len())
            .into_iter()
            .map(|class| class.map_or(f64::NAN, |class| class as f64))
            .collect(),
        _ => predicted,
    };
    Ok(values.into_iter().zip(there).filter(|(_, there)| *there).map(|(value, _)| value).collect())
}

fn some_of(entities: &RecordBatch) -> Result<Vec<ArrayRef>, EngineError> {
    if entities.num_rows() <= MOST_SCORED {
        return Ok(entities.columns().to_vec());
    }
    let mut hashes: Vec<(u64, u64)> =
        key_hashes(entities.columns())?.into_iter().zip(0..).collect();
    hashes.sort_unstable();
    let places: UInt64Array = hashes.iter().take(MOST_SCORED).map(|(_, place)| *place).collect();
    let chosen = entities.columns().iter().map(|column| take(column, &places, None));
    Ok(chosen.collect::<Result<_, _>>()?)
}

/// `then` against `now`: classes by their places, those that training has not met being beyond them;
/// numbers by the ranges of `then`.
fn compared(line: CheckLine, task: &Task, then: &[f64], now: &[f64]) -> CheckLine {
    let line =
        CheckLine { training: Side::of_numbers(then), current: Side::of_numbers(now), ..line };
    let Task::Multiclass { classes } = task else {
        let edges = edges(then);
        return line.judged(&counts(then, &edges), &counts(now, &edges));
    };
    let by_class = |values: &[f64]| {
        let mut counts = vec![0u64; classes.len() + 1];
        for value in values {
            let class = if value.is_nan() { classes.len() } else { *value as usize };
            counts[class.min(classes.len())] += 1;
        }
        counts
    };
    let (then, now) = (by_class(then), by_class(now));
    let rows = now.iter().sum::<u64>();
    let unknown = now.last().filter(|_| rows > 0).map(|n| *n as f64 / rows as f64);
    let bare = |side: Side| Side { mean: None, ..side };
    CheckLine {
        training: bare(line.training),
        current: bare(line.current),
        unknown_share: unknown,
        ..line.judged(&then, &now)
    }
}

#[cfg(test)]
mod tests {
    use relcast_train::drift::Verdict;

    use super::*;

    fn line(task: &Task, then: &[f64], now: &[f64]) -> CheckLine {
        compared(CheckLine::new(CheckedKind::Label, "t", "label"), task, then, now)
    }

    #[test]
    fn rates_are_means_and_a_change_of_them_is_drift() {
        let labels = |positives: usize| [vec![1.0; positives], vec![0.0; 100 - positives]].concat();
        let same = line(&Task::Binary, &labels(20), &labels(21));
        assert_eq!((same.training.mean, same.current.mean), (Some(0.2), Some(0.21)));
        assert_eq!(same.verdict, Some(Verdict::Ok));
        assert_eq!(line(&Task::Binary, &labels(20), &labels(60)).verdict, Some(Verdict::Drift));
        let nothing = line(&Task::Binary, &labels(20), &[]);
        assert_eq!((nothing.psi, nothing.verdict, nothing.current.mean), (None, None, None));
        assert_eq!(nothing.current.rows, Some(0));
    }

    #[test]
    fn classes_have_no_mean_and_new_ones_are_unknown() {
        let task = Task::Multiclass { classes: vec!["a".to_owned(), "b".to_owned()] };
        let found = line(&task, &[0.0, 1.0, 1.0, 0.0], &[0.0, 3.0, 1.0, 1.0]);
        assert_eq!((found.training.mean, found.unknown_share), (None, Some(0.25)));
    }
}
