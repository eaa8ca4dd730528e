//! Rows whose times lie where nothing else does: they move cutoffs, or are never seen.

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use relcast_catalog::{Schema, TableId, format_time, quoted, rows_relation, source_column};
use relcast_connect::Database;
use relcast_query::STRAY_GAP;

use crate::error::EngineError;

/// A sentence for each table with rows that are later than now or far later than `data_end`, the
/// last time that labels are taken from.
pub(super) async fn strays(
    database: &Database,
    schema: &Schema,
    data_end: i64,
) -> Result<Vec<String>, EngineError> {
    let now = chrono::Utc::now().timestamp_micros();
    let far = data_end.saturating_add(STRAY_GAP);
    let mut told = Vec::new();
    for (id, table) in (0u32..).map(TableId).zip(&schema.tables) {
        let Some(column) = &table.time_column else { continue };
        let (time, rows) = (quoted(column), rows_relation(schema, id));
        let after = now.min(far);
        let sql = format!(
            "SELECT COUNT(*) AS n, MAX(r.{time}) AS latest FROM {rows} AS r WHERE r.{time} > arrow_cast({after}, 'Timestamp(Microsecond, None)')"
        );
        for batch in database.context.sql(&sql).await?.collect().await? {
            let counts = batch.column(0).as_primitive_opt::<Int64Type>();
            let latest = batch.column(1).as_primitive_opt::<TimestampMicrosecondType>();
            let count = counts.and_then(|c| c.iter().flatten().next()).unwrap_or(0);
            let latest = latest.and_then(|l| l.iter().flatten().next());
            let Some(latest) = latest.filter(|_| count > 0) else { continue };
            let (what, then) = match latest > far {
                true => (
                    format!(
                        "far later than all that labels are taken from, which end on {}",
                        format_time(data_end)
                    ),
                    "cutoffs are laid out without them",
                ),
                false => ("later than now".to_owned(), "default cutoffs follow the newest row"),
            };
            told.push(format!(
                "{count} rows of table \"{}\" are {what}: column \"{}\" goes up to {}; {then}; correct them, or name the cutoff with AS OF",
                table.name,
                source_column(column),
                format_time(latest)
            ));
        }
    }
    Ok(told)
}
