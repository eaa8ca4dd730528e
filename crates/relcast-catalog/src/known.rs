//! From when on each row is known, as SQL.

use arrow::datatypes::DataType;

use crate::dates::rows_relation;
use crate::schema::{Column, KnownFrom, Link, Schema, TableId};
use crate::sql::{key_equality, quoted};

/// A query over the rows of a table, with all its columns plus `relcast_known_at`: the time from
/// which a row is known, NULL for a static table and for a row without any time.
///
/// A table without a time column takes the latest time of the parents it points to, over the links
/// that [`Schema::resolve_known_from`] chose; these make no circle.
#[must_use]
pub fn known_relation(schema: &Schema, table: TableId) -> String {
    let name = rows_relation(schema, table);
    match &schema.table(table).known_from {
        KnownFrom::TimeColumn(column) => {
            format!("SELECT *, {} AS relcast_known_at FROM {name}", quoted(column))
        }
        KnownFrom::Static => {
            format!("SELECT *, CAST(NULL AS TIMESTAMP) AS relcast_known_at FROM {name}")
        }
        KnownFrom::Parents(links) => {
            let links: Vec<&Link> = links.iter().map(|link| schema.link(*link)).collect();
            inherited(schema, &name, &links)
        }
    }
}

/// A query over what is known of a table at `until`, microseconds UTC: rows that are younger are
/// left out, cells that are younger are NULL.
pub(crate) fn known_at(schema: &Schema, table: TableId, until: i64) -> String {
    let moment = moment_sql(until);
    let item = |column: &Column| {
        let name = quoted(&column.name);
        let own = matches!(column.data_type, DataType::Timestamp(_, _)) && !column.planned;
        let from = column.known_from.as_ref().map(|from| quoted(from));
        let conditions: Vec<String> = own
            .then(|| name.clone())
            .into_iter()
            .chain(from)
            .map(|time| format!("{time} <= {moment}"))
            .collect();
        match conditions.is_empty() {
            true => name,
            false => format!("CASE WHEN {} THEN {name} END AS {name}", conditions.join(" AND ")),
        }
    };
    let items: Vec<String> = schema.table(table).columns.iter().map(item).collect();
    let rows = known_relation(schema, table);
    let known = match schema.table(table).known_from {
        KnownFrom::Static => String::new(),
        _ => format!(" WHERE relcast_known_at <= {moment}"),
    };
    format!("SELECT {} FROM ({rows}){known}", items.join(", "))
}

/// A moment, microseconds UTC, as SQL.
pub(crate) fn moment_sql(micros: i64) -> String {
    format!("arrow_cast({micros}, 'Timestamp(Microsecond, None)')")
}

/// The rows of `child`, as they stand in FROM, with the latest time among their parents.
fn inherited(schema: &Schema, child: &str, links: &[&Link]) -> String {
    let mut joins = String::new();
    let mut times = Vec::new();
    for (index, link) in links.iter().enumerate() {
        let alias = format!("relcast_parent_{index}");
        let parent = known_relation(schema, link.parent);
        let keys: Vec<String> =
            schema.table(link.parent).primary_key.iter().map(|k| quoted(k)).collect();
        let keys = keys.join(", ");
        let on = link_condition(schema, link, "relcast_child", &alias);
        joins.push_str(&format!(
            " LEFT JOIN (SELECT {keys}, max(relcast_known_at) AS known FROM ({parent}) GROUP BY {keys}) AS {alias} ON {on}"
        ));
        times.push(format!("{alias}.known"));
    }
    let latest = match times.as_slice() {
        [one] => one.clone(),
        several => format!("greatest({})", several.join(", ")),
    };
    format!(
        "SELECT relcast_child.*, {latest} AS relcast_known_at FROM {child} AS relcast_child{joins}"
    )
}

/// The condition of SQL that a row of the link's child points to a row of its parent, both given as
/// aliases.
#[must_use]
pub fn link_condition(schema: &Schema, link: &Link, child: &str, parent: &str) -> String {
    let parent_table = schema.table(link.parent);
    let child_table = schema.table(link.child);
    let conditions: Vec<String> = link
        .columns
        .iter()
        .zip(&parent_table.primary_key)
        .filter_map(|(foreign, primary)| {
            let left = &child_table.find_column(foreign)?.data_type;
            let right = &parent_table.find_column(primary)?.data_type;
            let foreign = format!("{child}.{}", quoted(foreign));
            let primary = format!("{parent}.{}", quoted(primary));
            Some(key_equality((&foreign, left), (&primary, right)))
        })
        .collect();
    conditions.join(" AND ")
}
