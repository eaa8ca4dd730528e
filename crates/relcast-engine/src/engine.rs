//! An opened database with its registry: what every session shares.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use hashlink::LruCache;
use relcast_catalog::Catalog;
use relcast_connect::Database;
use relcast_query::{Cutoffs, LabelPlan, PredictiveQuery};
use tokio::sync::OnceCell;

use crate::error::EngineError;
use crate::population::Population;
use crate::registry::Registry;
use crate::stored::StoredModel;
use crate::work::{Scorer, closed_until, known_until};

/// Bytes of encoded rows and weights that are kept ready between statements.
const SCORER_BYTES: usize = 4 << 30;
/// Bytes of populations that are kept between statements.
const POPULATION_BYTES: usize = 1 << 30;
/// Bytes of models that are kept as they were read.
const MODEL_BYTES: usize = 1 << 30;
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
    models: Kept<ModelId, Arc<StoredModel>>,
    newest: Kept<ModelId, i64>,
    /// Until when the world is known at a cutoff, and since when the same labels have closed.
    known_until: Kept<(ModelId, i64), (i64, i64)>,
    scorers: Kept<(ModelId, i64), Arc<Scorer>>,
    plans: Kept<(ModelId, String), Arc<LabelPlan>>,
    populations: Kept<(String, i64), Arc<Population>>,
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
        Self {
            registry,
            database,
            catalog,
            models: Kept::new(MODEL_BYTES, |model| model.weights.0.len()),
            newest: Kept::new(usize::MAX, |_| 0),
            known_until: Kept::new(usize::MAX, |_| 0),
            scorers: Kept::new(SCORER_BYTES, |scorer| scorer.bytes()),
            plans: Kept::new(usize::MAX, |_| 0),
            populations: Kept::new(POPULATION_BYTES, |population| population.bytes()),
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
        let name = model.to_owned();
        let id = match self.registry.current_version(model, version).await? {
            Some((version, checksum)) => ModelId { name, version, checksum },
            None => {
                // It says what there is instead.
                let found = self.registry.find_version(model, version).await?;
                ModelId { name, version: found.version, checksum: found.checksum }
            }
        };
        let version = id.version;
        self.models
            .get(id, async {
                let found = self.registry.find_version(model, Some(version)).await?;
                let artefact = self.registry.load_artefact(&found)?;
                let stored = StoredModel::read(model, found.version, artefact)?;
                stored.check_schema(&self.catalog.schema)?;
                Ok(Arc::new(stored))
            })
            .await
    }

    /// The newest time in what the model's target reads, which is the cutoff of predictions that name
    /// none: microseconds, UTC.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub async fn newest_time(&self, model: &StoredModel) -> Result<i64, EngineError> {
        self.newest.get(ModelId::of(model), model.newest_time(&self.database)).await
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
        let id = ModelId::of(model);
        let (until, closed) = self
            .known_until
            .get((id.clone(), cutoff), async {
                let data_end = self.newest_time(model).await?;
                let plan = model.question.plan(&model.schema, &model.set)?;
                let cutoffs = Cutoffs { data_end, ..model.cutoffs.clone() };
                let until = known_until(&self.database.context, &plan, &cutoffs, cutoff).await?;
                Ok((until, closed_until(&plan, &cutoffs, until)))
            })
            .await?;
        let (home, schema) = (self.registry.home(), &self.catalog.schema);
        let scorer = self.scorers.get((id, closed), async {
            let model = model.clone();
            Scorer::open(home, &self.database, schema, model, Some(cutoff)).await.map(Arc::new)
        });
        Ok(scorer.await?.seen_until(until))
    }

    /// Makes ready what `other` had ready: its models at the newest time. One that cannot be used
    /// here any more is left out; whoever asks for it is told why.
    pub async fn ready_as(&self, other: &Self) {
        for id in other.models.keys() {
            if let Err(error) = self.make_ready(&id).await {
                tracing::warn!("model \"{}\" is not kept ready: {error}", id.name);
            }
        }
    }

    async fn make_ready(&self, id: &ModelId) -> Result<(), EngineError> {
        let model = self.stored(&id.name, Some(id.version)).await?;
        let cutoff = self.newest_time(&model).await?;
        self.scorer(&model, cutoff).await?;
        let plan = model.question.plan(&model.schema, &model.set)?;
        self.population(&plan, cutoff).await?;
        Ok(())
    }

    /// What `query` asks of `model`, made by `plan` unless it was asked before.
    ///
    /// # Errors
    /// Those of `plan`.
    pub(crate) async fn plan_of(
        &self,
        model: &StoredModel,
        query: &PredictiveQuery,
        plan: impl FnOnce() -> Result<LabelPlan, EngineError>,
    ) -> Result<Arc<LabelPlan>, EngineError> {
        let key = (ModelId::of(model), query.to_string());
        self.plans.get(key, async { plan().map(Arc::new) }).await
    }

    /// Who passes FOR EACH and WHERE of `plan` at `cutoff`, and who exists at all.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub(crate) async fn population(
        &self,
        plan: &LabelPlan,
        cutoff: i64,
    ) -> Result<Arc<Population>, EngineError> {
        self.populations
            .get((plan.population(), cutoff), async {
                Population::read(&self.database.context, plan, cutoff).await.map(Arc::new)
            })
            .await
    }
}

