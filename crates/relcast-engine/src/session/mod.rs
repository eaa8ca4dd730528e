//! One SQL session that knows all statements of relcast.
//!
//! A statement comes in as read by `relcast-query`; an [`Answer`] goes out: rows that are computed
//! as they are read, or nothing but that it is done. Promises that a statement which fails, or is
//! no longer waited for, leaves no half of a table or of a model.

mod apart;
mod check_model;
mod copy;
mod explain;
mod explain_model;
mod labels;
mod models;
mod parameters;
mod planner;
mod prediction;
mod quick;
mod reach;
mod registry_tables;
mod resolve;
mod scan;
mod source_kind;
mod sources;
mod sql;
mod tables;
mod views;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::sqlparser::ast::Statement as ParsedStatement;
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use relcast_connect::Database;
use relcast_query::statement::{Explain, Sql, Statement};

pub use apart::worked_off;
pub use reach::Reach;
pub use watch::{LogWatcher, Watcher};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::registry::Registry;

/// A session over an engine: settings of its own, tables and models shared.
#[derive(Clone)]
pub struct Session {
    engine: Arc<Engine>,
    context: SessionContext,
    watcher: Arc<dyn Watcher>,
    dialect: Option<Arc<dyn Dialect>>,
    statement_memory: Option<usize>,
    reach: Reach,
    /// For plans that no rule could make better.
    without_rules: SessionState,
}

/// Reads SQL in which no predictive query stands in a way of its own, such as that of a database
/// whose clients ask for its catalog. It gets tokens: a text in them needs no quoting.
pub trait Dialect: Send + Sync {
    /// The statement, or nothing where the session should read it by itself.
    fn parse(&self, tokens: &[TokenWithSpan]) -> Option<ParsedStatement>;
}

/// What the SQL of a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing but read.
    Read,
    /// Write and define, too.
    Write,
}

/// What a statement gives back.
#[derive(Debug)]
pub struct Answer {
    /// What was done, as a server names it: `SELECT`, `CREATE MODEL`.
    pub tag: String,
    /// The rows, computed when they are read; none where there are none to give.
    pub rows: Option<DataFrame>,
}

/// What a statement would give, and what it needs.
#[derive(Debug, Clone)]
pub struct Description {
    /// The columns of its rows; none for a statement that gives no rows.
    pub schema: SchemaRef,
    /// The types of its parameters by number; none where it cannot be told.
    pub parameters: BTreeMap<usize, Option<DataType>>,
}

impl Description {
    /// Rows of these columns, without parameters.
    #[must_use]
    pub fn of(fields: Vec<Field>) -> Self {
        Self { schema: Arc::new(ArrowSchema::new(fields)), parameters: BTreeMap::new() }
    }
}

impl Answer {
    fn done(tag: &str) -> Self {
        Self { tag: tag.to_owned(), rows: None }
    }
}

/// Makes known to `database` what the home folder adds to it: tables and views that SQL created over
/// it, and attached sources. The SELECT of a model's labels may read them. Gives a warning for each
/// source that cannot be read.
///
/// # Errors
/// If the registry or a table of the home folder cannot be read.
pub async fn surround(
    registry: &Registry,
    database: &Database,
) -> Result<Vec<String>, EngineError> {
    tables::open(registry.home(), database).await?;
    let warnings = sources::attach(registry, database).await?;
    views::open(registry, database).await?;
    Ok(warnings)
}

impl Session {
    /// A session over `engine` that tells `watcher` what happens.
    ///
    /// # Errors
    /// If the tables, sources and views of the home folder cannot be opened.
    pub async fn open(engine: Arc<Engine>, watcher: Arc<dyn Watcher>) -> Result<Self, EngineError> {
        let context = SessionContext::new_with_state(engine.database.context.state());
        registry_tables::register(&engine)?;
        for warning in surround(&engine.registry, &engine.database).await? {
            watcher.notice(&warning);
        }
        let without_rules = without_rules(&context);
        let session = Self {
            engine,
            context,
            watcher,
            dialect: None,
            statement_memory: None,
            reach: Reach::default(),
            without_rules,
        };
        session.put_up_views().await?;
        Ok(session)
    }

