//! Label rows as the baselines read them.

use super::BaselineError;

/// One row of a training table: an entity at a cutoff, with its label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelRow {
    /// Stable hash of the entity's key.
    pub entity: u64,
    /// The moment predicted at, microseconds UTC.
    pub cutoff: i64,
    /// When the label's window closes: cutoff plus horizon, microseconds UTC.
    pub closes: i64,
    /// The label: 0 or 1, a quantity, or a class number. Never read in rows to be predicted.
    pub label: f64,
}

/// Refuses an empty slice and labels that are not finite.
pub(super) fn check_labels(
    baseline: &'static str,
    labels: impl IntoIterator<Item = f64>,
) -> Result<(), BaselineError> {
    let mut empty = true;
    for (row, label) in labels.into_iter().enumerate() {
        empty = false;
        if !label.is_finite() {
            return Err(BaselineError::LabelNotFinite { baseline, row, label });
        }
    }
    if empty { Err(BaselineError::NoLabels { baseline }) } else { Ok(()) }
}
