//! Which row each foreign key points to, and the neighbour lists in both directions.

use rayon::prelude::*;
use relcast_catalog::{KnownFrom, Link, LinkId, Schema, TableId};

use crate::build::table::RawTable;
use crate::build::times::inherit;
use crate::error::GraphError;
use crate::hash::{NO_KEY, row_keys};
use crate::key_index::KeyIndex;
use crate::snapshot::{LinkReport, SnapshotWriter, name};
use crate::stop::Stop;
use crate::{MAX_ROWS, NO_ROW};

/// Stands for the row that a NULL foreign key points to; [`NO_ROW`] is that of a dangling one.
const NULL_KEY: u32 = MAX_ROWS as u32;

/// The row that each child row points to, per link, in the order in which rows arrived; sets the
/// inherited times on the way.
///
/// # Errors
/// If a foreign key lacks a column or has too many, or it was stopped.
pub fn resolve_all(schema: &Schema, tables: &mut [RawTable]) -> Result<Vec<Vec<u32>>, GraphError> {
    // Of rows with one primary key the earliest is pointed to. Where rows inherit their times,
    // which that is follows from the links themselves: try again until it stays the same.
    let choosing = (0u32..).map(TableId).zip(tables.iter());
    let choosing: Vec<usize> = choosing
        .filter(|(id, t)| t.duplicate_keys > 0 && inherits(schema, *id))
        .map(|(id, _)| id.index())
        .collect();
    let own_times: Vec<Vec<i64>> = match choosing.is_empty() {
        true => Vec::new(),
        false => tables.iter().map(|t| t.times.clone()).collect(),
    };
    let mut rounds = tables.len();
    loop {
        let before: Vec<Vec<i64>> = choosing.iter().map(|t| tables[*t].times.clone()).collect();
        let targets = resolve(schema, tables)?;
        for (table, times) in tables.iter_mut().zip(&own_times) {
            table.times.clone_from(times);
        }
        inherit(schema, tables, &targets);
        let settled = choosing.iter().zip(&before).all(|(t, times)| tables[*t].times == *times);
        if settled || rounds == 0 {
            return Ok(targets);
        }
        rounds -= 1;
    }
}

fn inherits(schema: &Schema, table: TableId) -> bool {
    matches!(schema.table(table).known_from, KnownFrom::Parents(_))
}

fn resolve(schema: &Schema, tables: &[RawTable]) -> Result<Vec<Vec<u32>>, GraphError> {
    let stop = Stop::current();
    let mut targets: Vec<Vec<u32>> = schema.links.iter().map(|_| Vec::new()).collect();
    for (id, table) in (0u32..).map(TableId).zip(tables) {
        if schema.links_to(id).next().is_none() {
            continue;
        }
        stop.check()?;
        let first = |a, b| table.rank(a) < table.rank(b);
        let index = KeyIndex::new(&table.keys, |row| table.has_time(row), first);
        let find = |key: u128| match key {
            NO_KEY => NULL_KEY,
            key => index.find(&table.keys, key).unwrap_or(NO_ROW),
        };
        for (link_id, link) in schema.links_to(id) {
            check_width(schema, link)?;
            let child = &tables[link.child.index()].spill;
            let columns = child.positions(&link.columns)?;
            let rows = child.map_batches(&columns, |key| {
                Ok(row_keys(key)?.into_iter().map(find).collect::<Vec<u32>>())
            })?;
            targets[link_id.index()] = rows.concat();
        }
    }
    Ok(targets)
}

fn check_width(schema: &Schema, link: &Link) -> Result<(), GraphError> {
    let parent = schema.table(link.parent);
    if link.columns.len() == parent.primary_key.len() && !link.columns.is_empty() {
        return Ok(());
    }
    Err(GraphError::KeyWidth {
        what: format!("foreign key {}", schema.link_name(link)),
        table: parent.name.clone(),
        expected: parent.primary_key.len(),
        given: link.columns.len(),
    })
}

/// Writes both directions of a link, given the raw rows of each table in the order of the graph.
///
/// # Errors
/// If the disk refuses.
pub fn write(
    writer: &SnapshotWriter,
    link: LinkId,
    targets: &[u32],
    child: &[u32],
    parent: &[u32],
) -> Result<LinkReport, GraphError> {
    let numbers = inverse(parent);
    let number = |raw: u32| numbers.get(raw as usize).copied().unwrap_or(NO_ROW);
    let parents: Vec<u32> = child.par_iter().map(|raw| number(targets[*raw as usize])).collect();
    let (offsets, children) = invert(&parents, parent.len());
    let null = child.par_iter().filter(|raw| targets[**raw as usize] == NULL_KEY).count();
    let edges = children.len();
    let dangling = parents.len() - edges - null;
    writer.write_values(name::parents(link), parents)?;
    writer.write_values(name::offsets(link), offsets)?;
    writer.write_values(name::children(link), children)?;
    Ok(LinkReport { edges, null, dangling })
}

/// For each raw row its number in `order`, or [`NO_ROW`].
fn inverse(order: &[u32]) -> Vec<u32> {
    let len = order.iter().max().map_or(0, |most| *most as usize + 1);
    let mut numbers = vec![NO_ROW; len];
    for (number, raw) in (0u32..).zip(order) {
        numbers[*raw as usize] = number;
    }
    numbers
}

/// The children of each of `rows` parent rows, in ascending order: where they start, and which.
fn invert(parents: &[u32], rows: usize) -> (Vec<u64>, Vec<u32>) {
    let mut offsets = vec![0u64; rows + 1];
    for parent in parents.iter().filter(|p| **p != NO_ROW) {
        offsets[*parent as usize + 1] += 1;
    }
    for i in 1..offsets.len() {
        offsets[i] += offsets[i - 1];
    }
    let mut next = offsets.clone();
    let mut children = vec![0u32; offsets[rows] as usize];
    for (child, parent) in (0u32..).zip(parents).filter(|(_, p)| **p != NO_ROW) {
        let slot = &mut next[*parent as usize];
        children[*slot as usize] = child;
        *slot += 1;
    }
    (offsets, children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_listed_in_ascending_order() {
        let (offsets, children) = invert(&[1, NO_ROW, 0, 1, 1], 3);
        assert_eq!(offsets, [0, 1, 4, 4]);
        assert_eq!(children, [2, 0, 3, 4]);
        assert_eq!(inverse(&[3, 0]), [1, NO_ROW, NO_ROW, 0]);
        assert_eq!(inverse(&[]), [0u32; 0]);
    }
}
