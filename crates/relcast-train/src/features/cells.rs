//! Which of a row's features come from which column.

use std::ops::Range;

use relcast_catalog::Table;

use super::table::{CELL_FEATURES, TablePlan};
use super::time::{AGE_FEATURES, SEASON_FEATURES};

/// The name under which the time of a row without a time column of its own is told: that from which
/// its parents are known.
pub const KNOWN_AT: &str = "relcast_known_at";

/// Where the features of one column's cells stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellFeatures {
    /// The column; [`KNOWN_AT`] for an inherited time.
    pub column: String,
    /// Among the numbers of a row.
    pub dense: Range<usize>,
    /// Among its vocabulary entries.
    pub entries: Range<usize>,
    /// Among the numbers that depend on the seed's view.
    pub time: Range<usize>,
}

impl CellFeatures {
    /// Whether it is the time from which the row is known.
    #[must_use]
    pub fn is_row_time(&self) -> bool {
        self.time.start == 0 && !self.time.is_empty()
    }

    /// Which of the table's timestamp columns it is, if it is one.
    pub(super) fn timestamp(&self) -> Option<usize> {
        Some(self.time.start.checked_sub(AGE_FEATURES)? / CELL_FEATURES)
    }
}

impl TablePlan {
    /// The columns of `table` that a model reads, with the places of their features. A row's time
    /// is its age and its season; it comes first.
    #[must_use]
    pub fn cells(&self, table: &Table) -> Vec<CellFeatures> {
        let mut cells = Vec::with_capacity(1 + self.columns.len() + self.timestamps.len());
        let (mut dense, mut entries, mut time) = (0, 0, AGE_FEATURES);
        if self.timed {
            dense = SEASON_FEATURES;
            cells.push(CellFeatures {
                column: table.time_source().unwrap_or(KNOWN_AT).to_owned(),
                dense: 0..SEASON_FEATURES,
                entries: 0..0,
                time: 0..AGE_FEATURES,
            });
        }
        for (name, column) in &self.columns {
            cells.push(CellFeatures {
                column: name.clone(),
                dense: dense..dense + column.dense(),
                entries: entries..entries + column.slots(),
                time: 0..0,
            });
            (dense, entries) = (dense + column.dense(), entries + column.slots());
        }
        for timestamp in &self.timestamps {
            cells.push(CellFeatures {
                column: timestamp.name.clone(),
                dense: 0..0,
                entries: 0..0,
                time: time..time + CELL_FEATURES,
            });
            time += CELL_FEATURES;
        }
        cells
    }
}
