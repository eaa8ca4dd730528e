//! The registry: which models exist, in which versions, and what was run.
//!
//! Owns `registry.db` (SQLite) and, through it, the artefact folders. Promises that a version is
//! there whole (row and artefact) or not at all. Times are microseconds, UTC.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow};
use sqlx::{Row, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::artefact::Artefact;
use crate::error::EngineError;
use crate::home::{Home, ModelLock, remove};
use crate::runs::AliveRuns;
use crate::sources::OpenSources;

/// The names of quick models start with this; nobody else's may.
pub(crate) const QUICK: &str = "_quick.";

/// How long a statement waits for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// An open registry.
#[derive(Debug, Clone)]
pub struct Registry {
    home: Home,
    pool: SqlitePool,
    /// The runs that this process does.
    alive: AliveRuns,
    /// The attached databases that this process holds open.
    open_sources: OpenSources,
}

/// What a version was trained from: a predictive query or a task of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The text of a predictive query, or of `FOR … AS (SELECT …)`.
    Query(String),
    /// The name of a task that the database declares.
    Task(String),
}

/// What is recorded about a version, besides its artefact.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVersion {
    /// What it was trained from.
    pub origin: Origin,
    /// Identifies the schema it can read.
    pub schema_fingerprint: String,
    /// Identifies the data it was trained on.
    pub data_fingerprint: String,
    /// The newest moment in the tables that its labels read, microseconds UTC.
    pub data_until: i64,
    /// The seed of all randomness.
    pub seed: u64,
    /// The options as resolved.
    pub options: Value,
    /// The metrics per split, history and baseline.
    pub metrics: Value,
}

/// A registered version of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelVersion {
    /// The model's name.
    pub model: String,
    /// Counts from 1; a dropped version's number is not given again while the model exists.
    pub version: i64,
    /// Whether it is the one used where no version is named.
    pub is_default: bool,
    /// What it was trained from.
    pub origin: Origin,
    /// Identifies the schema it can read.
    pub schema_fingerprint: String,
    /// Identifies the data it was trained on.
    pub data_fingerprint: String,
    /// The newest moment in the tables that its labels read, microseconds UTC, where it is on record.
    pub data_until: Option<i64>,
    /// The version of relcast that trained it, where it is on record.
    pub code_version: Option<String>,
    /// The seed of all randomness.
    pub seed: u64,
    /// The options as resolved.
    pub options: Value,
    /// The metrics per split, history and baseline.
    pub metrics: Value,
    /// The artefact's folder.
    pub artefact: PathBuf,
    /// The checksum over the artefact's files.
    pub checksum: String,
    /// When it was registered, microseconds UTC.
    pub created_at: i64,
}

impl ModelVersion {
    /// Whether it was trained for a PREDICT that named no model.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.model.starts_with(QUICK)
    }
}

impl Registry {
    /// Opens the registry of `home`, creating it or bringing its tables up to date. Runs whose
    /// process has ended without saying so are marked as interrupted, and folders of versions that
    /// killed processes left without a row are removed.
    ///
    /// # Errors
    /// [`EngineError::Registry`] or [`EngineError::Migration`] if the file is no registry, or one
    /// that a newer relcast wrote.
    pub async fn open(home: &Home) -> Result<Self, EngineError> {
        let path = home.registry_file();
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let opening = home.lock_registry().await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(|source| EngineError::Registry { path: path.clone(), source })?;
        sqlx::migrate!("../../migrations")
            .run(&pool)
            .await
            .map_err(|source| EngineError::Migration { path, source })?;
        let (alive, open_sources) = (AliveRuns::default(), OpenSources::default());
        let registry = Self { home: home.clone(), pool, alive, open_sources };
        registry.mark_interrupted().await?;
        registry.sweep().await?;
        drop(opening);
        Ok(registry)
    }

    /// The home folder that the registry belongs to.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Saves the artefact, made for the version's number, and registers it as the next version of
    /// the lock's model.
    ///
    /// # Errors
    /// Whatever fails, nothing of the version stays: no row, no folder.
    pub async fn publish(
        &self,
        lock: &ModelLock,
        new: &NewVersion,
        artefact: impl FnOnce(i64) -> Result<Artefact, EngineError>,
    ) -> Result<ModelVersion, EngineError> {
        let model = lock.model();
        let mut transaction = self.begin().await?;
        let version = self.next_version(&mut transaction, model).await?;
        let folder = self.home.artefacts().join(model).join(version.to_string());
        let checksum = artefact(version)?.save(&folder)?;
        let registered = async {
            self.insert_version(&mut transaction, model, version, new, &checksum).await?;
            transaction.commit().await.map_err(self.failed())
        };
        if let Err(error) = registered.await {
            self.remove_folder(&folder)?;
            return Err(error);
        }
        self.find_version(model, Some(version)).await
    }

