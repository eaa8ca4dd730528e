//! From when rows of tables without a time column are known.

use std::mem::take;

use rayon::prelude::*;
use relcast_catalog::{KnownFrom, Schema, TableId};

use crate::STATIC_TIME;
use crate::build::table::{NO_TIME, RawTable};

/// Gives rows of untimed tables the latest time among their parents, until nothing changes; a row
/// without any timed ancestor has no time and is left out.
///
/// `targets` are the rows that each link points to. Times only grow and come from a finite set,
/// so circles of untimed tables come to an end too. A NULL or dangling foreign key adds nothing.
pub fn inherit(schema: &Schema, tables: &mut [RawTable], targets: &[Vec<u32>]) {
    let mut changed = true;
    while take(&mut changed) {
        for (id, table) in (0u32..).map(TableId).zip(&schema.tables) {
            let KnownFrom::Parents(links) = &table.known_from else { continue };
            if table.time_column.is_some() {
                continue;
            }
            let mut times = take(&mut tables[id.index()].times);
            for link in links {
                let parent = schema.link(*link).parent;
                let parents = &tables[parent.index()].times;
                changed |= raise(&mut times, &targets[link.index()], parents);
            }
            tables[id.index()].times = times;
        }
    }
    for (raw, table) in tables.iter_mut().zip(&schema.tables) {
        if matches!(table.known_from, KnownFrom::Parents(_)) {
            // Always known would be a leak: nothing says when such a row was there.
            raw.times.par_iter_mut().filter(|t| **t == STATIC_TIME).for_each(|t| *t = NO_TIME);
        }
    }
}

/// Raises each row's time to that of its parent; says whether any was lower.
fn raise(times: &mut [i64], targets: &[u32], parents: &[i64]) -> bool {
    let raise_one = |(time, target): (&mut i64, &u32)| {
        let parent = parents.get(*target as usize).copied().filter(|t| *t != NO_TIME);
        let raised = parent.is_some_and(|p| p > *time);
        *time = parent.filter(|_| raised).unwrap_or(*time);
        raised
    };
    times.par_iter_mut().zip(targets).map(raise_one).reduce(|| false, |a, b| a | b)
}
