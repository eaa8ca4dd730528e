//! Counts per column, from one aggregate query per table.
//!
//! Up to [`EXACT_ROWS`] rows distinct values are counted exactly, above that by HyperLogLog
//! (about 2% off); neither depends on the order of the rows.

use arrow::datatypes::DataType;
use datafusion::prelude::SessionContext;

use crate::error::CatalogError;
use crate::schema::Column;
use crate::sql::{AggregateRow, quoted};

/// Tables of up to this many rows have their distinct values counted exactly.
pub const EXACT_ROWS: u64 = 100_000;

/// Counts over one column.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ColumnStatistics {
    /// Cells that aren't NULL.
    pub non_null: u64,
    /// Distinct values that aren't NULL; `None` for types that aren't counted.
    pub distinct: Option<u64>,
    /// Bytes of a value on average; text only.
    pub mean_length: f64,
    /// Share of values with a space in them; text only.
    pub spaced: f64,
}

impl ColumnStatistics {
    /// Whether all cells hold one value.
    #[must_use]
    pub fn is_constant(&self, rows: u64) -> bool {
        rows > 0 && self.non_null == rows && self.distinct == Some(1)
    }

    /// Whether all cells are NULL.
    #[must_use]
    pub fn is_empty(&self, rows: u64) -> bool {
        rows > 0 && self.non_null == 0
    }
}

/// Counts over one table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableStatistics {
    /// Rows counted.
    pub rows: u64,
    /// Whether distinct values are counted exactly.
    pub exact: bool,
    /// One item per column, in the order given.
    pub columns: Vec<ColumnStatistics>,
}

/// Counts over `relation`, a query in which the columns of `table` have their own names.
pub(crate) async fn of_relation(
    context: &SessionContext,
    table: &str,
    relation: &str,
    columns: &[Column],
) -> Result<TableStatistics, CatalogError> {
    let failed = CatalogError::query(table);
    let count = format!("SELECT count(*) AS n FROM ({relation})");
    let all_rows = AggregateRow::query(context, &count).await.map_err(&failed)?.count("n");
    let exact = all_rows <= EXACT_ROWS;

    let mut items = vec!["count(*) AS n".to_owned()];
    for (index, column) in columns.iter().enumerate() {
        items.extend(measures(index, column, exact));
    }
    let sql = format!("SELECT {} FROM ({relation})", items.join(", "));
    let row = AggregateRow::query(context, &sql).await.map_err(&failed)?;
    let columns = columns.iter().enumerate().map(|(i, c)| read(&row, i, c, exact)).collect();
    Ok(TableStatistics { rows: row.count("n"), exact, columns })
}

/// The aggregates over one column; their names end in its position.
fn measures(index: usize, column: &Column, exact: bool) -> Vec<String> {
    let name = quoted(&column.name);
    let mut items = vec![format!("count({name}) AS n{index}")];
    match Distinct::of(&column.data_type, exact) {
        Distinct::Exact => items.push(format!("count(DISTINCT {name}) AS d{index}")),
        Distinct::Approximate => items.push(format!("approx_distinct({name}) AS d{index}")),
        Distinct::Bounds => {
            items.push(format!("CAST(min({name}) AS DOUBLE) AS a{index}"));
            items.push(format!("CAST(max({name}) AS DOUBLE) AS z{index}"));
        }
        Distinct::Not => {}
    }
    if column.data_type == DataType::Utf8 {
        items.push(format!("sum(octet_length({name})) AS l{index}"));
        items.push(format!("sum(CASE WHEN {name} LIKE '% %' THEN 1 ELSE 0 END) AS s{index}"));
    }
    items
}

fn read(row: &AggregateRow, index: usize, column: &Column, exact: bool) -> ColumnStatistics {
    let non_null = row.count(&format!("n{index}"));
    let distinct = match Distinct::of(&column.data_type, exact) {
        // An approximate count may exceed the number of values.
        Distinct::Exact | Distinct::Approximate => {
            Some(row.count(&format!("d{index}")).min(non_null))
        }
        Distinct::Bounds => {
            let bounds =
                (row.find_float(&format!("a{index}")), row.find_float(&format!("z{index}")));
            match bounds {
                (Some(a), Some(z)) if a.total_cmp(&z).is_eq() => Some(1),
                (None, None) => Some(0),
                _ => None,
            }
        }
        Distinct::Not => None,
    };
    let per_value = |total: u64| if non_null == 0 { 0.0 } else { total as f64 / non_null as f64 };
    ColumnStatistics {
        non_null,
        distinct,
        mean_length: per_value(row.count(&format!("l{index}"))),
        spaced: per_value(row.count(&format!("s{index}"))),
    }
}

/// How the distinct values of a column are counted.
enum Distinct {
    Exact,
    Approximate,
    /// Only whether there is more than one: from the smallest and largest value.
    Bounds,
    Not,
}

impl Distinct {
    fn of(data_type: &DataType, exact: bool) -> Self {
        match data_type {
            t if t.is_nested() => Distinct::Not,
            DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
                Distinct::Not
            }
            DataType::Interval(_) | DataType::Duration(_) => Distinct::Not,
            _ if exact => Distinct::Exact,
            t if t.is_floating() => Distinct::Bounds,
            _ => Distinct::Approximate,
        }
    }
}
