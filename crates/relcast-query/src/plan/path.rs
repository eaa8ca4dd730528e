//! The joined rows along an aggregate's path, with their key, time and the columns that are read.

use std::cell::RefCell;

use datafusion::arrow::datatypes::DataType;
use relcast_catalog::{KnownFrom, Schema, link_condition, quoted};

use super::entities::timed_relation;
use crate::bind::{BoundAggregate, BoundColumn, Direction, Role};

/// Columns that a relation must hand on, each under a short name of its own.
#[derive(Default)]
pub(super) struct Exposed(RefCell<Vec<(usize, String)>>);

impl Exposed {
    /// The short name of a source's column; asks for it to be handed on.
    pub(super) fn name(&self, source: usize, column: &str) -> String {
        let mut columns = self.0.borrow_mut();
        let known = columns.iter().position(|(s, c)| *s == source && c == column);
        let index = known.unwrap_or_else(|| {
            columns.push((source, column.to_owned()));
            columns.len() - 1
        });
        format!("c{}", index + 1)
    }

    /// `, s1."x" AS c1, …` given the alias of each source.
    pub(super) fn select_list(&self, alias: impl Fn(usize) -> String) -> String {
        let columns = self.0.borrow();
        let items = columns.iter().enumerate();
        items.map(|(i, (s, c))| format!(", {}.{} AS c{}", alias(*s), quoted(c), i + 1)).collect()
    }
}

/// A cell of `relation` as read at `cutoff`: NULL if it is younger; plain where there is no cutoff.
pub(super) fn cell(
    column: &BoundColumn,
    exposed: &Exposed,
    relation: &str,
    cutoff: Option<&str>,
) -> String {
    let exposed_as = |name: &str| format!("{relation}.{}", exposed.name(column.source, name));
    let value = exposed_as(&column.column.name);
    let Some(cutoff) = cutoff else { return value };
    let is_time = matches!(column.column.data_type, DataType::Timestamp(..));
    let mut known = Vec::new();
    if let Some(from) = &column.column.known_from {
        known.push(format!("{} <= {cutoff}", exposed_as(from)));
    }
    if is_time && !column.column.planned {
        known.push(format!("{value} <= {cutoff}"));
    }
    if known.is_empty() {
        return value;
    }
    format!("(CASE WHEN {} THEN {value} END)", known.join(" AND "))
}

/// The first source that the joined rows need: the entity itself, or the table after it where the
/// entity adds neither time nor columns and its key stands in the foreign key.
fn first_source(schema: &Schema, aggregate: &BoundAggregate) -> usize {
    let goes_down = aggregate
        .sources
        .get(1)
        .and_then(|s| s.join)
        .is_some_and(|(_, step)| step.direction == Direction::Down);
    let entity_is_static = aggregate.sources.first().is_some_and(|s| {
        let entity = schema.table(s.table);
        let ends = entity.end_time_column.is_some() && aggregate.role == Role::Where;
        entity.known_from == KnownFrom::Static && !ends
    });
    let reads_entity = aggregate.condition.iter().flat_map(|c| c.leaves()).any(|c| c.source == 0);
    usize::from(goes_down && entity_is_static && !reads_entity)
}

/// Where the joined rows hold the entity's key: for each of `keys` an expression and its type.
pub(super) fn key_expressions(
    schema: &Schema,
    aggregate: &BoundAggregate,
    keys: &[String],
) -> Vec<(String, DataType)> {
    let Some(entity) = aggregate.sources.first().map(|s| schema.table(s.table)) else {
        return Vec::new();
    };
    let own = |key: &String| {
        let data_type = entity.find_column(key).map_or(DataType::Null, |c| c.data_type.clone());
        (format!("s0.{}", quoted(key)), data_type)
    };
    let link =
        aggregate.sources.get(1).and_then(|s| s.join).map(|(_, step)| schema.link(step.link));
    let Some(link) = link.filter(|_| first_source(schema, aggregate) == 1) else {
        return keys.iter().map(own).collect();
    };
    let foreign = |key: &String| {
        let position = entity.primary_key.iter().position(|k| k == key)?;
        let column = schema.table(link.child).find_column(link.columns.get(position)?)?;
        Some((format!("s1.{}", quoted(&column.name)), column.data_type.clone()))
    };
    keys.iter().map(|key| foreign(key).unwrap_or_else(|| own(key))).collect()
}

/// A SELECT of the joined rows: the entity's key as `k1…`, `time`, and the exposed columns.
///
/// Rows whose time is NULL are left out. `keys` are the entity's key columns.
pub(super) fn path_sql(
    schema: &Schema,
    aggregate: &BoundAggregate,
    keys: &[String],
    exposed: &Exposed,
) -> String {
    let first = first_source(schema, aggregate);
    let (mut joins, mut times, mut known) = (String::new(), Vec::new(), Vec::new());
    for (i, source) in aggregate.sources.iter().enumerate().skip(first) {
        let relation = timed_relation(schema, source.table);
        let is_parent = i > aggregate.last;
        let mut sql = relation.sql;
        if let Some(time) = relation.time {
            let time = quoted(&time);
            times.push(format!("s{i}.{time}"));
            if is_parent {
                sql = format!("(SELECT * FROM {sql} AS x WHERE x.{time} IS NOT NULL)");
            } else {
                known.push(format!("s{i}.{time} IS NOT NULL"));
            }
        }
        let on = source.join.filter(|_| i > first).map(|(to, step)| {
            let (here, there) = (format!("s{i}"), format!("s{to}"));
            let (child, parent) = match step.direction {
                Direction::Down => (here, there),
                Direction::Up => (there, here),
            };
            link_condition(schema, schema.link(step.link), &child, &parent)
        });
        joins.push_str(&match on {
            None => format!("{sql} AS s{i}"),
            Some(on) if is_parent => format!(" LEFT JOIN {sql} AS s{i} ON {on}"),
            Some(on) => format!(" JOIN {sql} AS s{i} ON {on}"),
        });
    }
    let keys = key_expressions(schema, aggregate, keys);
    let keys = keys.iter().enumerate().map(|(n, (sql, _))| format!("{sql} AS k{}", n + 1));
    format!(
        "SELECT {}, {} AS \"time\"{} FROM {joins} WHERE {}",
        keys.collect::<Vec<_>>().join(", "),
        greatest(&times),
        exposed.select_list(|source| format!("s{source}")),
        known.join(" AND ")
    )
}

/// The latest of these times; NULLs are passed over.
fn greatest(times: &[String]) -> String {
    match times {
        [time] => time.clone(),
        times => format!("greatest({})", times.join(", ")),
    }
}
