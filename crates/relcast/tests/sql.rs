//! Runs the `.slt` files in the repository's `tests/` through the binary, on the small shop.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{relcast, shop};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};
use tempfile::TempDir;

/// A session that asks the binary each statement.
struct Binary(TempDir);

/// What a statement's error said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// The cells of a row in the order of its columns.
struct Cells(Vec<String>);

impl<'de> Deserialize<'de> for Cells {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> Visitor<'de> for Row {
            type Value = Cells;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a row")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut row: M) -> Result<Cells, M::Error> {
                let mut cells = Vec::new();
                while let Some((_, cell)) = row.next_entry::<String, Value>()? {
                    cells.push(match cell {
                        Value::String(text) => text,
                        Value::Null => "NULL".to_owned(),
                        other => other.to_string(),
                    });
                }
                Ok(Cells(cells))
            }
        }
        from.deserialize_map(Row)
    }
}

impl DB for Binary {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        let asked = ["sql", "--db", ".", "--format", "json", "-c", sql];
        let output = relcast(self.0.path(), &asked);
        if !output.status.success() {
            return Err(Refused(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let Ok(rows) = serde_json::from_slice::<Vec<Cells>>(&output.stdout) else {
            return Ok(DBOutput::StatementComplete(0));
        };
        let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.0).collect();
        let types = vec![DefaultColumnType::Any; rows.first().map_or(0, Vec::len)];
        Ok(DBOutput::Rows { types, rows })
    }
}

#[test]
fn every_statement_answers_as_written() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let mut count = 0;
    for file in std::fs::read_dir(files).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|e| e == "slt") {
            let mut runner = Runner::new(|| async { Ok(Binary(shop())) });
            runner.run_file(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            count += 1;
        }
    }
    assert!(count >= 2, "no files found");
}
