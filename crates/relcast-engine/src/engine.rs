//! An opened database with its registry: what every session shares.

use std::sync::Arc;

use moka::future::Cache;
use relcast_catalog::Catalog;
use relcast_connect::Database;
use relcast_query::Cutoffs;

use crate::error::EngineError;
use crate::registry::Registry;
use crate::stored::StoredModel;
use crate::work::{Scorer, known_until};

/// Bytes of encoded rows and weights that are kept ready between statements.
const WARM_BYTES: u64 = 4 << 30;
/// Moments of models that are remembered.
const MOMENTS: u64 = 10_000;

/// A database, its schema and its registry, with the models used lately kept ready.
///
/// The data do not change while they are open, so what was found out about them stays true.
#[derive(Debug)]
pub struct Engine {
    /// The models and what was run.
    pub registry: Registry,
    /// The tables.
    pub database: Database,
    /// What the tables mean.
    pub catalog: Catalog,
    newest: Cache<ModelId, i64>,
    known_until: Cache<(ModelId, i64), i64>,
    scorers: Cache<(ModelId, i64), Arc<Scorer>>,
}

/// A version of a model, told from another that had its name and number before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ModelId {
    name: String,
    version: i64,
    checksum: String,
}

impl ModelId {
    fn of(model: &StoredModel) -> Self {
        let (name, checksum) = (model.name.clone(), model.checksum.clone());
        Self { name, version: model.version, checksum }
    }
}

impl Engine {
    /// An engine over an opened database.
    #[must_use]
    pub fn new(registry: Registry, database: Database, catalog: Catalog) -> Self {
        // Bytes are counted in KiB: moka counts in 32 bits.
        let weigh = |_: &(ModelId, i64), scorer: &Arc<Scorer>| {
            u32::try_from(scorer.bytes() / 1024).unwrap_or(u32::MAX)
        };
        Self {
            registry,
            database,
            catalog,
            newest: Cache::new(MOMENTS),
            known_until: Cache::new(MOMENTS),
            scorers: Cache::builder().max_capacity(WARM_BYTES / 1024).weigher(weigh).build(),
        }
    }

    /// Reads a registered model; the default version if none is named.
    ///
    /// # Errors
    /// If there is no such model, its artefact is damaged, or the schema has changed since.
    pub async fn stored(
        &self,
        model: &str,
        version: Option<i64>,
    ) -> Result<Arc<StoredModel>, EngineError> {
        let found = self.registry.find_version(model, version).await?;
        let artefact = self.registry.load_artefact(&found)?;
        let stored = StoredModel::read(model, found.version, artefact)?;
        stored.check_schema(&self.catalog.schema)?;
        Ok(Arc::new(stored))
    }

    /// The newest time in what the model's target reads: microseconds, UTC.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub async fn newest_time(&self, model: &StoredModel) -> Result<i64, EngineError> {
        let found = self.newest.try_get_with(ModelId::of(model), async {
            let plan = model.question.plan(&model.schema, &model.set)?;
            let newest = plan.newest_time(&self.database.context, None).await?;
            Ok::<_, EngineError>(newest.unwrap_or(model.cutoffs.data_end))
        });
        found.await.map_err(EngineError::Shared)
    }

    /// `model` ready to score at `cutoff`, from the cache where it was used before.
    ///
    /// # Errors
    /// As [`Scorer::open`].
    pub async fn scorer(
        &self,
        model: &Arc<StoredModel>,
        cutoff: i64,
    ) -> Result<Arc<Scorer>, EngineError> {
        let id = ModelId::of(model);
        let newest = self.newest_time(model).await?;
        let until = self.known_until.try_get_with((id.clone(), cutoff), async {
            let plan = model.question.plan(&model.schema, &model.set)?;
            let cutoffs = Cutoffs { data_end: newest, ..model.cutoffs.clone() };
            known_until(&self.database.context, &plan, &cutoffs, cutoff).await
        });
        let until = until.await.map_err(EngineError::Shared)?;
        let opened = self.scorers.try_get_with((id, until), async {
            let (home, schema) = (self.registry.home(), &self.catalog.schema);
            let model = model.clone();
            Scorer::open(home, &self.database, schema, model, Some(cutoff)).await.map(Arc::new)
        });
        opened.await.map_err(EngineError::Shared)
    }
}