/// What was found out lately: each is found out once, and those not used for longest go first.
struct Kept<K, V> {
    found: Mutex<LruCache<K, Arc<OnceCell<V>>>>,
    most_bytes: usize,
    bytes_of: fn(&V) -> usize,
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    fn new(most_bytes: usize, bytes_of: fn(&V) -> usize) -> Self {
        Self { found: Mutex::new(LruCache::new(MOMENTS)), most_bytes, bytes_of }
    }

    async fn get(
        &self,
        key: K,
        find: impl Future<Output = Result<V, EngineError>>,
    ) -> Result<V, EngineError> {
        let cell = self.cell(key);
        if let Some(value) = cell.get() {
            return Ok(value.clone());
        }
        let value = cell.get_or_try_init(|| find).await?.clone();
        self.forget_oldest();
        Ok(value)
    }

    fn keys(&self) -> Vec<K>
    where
        K: Clone,
    {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.iter().map(|(key, _)| key.clone()).collect()
    }

    fn cell(&self, key: K) -> Arc<OnceCell<V>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.entry(key).or_insert_with(Arc::default).clone()
    }

    fn forget_oldest(&self) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |cell: &Arc<OnceCell<V>>| cell.get().map_or(0, self.bytes_of);
        let mut all: usize = found.iter().map(|(_, cell)| bytes(cell)).sum();
        while all > self.most_bytes && found.len() > 1 {
            let Some((_, oldest)) = found.remove_lru() else { break };
            all -= bytes(&oldest);
        }
    }
}

impl<K, V> std::fmt::Debug for Kept<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("most_bytes", &self.most_bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_not_used_for_longest_goes_first_and_an_error_is_not_kept() {
        let kept: Kept<&str, usize> = Kept::new(10, |bytes| *bytes);
        let value = async |key, bytes| kept.get(key, async { Ok(bytes) }).await.unwrap();
        assert_eq!(value("a", 4).await, 4);
        assert_eq!(value("b", 4).await, 4);
        // It is there: nothing else is found out.
        assert_eq!(value("a", 9).await, 4);
        assert_eq!(value("c", 4).await, 4);
        assert_eq!(value("a", 9).await, 4);
        assert_eq!(value("b", 2).await, 2);
        assert!(kept.get("d", async { Err(EngineError::Stopped) }).await.is_err());
        assert_eq!(value("d", 1).await, 1);
        // What alone is too large is used all the same.
        assert_eq!(value("e", 100).await, 100);
        assert_eq!(value("e", 1).await, 100);
    }
}
