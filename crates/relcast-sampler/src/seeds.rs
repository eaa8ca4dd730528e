//! Seeds: the rows that trees grow from, each at its own moment.

use relcast_catalog::TableId;
use relcast_graph::TemporalGraph;

use crate::error::SampleError;

/// Stands for an entity without a row, or whose row is not known yet.
pub const UNKNOWN_ROW: u32 = relcast_graph::NO_ROW;

/// A batch of (entity, cutoff).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds {
    /// The entity's row, or [`UNKNOWN_ROW`].
    pub rows: Vec<u32>,
    /// The moments predicted at, microseconds UTC.
    pub cutoffs: Vec<i64>,
    /// What each seed sees: everything known at min(cutoff, end of visible history).
    pub views: Vec<i64>,
    /// Stable hash of each entity's key.
    pub keys: Vec<u64>,
}

impl Seeds {
    /// Seeds of `entity` that see nothing after `visible_end`. A row not known at its view, or
    /// ended by then, is hidden: nothing of it is read.
    #[must_use]
    pub fn new(
        graph: &TemporalGraph,
        entity: TableId,
        rows: Vec<u32>,
        cutoffs: Vec<i64>,
        keys: Vec<u64>,
        visible_end: i64,
    ) -> Self {
        let views: Vec<i64> = cutoffs.iter().map(|c| (*c).min(visible_end)).collect();
        let seen = |(row, view): (u32, &i64)| {
            if graph.is_seen(entity, row, *view) { row } else { UNKNOWN_ROW }
        };
        let rows = rows.into_iter().zip(&views).map(seen).collect();
        Self { rows, cutoffs, views, keys }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Refuses seeds of unequal lengths, views after the cutoff, and more than 2³² − 2 seeds.
    pub(crate) fn check(&self) -> Result<(), SampleError> {
        let lens = [self.rows.len(), self.cutoffs.len(), self.views.len(), self.keys.len()];
        if lens.iter().any(|len| *len != lens[0]) {
            let [rows, cutoffs, views, keys] = lens;
            return Err(SampleError::Seeds(format!(
                "{rows} rows, {cutoffs} cutoffs, {views} views, {keys} keys"
            )));
        }
        if lens[0] >= UNKNOWN_ROW as usize {
            return Err(SampleError::TooLarge { block: 0 });
        }
        match self.views.iter().zip(&self.cutoffs).position(|(view, cutoff)| view > cutoff) {
            Some(seed) => Err(SampleError::Seeds(format!("seed {seed} sees past its cutoff"))),
            None => Ok(()),
        }
    }
}