    /// Every version of every model, by name and version.
    ///
    /// # Errors
    /// [`EngineError::Registry`] if the registry cannot be read.
    pub async fn versions(&self) -> Result<Vec<ModelVersion>, EngineError> {
        let sql = "SELECT v.*, v.version = coalesce(m.default_version,
                       (SELECT max(n.version) FROM versions n WHERE n.model = v.model)) AS is_default
                   FROM versions v JOIN models m USING (model) ORDER BY v.model, v.version";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await.map_err(self.failed())?;
        rows.iter().map(|row| self.read_version(row)).collect()
    }

    /// Every version of `model`, oldest first; never empty.
    ///
    /// # Errors
    /// [`EngineError::NoModel`] with the nearest name.
    pub async fn versions_of(&self, model: &str) -> Result<Vec<ModelVersion>, EngineError> {
        let (own, others): (Vec<_>, Vec<_>) =
            self.versions().await?.into_iter().partition(|version| version.model == model);
        if own.is_empty() {
            let others = others.iter().map(|version| version.model.as_str());
            let nearest = relcast_catalog::nearest(model, others).map(str::to_owned);
            return Err(EngineError::NoModel { model: model.to_owned(), nearest });
        }
        Ok(own)
    }

    /// The version with this number, or the model's default version.
    ///
    /// # Errors
    /// [`EngineError::NoModel`] or [`EngineError::NoVersion`] with what there is instead.
    pub async fn find_version(
        &self,
        model: &str,
        version: Option<i64>,
    ) -> Result<ModelVersion, EngineError> {
        let mut versions = self.versions_of(model).await?;
        let wanted = |v: &ModelVersion| version.map_or(v.is_default, |n| v.version == n);
        match versions.iter().position(wanted) {
            Some(position) => Ok(versions.swap_remove(position)),
            None => Err(no_version(model, version.unwrap_or_default(), &versions)),
        }
    }

    /// Refuses a model that has a version.
    ///
    /// # Errors
    /// [`EngineError::ModelExists`] if it does, [`EngineError::Registry`].
    pub(crate) async fn refuse_existing(&self, model: &str) -> Result<(), EngineError> {
        match self.current_version(model, None).await? {
            Some(_) => Err(EngineError::ModelExists { model: model.to_owned() }),
            None => Ok(()),
        }
    }

    /// Number and checksum of the version with this number, or of the model's default version; none
    /// if there is no such version.
    ///
    /// # Errors
    /// [`EngineError::Registry`].
    pub async fn current_version(
        &self,
        model: &str,
        version: Option<i64>,
    ) -> Result<Option<(i64, String)>, EngineError> {
        let sql = "SELECT v.version, v.checksum FROM versions v JOIN models m ON m.model = v.model
                   WHERE v.model = ?1 AND v.version = COALESCE(?2, m.default_version,
                       (SELECT MAX(version) FROM versions WHERE model = ?1))";
        let found = sqlx::query_as(sql).bind(model).bind(version).fetch_optional(&self.pool).await;
        found.map_err(self.failed())
    }

    /// Reads a version's artefact and checks it against the registry.
    ///
    /// # Errors
    /// [`EngineError::Corrupt`] if it is not what was registered.
    pub fn load_artefact(&self, version: &ModelVersion) -> Result<Artefact, EngineError> {
        let (artefact, checksum) = Artefact::load(&version.artefact)?;
        if checksum == version.checksum {
            return Ok(artefact);
        }
        Err(EngineError::Corrupt {
            path: version.artefact.clone(),
            message: format!(
                "its checksum is {checksum}, but the registry has {} for version {} of \"{}\"",
                version.checksum, version.version, version.model
            ),
        })
    }

    /// Makes `version` the one that is used where none is named.
    ///
    /// # Errors
    /// [`EngineError::NoModel`] or [`EngineError::NoVersion`].
    pub async fn set_default_version(&self, model: &str, version: i64) -> Result<(), EngineError> {
        self.find_version(model, Some(version)).await?;
        sqlx::query("UPDATE models SET default_version = ? WHERE model = ?")
            .bind(version)
            .bind(model)
            .execute(&self.pool)
            .await
            .map_err(self.failed())?;
        Ok(())
    }

    /// Drops one version of the lock's model, or the whole model, with the artefacts.
    ///
    /// Returns the versions dropped. A model goes with its last version. Runs stay on record.
    ///
    /// # Errors
    /// [`EngineError::NoModel`] or [`EngineError::NoVersion`]; then nothing is dropped.
    pub async fn drop_versions(
        &self,
        lock: &ModelLock,
        version: Option<i64>,
    ) -> Result<Vec<ModelVersion>, EngineError> {
        let model = lock.model();
        let all = self.versions_of(model).await?;
        let (dropped, kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|v| version.is_none_or(|n| v.version == n));
        if dropped.is_empty() {
            return Err(no_version(model, version.unwrap_or_default(), &kept));
        }
        let mut transaction = self.begin().await?;
        for version in &dropped {
            self.delete_version(&mut transaction, model, version.version).await?;
        }
        if kept.is_empty() {
            sqlx::query("DELETE FROM models WHERE model = ?")
                .bind(model)
                .execute(&mut *transaction)
                .await
                .map_err(self.failed())?;
        }
        transaction.commit().await.map_err(self.failed())?;
        // The rows go first: what a kill leaves behind is a folder that nothing names, which goes
        // when the registry is next opened.
        for version in &dropped {
            self.remove_folder(&version.artefact)?;
        }
        if kept.is_empty() {
            self.remove_folder(&self.home.artefacts().join(model))?;
        }
        Ok(dropped)
    }

    /// Drops the models whose names start with `prefix`, but for the `most` that were registered
    /// last and those that somebody is writing.
    ///
    /// # Errors
    /// [`EngineError::Registry`], or if a folder cannot be removed.
    pub async fn keep_newest(&self, prefix: &str, most: usize) -> Result<(), EngineError> {
        let mut versions = self.versions().await?;
        versions.retain(|version| version.model.starts_with(prefix));
        versions.sort_by_key(|version| Reverse(version.created_at));
        let mut models: Vec<String> = Vec::new();
        for version in versions {
            if !models.contains(&version.model) {
                models.push(version.model);
            }
        }
        for model in models.iter().skip(most) {
            let lock = match self.home.lock_model(model, Duration::ZERO) {
                Err(EngineError::Locked { .. }) => continue,
                lock => lock?,
            };
            match self.drop_versions(&lock, None).await {
                // Somebody else was faster.
                Ok(_) | Err(EngineError::NoModel { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    pub(crate) fn alive(&self) -> &AliveRuns {
        &self.alive
    }

    pub(crate) fn open_sources(&self) -> &OpenSources {
        &self.open_sources
    }

    /// Wraps SQLite's error with the registry's file.
    pub(crate) fn failed(&self) -> impl Fn(sqlx::Error) -> EngineError + use<> {
        let path = self.home.registry_file();
        move |source| EngineError::Registry { path: path.clone(), source }
    }

    /// Begins a transaction that may write: it holds the write lock from the start.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, EngineError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.failed())
    }

    /// Removes folders of versions that no row names: those of a publishing or dropping that was
    /// killed halfway.
    async fn sweep(&self) -> Result<(), EngineError> {
        // An empty registry beside artefacts stands in the place of one that was lost, and may be
        // restored: whoever trains is on record before there is a folder.
        let sql = "SELECT EXISTS (SELECT 1 FROM runs) OR EXISTS (SELECT 1 FROM versions)";
        let used: i64 =
            sqlx::query_scalar(sql).fetch_one(&self.pool).await.map_err(self.failed())?;
        if used == 0 {
            return Ok(());
        }
        for (model, folders) in self.home.version_folders() {
            if self.without_row(&model, &folders).await?.is_empty() {
                continue;
            }
            // Who is between a folder and its row holds the lock; with it the rows are the last word.
            if let Ok(_lock) = self.home.lock_model(&model, Duration::ZERO) {
                for folder in self.without_row(&model, &folders).await? {
                    tracing::info!("removing {}, which was left unfinished", folder.display());
                    remove(folder);
                }
            }
        }
        Ok(())
    }

    /// Those of `folders` whose version the model does not have.
    async fn without_row<'a>(
        &self,
        model: &str,
        folders: &'a [(i64, PathBuf)],
    ) -> Result<Vec<&'a Path>, EngineError> {
        let known: Vec<i64> = sqlx::query_scalar("SELECT version FROM versions WHERE model = ?")
            .bind(model)
            .fetch_all(&self.pool)
            .await
            .map_err(self.failed())?;
        let left = folders.iter().filter(|(version, _)| !known.contains(version));
        Ok(left.map(|(_, folder)| folder.as_path()).collect())
    }

    /// Gives the model its next version number, creating the model if it is new.
    async fn next_version(
        &self,
        connection: &mut SqliteConnection,
        model: &str,
    ) -> Result<i64, EngineError> {
        let sql = "INSERT INTO models (model, last_version, created_at) VALUES (?, 1, ?)
                   ON CONFLICT (model) DO UPDATE SET last_version = last_version + 1
                   RETURNING last_version";
        sqlx::query_scalar(sql)
            .bind(model)
            .bind(now())
            .fetch_one(connection)
            .await
            .map_err(self.failed())
    }

    async fn insert_version(
        &self,
        connection: &mut SqliteConnection,
        model: &str,
        version: i64,
        new: &NewVersion,
        checksum: &str,
    ) -> Result<(), EngineError> {
        let (query, task) = match &new.origin {
            Origin::Query(query) => (Some(query.as_str()), None),
            Origin::Task(task) => (None, Some(task.as_str())),
        };
        let sql = "INSERT INTO versions (model, version, query, task, schema_fingerprint,
                       data_fingerprint, data_until, code_version, seed, options, metrics, artefact,
                       checksum, created_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(model)
            .bind(version)
            .bind(query)
            .bind(task)
            .bind(&new.schema_fingerprint)
            .bind(&new.data_fingerprint)
            .bind(new.data_until)
            .bind(env!("CARGO_PKG_VERSION"))
            .bind(new.seed.cast_signed())
            .bind(new.options.to_string())
            .bind(new.metrics.to_string())
            .bind(format!("artifacts/{model}/{version}"))
            .bind(checksum)
            .bind(now())
            .execute(connection)
            .await
            .map_err(self.failed())?;
        Ok(())
    }

    async fn delete_version(
        &self,
        connection: &mut SqliteConnection,
        model: &str,
        version: i64,
    ) -> Result<(), EngineError> {
        let reset = "UPDATE models SET default_version = NULL
                     WHERE model = ? AND default_version = ?";
        for sql in ["DELETE FROM versions WHERE model = ? AND version = ?", reset] {
            sqlx::query(sql)
                .bind(model)
                .bind(version)
                .execute(&mut *connection)
                .await
                .map_err(self.failed())?;
        }
        Ok(())
    }

    fn read_version(&self, row: &SqliteRow) -> Result<ModelVersion, EngineError> {
        let failed = self.failed();
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        let number = |column: &str| row.try_get::<i64, _>(column).map_err(&failed);
        let (model, version) = (text("model")?, number("version")?);
        let json = |column: &str| {
            serde_json::from_str(&text(column)?).map_err(|error| EngineError::BadRow {
                place: format!("{column} of version {version} of model \"{model}\""),
                message: error.to_string(),
            })
        };
        let query: Option<String> = row.try_get("query").map_err(&failed)?;
        Ok(ModelVersion {
            version,
            is_default: number("is_default")? != 0,
            origin: match query {
                Some(query) => Origin::Query(query),
                None => Origin::Task(text("task")?),
            },
            schema_fingerprint: text("schema_fingerprint")?,
            data_fingerprint: text("data_fingerprint")?,
            data_until: row.try_get("data_until").map_err(&failed)?,
            code_version: row.try_get("code_version").map_err(&failed)?,
            seed: number("seed")?.cast_unsigned(),
            options: json("options")?,
            metrics: json("metrics")?,
            artefact: self.home.path().join(text("artefact")?),
            checksum: text("checksum")?,
            created_at: number("created_at")?,
            model,
        })
    }

    fn remove_folder(&self, folder: &Path) -> Result<(), EngineError> {
        match fs::remove_dir_all(folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(EngineError::file("remove", folder)(source))
            }
            _ => Ok(()),
        }
    }
}

/// Now, in microseconds UTC.
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn no_version(model: &str, version: i64, existing: &[ModelVersion]) -> EngineError {
    let existing: Vec<String> = existing.iter().map(|v| v.version.to_string()).collect();
    EngineError::NoVersion { model: model.to_owned(), version, existing: existing.join(", ") }
}
