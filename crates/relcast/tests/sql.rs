//! Runs the `.slt` files in the repository's `tests/` on the small shop: in the process, and over
//! the wire.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use common::served::Served;
use common::shop;
use relcast_engine::{Engine, EngineError, Home, LogWatcher, Registry, Session};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

type Output = DBOutput<DefaultColumnType>;

/// What a statement's error said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

fn rows(rows: Vec<Vec<String>>) -> Output {
    let types = vec![DefaultColumnType::Any; rows.first().map_or(0, Vec::len)];
    DBOutput::Rows { types, rows }
}

/// A session of this process.
struct InProcess(Session);

impl InProcess {
    async fn answer(&self, sql: &str) -> Result<Output, EngineError> {
        let mut output = DBOutput::StatementComplete(0);
        for statement in relcast_query::statements(sql)? {
            let answer = self.0.run(&statement?).await?;
            let Some(frame) = answer.rows else { continue };
            let mut cells = Vec::new();
            for batch in frame.collect().await? {
                let options = FormatOptions::default().with_null("NULL");
                let columns: Vec<ArrayFormatter<'_>> = batch
                    .columns()
                    .iter()
                    .map(|c| ArrayFormatter::try_new(c, &options))
                    .collect::<Result<_, _>>()?;
                let row = |row| columns.iter().map(|c| c.value(row).to_string()).collect();
                cells.extend((0..batch.num_rows()).map(row));
            }
            output = rows(cells);
        }
        Ok(output)
    }
}

#[async_trait]
impl AsyncDB for InProcess {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<Output, Refused> {
        self.answer(sql).await.map_err(|error| Refused(told(&error)))
    }

    async fn shutdown(&mut self) {}
}

fn told(error: &EngineError) -> String {
    format!("{error}; {}", error.hint().unwrap_or_default())
}

/// A connection to a server.
struct OverTheWire {
    client: Client,
    /// Ends with the connection.
    _served: Served,
}

impl OverTheWire {
    async fn answer(&self, sql: &str) -> Result<Output, tokio_postgres::Error> {
        let types: Vec<Type> =
            self.client.prepare(sql).await?.columns().iter().map(|c| c.type_().clone()).collect();
        if types.is_empty() {
            self.client.batch_execute(sql).await?;
            return Ok(DBOutput::StatementComplete(0));
        }
        let messages = self.client.simple_query(sql).await?;
        let cells = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let cell = |(column, of): (usize, &Type)| as_arrow_writes(row.get(column), of);
                Some(types.iter().enumerate().map(cell).collect())
            }
            _ => None,
        });
        Ok(rows(cells.collect()))
    }
}

/// The text of a cell as it is written in the files.
fn as_arrow_writes(cell: Option<&str>, of: &Type) -> String {
    match (cell, of) {
        (None, _) => "NULL".to_owned(),
        (Some("t"), &Type::BOOL) => "true".to_owned(),
        (Some("f"), &Type::BOOL) => "false".to_owned(),
        (Some(text), &Type::TIMESTAMP) => {
            let text = text.replacen(' ', "T", 1);
            text.strip_suffix(".000000").map(str::to_owned).unwrap_or(text)
        }
        (Some(text), &Type::FLOAT8 | &Type::FLOAT4) if !text.contains(['.', 'e', 'N', 'I']) => {
            format!("{text}.0")
        }
        (Some(text), _) => text.to_owned(),
    }
}

#[async_trait]
impl AsyncDB for OverTheWire {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<Output, Refused> {
        self.answer(sql).await.map_err(|error| Refused(place_and_hint(&error, sql)))
    }

    async fn shutdown(&mut self) {}
}

fn place_and_hint(error: &tokio_postgres::Error, sql: &str) -> String {
    let Some(error) = error.as_db_error() else { return error.to_string() };
    let hint = error.hint().unwrap_or_default();
    let message = format!("{}; {hint}", error.message());
    let Some(tokio_postgres::error::ErrorPosition::Original(at)) = error.position() else {
        return message;
    };
    let before: String = sql.chars().take(*at as usize - 1).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {message}")
}

fn each_file(mut run: impl FnMut(&Path)) {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests").canonicalize().unwrap();
    let mut count = 0;
    for file in std::fs::read_dir(files).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|e| e == "slt") {
            run(&file);
            count += 1;
        }
    }
    assert!(count >= 2, "no files found");
}

#[test]
fn every_statement_answers_as_written_in_the_process() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    each_file(|file| {
        let shop = shop();
        // Files that COPY writes lie beside the shop's.
        std::fs::create_dir(shop.path().join("copied")).unwrap();
        std::env::set_current_dir(shop.path()).unwrap();
        let open = async || {
            let registry = Registry::open(&Home::open(&shop.path().join(".relcast"))?).await?;
            let database = relcast_connect::open(".").await?;
            let catalog = relcast_catalog::load(&database, None).await?;
            let engine = Arc::new(Engine::new(registry, database, catalog));
            Session::open(engine, Arc::new(LogWatcher)).await
        };
        let session = runtime.block_on(open()).unwrap();
        let mut runner = Runner::new(|| async { Ok(InProcess(session.clone())) });
        let ran = runtime.block_on(runner.run_file_async(file));
        ran.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    });
}

#[test]
fn every_statement_answers_as_written_over_the_wire() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    each_file(|file| {
        let mut runner = Runner::new(|| async {
            let shop = shop();
            std::fs::create_dir(shop.path().join("copied")).unwrap();
            let served = Served::over(shop, &["--files", "."]);
            let client = served.connect().await;
            Ok(OverTheWire { client, _served: served })
        });
        let ran = runtime.block_on(runner.run_file_async(file));
        ran.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    });
}
