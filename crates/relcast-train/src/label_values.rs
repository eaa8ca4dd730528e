//! Labels as numbers, and which of them a task can have.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::array_value_to_string;

use crate::error::TrainError;

/// Labels as numbers; zero for one that is NULL.
pub(crate) fn numbers(labels: &ArrayRef) -> Result<Vec<f64>, TrainError> {
    Ok(as_numbers(labels)?.iter().map(Option::unwrap_or_default).collect())
}

/// Labels as numbers, NULL where they are; refuses those that cannot be read as numbers.
pub(crate) fn as_numbers(labels: &ArrayRef) -> Result<Float64Array, TrainError> {
    let numbers = cast(labels, &DataType::Float64)?;
    let unreadable = |row: &usize| labels.is_valid(*row) && numbers.is_null(*row);
    match (0..labels.len()).find(unreadable) {
        Some(row) => Err(TrainError::Labels(format!(
            "the label \"{}\" is no number; labels are numbers or booleans, texts only where the task is multiclass_classification",
            array_value_to_string(labels, row)?
        ))),
        None => Ok(numbers.as_primitive::<Float64Type>().clone()),
    }
}

/// Refuses labels of two classes that are neither 0 nor 1.
pub(crate) fn check_binary(labels: &[f64]) -> Result<(), TrainError> {
    match labels.iter().find(|label| **label != 0.0 && **label != 1.0) {
        Some(label) => Err(TrainError::Labels(format!(
            "{label} is no label of binary classification; labels are 0 and 1 or booleans: compare the value in the label query, or make the task regression or multiclass_classification"
        ))),
        None => Ok(()),
    }
}

/// The position of each label among `classes`, which are sorted. Those that are none of them are
/// numbered beyond, in the order of their texts, NULL last.
pub(crate) fn class_numbers(classes: &[String], labels: &StringArray) -> Vec<f64> {
    let known = |text: &str| classes.binary_search_by(|class| class.as_str().cmp(text)).ok();
    let others: BTreeSet<&str> =
        labels.iter().flatten().filter(|text| known(text).is_none()).collect();
    let others: Vec<&str> = others.into_iter().collect();
    let beyond = |text: &str| classes.len() + others.partition_point(|other| *other < text);
    let number = |text: &str| known(text).unwrap_or_else(|| beyond(text));
    let unlabelled = classes.len() + others.len();
    labels.iter().map(|text| text.map_or(unlabelled, number) as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_no_class_are_numbered_beyond_the_classes() {
        let classes = ["a", "c"].map(str::to_owned);
        let labels = StringArray::from(vec![Some("c"), Some("x"), Some("b"), None, Some("x")]);
        assert_eq!(class_numbers(&classes, &labels), [1.0, 3.0, 2.0, 4.0, 3.0]);
    }
}
