//! A session that sees the tables of another and one more.
//!
//! The caller's session is left as it is: several pieces of work may run at once, each with a
//! table of its own under the same name.

use std::sync::Arc;

use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

/// The session of `context` with `table` as `name` beside, or in the place of one of, its tables.
///
/// # Errors
/// DataFusion's, if a table of `context` cannot be opened.
pub async fn with_table(
    context: &SessionContext,
    name: &str,
    table: Arc<dyn TableProvider>,
) -> Result<SessionContext> {
    let state = context.state();
    let options = &state.config_options().catalog;
    let (catalog_name, schema_name) =
        (options.default_catalog.clone(), options.default_schema.clone());
    let tables = Arc::new(MemorySchemaProvider::new());
    if let Some(schema) = context.catalog(&catalog_name).and_then(|c| c.schema(&schema_name)) {
        for name in schema.table_names() {
            if let Some(table) = schema.table(&name).await? {
                tables.register_table(name, table)?;
            }
        }
    }
    tables.deregister_table(name)?;
    tables.register_table(name.to_owned(), table)?;

    let catalog = Arc::new(MemoryCatalogProvider::new());
    if let Some(old) = context.catalog(&catalog_name) {
        for name in old.schema_names().iter().filter(|n| **n != schema_name) {
            if let Some(schema) = old.schema(name) {
                catalog.register_schema(name, schema)?;
            }
        }
    }
    catalog.register_schema(&schema_name, tables)?;
    let catalogs = MemoryCatalogProviderList::new();
    for name in context.catalog_names() {
        if let Some(other) = context.catalog(&name) {
            catalogs.register_catalog(name, other);
        }
    }
    catalogs.register_catalog(catalog_name, catalog);

    // A default catalog made anew would hide the tables.
    let config = state.config().clone().with_create_default_catalog_and_schema(false);
    let state = SessionStateBuilder::new_from_existing(state)
        .with_config(config)
        .with_catalog_list(Arc::new(catalogs))
        .build();
    Ok(SessionContext::new_with_state(state))
}
