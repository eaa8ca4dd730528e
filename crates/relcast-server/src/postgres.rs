//! The SQL that clients of Postgres send to its catalog.

use datafusion::sql::sqlparser::ast::Statement;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use relcast_engine::{Dialect, Engine};

use crate::listen::ServeError;

/// Reads SQL of Postgres and turns what DataFusion does not know into what it does.
#[derive(Debug)]
pub(crate) struct PostgresDialect(PostgresCompatibilityParser);

impl PostgresDialect {
    pub(crate) fn new() -> Self {
        Self(PostgresCompatibilityParser::new())
    }
}

impl Dialect for PostgresDialect {
    fn parse(&self, sql: &str) -> Option<Statement> {
        let mut statements = self.0.parse(sql).ok()?;
        match statements.len() {
            // What is no query is read, and its errors told, by the session.
            1 => statements.pop().filter(|s| matches!(s, Statement::Query(_))),
            _ => None,
        }
    }
}

/// Adds `pg_catalog` to the database, once.
pub(crate) fn add_catalog(engine: &Engine) -> Result<(), ServeError> {
    let context = &engine.database.context;
    let catalog = context.state().config_options().catalog.default_catalog.clone();
    let provider = datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
    datafusion_pg_catalog::pg_catalog::setup_pg_catalog(context, &catalog, provider)
        .map_err(|error| ServeError::Catalog(error.to_string()))
}
