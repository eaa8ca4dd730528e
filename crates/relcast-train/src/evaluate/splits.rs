//! The splits that are judged, and what is visible of the past when they are.

use relcast_query::{Cutoffs, History};
use serde::{Deserialize, Serialize};

use crate::examples::Examples;

/// Which rows are predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitName {
    /// Rows to choose on.
    Val,
    /// Rows to judge by.
    Test,
}

/// Label rows of all splits as seeds.
#[derive(Debug, Clone)]
pub struct SplitExamples {
    /// Rows to learn from.
    pub train: Examples,
    /// Rows to choose on.
    pub validation: Examples,
    /// Rows to judge by.
    pub test: Examples,
}

impl SplitExamples {
    /// The examples of a split that is judged.
    #[must_use]
    pub fn of(&self, split: SplitName) -> &Examples {
        match split {
            SplitName::Val => &self.validation,
            SplitName::Test => &self.test,
        }
    }
}

/// The end of what is visible when `split` is predicted under `history`, microseconds UTC.
#[must_use]
pub fn visible_end(split: SplitName, history: History, cutoffs: &Cutoffs) -> i64 {
    match (split, history) {
        (SplitName::Test, History::Frozen) => cutoffs.test_timestamp,
        _ => i64::MAX,
    }
}
