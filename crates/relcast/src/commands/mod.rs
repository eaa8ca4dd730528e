//! One file per command; what they share is opening the database.

mod demo;
mod evaluate;
mod inspect;
mod labels;
mod models;
mod predict;
mod serve;
mod sql;
pub mod train;

use std::path::Path;
use std::sync::Arc;

use relcast_catalog::Catalog;
use relcast_connect::{Database, OpenOptions};
use relcast_engine::work::Question;
use relcast_engine::{Registry, StoredModel};

use crate::arguments::{Arguments, Command, Common, Source};
use crate::failure::Failure;

/// Runs the command.
pub async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let common = &arguments.common;
    match &arguments.command {
        Command::Demo => demo::run(common).await,
        Command::Inspect(command) => inspect::run(common, command).await,
        Command::Sql(command) => sql::run(common, command).await,
        Command::Labels(command) => labels::run(common, command).await,
        Command::Train(command) => train::run(common, command).await,
        Command::Evaluate(command) => evaluate::run(common, command).await,
        Command::Predict(command) => predict::run(common, command).await,
        Command::Models(command) => models::run(common, command).await,
        Command::Serve(command) => serve::run(common, command).await,
    }
}

/// Opens the database and reads its catalog.
async fn open(common: &Common, source: &Source) -> Result<(Database, Catalog), Failure> {
    let options = OpenOptions { threads: common.threads.map(Into::into) };
    let schema = source.schema.as_deref();
    let declared = relcast_catalog::column_types(Path::new(&source.db), schema)?;
    let database = relcast_connect::open_as(&source.db, &options, &declared).await?;
    let catalog = relcast_catalog::load(&database, schema).await?;
    Ok((database, catalog))
}

/// Opens what the home folder adds to the database, if the labels of `model` may read it.
async fn surround(
    registry: &Registry,
    database: &Database,
    model: &StoredModel,
) -> Result<(), Failure> {
    if matches!(model.question, Question::Select(_)) {
        for warning in relcast_engine::surround(registry, database).await? {
            tracing::warn!("{warning}");
        }
    }
    Ok(())
}

/// Reads a registered model.
async fn stored(
    registry: &Registry,
    model: &str,
    version: Option<i64>,
) -> Result<Arc<StoredModel>, Failure> {
    let found = registry.find_version(model, version).await?;
    let artefact = registry.load_artefact(&found)?;
    Ok(Arc::new(StoredModel::read(model, found.version, artefact)?))
}
