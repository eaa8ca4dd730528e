//! Paths of links from the entity to the aggregated table.
//!
//! A path that is not written is the shortest one; if several are equally short, the query must
//! name one with VIA.

use std::collections::VecDeque;

use relcast_catalog::{LinkId, Schema, TableId};

use super::names;
use crate::ast::{Name, Step};
use crate::error::{Place, QueryError};

/// The most paths that an error lists.
const LISTED: usize = 8;

/// Which way a link is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From child to parent.
    Up,
    /// From parent to child.
    Down,
}

/// One link of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathStep {
    pub(crate) link: LinkId,
    pub(crate) direction: Direction,
}

impl PathStep {
    /// The table that the step arrives at.
    pub(crate) fn arrives_at(self, schema: &Schema) -> TableId {
        let link = schema.link(self.link);
        match self.direction {
            Direction::Up => link.parent,
            Direction::Down => link.child,
        }
    }
}

/// The path of an aggregate: along VIA where written, then the only shortest one.
pub(super) fn find_path(
    schema: &Schema,
    from: TableId,
    to: TableId,
    via: Option<&[Step]>,
    at: Place,
) -> Result<Vec<PathStep>, QueryError> {
    let mut path = Vec::new();
    let mut here = from;
    for step in via.unwrap_or_default() {
        let next = walk(schema, here, step)?;
        here = next.arrives_at(schema);
        path.push(next);
    }
    if via.is_some() && here == to {
        return Ok(path);
    }
    path.extend(only_shortest(schema, here, to, at)?);
    Ok(path)
}

/// The one link that a written step means, seen from `here`.
fn walk(schema: &Schema, here: TableId, step: &Step) -> Result<PathStep, QueryError> {
    match step {
        Step::Table(name) => walk_to_table(schema, here, name),
        Step::Link { child, columns } => walk_link(schema, here, child, columns),
    }
}

fn walk_to_table(schema: &Schema, here: TableId, name: &Name) -> Result<PathStep, QueryError> {
    let there = names::table(schema, name)?;
    let steps: Vec<PathStep> = steps_from(schema, here, true)
        .into_iter()
        .filter(|s| s.arrives_at(schema) == there)
        .collect();
    match steps.as_slice() {
        [step] => Ok(*step),
        // The two ways along a link of a table to itself: outwards is down.
        [one, other] if one.link == other.link => {
            Ok(PathStep { link: one.link, direction: Direction::Down })
        }
        [] => Err(QueryError::meaning_with_hint(
            name.at,
            format!(
                "no link between \"{}\" and \"{}\"",
                schema.table(here).name,
                schema.table(there).name
            ),
            neighbours_text(schema, here),
        )),
        several => Err(QueryError::meaning_with_hint(
            name.at,
            format!(
                "several links lead from \"{}\" to \"{}\"",
                schema.table(here).name,
                schema.table(there).name
            ),
            format!("name one of {}", links_text(schema, several.iter().map(|s| s.link))),
        )),
    }
}

fn walk_link(
    schema: &Schema,
    here: TableId,
    child: &Name,
    columns: &[Name],
) -> Result<PathStep, QueryError> {
    let table = names::table(schema, child)?;
    let written = columns
        .iter()
        .map(|name| names::column(schema.table(table), name).map(|c| c.name.as_str()))
        .collect::<Result<Vec<_>, _>>()?;
    let found = schema.links_from(table).find(|(_, link)| {
        link.columns.len() == written.len()
            && link.columns.iter().all(|c| written.contains(&c.as_str()))
    });
    let at = columns.first().map_or(child.at, |c| c.at);
    let Some((id, link)) = found else {
        let links = links_text(schema, schema.links_from(table).map(|(id, _)| id));
        let hint = if links.is_empty() {
            format!("\"{}\" has no foreign keys", schema.table(table).name)
        } else {
            format!("its links are {links}")
        };
        let message = format!("\"{}.{}\" is no link", schema.table(table).name, written.join(", "));
        return Err(QueryError::meaning_with_hint(at, message, hint));
    };
    // A link of a table to itself is walked outwards: from parent to child.
    let direction = if link.parent == here {
        Direction::Down
    } else if link.child == here {
        Direction::Up
    } else {
        return Err(QueryError::meaning_with_hint(
            at,
            format!(
                "link \"{}\" does not touch \"{}\"",
                schema.link_name(link),
                schema.table(here).name
            ),
            neighbours_text(schema, here),
        ));
    };
    Ok(PathStep { link: id, direction })
}

