//! Named metric values of one evaluation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Metric values by name, sorted by name; `None` where a metric is undefined.
///
/// Serialises as a JSON object with `null` for an undefined metric.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metrics(pub BTreeMap<String, Option<f64>>);

impl Metrics {
    /// The value of the metric called `name`; `None` if it is undefined or was not computed.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied().flatten()
    }

    /// Sets the metric called `name`; a value that is not finite counts as undefined.
    pub fn set(&mut self, name: &str, value: Option<f64>) {
        self.0.insert(name.to_owned(), value.filter(|v| v.is_finite()));
    }

    /// Metrics and their values in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<f64>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl<const N: usize> From<[(&str, Option<f64>); N]> for Metrics {
    fn from(values: [(&str, Option<f64>); N]) -> Self {
        let mut metrics = Self::default();
        for (name, value) in values {
            metrics.set(name, value);
        }
        metrics
    }
}

/// Whether two slices can be compared row by row: equally long, not empty, all values finite.
pub(super) fn comparable(labels: &[f64], predictions: &[f64]) -> bool {
    !labels.is_empty()
        && labels.len() == predictions.len()
        && labels.iter().chain(predictions).all(|v| v.is_finite())
}

/// The mean of `values`; `None` without values.
pub(super) fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let n = values.len();
    (n > 0).then(|| values.sum::<f64>() / n as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_undefined_metric_is_null_in_json() {
        let metrics = Metrics::from([("mae", Some(0.5)), ("auroc", None), ("r2", Some(f64::NAN))]);
        let json = serde_json::to_string(&metrics).unwrap();
        assert_eq!(json, r#"{"auroc":null,"mae":0.5,"r2":null}"#);
        assert_eq!(metrics.get("mae"), Some(0.5));
        assert_eq!(metrics.get("auroc"), None);
    }
}
