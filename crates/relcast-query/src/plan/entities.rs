//! Tables with the time from which their rows are known, and the entities that exist at each cutoff.

use relcast_catalog::{KnownFrom, Schema, TableId, link_condition, quoted, rows_relation};

use super::expression::time_sql;
use crate::options::Entities;

/// A table as a relation of SQL whose rows may have a time.
pub(super) struct Relation {
    /// What stands in FROM, without an alias.
    pub(super) sql: String,
    /// The column from whose value on a row is known; none for a static table.
    pub(super) time: Option<String>,
}

/// The table with the time from which its rows are known as a column.
pub(super) fn timed_relation(schema: &Schema, id: TableId) -> Relation {
    let table = schema.table(id);
    match &table.known_from {
        KnownFrom::TimeColumn(column) => {
            Relation { sql: rows_relation(schema, id), time: Some(column.clone()) }
        }
        KnownFrom::Static => Relation { sql: rows_relation(schema, id), time: None },
        KnownFrom::Parents(_) => Relation {
            sql: format!("({})", relcast_catalog::known_relation(schema, id)),
            time: Some("relcast_known_at".to_owned()),
        },
    }
}

/// `FROM … [WHERE …]`: the timestamps as `t` with the rows of the entity table as `e` that exist at each.
pub(super) fn entities_from(
    schema: &Schema,
    entity: TableId,
    rule: Entities,
    timestamps: &str,
) -> String {
    let table = schema.table(entity);
    let timestamps = quoted(timestamps);
    if rule == Entities::All {
        let rows = rows_relation(schema, entity);
        return format!("FROM {timestamps} AS t CROSS JOIN {rows} AS e");
    }
    let cutoff = "t.\"timestamp\"";
    let mut exists = Vec::new();
    let relation = timed_relation(schema, entity);
    let rows = match relation.time {
        Some(time) => {
            exists.push(format!("e.{} <= {cutoff}", quoted(&time)));
            relation.sql
        }
        None => match first_seen(schema, entity) {
            Some(rows) => {
                exists.push(format!("e.\"relcast_first_seen\" <= {cutoff}"));
                rows
            }
            None => relation.sql,
        },
    };
    if let Some(end) = &table.end_time_column {
        let end = format!("e.{}", quoted(end));
        exists.push(format!("({end} IS NULL OR {end} > {cutoff})"));
    }
    if exists.is_empty() {
        return format!("FROM {timestamps} AS t CROSS JOIN {rows} AS e");
    }
    format!("FROM {timestamps} AS t JOIN {rows} AS e ON {}", exists.join(" AND "))
}

/// A static entity table with the time of each row's first linked row as `relcast_first_seen`;
/// none if no table that points to it has times.
fn first_seen(schema: &Schema, entity: TableId) -> Option<String> {
    let mut rows = Vec::new();
    for (_, link) in schema.links_to(entity) {
        let child = timed_relation(schema, link.child);
        let Some(time) = child.time else { continue };
        let columns: Vec<String> =
            link.columns.iter().map(|c| format!("c.{}", quoted(c))).collect();
        let columns = columns.join(", ");
        let linked = format!(
            "(SELECT {columns}, MIN(c.{}) AS \"time\" FROM {} AS c GROUP BY {columns})",
            quoted(&time),
            child.sql
        );
        let key = schema.table(entity).primary_key.iter().map(|k| format!("x.{}", quoted(k)));
        rows.push(format!(
            "SELECT {}, c.\"time\" FROM {} AS x JOIN {linked} AS c ON {}",
            key.collect::<Vec<_>>().join(", "),
            quoted(&schema.table(entity).name),
            link_condition(schema, link, "c", "x")
        ));
    }
    if rows.is_empty() {
        return None;
    }
    let key = &schema.table(entity).primary_key;
    let columns = key.iter().map(|k| quoted(k)).collect::<Vec<_>>().join(", ");
    let on =
        key.iter().map(|k| format!("x.{0} = f.{0}", quoted(k))).collect::<Vec<_>>().join(" AND ");
    Some(format!(
        "(SELECT x.*, f.\"relcast_first_seen\" FROM {} AS x JOIN (SELECT {columns}, MIN(\"time\") AS \"relcast_first_seen\" FROM ({}) AS c GROUP BY {columns}) AS f ON {on})",
        rows_relation(schema, entity),
        rows.join(" UNION ALL ")
    ))
}

/// The rows of the entity table with their own time as cutoff; a static table stands at every timestamp.
pub(super) fn fill_in_from(schema: &Schema, entity: TableId, timestamps: &str) -> String {
    let relation = timed_relation(schema, entity);
    let timestamps = quoted(timestamps);
    match relation.time {
        Some(time) => {
            format!(
                "FROM {timestamps} AS t JOIN {} AS e ON e.{} = t.\"timestamp\"",
                relation.sql,
                quoted(&time)
            )
        }
        None => format!("FROM {timestamps} AS t CROSS JOIN {} AS e", relation.sql),
    }
}

/// A key column of the entity table and its name in results.
#[derive(Debug, Clone)]
pub(super) struct KeyColumn {
    pub(super) column: String,
    pub(super) name: String,
}

/// Cutoff and key of the rows that `from` gives as `t` and `e`.
pub(super) fn keys_sql(cutoff_column: &str, keys: &[KeyColumn], from: &str) -> String {
    let keys = keys.iter().map(|k| format!("e.{} AS {}", quoted(&k.column), quoted(&k.name)));
    let keys = keys.collect::<Vec<_>>().join(", ");
    format!("SELECT t.\"timestamp\" AS {}, {keys} {from}", quoted(cutoff_column))
}

/// The distinct times of a table's rows, or nothing for a static table.
pub(super) fn times_sql(schema: &Schema, table: TableId) -> Option<String> {
    let relation = timed_relation(schema, table);
    let time = quoted(&relation.time?);
    Some(format!("SELECT x.{time} AS \"time\" FROM {} AS x", relation.sql))
}

/// The first and the last of the times that these SELECTs give, of those up to `until` where it is
/// given: one row.
pub(super) fn extent_sql(times: &[String], until: Option<i64>) -> Option<String> {
    if times.is_empty() {
        return None;
    }
    let filter = until.map(|until| format!(" WHERE r.\"time\" <= {}", time_sql(until)));
    let filter = filter.unwrap_or_default();
    let extents = times.iter().map(|sql| {
        format!(
            "SELECT MIN(r.\"time\") AS \"first\", MAX(r.\"time\") AS \"last\" FROM ({sql}) AS r{filter}"
        )
    });
    Some(format!(
        "SELECT MIN(r.\"first\") AS \"first\", MAX(r.\"last\") AS \"last\" FROM ({}) AS r",
        extents.collect::<Vec<_>>().join(" UNION ALL ")
    ))
}
