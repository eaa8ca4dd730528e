//! Views: kept in the home folder as they were written, and planned anew whenever they are read, so
//! that they see tables, sources and models as they are then.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    SchemaProvider, TableProvider,
};
use datafusion::common::{DataFusionError, TableReference};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DdlStatement, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement as ParsedStatement;
use relcast_catalog::nearest;
use relcast_connect::Database;
use relcast_query::ast::Name;
use relcast_query::statement::{CreateView, Existing, Statement, prediction_name};
use relcast_query::statements;
use tokio::time::{Instant, timeout_at};

use super::tables::place_of;
use super::{Answer, Session};
use crate::error::EngineError;
use crate::json_rows::repeated_column;
use crate::registry::Registry;
use crate::views::ViewRecord;

/// How long a session that opens waits for views to be planned: they may read a source that is slow to
/// answer. Those that take longer are planned when they are read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Plans of views by their names.
type Views = HashMap<String, Arc<dyn TableProvider>>;

/// A plan in the making; views may read views.
type Planning<'a> = Pin<Box<dyn Future<Output = Result<LogicalPlan, EngineError>> + Send + 'a>>;

/// Puts the views into the catalog of `database` for whoever reads it without a session: those that
/// can be planned without one, which has to know predictive queries.
pub(super) async fn open(registry: &Registry, database: &Database) -> Result<(), EngineError> {
    let (context, until) = (&database.context, Instant::now() + PATIENCE);
    for view in registry.views(&place_of(database)).await? {
        let table = TableReference::bare(view.name.as_str());
        if context.table_exist(table.clone())? {
            continue;
        }
        let state = context.state();
        let planned = timeout_at(until, state.create_logical_plan(&view.sql)).await;
        if let Ok(Ok(LogicalPlan::Ddl(DdlStatement::CreateView(create)))) = planned {
            let view = ViewTable::new(create.input.as_ref().clone(), Some(view.sql));
            context.register_table(table, Arc::new(view))?;
        }
    }
    Ok(())
}

impl Session {
    fn place(&self) -> String {
        place_of(&self.engine.database)
    }

    async fn views(&self) -> Result<Vec<ViewRecord>, EngineError> {
        self.engine.registry.views(&self.place()).await
    }

    async fn find_view(&self, name: &str) -> Result<Option<ViewRecord>, EngineError> {
        self.engine.registry.find_view(&self.place(), name).await
    }

    /// `CREATE VIEW v AS …`
    pub(super) async fn create_view(&self, create: &CreateView) -> Result<Answer, EngineError> {
        let name = self.own_name(&TableReference::bare(create.name.text.as_str()))?;
        let found = self.find_view(&name).await?;
        let is_table = found.is_none() && self.is_table(&name).await?;
        let exists = |name: &str| EngineError::Sql {
            at: Some(create.name.at),
            message: format!("view \"{name}\" exists already"),
            hint: Some(
                "CREATE OR REPLACE VIEW replaces it, CREATE VIEW IF NOT EXISTS keeps it".to_owned(),
            ),
        };
        let name = match (found, create.existing) {
            (Some(view), Existing::Refuse) => return Err(exists(&view.name)),
            (Some(view), Existing::Keep) => {
                self.watcher
                    .notice(&format!("view \"{}\" exists already: nothing is done", view.name));
                return Ok(Answer::done("CREATE VIEW"));
            }
            (Some(view), Existing::Replace) => view.name,
            (None, _) if is_table => return Err(EngineError::TableExists { table: name }),
            (None, _) => name,
        };
        // What is wrong with it is said with its place in the statement.
        let plan = self.plan_view(create, std::slice::from_ref(&name)).await?;
        let (registry, database) = (&self.engine.registry, self.place());
        let view = ViewRecord { name, sql: create.text.clone() };
        match create.existing {
            Existing::Replace => registry.replace_view(&database, &view).await?,
            Existing::Refuse | Existing::Keep => {
                if !registry.add_view(&database, &view).await? {
                    return Err(exists(&view.name));
                }
            }
        }
        self.put_up(view, plan)?;
        Ok(Answer::done("CREATE VIEW"))
    }

