//! Primary keys that name more than one row.

use datafusion::prelude::SessionContext;

use crate::error::CatalogError;
use crate::schema::{Schema, Table};
use crate::sql::{AggregateRow, quoted};

/// Refuses a database in which a primary key names more than one row: links would be ambiguous, and
/// joins count such rows more than once.
///
/// # Errors
/// [`CatalogError::DuplicateKeys`] for the first such table, or what DataFusion says.
pub async fn check_keys(context: &SessionContext, schema: &Schema) -> Result<(), CatalogError> {
    for table in &schema.tables {
        let (count, _) = count_keys(context, table).await?;
        if count > 0 {
            return Err(CatalogError::duplicate_keys(table, count));
        }
    }
    Ok(())
}

/// Rows whose primary key was counted before, and rows with NULL in it.
pub(crate) async fn count_keys(
    context: &SessionContext,
    table: &Table,
) -> Result<(u64, u64), CatalogError> {
    if table.primary_key.is_empty() {
        return Ok((0, 0));
    }
    let columns: Vec<String> = table.primary_key.iter().map(|c| quoted(c)).collect();
    let keys = columns.join(", ");
    let has_null: Vec<String> = columns.iter().map(|c| format!("{c} IS NULL")).collect();
    let has_null = has_null.join(" OR ");
    let from = quoted(&table.name);
    let sql = format!(
        "SELECT sum(CASE WHEN whole THEN n - 1 ELSE 0 END) AS again, sum(CASE WHEN whole THEN 0 ELSE n END) AS nulls \
         FROM (SELECT count(*) AS n, NOT ({has_null}) AS whole FROM {from} GROUP BY {keys} \
         HAVING count(*) > 1 OR ({has_null}))"
    );
    let row = AggregateRow::query(context, &sql).await.map_err(CatalogError::query(&table.name))?;
    Ok((row.count("again"), row.count("nulls")))
}
