//! The baseline that predicts one number for every row.

use super::{BaselineError, LabelRow, labels::check_labels};

/// The constants that summarise known labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constant {
    /// Mean of the labels: the class rate of a binary task.
    pub mean: f64,
    /// Median of the labels: the constant with the least absolute error.
    pub median: f64,
}

/// Mean and median of the labels of `past`, the rows of the training and validation splits.
///
/// # Errors
/// Without rows, or if a label is not finite.
pub fn global_constant(past: &[LabelRow]) -> Result<Constant, BaselineError> {
    check_labels("global constant", past.iter().map(|row| row.label))?;
    // Sorted, so that neither figure depends on the order of the rows.
    let mut labels: Vec<f64> = past.iter().map(|row| row.label).collect();
    labels.sort_unstable_by(f64::total_cmp);
    let mean = labels.iter().sum::<f64>() / labels.len() as f64;
    let middle = labels.len() / 2;
    let median = if labels.len().is_multiple_of(2) {
        f64::midpoint(labels[middle - 1], labels[middle])
    } else {
        labels[middle]
    };
    Ok(Constant { mean, median })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rows(labels: &[f64]) -> Vec<LabelRow> {
        labels.iter().map(|&label| LabelRow { entity: 1, cutoff: 0, closes: 1, label }).collect()
    }

    #[test]
    fn mean_and_median_of_the_labels() {
        let constant = global_constant(&rows(&[4.0, 0.0, 1.0, 3.0])).unwrap();
        assert_eq!(constant, Constant { mean: 2.0, median: 2.0 });
        assert_eq!(global_constant(&rows(&[9.0, 1.0, 2.0])).unwrap().median, 2.0);
    }

    #[test]
    fn no_rows_and_nan_labels_are_refused() {
        assert!(matches!(global_constant(&[]), Err(BaselineError::NoLabels { .. })));
        let error = global_constant(&rows(&[1.0, f64::NAN])).unwrap_err();
        assert!(error.to_string().contains("row 1"), "{error}");
    }
}
