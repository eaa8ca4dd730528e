//! `pg_catalog` and `information_schema`: the tables that are there, with views over those that
//! know nothing of keys.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use relcast_engine::Engine;

use super::functions;
use super::keys::Keys;
use crate::listen::ServeError;

/// Each ends with a semicolon.
const VIEWS: &str = include_str!("views.sql");

/// Adds them to the database, once.
pub(crate) async fn add_catalog(engine: &Engine) -> Result<(), ServeError> {
    add(engine).await.map_err(|error| ServeError::Catalog(error.to_string()))
}

async fn add(engine: &Engine) -> Result<()> {
    let context = &engine.database.context;
    let name = context.state().config_options().catalog.default_catalog.clone();
    setup_pg_catalog(context, &name, EmptyContextProvider).map_err(|error| *error)?;
    let keys = Keys::of(&engine.catalog.schema);
    functions::register(context, &keys);
    let missing = || DataFusionError::Configuration(format!("no catalog {name} with pg_catalog"));
    let catalog = context.catalog(&name).ok_or_else(missing)?;
    let pg_catalog = catalog.schema("pg_catalog").ok_or_else(missing)?;
    let all = context.state().catalog_list().clone();
    let information = Arc::new(InformationSchemaProvider::new(all));
    let schemas = [Overlay::new(pg_catalog), Overlay::new(information)];

    let views = views(context, &schemas)?;
    views.register_batch("key_columns", keys.columns()?)?;
    for view in VIEWS.split(';').filter(|view| !view.trim().is_empty()) {
        views.sql(view).await?;
    }
    let [pg_catalog, information] = schemas;
    catalog.register_schema("pg_catalog", Arc::new(pg_catalog))?;
    catalog.register_schema("information_schema", Arc::new(information))?;
    // Otherwise the session answers from one of its own.
    context.state_ref().write().config_mut().options_mut().catalog.information_schema = false;
    Ok(())
}

/// Where the views are made, apart from the database: over the tables that are there, under
/// `pg_base` and `information_base`, into `pg` and `information`.
fn views(context: &SessionContext, [pg, information]: &[Overlay; 2]) -> Result<SessionContext> {
    let state = context.state();
    let names = state.config_options().catalog.clone();
    let between: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
    let catalog = MemoryCatalogProvider::new();
    for (name, schema) in [
        (names.default_schema.as_str(), between),
        ("pg_base", pg.base.clone()),
        ("pg", pg.own.clone()),
        ("information_base", information.base.clone()),
        ("information", information.own.clone()),
    ] {
        catalog.register_schema(name, schema)?;
    }
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(names.default_catalog, Arc::new(catalog));
    let state = SessionStateBuilder::new_from_existing(state).with_catalog_list(Arc::new(catalogs));
    Ok(SessionContext::new_with_state(state.build()))
}

/// Tables, some of them replaced.
#[derive(Debug)]
struct Overlay {
    base: Arc<dyn SchemaProvider>,
    own: Arc<dyn SchemaProvider>,
}

impl Overlay {
    fn new(base: Arc<dyn SchemaProvider>) -> Self {
        Self { base, own: Arc::new(MemorySchemaProvider::new()) }
    }
}

#[async_trait]
impl SchemaProvider for Overlay {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.base.table_names();
        names.extend(self.own.table_names().into_iter().filter(|n| !self.base.table_exist(n)));
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match self.own.table(&name.to_ascii_lowercase()).await? {
            Some(table) => Ok(Some(table)),
            None => self.base.table(name).await,
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.own.table_exist(&name.to_ascii_lowercase()) || self.base.table_exist(name)
    }
}
