//! `EXPLAIN MODEL`: what a model's predictions rest on, with the trees that its predictions read.

use arrow::array::ArrayRef;
use relcast_train::dataset::seeds_of;
use relcast_train::explain::{Contributions, Explainer, Importance};

use super::scorer::Scorer;
use crate::error::EngineError;

impl Scorer {
    /// How much each column and table matters to the predictions for validation rows.
    ///
    /// # Errors
    /// If there are no such rows, it was stopped, or a batch fails.
    pub fn importance(&self) -> Result<Importance, EngineError> {
        Ok(self.explainer().importance(&self.prepared.examples.validation)?)
    }

    /// What the prediction of [`Scorer::predict`] for one key is made of; `None` if no row has the
    /// key.
    ///
    /// # Errors
    /// If the key cannot be looked up, it was stopped, or a batch fails.
    pub fn contributions(
        &self,
        key: &[ArrayRef],
        cutoff: i64,
    ) -> Result<Option<Contributions>, EngineError> {
        let prepared = &self.prepared;
        let (cutoffs, labels) = (vec![cutoff], vec![f64::NAN]);
        let seeds = seeds_of(&prepared.graph, &prepared.plan, cutoffs, key, labels)?;
        if seeds.rows.iter().all(Option::is_none) {
            return Ok(None);
        }
        let predicted = self.score(&seeds, self.until)?;
        Ok(Some(self.explainer().contributions(&seeds, self.until, &predicted)?))
    }

    fn explainer(&self) -> Explainer<'_> {
        let (inputs, network, model) = (&self.inputs, &self.network, &self.model.plan);
        Explainer { inputs, network, model }
    }
}
