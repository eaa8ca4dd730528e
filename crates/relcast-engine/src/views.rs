//! The views on record. Their names are told apart whatever their case.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::EngineError;
use crate::registry::{Registry, now};

/// A view as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ViewRecord {
    /// Its name.
    pub(crate) name: String,
    /// The CREATE VIEW as written.
    pub(crate) sql: String,
}

impl Registry {
    /// Records a view; false if there is one of that name.
    pub(crate) async fn add_view(
        &self,
        database: &str,
        view: &ViewRecord,
    ) -> Result<bool, EngineError> {
        let sql = "INSERT INTO views (database, view, sql, created_at) VALUES (?, ?, ?, ?)
                   ON CONFLICT (database, view) DO NOTHING";
        let added = sqlx::query(sql)
            .bind(database)
            .bind(&view.name)
            .bind(&view.sql)
            .bind(now())
            .execute(self.pool())
            .await
            .map_err(self.failed())?;
        Ok(added.rows_affected() > 0)
    }

    /// Records a view in the place of one of that name, if there is one.
    pub(crate) async fn replace_view(
        &self,
        database: &str,
        view: &ViewRecord,
    ) -> Result<(), EngineError> {
        let sql = "INSERT INTO views (database, view, sql, created_at) VALUES (?, ?, ?, ?)
                   ON CONFLICT (database, view) DO UPDATE SET sql = excluded.sql";
        sqlx::query(sql)
            .bind(database)
            .bind(&view.name)
            .bind(&view.sql)
            .bind(now())
            .execute(self.pool())
            .await
            .map_err(self.failed())?;
        Ok(())
    }

    /// Forgets a view; false if there is none of that name.
    pub(crate) async fn remove_view(
        &self,
        database: &str,
        name: &str,
    ) -> Result<bool, EngineError> {
        let removed = sqlx::query("DELETE FROM views WHERE database = ? AND view = ?")
            .bind(database)
            .bind(name)
            .execute(self.pool())
            .await
            .map_err(self.failed())?;
        Ok(removed.rows_affected() > 0)
    }

    /// The view of that name.
    pub(crate) async fn find_view(
        &self,
        database: &str,
        name: &str,
    ) -> Result<Option<ViewRecord>, EngineError> {
        let found = sqlx::query("SELECT view, sql FROM views WHERE database = ? AND view = ?")
            .bind(database)
            .bind(name)
            .fetch_optional(self.pool())
            .await;
        found.and_then(|row| row.as_ref().map(read_view).transpose()).map_err(self.failed())
    }

    /// The views of a database, those that were created first before the others.
    pub(crate) async fn views(&self, database: &str) -> Result<Vec<ViewRecord>, EngineError> {
        let sql = "SELECT view, sql FROM views WHERE database = ? ORDER BY created_at, view";
        let rows = sqlx::query(sql).bind(database).fetch_all(self.pool()).await;
        rows.and_then(|rows| rows.iter().map(read_view).collect()).map_err(self.failed())
    }
}

fn read_view(row: &SqliteRow) -> sqlx::Result<ViewRecord> {
    Ok(ViewRecord { name: row.try_get("view")?, sql: row.try_get("sql")? })
}
