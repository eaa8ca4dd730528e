//! SQLite: a table as a target, and a database that is read where it is.

mod catalog;
mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::sql::unparser::dialect::{Dialect, SqliteDialect};
use tokio::sync::mpsc::Sender;

use crate::error::ConnectError;
use crate::remote::{Driver, Remote, Select, Shape};
use crate::source::{Source, place_of};

pub(crate) use write::replace_table;

/// The tables of a SQLite file as the source `name`; nothing is opened yet.
#[must_use]
pub fn sqlite(name: &str, file: &Path) -> Arc<dyn Source> {
    let (place, file) = (place_of(name), file.to_owned());
    Arc::new(Remote(Arc::new(Sqlite { place, file })))
}

/// A SQLite file. Each use opens it: that costs next to nothing, and whatever was put in its place is
/// seen.
struct Sqlite {
    place: String,
    file: PathBuf,
}

impl Sqlite {
    fn failed(&self, table: Option<&str>, error: &sqlx::Error) -> ConnectError {
        let place = table.map_or_else(|| self.place.clone(), |table| self.place_of_table(table));
        let (reason, code) = match error {
            sqlx::Error::Database(error) => (error.message().to_owned(), error.code()),
            other => (other.to_string(), None),
        };
        // It cannot be opened, or is something else.
        let no_database = matches!(code.as_deref(), Some("14" | "26"));
        ConnectError::Source {
            place,
            reason: format!("{}: {reason}", self.file.display()),
            hint: no_database.then_some("give a SQLite file that can be read"),
        }
    }

    fn place_of_table(&self, table: &str) -> String {
        format!("{}, table \"{table}\"", self.place)
    }
}

#[async_trait]
impl Driver for Sqlite {
    fn place(&self) -> &str {
        &self.place
    }

    fn dialect(&self) -> &dyn Dialect {
        &SqliteDialect {}
    }

    async fn table_names(&self) -> Result<Vec<String>, ConnectError> {
        let names = async {
            let mut opened = read::open(&self.file).await?;
            catalog::table_names(&mut opened.connection).await
        };
        names.await.map_err(|error| self.failed(None, &error))
    }

    async fn shape(&self, name: &str) -> Result<Option<Shape>, ConnectError> {
        let shape = async {
            let mut opened = read::open(&self.file).await?;
            catalog::shape(&mut opened.connection, name).await
        };
        shape.await.map_err(|error| self.failed(Some(name), &error))
    }

    async fn read(
        &self,
        select: &Select,
        output: &Sender<RecordBatch>,
    ) -> Result<(), ConnectError> {
        let table = select.table.name.as_str();
        let opened = read::open(&self.file).await;
        let mut opened = opened.map_err(|error| self.failed(Some(table), &error))?;
        let failed = |error: sqlx::Error| self.failed(Some(table), &error);
        let place = self.place_of_table(table);
        tokio::select! {
            biased;
            sent = read::send_rows(&mut opened.connection, &place, failed, select, output) => sent,
            () = output.closed() => Ok(()),
        }
    }

    async fn close(&self) {}
}
