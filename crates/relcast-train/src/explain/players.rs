//! The players of one entity's score: the cells and rows of its tree that may be left unknown.

use std::collections::BTreeMap;

use relcast_sampler::{SamplePlan, Subgraph, UNKNOWN_ROW};

/// Players, at most, as long as rows near the entity can be told apart.
const MOST: usize = 400;

/// A row of a table.
pub(super) type RowOf = (usize, u32);

/// What is known or not, wherever in the tree it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Player {
    pub(super) row: RowOf,
    /// Which of the table's cells; `None` for the row itself: that it is there.
    pub(super) cell: Option<usize>,
    pub(super) hop: usize,
}

/// The players, and where those of a row stand among them.
#[derive(Debug, Default)]
pub(super) struct Players {
    pub(super) all: Vec<Player>,
    of_row: BTreeMap<RowOf, OfRow>,
}

/// The players of one row.
#[derive(Debug, Default)]
pub(super) struct OfRow {
    /// The row itself; none for the entity's, which is always there, and where rows this far out
    /// come along with those they hang from.
    pub(super) row: Option<usize>,
    /// Each cell that is a player: its place among the table's cells, and among the players.
    pub(super) cells: Vec<(usize, usize)>,
}

impl Players {
    /// The players of the one tree in `drawn`: of as many hops as can be afforded the cells, of
    /// those beyond the rows; `filled` names the cells of a row that hold something.
    pub(super) fn of(
        plan: &SamplePlan,
        drawn: &Subgraph,
        filled: impl Fn(RowOf) -> Vec<usize>,
    ) -> Self {
        let mut hops: BTreeMap<RowOf, usize> = BTreeMap::new();
        for (step, block) in plan.blocks.iter().zip(&drawn.blocks) {
            for row in block.rows().iter().filter(|row| **row != UNKNOWN_ROW) {
                let hop = hops.entry((step.table.index(), *row)).or_insert(step.hop);
                *hop = (*hop).min(step.hop);
            }
        }
        let mut rows: Vec<(usize, RowOf, Vec<usize>)> =
            hops.into_iter().map(|(row, hop)| (hop, row, filled(row))).collect();
        rows.sort_unstable();
        let (cells, deepest) = detail(&rows);
        let mut players = Self::default();
        for (hop, row, filled) in rows {
            let mut own = OfRow::default();
            if hop > 0 && hop <= deepest {
                own.row = Some(players.all.len());
                players.all.push(Player { row, cell: None, hop });
            }
            for cell in filled.into_iter().filter(|_| hop <= cells) {
                own.cells.push((cell, players.all.len()));
                players.all.push(Player { row, cell: Some(cell), hop });
            }
            players.of_row.insert(row, own);
        }
        players
    }

    pub(super) fn of_row(&self, row: RowOf) -> Option<&OfRow> {
        self.of_row.get(&row)
    }
}

/// Up to which hop cells are players, and up to which rows: the finest that can be afforded.
fn detail(rows: &[(usize, RowOf, Vec<usize>)]) -> (usize, usize) {
    let hops = rows.iter().map(|(hop, ..)| *hop).max().unwrap_or(0);
    let by_cells = (0..=hops).rev().map(|cells| (cells, hops));
    let by_rows = (1..hops).rev().map(|deepest| (0, deepest));
    let players = |(cells, deepest): (usize, usize)| {
        let of_row = |(hop, _, filled): &(usize, RowOf, Vec<usize>)| {
            usize::from(*hop > 0 && *hop <= deepest) + if *hop <= cells { filled.len() } else { 0 }
        };
        rows.iter().map(of_row).sum::<usize>()
    };
    by_cells.chain(by_rows).find(|detail| players(*detail) <= MOST).unwrap_or((0, hops.min(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(counts: &[usize], cells: usize) -> Vec<(usize, RowOf, Vec<usize>)> {
        let of_hop = |(hop, count): (usize, &usize)| {
            (0..*count).map(move |row| (hop, (hop, row as u32), (0..cells).collect()))
        };
        counts.iter().enumerate().flat_map(of_hop).collect()
    }

    #[test]
    fn the_tree_is_told_as_finely_as_can_be_afforded() {
        for (counts, cells, expected) in [
            (&[1, 4, 8][..], 3, (2, 2)),
            (&[1, 40, 100][..], 3, (1, 2)),
            (&[1, 100, 250][..], 3, (0, 2)),
            (&[1, 100, 900][..], 3, (0, 1)),
            (&[1, 900, 900][..], 3, (0, 1)),
            (&[1][..], 3, (0, 0)),
        ] {
            assert_eq!(detail(&rows(counts, cells)), expected, "{counts:?}");
        }
    }
}
