//! A model with everything it reads at hand: predicting needs no more than keys and a cutoff.

use std::sync::Arc;

use arrow::array::ArrayRef;
use relcast_catalog::Schema;
use relcast_connect::Database;
use relcast_nn::Ensemble;
use relcast_train::dataset::seeds_of;
use relcast_train::evaluate::predictions;
use relcast_train::examples::Examples;
use relcast_train::score::Inputs;

use super::columns::Scores;
use super::prepare::Prepared;
use crate::error::EngineError;
use crate::home::Home;
use crate::stored::StoredModel;

/// A stored model over the graph of what is known at a cutoff, ready to score.
pub struct Scorer {
    /// The model.
    pub model: Arc<StoredModel>,
    /// Labels, cutoffs and the graph.
    pub prepared: Arc<Prepared>,
    pub(super) inputs: Arc<Inputs>,
    pub(super) network: Arc<Ensemble>,
    /// The end of what is visible.
    pub(super) until: i64,
}

impl Scorer {
    /// Prepares `model` for predictions at `cutoff`, or at the cutoffs of its splits.
    ///
    /// # Errors
    /// If the schema changed since training, or a stage fails.
    pub async fn open(
        home: &Home,
        database: &Database,
        schema: &Schema,
        model: Arc<StoredModel>,
        cutoff: Option<i64>,
    ) -> Result<Self, EngineError> {
        let prepared = Prepared::again(home, database, schema, &model, cutoff).await?;
        let inputs = model.plan.inputs(prepared.graph.clone())?;
        let network = model.plan.network(&model.weights)?;
        let until = prepared.known_until;
        let (prepared, inputs, network) = (Arc::new(prepared), Arc::new(inputs), Arc::new(network));
        Ok(Self { model, prepared, inputs, network, until })
    }

    /// The same over what is visible until another moment, by which the same labels have closed.
    pub(crate) fn seen_until(self: &Arc<Self>, until: i64) -> Arc<Self> {
        if until == self.until {
            return self.clone();
        }
        Arc::new(Self {
            model: self.model.clone(),
            prepared: self.prepared.clone(),
            inputs: self.inputs.clone(),
            network: self.network.clone(),
            until,
        })
    }

    /// Predictions for `keys` (one column per key column, in the order of the question) at
    /// `cutoff`, one that the scorer was opened for: the probability of a positive, a number, or a probability per class row by row;
    /// and which keys have a row.
    ///
    /// # Errors
    /// If keys cannot be looked up or a batch fails.
    pub fn predict(
        &self,
        keys: &[ArrayRef],
        cutoff: i64,
    ) -> Result<(Vec<f64>, Vec<bool>), EngineError> {
        let Scores { predicted, there, .. } = self.scores(keys, cutoff, false)?;
        Ok((predicted, there))
    }

    /// The same with an embedding of each entity, if wanted.
    pub(crate) fn scores(
        &self,
        keys: &[ArrayRef],
        cutoff: i64,
        embedded: bool,
    ) -> Result<Scores, EngineError> {
        let rows = keys.first().map_or(0, |column| column.len());
        let (cutoffs, labels) = (vec![cutoff; rows], vec![f64::NAN; rows]);
        let prepared = &self.prepared;
        let seeds = seeds_of(&prepared.graph, &prepared.plan, cutoffs, keys, labels)?;
        self.scores_of(&seeds, self.until, embedded)
    }

    /// The same for `seeds` with history visible until `end`.
    pub(crate) fn scores_of(
        &self,
        seeds: &Examples,
        end: i64,
        embedded: bool,
    ) -> Result<Scores, EngineError> {
        let there = seeds.rows.iter().map(Option::is_some).collect();
        if !embedded {
            let predicted = self.score(seeds, end)?;
            return Ok(Scores { predicted, embeddings: Vec::new(), there });
        }
        let fit = &self.model.plan.fit;
        let batch_size = fit.batch_size.max(256);
        let (outputs, embeddings) = self.inputs.represent(&self.network, seeds, end, batch_size)?;
        Ok(Scores { predicted: predictions(fit, &outputs), embeddings, there })
    }

    /// Predictions for `seeds` with history visible until `end`, as of [`Scorer::predict`].
    ///
    /// # Errors
    /// If a batch fails.
    pub fn score(&self, seeds: &Examples, end: i64) -> Result<Vec<f64>, EngineError> {
        let fit = &self.model.plan.fit;
        let outputs = self.inputs.score(&self.network, seeds, end, fit.batch_size.max(256))?;
        Ok(predictions(fit, &outputs))
    }

    /// About how much memory the encoded rows and the weights take, in bytes. The graph is mapped.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let rows = self.inputs.features.iter().map(relcast_train::features::TableFeatures::bytes);
        rows.sum::<usize>() + self.model.weights.0.len()
    }
}

impl std::fmt::Debug for Scorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scorer").field("model", &self.model.name).finish_non_exhaustive()
    }
}
