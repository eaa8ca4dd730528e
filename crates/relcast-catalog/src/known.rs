//! From when on each row is known, as SQL.

use crate::schema::{KnownFrom, Link, Schema, TableId};
use crate::sql::{key_equality, quoted};

/// A query over the rows of a table, with all its columns plus `relcast_known_at`: the time from
/// which a row is known, NULL for a static table and for a row without any time.
///
/// A table without a time column takes the latest time of the parents it points to. A link that
/// closes a circle of untimed tables adds nothing.
#[must_use]
pub fn known_relation(schema: &Schema, table: TableId) -> String {
    relation(schema, table, &mut vec![table])
}

fn relation(schema: &Schema, table: TableId, path: &mut Vec<TableId>) -> String {
    let name = quoted(&schema.table(table).name);
    let links: Vec<&Link> = match &schema.table(table).known_from {
        KnownFrom::TimeColumn(column) => {
            return format!("SELECT *, {} AS relcast_known_at FROM {name}", quoted(column));
        }
        KnownFrom::Static => Vec::new(),
        KnownFrom::Parents(links) => {
            links.iter().map(|l| schema.link(*l)).filter(|l| !path.contains(&l.parent)).collect()
        }
    };
    if links.is_empty() {
        return format!("SELECT *, CAST(NULL AS TIMESTAMP) AS relcast_known_at FROM {name}");
    }
    let mut joins = String::new();
    let mut times = Vec::new();
    for (index, link) in links.into_iter().enumerate() {
        let alias = format!("relcast_parent_{index}");
        path.push(link.parent);
        let parent = relation(schema, link.parent, path);
        path.pop();
        let keys: Vec<String> =
            schema.table(link.parent).primary_key.iter().map(|k| quoted(k)).collect();
        let keys = keys.join(", ");
        let on = join_condition(schema, link, "relcast_child", &alias);
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
        "SELECT relcast_child.*, {latest} AS relcast_known_at FROM {name} AS relcast_child{joins}"
    )
}

/// The condition that a row of `child` points to a row of `parent`, both given as aliases.
pub(crate) fn join_condition(schema: &Schema, link: &Link, child: &str, parent: &str) -> String {
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
