//! The tables of a session by name, exactly or in any case.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::error::{DataFusionError, Result};

use crate::error::ConnectError;

/// Tables by name. A name that no table has falls back to the one table whose name differs in case
/// alone.
#[derive(Debug, Default)]
pub struct Tables {
    exact: MemorySchemaProvider,
    /// The files of those that are read from one.
    files: BTreeMap<String, PathBuf>,
}

impl Tables {
    /// No tables yet; those of these names will be read from these files.
    pub(crate) fn of_files(files: BTreeMap<String, PathBuf>) -> Self {
        Self { files, ..Self::default() }
    }

    /// Refuses a table whose file went away since it was opened: it would read as an empty one.
    fn check_there(&self, name: &str) -> Result<()> {
        let Some(file) = self.files.get(name).filter(|file| !file.is_file()) else { return Ok(()) };
        Err(DataFusionError::External(Box::new(ConnectError::Unreadable {
            file: file.clone(),
            reason: "it has gone since the database was opened".to_owned(),
            hint: "put it back",
        })))
    }

    /// The name of the table that `name` means.
    fn find(&self, name: &str) -> Option<String> {
        if self.exact.table_exist(name) {
            return Some(name.to_owned());
        }
        let same = |other: &String| other.to_lowercase() == name.to_lowercase();
        let mut found = self.exact.table_names().into_iter().filter(same);
        found.next().filter(|_| found.next().is_none())
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.exact.table_names();
        names.sort_unstable();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match self.find(name) {
            Some(name) => {
                self.check_there(&name)?;
                self.exact.table(&name).await
            }
            None => Ok(None),
        }
    }

    /// What the source holds and what SQL created is read through a plan, but is no view to those
    /// who look.
    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        let Some(table) = self.exact.table(name).await? else { return Ok(None) };
        let is_view = (table.as_ref() as &dyn Any).is::<ViewTable>();
        Ok(Some(if is_view { TableType::View } else { TableType::Base }))
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        self.exact.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.find(name) {
            Some(name) => self.exact.deregister_table(&name),
            None => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.find(name).is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use datafusion::datasource::empty::EmptyTable;

    #[test]
    fn a_name_falls_back_to_the_only_one_that_differs_in_case() {
        let tables = Tables::default();
        for name in ["Users", "tags", "Tags"] {
            let table = Arc::new(EmptyTable::new(Arc::new(Schema::empty())));
            tables.register_table(name.to_owned(), table).unwrap();
        }
        for (name, found) in
            [("users", Some("Users")), ("tags", Some("tags")), ("TAGS", None), ("user", None)]
        {
            assert_eq!(tables.find(name).as_deref(), found);
        }
        assert_eq!(tables.table_names(), ["Tags", "Users", "tags"]);
    }
}
