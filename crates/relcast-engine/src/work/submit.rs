//! `evaluate --submit`: a declared task's test predictions as RelBench's leaderboard reads them.
//!
//! RelBench takes a folder with one CSV file per task, named `<dataset>__<task>.csv`: the task's
//! test table with predictions in the place of the labels. Keys must be those of the test table,
//! each once; their order does not count. Its history is frozen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use chrono::DateTime;
use relcast_catalog::{Catalog, TaskManifest};
use relcast_connect::{Database, Target};
use relcast_query::History;
use relcast_train::evaluate::SplitName;
use relcast_train::examples::Task;

use super::predict::{PredictAt, predict};
use super::prepare::Question;
use crate::error::EngineError;
use crate::outside::check_outside_home;
use crate::registry::Registry;
use crate::stored::StoredModel;

/// Checks that a submission of `stored` can be written into `folder`, which is made.
///
/// # Errors
/// [`EngineError::NoSubmission`] for a model of no declared task or of a kind without a
/// leaderboard, [`EngineError::File`] for a folder that cannot be made, and if the file would be a
/// table of the source or lies in the home folder.
pub fn check_submission(
    registry: &Registry,
    database: &Database,
    catalog: &Catalog,
    stored: &Arc<StoredModel>,
    folder: &Path,
) -> Result<(), EngineError> {
    let (task, _) = submitted(stored)?;
    check_outside_home(registry.home().path(), folder)?;
    std::fs::create_dir_all(folder).map_err(EngineError::file("create", folder))?;
    let file = folder.join(file_name(catalog, database, task));
    Ok(database.check_path_apart(&file)?)
}

/// Writes the test predictions of `stored` into `folder` and returns the file.
///
/// # Errors
/// As [`check_submission`] and [`predict`], and if the file cannot be written.
pub async fn submit(
    registry: &Registry,
    database: &Database,
    catalog: &Catalog,
    stored: &Arc<StoredModel>,
    folder: &Path,
) -> Result<PathBuf, EngineError> {
    let (task, predicted) = submitted(stored)?;
    let at = PredictAt::Split(SplitName::Test, History::Frozen);
    let rows = predict(registry, database, catalog, stored, at).await?;
    let column = |name: &str| {
        rows.column_by_name(name).cloned().ok_or_else(|| {
            EngineError::from(ArrowError::SchemaError(format!(
                "no column {name} in the predictions"
            )))
        })
    };
    let table = RecordBatch::try_from_iter_with_nullable([
        (&task.entity_col, column(&task.entity_col)?, true),
        (&task.time_col, times_as_text(&column("cutoff")?), true),
        (&task.target_col, column(predicted)?, true),
    ])?;
    let file = folder.join(file_name(catalog, database, task));
    relcast_connect::write(&Target::Csv(file.clone()), &[table]).await?;
    Ok(file)
}

/// The task of the model, and which column of its predictions is submitted.
fn submitted(stored: &StoredModel) -> Result<(&TaskManifest, &'static str), EngineError> {
    let refused = |reason: &str| {
        Err(EngineError::NoSubmission { model: stored.name.clone(), reason: reason.to_owned() })
    };
    match (&stored.question, &stored.plan.fit.task) {
        (Question::Query(_) | Question::Select(_), _) => {
            refused("it was trained from a query, not from a task")
        }
        (_, Task::Multiclass { .. }) => refused("there is no leaderboard for several classes"),
        (Question::Task(task), Task::Binary) => Ok((task, "probability")),
        (Question::Task(task), Task::Regression { .. }) => Ok((task, "prediction")),
    }
}

/// The name under which RelBench takes the predictions of `task`.
fn file_name(catalog: &Catalog, database: &Database, task: &TaskManifest) -> String {
    format!("{}__{}.csv", dataset(catalog, database), task.name)
}

/// The name of the database: its manifest's, else its folder's.
fn dataset(catalog: &Catalog, database: &Database) -> String {
    let folder = || {
        let path = database.directory.canonicalize().ok()?;
        Some(path.file_name()?.to_string_lossy().into_owned())
    };
    catalog.name.clone().or_else(folder).unwrap_or_else(|| "database".to_owned())
}

/// Times as pandas writes them, since RelBench compares keys as text: with as many parts as the most
/// precise of them needs.
fn times_as_text(column: &ArrayRef) -> ArrayRef {
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let whole = |unit: i64| times.values().iter().all(|time| time % unit == 0);
    let form = match (whole(86_400_000_000), whole(1_000_000)) {
        (true, _) => "%Y-%m-%d",
        (false, true) => "%Y-%m-%d %H:%M:%S",
        (false, false) => "%Y-%m-%d %H:%M:%S%.6f",
    };
    let text = |micros| Some(DateTime::from_timestamp_micros(micros)?.format(form).to_string());
    Arc::new(times.iter().map(|time| time.and_then(text)).collect::<StringArray>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;

    use super::*;

    #[test]
    fn times_are_written_as_pandas_writes_them() {
        let texts = |times: Vec<i64>| {
            let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times));
            let texts = times_as_text(&column);
            texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
        };
        let day = 86_400_000_000;
        assert_eq!(texts(vec![0, day]), ["1970-01-01", "1970-01-02"]);
        let expected = ["1970-01-01 00:00:00", "1970-01-01 00:00:01"];
        assert_eq!(texts(vec![0, 1_000_000]), expected);
        let expected = ["1970-01-01 00:00:00.000000", "1970-01-01 00:00:00.000007"];
        assert_eq!(texts(vec![0, 7]), expected);
    }
}
