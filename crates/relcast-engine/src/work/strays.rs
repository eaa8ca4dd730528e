//! Rows whose times lie where nothing else does: cutoffs are laid out without them, or they move them.

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use relcast_catalog::{Schema, Table, TableId, format_time, quoted, rows_relation, source_column};
use relcast_connect::Database;
use relcast_query::LabelPlan;

use crate::error::EngineError;

/// A sentence for each table with rows that `plan` lays no cutoff for since their times are far from
/// all others, or with rows that are later than now. `data_end` is the last time that labels are
/// taken from.
pub(super) async fn strays(
    database: &Database,
    schema: &Schema,
    plan: &LabelPlan,
    data_end: i64,
) -> Result<Vec<String>, EngineError> {
    let now = chrono::Utc::now().timestamp_micros();
    let strays = plan.strays(&database.context).await?;
    let before_late = strays.late.map_or(i64::MAX, |(from, _)| from.saturating_sub(1));
    let mut told = Vec::new();
    for (id, table) in (0u32..).map(TableId).zip(&schema.tables) {
        let Some(column) = &table.time_column else { continue };
        let rows = rows_relation(schema, id);
        let within = |from: i64, to: i64| count(database, &rows, column, from, to);
        // A table with more rows that old has no strays among them.
        if let Some((_, to)) = strays.early
            && let Some(found) = within(i64::MIN, to).await?.filter(Within::are_few)
        {
            told.push(format!(
                "{}: column \"{}\" goes back to {}; cutoffs are laid out without them; correct them",
                found.said_of(table, "far earlier than all that labels are taken from"),
                source_column(column),
                format_time(found.first)
            ));
        }
        if let Some((from, _)) = strays.late
            && let Some(found) = within(from, i64::MAX).await?
        {
            let what = format!(
                "far later than all that labels are taken from, which end on {}",
                format_time(data_end)
            );
            let then = "cutoffs are laid out without them";
            told.push(found.goes_up(table, column, &what, then));
        }
        if let Some(found) = within(now.saturating_add(1), before_late).await? {
            let then = "default cutoffs follow the newest row";
            told.push(found.goes_up(table, column, "later than now", then));
        }
    }
    Ok(told)
}

/// Rows of a table whose times lie within bounds.
struct Within {
    count: i64,
    /// How many rows of the table have a time.
    all: i64,
    first: i64,
    last: i64,
}

impl Within {
    fn are_few(&self) -> bool {
        self.count.saturating_mul(20) <= self.all
    }

    fn said_of(&self, table: &Table, what: &str) -> String {
        format!("{} rows of table \"{}\" are {what}", self.count, table.name)
    }

    fn goes_up(&self, table: &Table, column: &str, what: &str, then: &str) -> String {
        format!(
            "{}: column \"{}\" goes up to {}; {then}; correct them, or name the cutoff with AS OF",
            self.said_of(table, what),
            source_column(column),
            format_time(self.last)
        )
    }
}

/// The rows with a time from `from` to `to`; none where there are none.
async fn count(
    database: &Database,
    rows: &str,
    column: &str,
    from: i64,
    to: i64,
) -> Result<Option<Within>, EngineError> {
    let time = format!("r.{}", quoted(column));
    let moment = |at: i64| format!("arrow_cast({at}, 'Timestamp(Microsecond, None)')");
    let mut bounds = Vec::new();
    if from > i64::MIN {
        bounds.push(format!("{time} >= {}", moment(from)));
    }
    if to < i64::MAX {
        bounds.push(format!("{time} <= {}", moment(to)));
    }
    let bounds = bounds.join(" AND ");
    let sql = format!(
        "SELECT COUNT(CASE WHEN {bounds} THEN 1 END) AS \"count\", COUNT({time}) AS \"all\", MIN(CASE WHEN {bounds} THEN {time} END) AS \"first\", MAX(CASE WHEN {bounds} THEN {time} END) AS \"last\" FROM {rows} AS r"
    );
    for batch in database.context.sql(&sql).await?.collect().await? {
        let number = |column: usize| {
            let numbers = batch.column(column).as_primitive_opt::<Int64Type>();
            numbers.and_then(|n| n.iter().flatten().next())
        };
        let time = |column: usize| {
            let times = batch.column(column).as_primitive_opt::<TimestampMicrosecondType>();
            times.and_then(|t| t.iter().flatten().next())
        };
        if let (Some(count), Some(all), Some(first), Some(last)) =
            (number(0), number(1), time(2), time(3))
        {
            return Ok(Some(Within { count, all, first, last }));
        }
    }
    Ok(None)
}
