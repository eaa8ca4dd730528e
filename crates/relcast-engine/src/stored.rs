//! A model read back from its artefact.

use relcast_catalog::Schema;
use relcast_query::Cutoffs;
use relcast_train::checkpoint::Weights;
use relcast_train::model::ModelPlan;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::artefact::Artefact;
use crate::error::EngineError;
use crate::work::Question;

/// A trained model with all that is needed to use it.
#[derive(Debug)]
pub struct StoredModel {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// What it predicts.
    pub question: Question,
    /// Options that were set beside the question.
    pub set: Vec<(String, String)>,
    /// Where its splits lie.
    pub cutoffs: Cutoffs,
    /// Sizes, features, sampling.
    pub plan: ModelPlan,
    /// The weights.
    pub weights: Weights,
    /// The schema as it was at training.
    pub schema: Schema,
    /// Changes with anything that the model is made of.
    pub checksum: String,
}

#[derive(Deserialize)]
struct StoredQuestion {
    question: Question,
    set: Vec<(String, String)>,
    cutoffs: Cutoffs,
}

impl StoredModel {
    /// Reads a model from its `artefact`.
    ///
    /// # Errors
    /// If a document is missing or of another version of relcast.
    pub fn read(name: &str, version: i64, artefact: Artefact) -> Result<Self, EngineError> {
        let asked: StoredQuestion = document(&artefact, "question")?;
        Ok(Self {
            name: name.to_owned(),
            version,
            question: asked.question,
            set: asked.set,
            cutoffs: asked.cutoffs,
            plan: document(&artefact, "model")?,
            schema: document(&artefact, "schema")?,
            checksum: artefact.checksum()?,
            weights: Weights(artefact.weights),
        })
    }

    /// Refuses a database whose tables, columns, types, keys or links are not those of training.
    ///
    /// # Errors
    /// [`EngineError::SchemaChanged`] naming what differs first.
    pub fn check_schema(&self, schema: &Schema) -> Result<(), EngineError> {
        match first_difference(&self.schema, schema) {
            None => Ok(()),
            Some(difference) => {
                Err(EngineError::SchemaChanged { model: self.name.clone(), difference })
            }
        }
    }
}

fn document<T: DeserializeOwned>(artefact: &Artefact, name: &str) -> Result<T, EngineError> {
    let value = artefact.documents.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(EngineError::json)
}

/// What differs first between the schema of training and today's.
fn first_difference(then: &Schema, now: &Schema) -> Option<String> {
    for table in &then.tables {
        let Some(other) = now.tables.iter().find(|t| t.name == table.name) else {
            return Some(format!("table {:?} is gone", table.name));
        };
        for column in &table.columns {
            match other.find_column(&column.name) {
                None => {
                    return Some(format!(
                        "column {:?} of table {:?} is gone",
                        column.name, table.name
                    ));
                }
                Some(c) if c.data_type != column.data_type => {
                    return Some(format!(
                        "column {:?} of table {:?} was {} and is {}",
                        column.name, table.name, column.data_type, c.data_type
                    ));
                }
                Some(_) => {}
            }
        }
        if other.columns.len() != table.columns.len() {
            return Some(format!("table {:?} has new columns", table.name));
        }
        if other.primary_key != table.primary_key || other.time_column != table.time_column {
            return Some(format!("table {:?} has another key or time column", table.name));
        }
    }
    if then.tables.len() != now.tables.len() {
        return Some("there are new tables".to_owned());
    }
    (then.links != now.links).then(|| "the links between the tables are others".to_owned())
}
