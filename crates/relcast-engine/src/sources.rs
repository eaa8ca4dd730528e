//! The attached databases on record.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::EngineError;
use crate::registry::{Registry, now};

/// An attached database as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceRecord {
    /// The name that its tables stand under.
    pub(crate) name: String,
    /// `folder`.
    pub(crate) kind: String,
    /// What it needs to be opened.
    pub(crate) options: BTreeMap<String, String>,
    /// Microseconds, UTC.
    pub(crate) created_at: i64,
}

impl Registry {
    /// Records a source; false if there is one of that name, whatever its case.
    pub(crate) async fn add_source(
        &self,
        name: &str,
        kind: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<bool, EngineError> {
        let options = serde_json::to_string(options).map_err(EngineError::json)?;
        let mut transaction = self.begin().await?;
        let sql = "SELECT count(*) FROM sources WHERE lower(source) = lower(?)";
        let same: i64 = sqlx::query_scalar(sql)
            .bind(name)
            .fetch_one(&mut *transaction)
            .await
            .map_err(self.failed())?;
        if same > 0 {
            return Ok(false);
        }
        let sql = "INSERT INTO sources (source, kind, options, created_at) VALUES (?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(name)
            .bind(kind)
            .bind(options)
            .bind(now())
            .execute(&mut *transaction)
            .await
            .map_err(self.failed())?;
        transaction.commit().await.map_err(self.failed())?;
        Ok(true)
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
