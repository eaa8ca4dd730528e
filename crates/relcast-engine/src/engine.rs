//! An opened database with its registry: what every session shares.

use std::sync::Arc;

use hashlink::LruCache;
use relcast_catalog::Catalog;
use relcast_connect::Database;
use relcast_query::Cutoffs;
use tokio::sync::Mutex;

use crate::error::EngineError;
use crate::registry::Registry;
use crate::stored::StoredModel;
use crate::work::{Scorer, known_until};

/// Bytes of encoded rows and weights that are kept ready between statements.
const WARM_BYTES: usize = 4 << 30;
/// Moments of models that are remembered.
const MOMENTS: usize = 10_000;

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
    warm: Mutex<Warm>,
}

/// What was found out lately.
#[derive(Debug)]
struct Warm {
    newest: LruCache<ModelId, i64>,
    known_until: LruCache<(ModelId, i64), i64>,
    scorers: LruCache<(ModelId, i64), Arc<Scorer>>,
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
        let warm = Warm {
            newest: LruCache::new(MOMENTS),
            known_until: LruCache::new(MOMENTS),
            scorers: LruCache::new(MOMENTS),
        };
        Self { registry, database, catalog, warm: Mutex::new(warm) }
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
        let mut warm = self.warm.lock().await;
        self.newest(&mut warm, model).await
    }

    /// `model` ready to score at `cutoff`, from the cache where it was used before. Whoever asks
    /// while it is made ready waits for it.
    ///
    /// # Errors
    /// As [`Scorer::open`].
    pub async fn scorer(
        &self,
        model: &Arc<StoredModel>,
        cutoff: i64,
    ) -> Result<Arc<Scorer>, EngineError> {
        let mut warm = self.warm.lock().await;
        let id = ModelId::of(model);
        let until = match warm.known_until.get(&(id.clone(), cutoff)) {
            Some(until) => *until,
            None => {
                let data_end = self.newest(&mut warm, model).await?;
                let plan = model.question.plan(&model.schema, &model.set)?;
                let cutoffs = Cutoffs { data_end, ..model.cutoffs.clone() };
                let until = known_until(&self.database.context, &plan, &cutoffs, cutoff).await?;
                warm.known_until.insert((id.clone(), cutoff), until);
                until
            }
        };
        if let Some(scorer) = warm.scorers.get(&(id.clone(), until)) {
            return Ok(scorer.clone());
        }
        let (home, schema) = (self.registry.home(), &self.catalog.schema);
        let opened =
            Scorer::open(home, &self.database, schema, model.clone(), Some(cutoff)).await?;
        let scorer = Arc::new(opened);
        warm.scorers.insert((id, until), scorer.clone());
        let bytes = |warm: &Warm| warm.scorers.iter().map(|(_, s)| s.bytes()).sum::<usize>();
        while warm.scorers.len() > 1 && bytes(&warm) > WARM_BYTES {
            warm.scorers.remove_lru();
        }
        Ok(scorer)
    }

    async fn newest(&self, warm: &mut Warm, model: &StoredModel) -> Result<i64, EngineError> {
        let id = ModelId::of(model);
        if let Some(newest) = warm.newest.get(&id) {
            return Ok(*newest);
        }
        let plan = model.question.plan(&model.schema, &model.set)?;
        let newest = plan.newest_time(&self.database.context, None).await?;
        let newest = newest.unwrap_or(model.cutoffs.data_end);
        warm.newest.insert(id, newest);
        Ok(newest)
    }
}
