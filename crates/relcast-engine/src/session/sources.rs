//! Attached databases: the tables of one stand under its name, and are opened when first read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use relcast_catalog::nearest;
use relcast_connect::{Database, redacted, table_names};
use relcast_query::Place;
use relcast_query::ast::Name;
use tokio::sync::OnceCell;

use super::{Answer, Session, not_yet};
use crate::error::EngineError;
use crate::registry::Registry;
use crate::sources::SourceRecord;

/// The kinds of sources that CREATE SOURCE knows by name.
const KINDS: [&str; 3] = ["folder", "postgres", "sqlite"];
/// The option that says where a folder is.
const PATH: &str = "path";

/// A folder of files under a name of its own.
#[derive(Debug)]
struct Source {
    name: String,
    path: String,
    opened: OnceCell<Arc<dyn SchemaProvider>>,
}

impl Source {
    fn new(name: &str, path: &str) -> Self {
        Self { name: name.to_owned(), path: path.to_owned(), opened: OnceCell::new() }
    }

    fn of(record: &SourceRecord) -> Self {
        let path = record.options.get(PATH).map(String::as_str).unwrap_or_default();
        Self::new(&record.name, path)
    }

    /// The tables; a source that could not be opened is tried again the next time.
    async fn tables(&self) -> Result<&Arc<dyn SchemaProvider>, EngineError> {
        let open = || async {
            let database =
                relcast_connect::open(&self.path).await.map_err(|error| self.failed(&error))?;
            let state = database.context.state();
            let names = &state.config_options().catalog;
            let catalog = database.context.catalog(&names.default_catalog);
            let tables = catalog.and_then(|c| c.schema(&names.default_schema));
            tables.ok_or_else(|| self.failed(&"it has no tables"))
        };
        self.opened.get_or_try_init(open).await
    }

    fn failed(&self, reason: &dyn std::fmt::Display) -> EngineError {
        let message = format!("source \"{}\": {reason}", self.name);
        EngineError::Sql { at: None, message, hint: None }
    }

    /// Why the source cannot be read, if it cannot; no table is opened.
    fn gone(&self) -> Option<String> {
        let error = table_names(&self.path).err()?;
        Some(format!("source \"{}\" cannot be read: {error}; DROP SOURCE forgets it", self.name))
    }
}

#[async_trait]
impl SchemaProvider for Source {
    fn table_names(&self) -> Vec<String> {
        match self.opened.get() {
            Some(tables) => tables.table_names(),
            // A source that is gone has no tables to list; who reads one is told why.
            None => table_names(&self.path).unwrap_or_default(),
        }
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        self.tables().await?.table(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        match self.opened.get() {
            Some(tables) => tables.table_exist(name),
            None => self.table_names().iter().any(|table| table.eq_ignore_ascii_case(name)),
        }
    }
}

/// Puts the attached databases on record into the catalog of `database`; gives a warning for each
/// that cannot be read.
pub(super) async fn attach(
    registry: &Registry,
    database: &Database,
) -> Result<Vec<String>, EngineError> {
    let Some(catalog) = catalog_of(database) else { return Ok(Vec::new()) };
    let mut warnings = Vec::new();
    for record in registry.sources().await? {
        if catalog.schema(&record.name).is_some() {
            continue;
        }
        let source = Source::of(&record);
        warnings.extend(source.gone());
        catalog.register_schema(&record.name, Arc::new(source))?;
    }
    Ok(warnings)
}

fn catalog_of(database: &Database) -> Option<Arc<dyn CatalogProvider>> {
    let name = database.context.state().config_options().catalog.default_catalog.clone();
    database.context.catalog(&name)
}

impl Session {
    /// `CREATE SOURCE s TYPE t OPTIONS (…)`: opens it, and records it if that went well.
    pub(super) async fn create_source(
        &self,
        name: &Name,
        kind: &Name,
        options: &[(Name, String)],
    ) -> Result<Answer, EngineError> {
        check_kind(kind, options)?;
        self.check_name(name)?;
        let path = folder_path(kind, options)?;
        let source = Source::new(&name.text, &path.to_string_lossy());
        source.tables().await?;
        let options = BTreeMap::from([(PATH.to_owned(), source.path.clone())]);
        if !self.engine.registry.add_source(&name.text, "folder", &options).await? {
            return Err(exists(name));
        }
        if let Some(catalog) = catalog_of(&self.engine.database) {
            catalog.register_schema(&name.text, Arc::new(source))?;
        }
        Ok(Answer::done("CREATE SOURCE"))
    }

    /// `DROP SOURCE s`: forgets it; its data stay where they are.
    pub(super) async fn drop_source(&self, name: &Name) -> Result<Answer, EngineError> {
        if !self.engine.registry.remove_source(&name.text).await? {
            let known = self.engine.registry.sources().await?;
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

/// Refuses kinds that cannot be attached; a password in their options is not told.
fn check_kind(kind: &Name, options: &[(Name, String)]) -> Result<(), EngineError> {
    match kind.text.to_ascii_lowercase().as_str() {
        "folder" => Ok(()),
        "sqlite" => Err(not_yet(
            "sources of TYPE sqlite; export its tables as Parquet or CSV files, and attach their folder",
        )),
        "postgres" | "postgresql" => {
            let url = options.iter().find(|(name, _)| name.text.eq_ignore_ascii_case("url"));
            let url = url.map(|(_, url)| format!(" ({})", redacted(url))).unwrap_or_default();
            Err(not_yet(&format!(
                "sources of TYPE postgres{url}; export its tables as Parquet or CSV files, and attach their folder"
            )))
        }
        other => {
            let nearest = nearest(other, KINDS).map(|kind| format!("did you mean \"{kind}\"?"));
            Err(EngineError::Sql {
                at: Some(kind.at),
                message: format!("no sources of TYPE {}", kind.text),
                hint: nearest.or_else(|| Some(format!("there are {}", KINDS.join(", ")))),
            })
        }
    }
}

/// The folder that the options name, from the root on: whoever opens it next may stand elsewhere.
fn folder_path(kind: &Name, options: &[(Name, String)]) -> Result<PathBuf, EngineError> {
    let refused = |at: Place, message: String, hint: &str| {
        Err(EngineError::Sql { at: Some(at), message, hint: Some(hint.to_owned()) })
    };
    let hint = "write OPTIONS (path 'folder')";
    if let Some((name, _)) = options.iter().find(|(name, _)| !name.text.eq_ignore_ascii_case(PATH))
    {
        let message = format!("a folder has no option \"{}\"", name.text);
        return refused(name.at, message, hint);
    }
    match options {
        [(_, path)] if !path.is_empty() => {
            std::path::absolute(path).map_err(EngineError::file("find", Path::new(path)))
        }
        [] => refused(kind.at, "a folder needs its path".to_owned(), hint),
        [(name, _)] => refused(name.at, "the path is empty".to_owned(), hint),
        [_, (name, _), ..] => {
            refused(name.at, "option \"path\" is given twice".to_owned(), "keep one of them")
        }
    }
}
