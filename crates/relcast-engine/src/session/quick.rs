//! Quick models: what a PREDICT without a model is answered with.

use std::sync::Arc;
use std::time::Instant;

use relcast_query::Options;
use xxhash_rust::xxh3::xxh3_64;

use super::apart::apart;
use super::tables::place_of;
use super::watch::{Watch, Watcher};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::registry::QUICK;
use crate::stored::StoredModel;
use crate::work::{Question, lock_to_train, train};

/// Quick models of a database that are kept, the newest of them.
const KEPT: usize = 32;

/// What is tried where the query does not say it.
const EPOCHS: usize = 3;
const TRAIN_ROWS: usize = 5_000;

/// The model for a query over today's data: the one there is, or one trained now.
pub(super) async fn quick_model(
    engine: &Arc<Engine>,
    question: &Question,
    options: &Options,
    watcher: &Arc<dyn Watcher>,
) -> Result<Arc<StoredModel>, EngineError> {
    let Question::Query(text) = question else { return Err(EngineError::NamesEntities) };
    let identity = format!("{}\n{text}", engine.database.fingerprint);
    let of_database = format!("{QUICK}{}.", place_of(&engine.database));
    let name = format!("{of_database}{:016x}", xxh3_64(identity.as_bytes()));
    match engine.stored(&name, None).await {
        Err(EngineError::NoModel { .. } | EngineError::SchemaChanged { .. }) => {}
        found => return found,
    }
    watcher.notice("no model is named: training a quick one; CREATE MODEL trains a thorough one");
    let set = quick_set(options);
    let started = Instant::now();
    let (shared, question, told) = (engine.clone(), question.clone(), watcher.clone());
    let trained = name.clone();
    let report = apart(async move || {
        let (registry, database, catalog) = (&shared.registry, &shared.database, &shared.catalog);
        let lock = loop {
            match lock_to_train(registry, &trained) {
                // Whoever asked the same before trains it for both.
                Err(EngineError::Locked { .. }) => {}
                lock => break lock?,
            }
        };
        registry.refuse_existing(&trained).await?;
        let mut watch = Watch(told);
        let report = train(registry, database, catalog, &question, &set, &lock, &mut watch).await?;
        // The answer is there; whoever trains the next one clears up too.
        if let Err(error) = registry.keep_newest(&of_database, KEPT).await {
            tracing::warn!("older quick models cannot be dropped: {error}");
        }
        Ok(report)
    });
    let report = match report.await {
        Err(EngineError::ModelExists { .. }) => return engine.stored(&name, None).await,
        report => report?,
    };
    report.notes.iter().for_each(|note| watcher.notice(note));
    watcher.notice(&format!(
        "trained a quick model in {:.1} s; it is used again as long as query and data stay the same",
        started.elapsed().as_secs_f64()
    ));
    engine.stored(&name, None).await
}

/// What is set beside the options of a query that a quick model is trained for.
pub(super) fn quick_set(options: &Options) -> Vec<(String, String)> {
    // A budget says by itself how long this may take.
    let short = options.budget.is_none();
    let epochs = (short && options.epochs.is_none()).then_some(("epochs", EPOCHS));
    let rows =
        (short && options.max_train_rows.is_none()).then_some(("max_train_rows", TRAIN_ROWS));
    let set = epochs.into_iter().chain(rows);
    set.map(|(name, value)| (name.to_owned(), value.to_string())).collect()
}
