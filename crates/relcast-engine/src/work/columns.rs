//! Predictions as columns, by task.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, ListArray, StringArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use relcast_query::{Options, TaskType};
use relcast_train::conformal::Band;
use relcast_train::evaluate::top_classes;
use relcast_train::examples::Task;

use crate::error::EngineError;

/// The class of a binary prediction, a number, or the most likely class.
pub(crate) const PREDICTION: &str = "prediction";
/// The probability of a positive.
pub(crate) const PROBABILITY: &str = "probability";
/// The probability of each class, as JSON.
pub(crate) const PROBABILITIES: &str = "probabilities";
/// The bounds of a number.
pub(crate) const LOWER: &str = "lower";
pub(crate) const UPPER: &str = "upper";
/// What the model makes of the entity before its head.
pub(crate) const EMBEDDING: &str = "embedding";

/// How predictions are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// The probability from which on the class is true.
    pub threshold: f64,
    /// How many classes are shown with their probabilities; all if not said.
    pub top_classes: Option<usize>,
}

impl Default for Shown {
    fn default() -> Self {
        Self { threshold: 0.5, top_classes: None }
    }
}

impl From<&Options> for Shown {
    fn from(options: &Options) -> Self {
        let threshold = options.threshold.unwrap_or(Self::default().threshold);
        Self { threshold, top_classes: options.top_classes }
    }
}

/// What a model says of a number of entities.
#[derive(Debug, Default)]
pub(crate) struct Scores {
    /// The probability of a positive, a number, or a probability per class row by row.
    pub(crate) predicted: Vec<f64>,
    /// Numbers that represent the entities, one after the other; empty unless asked for.
    pub(crate) embeddings: Vec<f32>,
    /// Which entities there are predictions for.
    pub(crate) there: Vec<bool>,
}

/// The columns that predictions of a task have.
pub(crate) fn prediction_fields(task: TaskType, options: &Options) -> Vec<Field> {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let mut fields = match task {
        TaskType::Binary => {
            vec![field(PREDICTION, DataType::Boolean), field(PROBABILITY, DataType::Float64)]
        }
        TaskType::Multiclass => {
            vec![field(PREDICTION, DataType::Utf8), field(PROBABILITIES, DataType::Utf8)]
        }
        _ => vec![field(PREDICTION, DataType::Float64)],
    };
    if options.band().is_some() {
        fields.extend([LOWER, UPPER].map(|name| field(name, DataType::Float64)));
    }
    if options.embedding {
        fields.push(field(EMBEDDING, DataType::List(embedding_item())));
    }
    fields
}

fn embedding_item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, true))
}

/// The column `name` of `scores`, with NULL where there is no prediction.
pub(crate) fn prediction_column(
    name: &str,
    task: &Task,
    scores: &Scores,
    shown: Shown,
    band: Option<Band>,
) -> Result<ArrayRef, EngineError> {
    let Scores { predicted, embeddings, there } = scores;
    let values = predicted.iter().zip(there);
    let numbers = |number: &dyn Fn(f64) -> f64| -> ArrayRef {
        let numbers = values.clone().map(|(value, there)| there.then(|| number(*value)));
        Arc::new(numbers.collect::<Float64Array>())
    };
    Ok(match (task, name) {
        (_, EMBEDDING) => lists(embeddings, there)?,
        (Task::Binary, PREDICTION) => Arc::new(BooleanArray::from_iter(
            values.clone().map(|(p, there)| there.then_some(*p >= shown.threshold)),
        )),
        (Task::Multiclass { classes }, PREDICTION) => {
            let top = top_classes(predicted, classes.len()).into_iter().zip(there);
            let names = top.map(|(class, there)| {
                class.filter(|_| *there).and_then(|c| classes.get(c)).map(String::as_str)
            });
            Arc::new(names.collect::<StringArray>())
        }
        (Task::Multiclass { classes }, _) => {
            let rows = predicted.chunks_exact(classes.len().max(1)).zip(there);
            let maps = rows.map(|(row, there)| {
                there.then(|| probabilities(classes, row, shown.top_classes)).transpose()
            });
            Arc::new(maps.collect::<Result<StringArray, _>>()?)
        }
        (_, LOWER | UPPER) => match band {
            Some(band) => numbers(&|value| band.around(value)[usize::from(name == UPPER)]),
            None => new_null_array(&DataType::Float64, there.len()),
        },
        (Task::Binary | Task::Regression { .. }, _) => numbers(&|value| value),
    })
}

/// Lists of as many numbers each, one after the other in `numbers`; NULL where there is none.
fn lists(numbers: &[f32], there: &[bool]) -> Result<ArrayRef, EngineError> {
    let width = numbers.len() / there.len().max(1);
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, there.len()));
    let numbers = Arc::new(Float32Array::from(numbers.to_vec()));
    let there = NullBuffer::from(there.to_vec());
    Ok(Arc::new(ListArray::try_new(embedding_item(), offsets, numbers, Some(there))?))
}

/// The classes with their probabilities as JSON; the `top` most likely ones only, if said.
fn probabilities(
    classes: &[String],
    row: &[f64],
    top: Option<usize>,
) -> Result<String, EngineError> {
    let mut ranked: Vec<(&String, &f64)> = classes.iter().zip(row).collect();
    if let Some(top) = top {
        ranked.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
        ranked.truncate(top);
    }
    let map: BTreeMap<_, _> = ranked.into_iter().collect();
    serde_json::to_string(&map).map_err(EngineError::json)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float32Type;

    use super::*;

    #[test]
    fn each_entity_has_its_numbers_and_none_where_there_is_no_prediction() {
        let column = lists(&[1.0, 2.0, 3.0, 4.0], &[true, false]).unwrap();
        let column = column.as_list::<i32>();
        assert_eq!(column.value(0).as_primitive::<Float32Type>().values(), &[1.0, 2.0]);
        assert!(column.is_null(1));
        assert_eq!(lists(&[], &[]).unwrap().len(), 0);
    }
}
