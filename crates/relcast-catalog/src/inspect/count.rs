//! The counts of `inspect`, as SQL.

use arrow::datatypes::DataType;
use relcast_connect::Database;

use super::{ColumnReport, LinkReport, TableReport, known_from_text};
use crate::error::CatalogError;
use crate::keys::count_keys;
use crate::known::{known_relation, link_condition, moment_sql};
use crate::schema::{Column, KnownFrom, Link, Schema, SemanticType, Table, TableId};
use crate::sql::{AggregateRow, key_kind, quoted};
use crate::statistics::{self, TableStatistics};

/// Tables smaller than this have no column called near-unique.
const MIN_ROWS: u64 = 20;

/// Counts rows, keys, times and columns of the table at `index`; `now` is microseconds, UTC.
pub(super) async fn table(
    database: &Database,
    schema: &Schema,
    index: usize,
    now: i64,
) -> Result<TableReport, CatalogError> {
    let id = TableId(u32::try_from(index).unwrap_or(u32::MAX));
    let table = schema.table(id);
    let relation = format!("SELECT * FROM {}", quoted(&table.name));
    let counts =
        statistics::of_relation(&database.context, &table.name, &relation, &table.columns).await?;
    let times = times(database, schema, id, now).await?;
    let (duplicate_keys, null_keys) = count_keys(&database.context, table).await?;
    let columns = table
        .columns
        .iter()
        .enumerate()
        .map(|(i, column)| column_report(table, column, i, &counts, &times))
        .collect();
    Ok(TableReport {
        table: table.name.clone(),
        rows: counts.rows,
        known_from: known_from_text(schema, &table.known_from),
        first_known: times.find_integer("first"),
        last_known: times.find_integer("last"),
        null_times: times.count("nulls"),
        future_rows: times.count("future"),
        duplicate_keys,
        null_keys,
        exact: counts.exact,
        columns,
    })
}

fn column_report(
    table: &Table,
    column: &Column,
    index: usize,
    counts: &TableStatistics,
    times: &AggregateRow,
) -> ColumnReport {
    let of_column = counts.columns.get(index).copied().unwrap_or_default();
    let is_key = column.semantic == SemanticType::Key || table.primary_key.contains(&column.name);
    let near_unique = !is_key
        && of_column.non_null >= MIN_ROWS
        && of_column.distinct.is_some_and(|d| d * 100 >= of_column.non_null * 95);
    ColumnReport {
        column: column.name.clone(),
        data_type: type_name(&column.data_type),
        semantic: column.semantic,
        nulls: counts.rows - of_column.non_null.min(counts.rows),
        distinct: of_column.distinct,
        constant: of_column.is_constant(counts.rows) || of_column.is_empty(counts.rows),
        near_unique,
        younger_cells: times.count(&format!("younger{index}")),
    }
}

/// A type as people say it: the one kind of timestamp needs no unit.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(_, _) => "Timestamp".to_owned(),
        other => other.to_string(),
    }
}

/// First and last known time, rows without one, rows whose own time is later than `now`, and cells
/// younger than their row per column.
async fn times(
    database: &Database,
    schema: &Schema,
    id: TableId,
    now: i64,
) -> Result<AggregateRow, CatalogError> {
    let table = schema.table(id);
    let mut items = vec![
        "min(relcast_known_at) AS first".to_owned(),
        "max(relcast_known_at) AS last".to_owned(),
    ];
    if table.known_from != KnownFrom::Static {
        items.push("count(*) - count(relcast_known_at) AS nulls".to_owned());
        for (index, column) in table.columns.iter().enumerate() {
            let is_time = matches!(column.data_type, DataType::Timestamp(_, _));
            if is_time && table.time_column.as_ref() != Some(&column.name) {
                let name = quoted(&column.name);
                items.push(format!(
                    "sum(CASE WHEN {name} > relcast_known_at THEN 1 ELSE 0 END) AS younger{index}"
                ));
            }
        }
    }
    if table.time_column.is_some() {
        let now = moment_sql(now);
        items.push(format!("sum(CASE WHEN relcast_known_at > {now} THEN 1 ELSE 0 END) AS future"));
    }
    let sql = format!("SELECT {} FROM ({})", items.join(", "), known_relation(schema, id));
    AggregateRow::query(&database.context, &sql).await.map_err(CatalogError::query(&table.name))
}

/// Counts the rows of a link that point to a row, to nothing, and nowhere.
pub(super) async fn link(
    database: &Database,
    schema: &Schema,
    link: &Link,
) -> Result<LinkReport, CatalogError> {
    let (child, parent) = (schema.table(link.child), schema.table(link.parent));
    let has_null: Vec<String> =
        link.columns.iter().map(|c| format!("c.{} IS NULL", quoted(c))).collect();
    let keys: Vec<String> = parent.primary_key.iter().map(|k| quoted(k)).collect();
    let sql = format!(
        "SELECT count(*) AS n, sum(CASE WHEN {} THEN 1 ELSE 0 END) AS nulls, count(p.hit) AS edges \
         FROM {} AS c LEFT JOIN (SELECT DISTINCT {keys}, 1 AS hit FROM {}) AS p ON {}",
        has_null.join(" OR "),
        quoted(&child.name),
        quoted(&parent.name),
        link_condition(schema, link, "c", "p"),
        keys = keys.join(", "),
    );
    let row = AggregateRow::query(&database.context, &sql)
        .await
        .map_err(CatalogError::query(&child.name))?;
    let (rows, nulls, edges) = (row.count("n"), row.count("nulls"), row.count("edges"));
    Ok(LinkReport {
        link: schema.link_name(link),
        parent: parent.name.clone(),
        edges,
        nulls,
        dangling: rows.saturating_sub(nulls + edges),
        types_differ: types_differ(link, child, parent),
    })
}

fn types_differ(link: &Link, child: &Table, parent: &Table) -> Option<String> {
    link.columns.iter().zip(&parent.primary_key).find_map(|(foreign, primary)| {
        let foreign = &child.find_column(foreign)?.data_type;
        let primary = &parent.find_column(primary)?.data_type;
        (key_kind(foreign) != key_kind(primary)).then(|| format!("{foreign} and {primary}"))
    })
}
