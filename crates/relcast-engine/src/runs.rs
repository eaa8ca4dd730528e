//! The record of what was run: when it started, how it ended.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use sqlx::Row;

use crate::error::EngineError;
use crate::registry::{Registry, now};

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunKind {
    /// Trained a version.
    Train,
    /// Evaluated a version.
    Evaluate,
    /// Predicted with a version.
    Predict,
}

impl RunKind {
    /// The kind as the registry stores it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::Predict => "predict",
        }
    }
}

/// The number of a run; predictions written to a table carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RunId(pub i64);

/// One run as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its number.
    pub run_id: RunId,
    /// `train`, `evaluate` or `predict`.
    pub kind: String,
    /// The model's name.
    pub model: String,
    /// The version made or used, where it is known.
    pub version: Option<i64>,
    /// Microseconds, UTC.
    pub started_at: i64,
    /// Microseconds, UTC; none while it runs, and for a run that was interrupted.
    pub finished_at: Option<i64>,
    /// `running`, `done`, `failed`, or `interrupted` (its process ended without saying so).
    pub status: String,
    /// What went wrong, for a failed run.
    pub error: Option<String>,
}

/// The locks by which other processes see that this one still does its runs. The operating system
/// frees them when the process ends, however it ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct AliveRuns(Arc<Mutex<BTreeMap<i64, File>>>);

impl AliveRuns {
    fn insert(&self, run: RunId, lock: File) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run.0, lock);
    }

    fn remove(&self, run: RunId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run.0);
    }
}

impl Registry {
    /// Records that a run starts.
    ///
    /// A training run is started under the model's lock; so training runs of the model that are
    /// still marked as running were interrupted, and are marked so.
    ///
    /// # Errors
    /// [`EngineError::Registry`] if the registry cannot be written.
    pub async fn start_run(&self, kind: RunKind, model: &str) -> Result<RunId, EngineError> {
        if kind == RunKind::Train {
            let sql = "UPDATE runs SET status = 'interrupted'
                       WHERE kind = 'train' AND model = ? AND status = 'running'";
            sqlx::query(sql).bind(model).execute(self.pool()).await.map_err(self.failed())?;
        }
        let mut transaction = self.begin().await?;
        let sql = "INSERT INTO runs (kind, model, started_at, status)
                   VALUES (?, ?, ?, 'running') RETURNING run_id";
        let run = sqlx::query_scalar(sql)
            .bind(kind.name())
            .bind(model)
            .bind(now())
            .fetch_one(&mut *transaction)
            .await
            .map(RunId)
            .map_err(self.failed())?;
        // Locked before others can see the run: what they see running is locked.
        let path = self.home().run_lock(run.0);
        let lock = File::create(&path).map_err(EngineError::file("create", &path))?;
        lock.lock().map_err(EngineError::file("lock", &path))?;
        self.alive().insert(run, lock);
        transaction.commit().await.map_err(self.failed())?;
        Ok(run)
    }

    /// Marks the runs whose process has ended without saying so.
    pub(crate) async fn mark_interrupted(&self) -> Result<(), EngineError> {
        let sql = "SELECT run_id FROM runs WHERE status = 'running'";
        let running: Vec<i64> =
            sqlx::query_scalar(sql).fetch_all(self.pool()).await.map_err(self.failed())?;
        for run in running {
            let path = self.home().run_lock(run);
            let alive = File::open(&path)
                .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
            if alive {
                continue;
            }
            // The run may have ended since it was read.
            let sql = "UPDATE runs SET status = 'interrupted'
                       WHERE run_id = ? AND status = 'running'";
            sqlx::query(sql).bind(run).execute(self.pool()).await.map_err(self.failed())?;
            let _ = fs::remove_file(&path);
        }
        Ok(())
    }

    /// Records that a run ended: with the version it made or used, or with what went wrong.
    ///
    /// # Errors
    /// [`EngineError::Registry`] if the registry cannot be written.
    pub async fn finish_run(
        &self,
        run: RunId,
        outcome: Result<i64, &str>,
    ) -> Result<(), EngineError> {
        let status = if outcome.is_ok() { "done" } else { "failed" };
        let sql = "UPDATE runs SET finished_at = ?, status = ?, version = ?, error = ?
                   WHERE run_id = ?";
        sqlx::query(sql)
            .bind(now())
            .bind(status)
            .bind(outcome.ok())
            .bind(outcome.err())
            .bind(run.0)
            .execute(self.pool())
            .await
            .map_err(self.failed())?;
        self.alive().remove(run);
        // A lock file that stays is of no harm: nobody looks for it any more.
        let _ = fs::remove_file(self.home().run_lock(run.0));
        Ok(())
    }

    /// Does `work` on record, which gives the version that it made or used and its result.
    ///
    /// # Errors
    /// Those of `work`, which go on record too, and [`EngineError::Registry`].
    pub(crate) async fn record<T>(
        &self,
        kind: RunKind,
        model: &str,
        work: impl AsyncFnOnce(RunId) -> Result<(i64, T), EngineError>,
    ) -> Result<T, EngineError> {
        let run = self.start_run(kind, model).await?;
        let given_up = GivenUp(Some((self.clone(), run)));
        let ended = work(run).await;
        let recorded = match &ended {
            Ok((version, _)) => self.finish_run(run, Ok(*version)).await,
            Err(error) => self.finish_run(run, Err(&error.to_string())).await,
        };
        given_up.forget();
        // The error that is told is the first one, whether or not it can be recorded.
        let (_, result) = ended?;
        recorded.map(|()| result)
    }

    /// The runs of a model, oldest first; they outlive its versions.
    ///
    /// # Errors
    /// [`EngineError::Registry`] if the registry cannot be read.
    pub async fn runs(&self, model: &str) -> Result<Vec<Run>, EngineError> {
        let sql = "SELECT * FROM runs WHERE model = ? ORDER BY run_id";
        let rows = sqlx::query(sql).bind(model).fetch_all(self.pool()).await;
        rows.and_then(|rows| rows.iter().map(read_run).collect()).map_err(self.failed())
    }

    /// The runs of all models, oldest first.
    ///
    /// # Errors
    /// [`EngineError::Registry`] if the registry cannot be read.
    pub async fn all_runs(&self) -> Result<Vec<Run>, EngineError> {
        let rows = sqlx::query("SELECT * FROM runs ORDER BY run_id").fetch_all(self.pool()).await;
        rows.and_then(|rows| rows.iter().map(read_run).collect()).map_err(self.failed())
    }
}

/// Marks a run as failed when nobody waits for it any more and it is dropped unfinished.
struct GivenUp(Option<(Registry, RunId)>);

impl GivenUp {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        let Some((registry, run)) = self.0.take() else { return };
        // Without a runtime the process is ending, and the run counts as interrupted.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let stopped = EngineError::Stopped.to_string();
                if let Err(error) = registry.finish_run(run, Err(&stopped)).await {
                    tracing::warn!("cannot record that a run was stopped: {error}");
                }
            });
        }
    }
}

fn read_run(row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Run> {
    Ok(Run {
        run_id: RunId(row.try_get("run_id")?),
        kind: row.try_get("kind")?,
        model: row.try_get("model")?,
        version: row.try_get("version")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        status: row.try_get("status")?,
        error: row.try_get("error")?,
    })
}
