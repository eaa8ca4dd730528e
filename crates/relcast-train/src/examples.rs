//! Examples: the rows of a training table as seeds with labels.

use relcast_sampler::{Seeds, UNKNOWN_ROW};
use serde::{Deserialize, Serialize};

use crate::scale::RobustScale;

/// What kind of label a model learns, with what turns its outputs into predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Labels 0 and 1.
    Binary,
    /// A number.
    Regression {
        /// Standard deviation of the training labels (ddof 1), the unit of NMAE.
        deviation: f64,
        /// How labels are scaled for the network.
        scale: RobustScale,
    },
    /// One of `classes`; a label is the position of its class.
    Multiclass {
        /// The classes met in training, as text.
        classes: Vec<String>,
    },
}

impl Task {
    /// Outputs per seed.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match self {
            Self::Binary | Self::Regression { .. } => 1,
            Self::Multiclass { classes } => classes.len(),
        }
    }

    /// The metric that chooses the best epoch.
    #[must_use]
    pub fn metric(&self) -> &'static str {
        match self {
            Self::Binary => "auroc",
            Self::Regression { .. } => "mae",
            Self::Multiclass { .. } => "accuracy",
        }
    }

    /// Whether a larger value of [`Task::metric`] is better.
    #[must_use]
    pub fn larger_is_better(&self) -> bool {
        !matches!(self, Self::Regression { .. })
    }
}

/// Seeds with their labels, in the order of the training table.
#[derive(Debug, Clone, Default)]
pub struct Examples {
    /// The entity's row; `None` for a key that has none.
    pub rows: Vec<Option<u32>>,
    /// Stable hash of the entity's key.
    pub keys: Vec<u64>,
    /// Cutoffs in microseconds UTC.
    pub cutoffs: Vec<i64>,
    /// 0 or 1, a number, or the position of a class; those not met in training are numbered beyond.
    pub labels: Vec<f64>,
    /// How much each counts in the loss, one on average; empty where all count alike.
    pub weights: Vec<f64>,
}

impl Examples {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cutoffs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cutoffs.is_empty()
    }

    /// How much the example at `position` counts in the loss.
    #[must_use]
    pub fn weight(&self, position: usize) -> f64 {
        self.weights.get(position).copied().unwrap_or(1.0)
    }

    /// The examples at `positions`, seen with all history until `visible_end`.
    #[must_use]
    pub fn seeds(
        &self,
        positions: &[usize],
        visible_end: i64,
        graph: &relcast_graph::TemporalGraph,
        entity: relcast_catalog::TableId,
    ) -> Seeds {
        let rows = positions.iter().map(|i| self.rows[*i].unwrap_or(UNKNOWN_ROW)).collect();
        let cutoffs = positions.iter().map(|i| self.cutoffs[*i]).collect();
        let keys = positions.iter().map(|i| self.keys[*i]).collect();
        Seeds::new(graph, entity, rows, cutoffs, keys, visible_end)
    }

    /// Positions in the order in which epoch `epoch` visits them: a shuffle that depends on the
    /// examples, the seed and the epoch, not on the order in which the examples arrived.
    #[must_use]
    pub fn shuffled(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let mut order: Vec<(u64, usize)> =
            (0..self.len()).map(|i| (self.draw(i, seed, epoch), i)).collect();
        order.sort_unstable_by_key(|(draw, i)| (*draw, self.cutoffs[*i], self.keys[*i]));
        order.into_iter().map(|(_, i)| i).collect()
    }

    fn draw(&self, i: usize, seed: u64, epoch: usize) -> u64 {
        let words = [self.keys[i], self.cutoffs[i] as u64, epoch as u64];
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, seed)
    }
}
