//! An opened database with its registry: what every session shares.

use std::sync::Arc;

use moka::future::Cache;
use relcast_catalog::Catalog;
use relcast_connect::Database;

use crate::error::EngineError;
use crate::registry::Registry;
use crate::stored::StoredModel;
use crate::work::Scorer;

/// Bytes of encoded rows and weights that are kept ready between statements.
const WARM_BYTES: u64 = 4 << 30;

/// A database, its schema and its registry, with the models used lately kept ready.
#[derive(Debug)]
pub struct Engine {
    /// The models and what was run.
    pub registry: Registry,
    /// The tables.
    pub database: Database,
    /// What the tables mean.
    pub catalog: Catalog,
    scorers: Cache<Warm, Arc<Scorer>>,
}

/// What a scorer depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Warm {
    model: String,
    version: i64,
    checksum: String,
    known_until: Option<i64>,
}

impl Engine {
    /// An engine over an opened database.
    #[must_use]
    pub fn new(registry: Registry, database: Database, catalog: Catalog) -> Self {
        // Weights are counted in KiB: moka counts in 32 bits.
        let weigh = |_: &Warm, scorer: &Arc<Scorer>| {
            u32::try_from(scorer.bytes() / 1024).unwrap_or(u32::MAX)
        };
        let scorers = Cache::builder().max_capacity(WARM_BYTES / 1024).weigher(weigh).build();
        Self { registry, database, catalog, scorers }
    }

    /// Reads a registered model; the default version if none is named.
    ///
    /// # Errors
    /// If there is no such model, or its artefact is damaged.
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

    /// `model` ready to score at `cutoff`, from the cache where it was used before.
    ///
    /// # Errors
    /// As [`Scorer::open`].
    pub async fn scorer(
        &self,
        model: &Arc<StoredModel>,
        cutoff: i64,
    ) -> Result<Arc<Scorer>, EngineError> {
        // Cutoffs within the data see the same graph; later ones one each.
        let newest = self.newest_time(model).await?;
        let key = Warm {
            model: model.name.clone(),
            version: model.version,
            checksum: model.checksum.clone(),
            known_until: Some(cutoff).filter(|cutoff| newest.is_none_or(|n| n < *cutoff)),
        };
        let opened = self.scorers.try_get_with(key, async {
            let home = self.registry.home();
            let schema = &self.catalog.schema;
            Scorer::open(home, &self.database, schema, model.clone(), Some(cutoff))
                .await
                .map(Arc::new)
        });
        opened.await.map_err(|error| EngineError::Shared(error))
    }

    async fn newest_time(&self, model: &StoredModel) -> Result<Option<i64>, EngineError> {
        let plan = model.question.plan(&model.schema, &model.set)?;
        Ok(plan.newest_time(&self.database.context).await?)
    }
}
