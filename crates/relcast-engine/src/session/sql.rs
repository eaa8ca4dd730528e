//! SQL statements, with predictive queries as relations in them.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, SchemaError, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{DdlStatement, LogicalPlan, LogicalPlanBuilder, Statement, WriteOp};
use datafusion::prelude::DataFrame;
use datafusion::sql::parser::{DFParserBuilder, Statement as ParsedStatement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use relcast_query::statement::Sql;
use relcast_query::{Place, PredictiveQuery};

use super::planner::PredictionPlanner;
use super::prediction::Prediction;
use super::resolve::Resolved;
use super::{Access, Answer, Session, copy, parameters};
use crate::error::EngineError;
use crate::outside::check_outside_home;

/// Nesting that the SQL parser follows.
const DEEPEST: usize = 200;

impl Session {
    pub(super) async fn sql(&self, sql: &Sql, access: Access) -> Result<Answer, EngineError> {
        if let Some(query) = sql.prediction_alone() {
            return self.predict_alone(query).await;
        }
        let plan = parameters::with_values(self.plan(sql).await?, &sql.values)?;
        if access == Access::Read {
            refuse_changes(&plan)?;
        }
        self.check_copies(&plan)?;
        match &plan {
            LogicalPlan::Ddl(ddl) => check_definition(ddl)?,
            LogicalPlan::Statement(statement) => self.reach.check_setting(statement)?,
            _ => {}
        }
        let answer = match plan {
            LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(create)) => {
                return self.create_table(create).await;
            }
            LogicalPlan::Ddl(DdlStatement::DropTable(drop)) => return self.drop_table(&drop).await,
            LogicalPlan::Dml(dml) if matches!(dml.op, WriteOp::Insert(_)) => {
                return self.insert(dml).await;
            }
            LogicalPlan::Dml(dml) => {
                return Err(EngineError::ReadOnly { table: dml.table_name.table().to_owned() });
            }
            LogicalPlan::Copy(copy) => return self.copy_to(&copy).await,
            plan => {
                let tag = tag_of(&plan);
                let silent = matches!(plan, LogicalPlan::Ddl(_) | LogicalPlan::Statement(_));
                let context = match plan {
                    // SET is for the session.
                    LogicalPlan::Statement(_) => self.context.clone(),
                    _ => self.statement_context(),
                };
                let rows = context.execute_logical_plan(plan).await;
                Answer {
                    tag,
                    rows: Some(rows.map_err(EngineError::of_datafusion)?).filter(|_| !silent),
                }
            }
        };
        Ok(answer)
    }

    /// A predictive query that stands by itself: nothing stands above it that could be pushed into
    /// it, so no rule of DataFusion's needs to look at it.
    async fn predict_alone(&self, query: &PredictiveQuery) -> Result<Answer, EngineError> {
        let resolved = Resolved::new(&self.engine, query).await?;
        let watcher = self.watcher.clone();
        let prediction = Arc::new(Prediction::new(&self.engine, watcher, resolved, false)?);
        let source = provider_as_source(prediction);
        let plan = LogicalPlanBuilder::scan("prediction", source, None)?.build()?;
        let rows = DataFrame::new(self.without_rules.clone(), plan);
        Ok(Answer { tag: "SELECT".to_owned(), rows: Some(rows) })
    }

    /// The logical plan of SQL; each predictive query is a scan in it. Parameters stay parameters.
    pub(crate) async fn plan(&self, sql: &Sql) -> Result<LogicalPlan, EngineError> {
        self.plan_within(sql, &[]).await
    }

    /// The same of what the views `within` read, one for the other.
    pub(super) async fn plan_within(
        &self,
        sql: &Sql,
        within: &[String],
    ) -> Result<LogicalPlan, EngineError> {
        let written = is_written(&sql.tokens);
        let mut predictions = Vec::with_capacity(sql.predictions.len());
        for query in &sql.predictions {
            let resolved = Resolved::new(&self.engine, query).await?;
            let watcher = self.watcher.clone();
            predictions.push(Arc::new(Prediction::new(&self.engine, watcher, resolved, written)?));
        }
        let foreign = self.dialect.as_ref().filter(|_| predictions.is_empty());
        let statement = match foreign.and_then(|dialect| dialect.parse(&sql.tokens)) {
            Some(statement) => ParsedStatement::Statement(Box::new(statement)),
            None => parse(&sql.tokens)?,
        };
        copy::check(&statement)?;
        refuse_prepared(&statement)?;
        let mut state = self.state_for(&statement, predictions.len(), within).await?;
        state.register_relation_planner(Arc::new(PredictionPlanner { predictions }))?;
        state
            .statement_to_plan(statement)
            .await
            .map_err(|error| self.with_place(error, &sql.tokens))
    }

    /// Refuses a COPY into the files that the tables are read from, or out of reach, and one that
    /// would run beneath another statement.
    fn check_copies(&self, plan: &LogicalPlan) -> Result<(), EngineError> {
        let mut written = Vec::new();
        plan.apply(|node| {
            if let LogicalPlan::Copy(copy) = node {
                written.push(copy.output_url.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        for place in &written {
            if !copy::is_file(place) {
                self.reach.check_place(place)?;
            }
            let path = copy::file_of(place)?;
            self.engine.database.check_path_apart(&path)?;
            self.check_place(&path)?;
        }
        if !written.is_empty() && matches!(plan, LogicalPlan::Analyze(_)) {
            return Err(EngineError::Sql {
                at: None,
                message: "EXPLAIN ANALYZE would run the COPY".to_owned(),
                hint: Some("EXPLAIN ANALYZE its query alone".to_owned()),
            });
        }
        Ok(())
    }

    /// Refuses a file or folder that statements of this session may not name.
    pub(super) fn check_place(&self, path: &Path) -> Result<(), EngineError> {
        self.reach.check_path(path)?;
        check_outside_home(self.engine.registry.home().path(), path)
    }

    /// An error of planning with the place of the name that it is about.
    fn with_place(&self, error: DataFusionError, tokens: &[TokenWithSpan]) -> EngineError {
        if let DataFusionError::SchemaError(wrong, _) = error.find_root()
            && let SchemaError::FieldNotFound { field, valid_fields } = wrong.as_ref()
        {
            return no_column(field, valid_fields, tokens);
        }
        let span = error.diagnostic().and_then(|d| d.span);
        let at = span.map(|s| Place { line: s.start.line, column: s.start.column });
        let missing = missing_table(&error);
        let Some(missing) = missing else {
            return EngineError::of_datafusion(error).at(at);
        };
        let is_name = |t: &&TokenWithSpan| matches!(&t.token, Token::Word(w) if w.value == missing);
        let token = tokens.iter().find(is_name).map(|t| t.span.start);
        let names = self.table_names();
        let hint = match relcast_catalog::nearest(&missing, names.iter().map(String::as_str)) {
            Some(name) if name == missing => Some(format!(
                "one stands in another schema: write the schema before it, as in relcast.{name}"
            )),
            nearest => nearest.map(|name| format!("did you mean \"{name}\"?")),
        };
        EngineError::Sql {
            at: token.map(|l| Place { line: l.line, column: l.column }).or(at),
            message: format!("no table \"{missing}\""),
            hint,
        }
    }

    /// The names of all tables and views, those of attached sources among them.
    #[must_use]
    pub fn table_names(&self) -> Vec<String> {
        let catalogs = self.context.catalog_names().into_iter();
        let catalogs = catalogs.filter_map(|name| self.context.catalog(&name));
        let schemas = catalogs.flat_map(|catalog| {
            catalog.schema_names().into_iter().filter_map(move |name| catalog.schema(&name))
        });
        schemas.flat_map(|schema| schema.table_names()).collect()
    }
}

/// Refuses statements that are prepared in SQL: the library would answer them and run nothing.
fn refuse_prepared(statement: &ParsedStatement) -> Result<(), EngineError> {
    let ParsedStatement::Statement(statement) = statement else { return Ok(()) };
    let is_prepared = matches!(
        statement.as_ref(),
        SqlStatement::Prepare { .. }
            | SqlStatement::Execute { .. }
            | SqlStatement::Deallocate { .. }
    );
    match is_prepared {
        true => Err(EngineError::NotYet {
            what: "PREPARE and EXECUTE; drivers prepare and bind by their protocol".to_owned(),
        }),
        false => Ok(()),
    }
}

fn parse(tokens: &[TokenWithSpan]) -> Result<ParsedStatement, EngineError> {
    let mut parser = DFParserBuilder::new(tokens.to_vec())
        .with_recursion_limit(DEEPEST)
        .build()
        .map_err(EngineError::of_datafusion)?;
    let statement = parser.parse_statement().map_err(EngineError::of_datafusion)?;
    match parser.parser.peek_token().token {
        Token::EOF => Ok(statement),
        _ => {
            let found = parser.parser.peek_token();
            Err(EngineError::Sql {
                at: Some(Place { line: found.span.start.line, column: found.span.start.column }),
                message: format!("expected the end of the statement, found \"{}\"", found.token),
                hint: None,
            })
        }
    }
}

/// Refuses to define what is no table: the catalog is the source's, and views are statements of ours.
fn check_definition(ddl: &DdlStatement) -> Result<(), EngineError> {
    let what = match ddl {
        DdlStatement::CreateMemoryTable(_) | DdlStatement::DropTable(_) => return Ok(()),
        DdlStatement::CreateView(_) => "CREATE TEMPORARY VIEW".to_owned(),
        other => words(other.name()),
    };
    let hint = "CREATE TABLE … AS, CREATE VIEW and CREATE SOURCE bring tables";
    Err(EngineError::Sql {
        at: None,
        message: format!("{what} is no statement of relcast"),
        hint: Some(hint.to_owned()),
    })
}

/// Refuses a plan that changes anything, at whatever depth.
fn refuse_changes(plan: &LogicalPlan) -> Result<(), EngineError> {
    let mut changes = false;
    plan.apply_with_subqueries(|node| {
        changes |= match node {
            LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_) => true,
            // A predictive query in a view, maybe.
            LogicalPlan::TableScan(scan) => source_as_provider(&scan.source).is_ok_and(|table| {
                let prediction = (table.as_ref() as &dyn Any).downcast_ref::<Prediction>();
                prediction.is_some_and(Prediction::trains)
            }),
            // How statements are run, which is not for readers to say.
            LogicalPlan::Statement(Statement::SetVariable(_) | Statement::ResetVariable(_)) => true,
            _ => false,
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    if changes { Err(EngineError::Forbidden) } else { Ok(()) }
}

/// `CreateView` as people write it.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_uppercase());
    }
    words
}

/// Whether the rows of the statement go into a table or file.
fn is_written(tokens: &[TokenWithSpan]) -> bool {
    let first = tokens.iter().find_map(|t| match &t.token {
        Token::Word(word) => Some(word.value.to_ascii_uppercase()),
        _ => None,
    });
    matches!(first.as_deref(), Some("CREATE" | "INSERT" | "COPY"))
}

/// That there is no column `missing` among `there`, with its place among the tokens.
fn no_column(missing: &Column, there: &[Column], tokens: &[TokenWithSpan]) -> EngineError {
    let table = missing.relation.as_ref().map(TableReference::table);
    let is = |token: &Token, name: &str| matches!(token, Token::Word(w) if w.value == name);
    let stands = |at: &usize| {
        let after_dot = *at > 1 && tokens[at - 1].token == Token::Period;
        let of_table = |table| after_dot && is(&tokens[at - 2].token, table);
        is(&tokens[*at].token, &missing.name) && table.map_or(!after_dot, of_table)
    };
    let start = (0..tokens.len()).find(stands).map(|at| tokens[at].span.start);
    let of_table = |column: &&Column| {
        table.is_none() || column.relation.as_ref().map(TableReference::table) == table
    };
    let names = there.iter().filter(of_table).map(|column| column.name.as_str());
    let nearest = relcast_catalog::nearest(&missing.name, names);
    let table = table.map(|table| format!(" in \"{table}\"")).unwrap_or_default();
    EngineError::Sql {
        at: start.map(|l| Place { line: l.line, column: l.column }),
        message: format!("no column \"{}\"{table}", missing.name),
        hint: nearest.map(|name| format!("did you mean \"{name}\"?")),
    }
}

/// The name in DataFusion's words that a table is missing.
fn missing_table(error: &DataFusionError) -> Option<String> {
    let DataFusionError::Plan(message) = error.find_root() else { return None };
    let name = message.strip_prefix("table '")?.split_once("' not found")?.0;
    name.rsplit('.').next().map(str::to_owned)
}

fn tag_of(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::Ddl(ddl) => words(ddl.name()),
        LogicalPlan::Statement(Statement::SetVariable(_)) => "SET".to_owned(),
        LogicalPlan::Statement(Statement::ResetVariable(_)) => "RESET".to_owned(),
        LogicalPlan::Statement(statement) => words(statement.name()),
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => "EXPLAIN".to_owned(),
        _ => "SELECT".to_owned(),
    }
}
