//! What a kind of database has to be able to do, and what it is asked.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::sql::unparser::dialect::Dialect;
use tokio::sync::mpsc::Sender;

use super::shape::{RemoteColumn, Shape};
use crate::error::ConnectError;

/// A kind of database, opened.
#[async_trait]
pub(crate) trait Driver: Send + Sync {
    /// What errors and plans call it: `source "crm"`.
    fn place(&self) -> &str;

    /// How its SQL is written.
    fn dialect(&self) -> &dyn Dialect;

    /// The names of the tables, sorted.
    async fn table_names(&self) -> Result<Vec<String>, ConnectError>;

    /// The table that `name` means, as [`Source::table`](crate::Source::table) says.
    async fn shape(&self, name: &str) -> Result<Option<Shape>, ConnectError>;

    /// Sends the rows of `select` in batches, each with the columns of its schema, until all are
    /// sent or nobody waits any more; then the database stops as well.
    async fn read(&self, select: &Select, output: &Sender<RecordBatch>)
    -> Result<(), ConnectError>;

    /// Lets go of connections that are not in use.
    async fn close(&self);
}

/// The one SELECT of a scan.
#[derive(Debug, Clone)]
pub(crate) struct Select {
    pub(crate) table: Shape,
    /// The columns asked for; there may be none, and rows are counted.
    pub(crate) columns: Vec<RemoteColumn>,
    /// Conditions that all hold.
    pub(crate) filters: Vec<String>,
    /// The texts of `$1`, `$2`, … in the conditions.
    pub(crate) parameters: Vec<String>,
    pub(crate) limit: Option<usize>,
    /// The columns as they are sent.
    pub(crate) schema: SchemaRef,
    /// Rows of a batch at most.
    pub(crate) batch_rows: usize,
}

impl Select {
    pub(crate) fn sql(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.sql.as_str()).collect();
        let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
        let mut sql = format!("SELECT {columns} FROM {}", self.table.sql);
        if !self.filters.is_empty() {
            sql.push_str(&format!(" WHERE {}", self.filters.join(" AND ")));
        }
        if let Some(limit) = self.limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        sql
    }
}