    /// The same session over another engine, such as one that has read the source again.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn over(&self, engine: Arc<Engine>) -> Result<Self, EngineError> {
        let session = Self::open(engine, self.watcher.clone()).await?;
        // A default catalog made anew would hide the tables.
        let config = self.context.copied_config().with_create_default_catalog_and_schema(false);
        let state = SessionStateBuilder::new_from_existing(session.context.state())
            .with_config(config)
            .build();
        let context = SessionContext::new_with_state(state);
        let (dialect, statement_memory) = (self.dialect.clone(), self.statement_memory);
        let reach = self.reach.clone();
        Ok(Self { context, dialect, statement_memory, reach, ..session })
    }

    /// A session of its own over the same tables, with today's settings, that tells `watcher`.
    /// Unlike a session that is opened it costs nearly nothing.
    #[must_use]
    pub fn fork(&self, watcher: Arc<dyn Watcher>) -> Self {
        let context = SessionContext::new_with_state(self.context.state());
        Self { context, ..self.telling(watcher) }
    }

    /// The same session, with what is set in it, telling `watcher`.
    #[must_use]
    pub fn telling(&self, watcher: Arc<dyn Watcher>) -> Self {
        Self { watcher, ..self.clone() }
    }

    /// The same session reading SQL by `dialect` where that can.
    #[must_use]
    pub fn with_dialect(self, dialect: Arc<dyn Dialect>) -> Self {
        Self { dialect: Some(dialect), ..self }
    }

    /// The same session with at most so many bytes for the sorting, joining and grouping of one
    /// statement's SQL; what does not fit goes to temporary files where it can.
    #[must_use]
    pub fn with_statement_memory(self, bytes: Option<usize>) -> Self {
        Self { statement_memory: bytes, ..self }
    }

    /// The same session, whose statements touch beside the database what is in `reach`.
    #[must_use]
    pub fn with_reach(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// A context for one statement, with a memory of its own where that is bounded.
    fn statement_context(&self) -> SessionContext {
        let Some(bytes) = self.statement_memory else { return self.context.clone() };
        let state = self.context.state();
        let mut runtime = state.runtime_env().as_ref().clone();
        runtime.memory_pool = Arc::new(FairSpillPool::new(bytes));
        let state =
            SessionStateBuilder::new_from_existing(state).with_runtime_env(Arc::new(runtime));
        SessionContext::new_with_state(state.build())
    }

    /// The columns of the rows that `sql` gives, and the types of its parameters by number, where
    /// they can be told; nothing runs. `given` holds a NULL of each parameter's type, by number,
    /// where the client has said which it is.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub async fn describe(
        &self,
        sql: &Sql,
        given: &[Option<ScalarValue>],
    ) -> Result<Description, EngineError> {
        let plan = self.plan(sql).await?;
        let mut parameters = parameters::of_plan(&plan)?;
        for query in &sql.predictions {
            parameters.extend(self.parameters_of(query).await?);
        }
        let silent = matches!(
            plan,
            LogicalPlan::Ddl(_)
                | LogicalPlan::Dml(_)
                | LogicalPlan::Copy(_)
                | LogicalPlan::Statement(_)
        );
        let schema = if silent {
            Arc::new(ArrowSchema::empty())
        } else {
            let plan = parameters::with_nulls(plan, given, &parameters)?;
            Arc::new(plan.schema().as_arrow().clone())
        };
        Ok(Description { schema, parameters })
    }

    /// What a statement of relcast's own gives; nothing runs but what only looks.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub async fn describe_own(&self, statement: &Statement) -> Result<Description, EngineError> {
        let text = |names: &[&str]| {
            let field = |name: &&str| Field::new(*name, DataType::Utf8, true);
            Description::of(names.iter().map(field).collect())
        };
        let described = match statement {
            Statement::Sql(sql) => return self.describe(sql, &[]).await,
            Statement::ExplainPredict { about: Explain::Analyze, .. } => {
                text(&["plan_type", "plan"])
            }
            Statement::ExplainPredict { .. } | Statement::ExplainCreateModel(_) => text(&["plan"]),
            Statement::CreateModel(_)
            | Statement::RefreshModel(_)
            | Statement::EvaluateModel { .. } => Description::of(models::figure_fields()),
            Statement::ExplainModel { prediction: None, .. } => {
                Description::of(explain_model::importance_fields())
            }
            Statement::ExplainModel { .. } => Description::of(explain_model::contribution_fields()),
            Statement::CheckModel(_) => Description::of(check_model::check_fields()),
            Statement::DescribeModel(_) => text(&["property", "value"]),
            Statement::ShowModels | Statement::ShowLinks | Statement::DescribeGraph => {
                let rows = self.run(statement).await?.rows;
                let schema = rows.map(|rows| rows.schema().inner().clone());
                Description {
                    schema: schema.unwrap_or_else(|| Arc::new(ArrowSchema::empty())),
                    parameters: BTreeMap::new(),
                }
            }
            _ => Description::of(Vec::new()),
        };
        Ok(Description { parameters: self.parameters_of_own(statement).await?, ..described })
    }

    /// What the session works on.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// What is wrong, where in the statement, and what to do.
    pub async fn run(&self, statement: &Statement) -> Result<Answer, EngineError> {
        self.run_as(statement, Access::Write).await
    }

    /// Runs one statement of somebody who may do so much. Statements that are no SQL of DataFusion's
    /// say by themselves whether they change something; SQL is looked through.
    ///
    /// # Errors
    /// As [`Session::run`], and [`EngineError::Forbidden`].
    pub async fn run_as(
        &self,
        statement: &Statement,
        access: Access,
    ) -> Result<Answer, EngineError> {
        match statement {
            Statement::Sql(sql) => self.sql(sql, access).await,
            Statement::ExplainPredict { about: Explain::Plan, query } => {
                self.explain_query(query).await
            }
            Statement::ExplainPredict { about: Explain::Analyze, query } => {
                self.explain_analyze(query).await
            }
            Statement::ExplainPredict { about: Explain::Labels, query } => {
                self.explain_labels(query).await
            }
            Statement::ExplainCreateModel(create) => self.explain_create(create).await,
            Statement::CreateModel(create) => self.create_model(create).await,
            Statement::EvaluateModel { model, as_of, options, .. } => {
                self.evaluate_model(model, *as_of, options).await
            }
            Statement::ExplainModel { model, prediction } => {
                self.explain_model(model, prediction.as_deref()).await
            }
            Statement::CheckModel(model) => self.check_model(model).await,
            Statement::ShowModels => self.show_models().await,
            Statement::DescribeModel(model) => self.describe_model(model).await,
            Statement::DropModel { model, if_exists } => self.drop_model(model, *if_exists).await,
            Statement::AlterModel { name, version } => self.set_default(name, *version).await,
            Statement::RefreshModel(name) => self.refresh_model(name).await,
            Statement::ShowLinks => self.show_links().await,
            Statement::DescribeGraph => self.describe_graph().await,
            Statement::CreateView(create) => self.create_view(create).await,
            Statement::DropView { name, if_exists } => self.drop_view(name, *if_exists).await,
            Statement::CreateSource { name, kind, options } => {
                self.create_source(name, kind, options).await
            }
            Statement::DropSource(name) => self.drop_source(name).await,
        }
    }

    /// Rows that are there already.
    fn rows(&self, tag: &str, batch: RecordBatch) -> Result<Answer, EngineError> {
        let rows = self.context.read_batch(batch)?;
        Ok(Answer { tag: tag.to_owned(), rows: Some(rows) })
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("database", &self.engine.database).finish_non_exhaustive()
    }
}

/// A state that plans as it is told: with no function and no rule.
fn without_rules(context: &SessionContext) -> SessionState {
    SessionStateBuilder::new()
        .with_config(context.copied_config())
        .with_runtime_env(context.runtime_env())
        .with_analyzer_rules(Vec::new())
        .with_optimizer_rules(Vec::new())
        .with_physical_optimizer_rules(Vec::new())
        .build()
}
