//! Primary keys: a column without NULLs and repetitions whose name says that it names rows.

use arrow::datatypes::DataType;
use datafusion::prelude::SessionContext;

use super::Inferred;
use crate::error::CatalogError;
use crate::names::{key_stem, singular, words};
use crate::schema::Table;
use crate::sql::{AggregateRow, quoted};
use crate::statistics::TableStatistics;

/// The column that is most likely the table's primary key, if any is likely.
pub(crate) async fn primary_key(
    context: &SessionContext,
    table: &Table,
    statistics: &TableStatistics,
) -> Result<Option<Inferred<String>>, CatalogError> {
    let mut candidates = Vec::new();
    for (position, (column, counts)) in table.columns.iter().zip(&statistics.columns).enumerate() {
        let is_key_type = column.data_type.is_integer() || column.data_type == DataType::Utf8;
        let nearly_unique = counts.distinct.is_some_and(|d| d * 100 >= statistics.rows * 90);
        if !is_key_type || counts.non_null < statistics.rows || !nearly_unique {
            continue;
        }
        if let Some((score, why)) = name_evidence(&table.name, &column.name, position) {
            candidates.push((score, position, column.name.clone(), why));
        }
    }
    candidates.sort_by_key(|(score, position, _, _)| (std::cmp::Reverse(*score), *position));
    for (score, _, name, why) in candidates {
        // Without a row, only an unmistakable name counts.
        if statistics.rows == 0 && score < 100 {
            continue;
        }
        if !has_duplicates(context, &table.name, &name).await? {
            let evidence = format!("{why}; {} rows, no NULL, no value twice", statistics.rows);
            return Ok(Some(Inferred { value: name, evidence }));
        }
    }
    Ok(None)
}

/// How much a column's name speaks for its being the key of `table`.
fn name_evidence(table: &str, column: &str, position: usize) -> Option<(u32, &'static str)> {
    let one = singular(table);
    let all = words(table).concat();
    let name = words(column).concat();
    if name == one {
        return Some((90, "named as the table"));
    }
    let stem = key_stem(column)?.concat();
    if stem.is_empty() || stem == one || stem == all {
        return Some((100, "named as the table's key"));
    }
    if stem.ends_with(&one)
        || stem.ends_with(&all)
        || one.starts_with(&stem)
        || stem.starts_with(&one)
        || same_start(&stem, &one)
    {
        return Some((80, "named like the table"));
    }
    (position == 0).then_some((60, "the first column, named as a key"))
}

/// Whether two words share their first four letters at least.
fn same_start(a: &str, b: &str) -> bool {
    a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count() >= 4
}

async fn has_duplicates(
    context: &SessionContext,
    table: &str,
    column: &str,
) -> Result<bool, CatalogError> {
    let (from, key) = (quoted(table), quoted(column));
    let sql = format!(
        "SELECT count(*) AS n FROM (SELECT {key} FROM {from} GROUP BY {key} HAVING count(*) > 1 LIMIT 1)"
    );
    let row = AggregateRow::query(context, &sql).await.map_err(CatalogError::query(table))?;
    Ok(row.count("n") > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_speak_for_keys() {
        let score =
            |table, column, position| name_evidence(table, column, position).map(|(s, _)| s);
        assert_eq!(score("orders", "id", 3), Some(100));
        assert_eq!(score("orders", "order_id", 0), Some(100));
        assert_eq!(score("orders", "orderId", 1), Some(100));
        assert_eq!(score("visiting", "visitId", 1), Some(80));
        assert_eq!(score("people", "memberID", 0), Some(60));
        assert_eq!(score("people", "memberID", 1), None);
        assert_eq!(score("orders", "amount", 0), None);
    }
}