    /// `DROP VIEW v`
    pub(super) async fn drop_view(
        &self,
        name: &Name,
        if_exists: bool,
    ) -> Result<Answer, EngineError> {
        let found = self.find_view(&name.text).await?;
        let Some(view) = found else {
            if if_exists {
                return Ok(Answer::done("DROP VIEW"));
            }
            let views = self.views().await?;
            let nearest = nearest(&name.text, views.iter().map(|view| view.name.as_str()));
            return Err(EngineError::Sql {
                at: Some(name.at),
                message: format!("no view \"{}\"", name.text),
                hint: nearest.map(|name| format!("did you mean \"{name}\"?")),
            });
        };
        self.engine.registry.remove_view(&self.place(), &view.name).await?;
        self.context.deregister_table(TableReference::bare(view.name.as_str()))?;
        self.tell_dependants(&view.name).await?;
        Ok(Answer::done("DROP VIEW"))
    }

    /// Refuses what is for tables alone.
    pub(super) async fn check_no_view(&self, name: &str) -> Result<(), EngineError> {
        let Some(view) = self.find_view(name).await? else { return Ok(()) };
        Err(EngineError::Sql {
            at: None,
            message: format!("\"{}\" is a view", view.name),
            hint: Some(
                "CREATE OR REPLACE VIEW replaces it, DROP VIEW removes it; its rows are those of what it reads"
                    .to_owned(),
            ),
        })
    }

    /// Says which views can no longer be read now that `gone` is.
    pub(super) async fn tell_dependants(&self, gone: &str) -> Result<(), EngineError> {
        let gone = format!("\"{gone}\"");
        for view in self.views().await? {
            if let Err(error) = self.view_plan(&view, &[]).await
                && error.to_string().contains(&gone)
            {
                self.tell_broken(&error);
            }
        }
        Ok(())
    }

