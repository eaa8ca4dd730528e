//! Attached databases: the tables of one stand under its name, and are read where they are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::TableType;
use relcast_catalog::nearest;
use relcast_connect::{ConnectError, Database, Source};
use relcast_query::ast::Name;
use tokio::time::{Instant, timeout_at};

use super::source_kind::SourceKind;
use super::{Answer, Session};
use crate::error::EngineError;
use crate::registry::Registry;
use crate::sources::SourceRecord;

/// How long a session that opens waits for the names of the tables: a database that is slow to answer
/// must not hold it up.
const PATIENCE: Duration = Duration::from_secs(1);

/// A database as a schema of the catalog.
#[derive(Debug)]
struct Attached {
    source: Arc<dyn Source>,
    /// The names of the tables as last looked up; none of a database that cannot be read, so that
    /// whoever lists all tables is not held up by it.
    names: Mutex<Vec<String>>,
}

impl Attached {
    fn new(source: Arc<dyn Source>) -> Self {
        Self { source, names: Mutex::default() }
    }

    /// Looks up the names of the tables.
    async fn list(&self) -> Result<(), ConnectError> {
        let names = self.source.table_names().await;
        self.remember(names.as_ref().cloned().unwrap_or_default());
        names.map(drop)
    }

    fn remember(&self, names: Vec<String>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }
}

#[async_trait]
impl SchemaProvider for Attached {
    fn table_names(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let table = self.source.table(name).await;
        let is_listed = !self.table_names().is_empty();
        match &table {
            Err(_) => self.remember(Vec::new()),
            // Read again after a while in which it could not be. The table is there, whatever comes
            // of the names of the others.
            Ok(Some(_)) if !is_listed => drop(self.list().await),
            Ok(_) => {}
        }
        table.map_err(|error| DataFusionError::External(Box::new(error)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>, DataFusionError> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|table| table.eq_ignore_ascii_case(name))
    }
}

/// Puts the attached databases on record into the catalog of `database`; gives a warning for each
/// that cannot be read.
pub(super) async fn attach(
    registry: &Registry,
    database: &Database,
) -> Result<Vec<String>, EngineError> {
    let Some(catalog) = catalog_of(database) else { return Ok(Vec::new()) };
    let told = |error: ConnectError| format!("{error}; DROP SOURCE forgets it");
    let (mut warnings, mut listings) = (Vec::new(), Vec::new());
    for record in registry.sources().await? {
        if catalog.schema(&record.name).is_some() {
            continue;
        }
        match open(registry, &record) {
            Ok(source) => {
                let attached = Arc::new(Attached::new(source));
                catalog.register_schema(&record.name, attached.clone())?;
                listings.push(tokio::spawn(async move { attached.list().await }));
            }
            Err(error) => warnings.push(format!("source \"{}\": {}", record.name, told(error))),
        }
    }
    let until = Instant::now() + PATIENCE;
    for listing in listings {
        // One that takes longer goes on by itself.
        if let Ok(Ok(Err(error))) = timeout_at(until, listing).await {
            warnings.push(told(error));
        }
    }
    Ok(warnings)
}

/// The database of a record, open in this process already or opened when it is first read.
fn open(registry: &Registry, record: &SourceRecord) -> Result<Arc<dyn Source>, ConnectError> {
    let kind = SourceKind::recorded(record)?;
    if !kind.is_shared() {
        return Ok(kind.open(&record.name));
    }
    Ok(registry.open_sources().get(record, || kind.open(&record.name)))
}

fn catalog_of(database: &Database) -> Option<Arc<dyn CatalogProvider>> {
    let name = database.context.state().config_options().catalog.default_catalog.clone();
    database.context.catalog(&name)
}

impl Session {
    /// `CREATE SOURCE s TYPE t OPTIONS (…)`: looks whether it can be read, and records it if so.
    pub(super) async fn create_source(
        &self,
        name: &Name,
        kind: &Name,
        options: &[(Name, String)],
    ) -> Result<Answer, EngineError> {
        let kind = SourceKind::written(kind, options)?;
        self.check_name(name)?;
        let registry = &self.engine.registry;
        if let Some(path) = kind.path() {
            self.check_place(path)?;
        }
        let (kind_name, options) = (kind.name(), kind.options());
        let (has_password, is_shared) = (kind.has_password(), kind.is_shared());
        let source = kind.open(&name.text);
        let attached = Arc::new(Attached::new(source.clone()));
        attached.list().await?;
        let Some(record) = registry.add_source(&name.text, kind_name, &options).await? else {
            source.close().await;
            return Err(exists(name));
        };
        if is_shared {
            registry.open_sources().get(&record, || source);
        }
        if let Some(catalog) = catalog_of(&self.engine.database) {
            catalog.register_schema(&name.text, attached)?;
        }
        if has_password {
            self.watcher.notice(&format!(
                "the password of source \"{}\" is known to this process alone; for those to come, put \
                 it into ~/.pgpass or PGPASSWORD",
                name.text
            ));
        }
        Ok(Answer::done("CREATE SOURCE"))
    }

    /// `DROP SOURCE s`: forgets it; its data stay where they are.
    pub(super) async fn drop_source(&self, name: &Name) -> Result<Answer, EngineError> {
        let registry = &self.engine.registry;
        if !registry.remove_source(&name.text).await? {
            let known = registry.sources().await?;
            let nearest = nearest(&name.text, known.iter().map(|source| source.name.as_str()));
            return Err(EngineError::Sql {
                at: Some(name.at),
                message: format!("no source \"{}\"", name.text),
                hint: nearest.map(|name| format!("did you mean \"{name}\"?")),
            });
        }
        if let Some(catalog) = catalog_of(&self.engine.database)
            && catalog.schema(&name.text).is_some()
        {
            catalog.deregister_schema(&name.text, true)?;
        }
        if let Some(source) = registry.open_sources().remove(&name.text) {
            source.close().await;
        }
        Ok(Answer::done("DROP SOURCE"))
    }

    /// A source's name stands before a dot, beside the schemas that there are already.
    fn check_name(&self, name: &Name) -> Result<(), EngineError> {
        let plain = |c: char| c.is_alphanumeric() || c == '_';
        let starts_well = name.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if !starts_well || name.text.len() > 100 || !name.text.chars().all(plain) {
            return Err(EngineError::Sql {
                at: Some(name.at),
                message: format!("\"{}\" cannot be the name of a source", name.text),
                hint: Some("start with a letter, then use letters, digits and \"_\"".to_owned()),
            });
        }
        let catalogs = self.context.catalog_names();
        let schemas = catalog_of(&self.engine.database).map(|c| c.schema_names());
        let own = ["information_schema".to_owned(), "pg_catalog".to_owned()];
        let mut taken = catalogs.into_iter().chain(schemas.into_iter().flatten()).chain(own);
        match taken.any(|other| other.eq_ignore_ascii_case(&name.text)) {
            true => Err(exists(name)),
            false => Ok(()),
        }
    }
}

fn exists(name: &Name) -> EngineError {
    EngineError::Sql {
        at: Some(name.at),
        message: format!("there is a source or schema \"{}\" already", name.text),
        hint: Some("choose another name; DROP SOURCE forgets a source".to_owned()),
    }
}
