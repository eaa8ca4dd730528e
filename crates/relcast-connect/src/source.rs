//! Where tables come from: one small trait, whatever the database.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use tokio::sync::OnceCell;

use crate::database::{open, table_names};
use crate::error::ConnectError;

/// A database whose tables can be read.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// The names of the tables, sorted, as they are now.
    async fn table_names(&self) -> Result<Vec<String>, ConnectError>;

    /// The table that `name` means: the one of that name, else the only one whose name differs in
    /// case alone. Its columns are looked up, no row is read.
    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, ConnectError>;

    /// Lets go of what is held open; what is being read is read to its end.
    async fn close(&self);
}

/// What an error calls the source of this name.
pub(crate) fn place_of(name: &str) -> String {
    format!("source \"{name}\"")
}

/// A folder of files as the source `name`; it is opened when a table is first asked for.
#[must_use]
pub fn folder(name: &str, path: &str) -> Arc<dyn Source> {
    Arc::new(Folder { place: place_of(name), path: path.to_owned(), opened: OnceCell::new() })
}

/// A folder of files.
#[derive(Debug)]
struct Folder {
    place: String,
    path: String,
    opened: OnceCell<Arc<dyn SchemaProvider>>,
}

impl Folder {
    /// The tables; a folder that could not be opened is tried again the next time.
    async fn tables(&self) -> Result<&Arc<dyn SchemaProvider>, ConnectError> {
        let open = || async {
            let database = open(&self.path).await.map_err(|error| self.failed(&error))?;
            let state = database.context.state();
            let names = &state.config_options().catalog;
            let catalog = database.context.catalog(&names.default_catalog);
            let tables = catalog.and_then(|c| c.schema(&names.default_schema));
            tables.ok_or_else(|| self.failed(&"it has no tables"))
        };
        self.opened.get_or_try_init(open).await
    }

    fn failed(&self, reason: &dyn fmt::Display) -> ConnectError {
        ConnectError::Source { place: self.place.clone(), reason: reason.to_string(), hint: None }
    }
}

#[async_trait]
impl Source for Folder {
    async fn table_names(&self) -> Result<Vec<String>, ConnectError> {
        table_names(&self.path).map_err(|error| self.failed(&error))
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, ConnectError> {
        let table = self.tables().await?.table(name).await;
        table.map_err(|error| match error {
            DataFusionError::External(inner) => self.failed(&inner),
            other => self.failed(&other.strip_backtrace()),
        })
    }

    async fn close(&self) {}
}
