//! Predictions as columns, by task.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use relcast_query::{Options, TaskType};
use relcast_train::evaluate::top_classes;
use relcast_train::examples::Task;

use crate::error::EngineError;

/// The class of a binary prediction, a number, or the most likely class.
pub(crate) const PREDICTION: &str = "prediction";
/// The probability of a positive.
pub(crate) const PROBABILITY: &str = "probability";
/// The probability of each class, as JSON.
pub(crate) const PROBABILITIES: &str = "probabilities";

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

/// The columns that predictions of a task have.
pub(crate) fn prediction_fields(task: TaskType) -> Vec<Field> {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    match task {
        TaskType::Binary => {
            vec![field(PREDICTION, DataType::Boolean), field(PROBABILITY, DataType::Float64)]
        }
        TaskType::Multiclass => {
            vec![field(PREDICTION, DataType::Utf8), field(PROBABILITIES, DataType::Utf8)]
        }
        _ => vec![field(PREDICTION, DataType::Float64)],
    }
}

/// The column `name` of `predicted`, with NULL where there is no prediction.
pub(crate) fn prediction_column(
    name: &str,
    task: &Task,
    predicted: &[f64],
    there: &[bool],
    shown: Shown,
) -> Result<ArrayRef, EngineError> {
    let values = predicted.iter().zip(there);
    Ok(match (task, name) {
        (Task::Binary, PREDICTION) => Arc::new(BooleanArray::from_iter(
            values.map(|(p, there)| there.then_some(*p >= shown.threshold)),
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
        (Task::Binary | Task::Regression { .. }, _) => {
            Arc::new(Float64Array::from_iter(values.map(|(value, there)| there.then_some(*value))))
        }
    })
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
