//! `EXPLAIN MODEL`: what a model's predictions rest on, with the trees that its predictions read.

use arrow::array::ArrayRef;
use relcast_train::TrainError;
use relcast_train::dataset::seeds_of;
use relcast_train::explain::{Contributions, Explainer, Importance};

use super::scorer::Scorer;
use crate::error::EngineError;

impl Scorer {
    /// How much each column and table matters to the predictions for validation rows. Ends with an
    /// error soon after `stopped` says so.
    ///
    /// # Errors
    /// If there are no such rows, it was stopped, or a batch fails.
    pub fn importance(&self, stopped: &dyn Fn() -> bool) -> Result<Importance, EngineError> {
        let validation = &self.prepared.examples.validation;
        self.explainer(stopped).importance(validation).map_err(of_explainer)
    }

    /// What the prediction of [`Scorer::predict`] for one key is made of; `None` if no row has the
    /// key. Ends with an error soon after `stopped` says so.
    ///
    /// # Errors
    /// If the key cannot be looked up, it was stopped, or a batch fails.
    pub fn contributions(
        &self,
        key: &[ArrayRef],
        cutoff: i64,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Contributions>, EngineError> {
        let prepared = &self.prepared;
        let (cutoffs, labels) = (vec![cutoff], vec![f64::NAN]);
        let seeds = seeds_of(&prepared.graph, &prepared.plan, cutoffs, key, labels)?;
        if seeds.rows.iter().all(Option::is_none) {
            return Ok(None);
        }
        let predicted = self.score(&seeds, self.until)?;
        let explainer = self.explainer(stopped);
        let found = explainer.contributions(&seeds, self.until, &predicted);
        found.map(Some).map_err(of_explainer)
    }

    fn explainer<'a>(&'a self, stopped: &'a dyn Fn() -> bool) -> Explainer<'a> {
        let (inputs, network, model) = (&self.inputs, &self.network, &self.model.plan);
        Explainer { inputs, network, model, stopped }
    }
}

/// What stops is the statement, not a training.
fn of_explainer(error: TrainError) -> EngineError {
    match error {
        TrainError::Stopped => EngineError::Stopped,
        other => other.into(),
    }
}