    /// Puts those views into the catalog that are not there yet; tells of those that cannot be read.
    pub(super) async fn put_up_views(&self) -> Result<(), EngineError> {
        let until = Instant::now() + PATIENCE;
        for view in self.views().await? {
            let table = TableReference::bare(view.name.as_str());
            if self.context.table_exist(table)? {
                continue;
            }
            let planned = timeout_at(until, self.view_plan(&view, &[])).await;
            match planned {
                // Another session may have put it up meanwhile, which is as good.
                Ok(Ok(plan)) => drop(self.put_up(view, plan)),
                Ok(Err(error)) => self.tell_broken(&error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn tell_broken(&self, error: &EngineError) {
        let (message, _) = error.told();
        self.watcher
            .notice(&format!("{message}; CREATE OR REPLACE VIEW mends it, DROP VIEW removes it"));
    }

    /// Puts a view into the catalog, for those who look what there is.
    fn put_up(&self, view: ViewRecord, plan: LogicalPlan) -> Result<(), EngineError> {
        let table = TableReference::bare(view.name);
        self.context.deregister_table(table.clone())?;
        self.context.register_table(table, Arc::new(ViewTable::new(plan, Some(view.sql))))?;
        Ok(())
    }

    /// Whether a table of the session's own schema has the name.
    async fn is_table(&self, name: &str) -> Result<bool, EngineError> {
        let table = TableReference::bare(name);
        if !self.context.table_exist(table.clone())? {
            return Ok(false);
        }
        let schema = self.context.state().schema_for_ref(table)?;
        Ok(schema.table_type(name).await? != Some(TableType::View))
    }

    /// The session's state, with the views that `statement` reads as they are now. `predictions`
    /// stand in the statement; it is read for the views `within` which it stands.
    pub(super) async fn state_for(
        &self,
        statement: &ParsedStatement,
        predictions: usize,
        within: &[String],
    ) -> Result<SessionState, EngineError> {
        let mut state = self.context.state();
        let names = state.config_options().catalog.clone();
        let (catalog, schema) = (names.default_catalog.as_str(), names.default_schema.as_str());
        let mut views = Views::new();
        for reference in state.resolve_table_references(statement)? {
            let name = reference.table();
            let of_ours = reference.catalog().is_none_or(|name| name == catalog)
                && reference.schema().is_none_or(|name| name == schema);
            if !of_ours
                || views.contains_key(name)
                || (0..predictions).any(|number| prediction_name(number) == name)
            {
                continue;
            }
            let there = state.schema_for_ref(reference.clone())?.table_type(name).await?;
            if there == Some(TableType::Base) {
                continue;
            }
            if let Some(view) = self.find_view(name).await? {
                let plan = self.view_plan(&view, within).await?;
                views.insert(name.to_owned(), Arc::new(ViewTable::new(plan, Some(view.sql))));
            } else if there.is_some() {
                // Another process dropped it.
                self.context.deregister_table(reference)?;
            }
        }
        if !views.is_empty() {
            let list = with_views(&state, catalog, schema, views)?;
            state.register_catalog_list(list);
        }
        Ok(state)
    }

    /// The plan of what a view on record reads, as everything is now.
    fn view_plan<'a>(&'a self, view: &'a ViewRecord, within: &'a [String]) -> Planning<'a> {
        Box::pin(async move {
            let planned = async {
                if within.contains(&view.name) {
                    return Err(EngineError::Sql {
                        at: None,
                        message: "it reads itself".to_owned(),
                        hint: None,
                    });
                }
                let create = read(view)?;
                let within = [within, std::slice::from_ref(&view.name)].concat();
                self.plan_view(&create, &within).await
            };
            planned.await.map_err(|error| of_view(error, &view.name))
        })
    }

    /// The plan of what a view reads, with the names of its columns; each may stand but once.
    async fn plan_view(
        &self,
        create: &CreateView,
        within: &[String],
    ) -> Result<LogicalPlan, EngineError> {
        let mut plan = self.plan_within(&create.sql, within).await?;
        if let Some(first) = create.columns.first() {
            let (written, there) = (create.columns.len(), plan.schema().fields().len());
            if written != there {
                return Err(EngineError::Sql {
                    at: Some(first.at),
                    message: format!("the view has {there} columns, and {written} of them named"),
                    hint: None,
                });
            }
            let columns = plan.schema().columns().into_iter().zip(&create.columns);
            let renamed: Vec<Expr> =
                columns.map(|(column, name)| Expr::Column(column).alias(&name.text)).collect();
            plan = LogicalPlanBuilder::from(plan).project(renamed)?.build()?;
        }
        match repeated_column(plan.schema().as_arrow()) {
            None => Ok(plan),
            Some(column) => Err(EngineError::Sql {
                at: Some(create.name.at),
                message: format!("the view has two columns \"{column}\""),
                hint: Some("name all of them: CREATE VIEW v (a, b) AS …".to_owned()),
            }),
        }
    }
}

/// The CREATE VIEW of a view on record.
fn read(view: &ViewRecord) -> Result<CreateView, EngineError> {
    match statements(&view.sql)?.next() {
        Some(Ok(Statement::CreateView(create))) => Ok(create),
        Some(Err(error)) => Err(error.into()),
        _ => Err(EngineError::BadRow {
            place: format!("sql of view \"{}\"", view.name),
            message: "it is no CREATE VIEW".to_owned(),
        }),
    }
}

/// What is wrong with a view that a statement reads: its places are not in the statement.
fn of_view(error: EngineError, view: &str) -> EngineError {
    if matches!(error, EngineError::Stopped | EngineError::Registry { .. }) {
        return error;
    }
    let (message, hint) = error.told();
    let message = format!("view \"{view}\" cannot be read: {message}");
    EngineError::Sql { at: None, message, hint }
}

/// The catalogs of `state` with `views` in the place of what has their names.
fn with_views(
    state: &SessionState,
    catalog: &str,
    schema: &str,
    views: Views,
) -> Result<Arc<dyn CatalogProviderList>, EngineError> {
    let (list, all) = (state.catalog_list(), MemoryCatalogProviderList::new());
    for name in list.catalog_names() {
        let Some(catalog) = list.catalog(&name) else { continue };
        all.register_catalog(name, catalog);
    }
    let (ours, of_ours) = (list.catalog(catalog), MemoryCatalogProvider::new());
    let schemas = ours.iter().flat_map(|ours| {
        ours.schema_names().into_iter().filter_map(move |name| Some((ours.schema(&name)?, name)))
    });
    for (provider, name) in schemas {
        of_ours.register_schema(&name, provider)?;
    }
    let tables = state.schema_for_ref(TableReference::bare(""))?;
    of_ours.register_schema(schema, Arc::new(WithViews { tables, views }))?;
    all.register_catalog(catalog.to_owned(), Arc::new(of_ours));
    Ok(Arc::new(all))
}

/// The session's own schema, with views as they are now.
#[derive(Debug)]
struct WithViews {
    tables: Arc<dyn SchemaProvider>,
    views: Views,
}

#[async_trait]
impl SchemaProvider for WithViews {
    fn table_names(&self) -> Vec<String> {
        self.tables.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        match self.views.get(name) {
            Some(view) => Ok(Some(view.clone())),
            None => self.tables.table(name).await,
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.views.contains_key(name) || self.tables.table_exist(name)
    }
}
