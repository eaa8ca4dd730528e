//! A Postgres database that is read where it is.
//!
//! `url.rs` says where it is, `connections.rs` keeps the few connections to it, `catalog.rs` looks up
//! tables and columns, `read.rs` reads rows through a cursor, `errors.rs` says what went wrong.

mod catalog;
mod connections;
mod errors;
mod read;
mod url;

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::sql::unparser::dialect::{Dialect, PostgreSqlDialect};
use tokio::sync::mpsc::Sender;

use self::connections::Connections;
pub use self::url::PostgresUrl;
use crate::error::ConnectError;
use crate::remote::{Driver, Remote, Select, Shape};
use crate::source::{Source, place_of};

/// The tables of one schema of a Postgres database as the source `name`; nothing is connected yet.
#[must_use]
pub fn postgres(name: &str, url: PostgresUrl, schema: &str) -> Arc<dyn Source> {
    let place = place_of(name);
    let connections = Connections::new(place.clone(), url);
    Arc::new(Remote(Arc::new(Postgres { place, schema: schema.to_owned(), connections })))
}

struct Postgres {
    place: String,
    schema: String,
    connections: Connections,
}

impl Postgres {
    fn place_of_table(&self, table: &str) -> String {
        format!("{}, table \"{table}\"", self.place)
    }
}

#[async_trait]
impl Driver for Postgres {
    fn place(&self) -> &str {
        &self.place
    }

    fn dialect(&self) -> &dyn Dialect {
        &PostgreSqlDialect {}
    }

    async fn table_names(&self) -> Result<Vec<String>, ConnectError> {
        let mut lease = self.connections.take().await?;
        let names = catalog::table_names(&mut lease.connection, &self.schema).await;
        let names = names.map_err(|error| errors::failed(&self.place, &error))?;
        if names.is_empty() {
            let schemas = catalog::schemas(&mut lease.connection).await;
            let schemas = schemas.map_err(|error| errors::failed(&self.place, &error))?;
            if !schemas.contains(&self.schema) {
                return Err(errors::no_schema(&self.place, &self.schema, &schemas));
            }
        }
        self.connections.give_back(lease);
        Ok(names)
    }

    async fn shape(&self, name: &str) -> Result<Option<Shape>, ConnectError> {
        let mut lease = self.connections.take().await?;
        let shape = catalog::shape(&mut lease.connection, &self.schema, name).await;
        let shape = shape.map_err(|error| errors::failed(&self.place_of_table(name), &error))?;
        self.connections.give_back(lease);
        Ok(shape)
    }

    async fn read(
        &self,
        select: &Select,
        output: &Sender<RecordBatch>,
    ) -> Result<(), ConnectError> {
        let place = self.place_of_table(&select.table.name);
        read::read(&self.connections, &place, select, output).await
    }

    async fn close(&self) {
        self.connections.close().await;
    }
}