fn only_shortest(
    schema: &Schema,
    from: TableId,
    to: TableId,
    at: Place,
) -> Result<Vec<PathStep>, QueryError> {
    let mut paths = shortest_paths(schema, from, to, true);
    let (from, to) = (&schema.table(from).name, &schema.table(to).name);
    match paths.len() {
        1 => Ok(paths.remove(0)),
        0 => Err(QueryError::meaning(
            at,
            format!("no path of links leads from \"{from}\" to \"{to}\""),
        )),
        _ => {
            let mut listed: Vec<_> =
                paths.iter().take(LISTED).map(|p| path_text(schema, p)).collect();
            if paths.len() > LISTED {
                listed.push("…".to_owned());
            }
            Err(QueryError::meaning_with_hint(
                at,
                format!("several paths lead from \"{from}\" to \"{to}\": {}", listed.join(" or ")),
                format!("name one, for example VIA {}", listed.first().map_or("", String::as_str)),
            ))
        }
    }
}

/// The only shortest path upwards, as a condition's parents are found; None if there is none or more than one.
pub(super) fn only_path_up(schema: &Schema, from: TableId, to: TableId) -> Option<Vec<PathStep>> {
    let mut paths = shortest_paths(schema, from, to, false);
    if paths.len() == 1 { paths.pop() } else { None }
}

/// All shortest paths of at least one step, up only or both ways.
fn shortest_paths(
    schema: &Schema,
    from: TableId,
    to: TableId,
    down_too: bool,
) -> Vec<Vec<PathStep>> {
    if from == to {
        let own = schema.links_from(from).filter(|(_, link)| link.parent == to);
        let direction = if down_too { Direction::Down } else { Direction::Up };
        return own.map(|(link, _)| vec![PathStep { link, direction }]).collect();
    }
    let distance = distances_to(schema, to, down_too);
    let mut paths = Vec::new();
    extend_paths(schema, from, &distance, down_too, &mut Vec::new(), &mut paths);
    paths
}

fn extend_paths(
    schema: &Schema,
    here: TableId,
    distance: &[Option<usize>],
    down_too: bool,
    path: &mut Vec<PathStep>,
    paths: &mut Vec<Vec<PathStep>>,
) {
    let Some(left) = distance.get(here.index()).copied().flatten() else { return };
    if left == 0 {
        paths.push(path.clone());
        return;
    }
    for step in steps_from(schema, here, down_too) {
        let there = step.arrives_at(schema);
        let closer = distance.get(there.index()).copied().flatten() == Some(left - 1);
        if closer && paths.len() <= LISTED {
            path.push(step);
            extend_paths(schema, there, distance, down_too, path, paths);
            path.pop();
        }
    }
}

/// For each table, how many links it is away from `to`.
fn distances_to(schema: &Schema, to: TableId, down_too: bool) -> Vec<Option<usize>> {
    let mut distance = vec![None; schema.tables.len()];
    let mut open = VecDeque::from([(to, 0usize)]);
    while let Some((table, steps)) = open.pop_front() {
        match distance.get_mut(table.index()) {
            Some(slot @ None) => *slot = Some(steps),
            _ => continue,
        }
        open.extend(schema.links_to(table).map(|(_, l)| (l.child, steps + 1)));
        if down_too {
            open.extend(schema.links_from(table).map(|(_, l)| (l.parent, steps + 1)));
        }
    }
    distance
}

fn steps_from(schema: &Schema, here: TableId, down_too: bool) -> Vec<PathStep> {
    let up = schema.links_from(here).map(|(link, _)| PathStep { link, direction: Direction::Up });
    let down = schema.links_to(here).map(|(link, _)| PathStep { link, direction: Direction::Down });
    if down_too { down.chain(up).collect() } else { up.collect() }
}

/// A path as VIA takes it.
fn path_text(schema: &Schema, path: &[PathStep]) -> String {
    let links: Vec<_> = path.iter().map(|s| schema.link_name(schema.link(s.link))).collect();
    match links.as_slice() {
        [link] => link.clone(),
        links => format!("({})", links.join(", ")),
    }
}

fn links_text(schema: &Schema, links: impl Iterator<Item = LinkId>) -> String {
    links.map(|id| schema.link_name(schema.link(id))).collect::<Vec<_>>().join(", ")
}

fn neighbours_text(schema: &Schema, here: TableId) -> String {
    let mut links: Vec<LinkId> = steps_from(schema, here, true).iter().map(|s| s.link).collect();
    links.sort_unstable();
    links.dedup();
    let name = &schema.table(here).name;
    if links.is_empty() {
        return format!("\"{name}\" has no links");
    }
    format!("the links of \"{name}\" are {}", links_text(schema, links.into_iter()))
}
