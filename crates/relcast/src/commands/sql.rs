//! `relcast sql`: statements against a database, its models and its predictions.

use std::io::Read;
use std::sync::Arc;

use relcast_engine::{Engine, Home, Registry, Session};
use relcast_query::statements;

use super::open;
use super::train::Terminal;
use crate::arguments::{Common, Sql};
use crate::failure::Failure;
use crate::output::{print_rows, tell};
use crate::prompt;

/// Runs the statements one after the other and prints the result of each; stops at an error. At a
/// terminal, and with no statement given, asks for them.
pub async fn run(common: &Common, arguments: &Sql) -> Result<(), Failure> {
    let asks = arguments.command.is_none() && arguments.file.is_none() && prompt::is_interactive();
    let home = Home::open(&common.home)?;
    let registry = Registry::open(&home).await?;
    let (database, catalog) = open(common, &arguments.source).await?;
    let engine = Arc::new(Engine::new(registry, database, catalog));
    let session = Session::open(engine, Arc::new(Terminal::default())).await?;
    if asks {
        return prompt::ask(&session, home.path()).await;
    }
    let text = statements_text(arguments)?;
    let all = statements(&text).map_err(|error| Failure::of_query(&error, &text))?;
    for (number, statement) in (1..).zip(all) {
        let statement = statement.map_err(|error| Failure::of_query(&error, &text))?;
        let failed = |error| Failure::of_statement(error, &text, number);
        let answer = session.run(&statement).await.map_err(failed)?;
        match answer.rows {
            Some(rows) => {
                let schema = rows.schema().inner().clone();
                let batches = rows.collect().await.map_err(|error| failed(error.into()))?;
                print_rows(common.format, &schema, &batches)?;
            }
            None => tell(&answer.tag),
        }
    }
    Ok(())
}

fn statements_text(arguments: &Sql) -> Result<String, Failure> {
    match (&arguments.command, &arguments.file) {
        (Some(command), _) => Ok(command.clone()),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display()))),
        (None, None) => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failure::new(format!("cannot read statements: {error}")))?;
            Ok(text)
        }
    }
}
