//! The attached databases on record, and those that this process holds open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use relcast_connect::Source;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::EngineError;
use crate::registry::{Registry, now};

/// An attached database as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceRecord {
    /// The name that its tables stand under.
    pub(crate) name: String,
    /// `folder`, `postgres` or `sqlite`.
    pub(crate) kind: String,
    /// What it needs to be opened; no password is among it.
    pub(crate) options: BTreeMap<String, String>,
    /// Microseconds, UTC.
    pub(crate) created_at: i64,
}

/// The databases that this process holds open, by the names of their sources: all sessions share
/// their connections, and a password lives here and nowhere else.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenSources(Arc<Mutex<BTreeMap<String, Held>>>);

/// A database, and the record that it was opened by.
type Held = (SourceRecord, Arc<dyn Source>);

impl OpenSources {
    /// The database of a record, opened by `open` unless it is open already.
    pub(crate) fn get(
        &self,
        record: &SourceRecord,
        open: impl FnOnce() -> Arc<dyn Source>,
    ) -> Arc<dyn Source> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, source)) = held.get(&record.name)
            && of == record
        {
            return source.clone();
        }
        let source = open();
        held.insert(record.name.clone(), (record.clone(), source.clone()));
        source
    }

    /// The database of this name, which is held no longer.
    pub(crate) fn remove(&self, name: &str) -> Option<Arc<dyn Source>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(name).map(|(_, source)| source)
    }
}

impl Registry {
    /// Records a source; nothing if there is one of that name, whatever its case.
    pub(crate) async fn add_source(
        &self,
        name: &str,
        kind: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Option<SourceRecord>, EngineError> {
        let record = SourceRecord {
            name: name.to_owned(),
            kind: kind.to_owned(),
            options: options.clone(),
            created_at: now(),
        };
        let options = serde_json::to_string(options).map_err(EngineError::json)?;
        let mut transaction = self.begin().await?;
        let sql = "SELECT count(*) FROM sources WHERE lower(source) = lower(?)";
        let same: i64 = sqlx::query_scalar(sql)
            .bind(name)
            .fetch_one(&mut *transaction)
            .await
            .map_err(self.failed())?;
        if same > 0 {
            return Ok(None);
        }
        let sql = "INSERT INTO sources (source, kind, options, created_at) VALUES (?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(name)
            .bind(kind)
            .bind(options)
            .bind(record.created_at)
            .execute(&mut *transaction)
            .await
            .map_err(self.failed())?;
        transaction.commit().await.map_err(self.failed())?;
        Ok(Some(record))
    }

    /// Forgets a source; false if there is none of that name.
    pub(crate) async fn remove_source(&self, name: &str) -> Result<bool, EngineError> {
        let removed = sqlx::query("DELETE FROM sources WHERE source = ?")
            .bind(name)
            .execute(self.pool())
            .await
            .map_err(self.failed())?;
        Ok(removed.rows_affected() > 0)
    }

    /// The sources by name.
    pub(crate) async fn sources(&self) -> Result<Vec<SourceRecord>, EngineError> {
        let sql = "SELECT * FROM sources ORDER BY source";
        let rows = sqlx::query(sql).fetch_all(self.pool()).await.map_err(self.failed())?;
        rows.iter().map(|row| self.read_source(row)).collect()
    }

    fn read_source(&self, row: &SqliteRow) -> Result<SourceRecord, EngineError> {
        let failed = self.failed();
        let text = |column: &str| row.try_get::<String, _>(column).map_err(&failed);
        let name = text("source")?;
        let options = serde_json::from_str(&text("options")?).map_err(|error| {
            let place = format!("options of source \"{name}\"");
            EngineError::BadRow { place, message: error.to_string() }
        })?;
        let created_at = row.try_get("created_at").map_err(&failed)?;
        Ok(SourceRecord { kind: text("kind")?, options, created_at, name })
    }
}
