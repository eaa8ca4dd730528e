//! Dates that are known from the midnight that ends them.
//!
//! A day is written as its first moment. Where its date counts as known only once the day is over, the
//! date keeps its value and gets a column beside it that says from when it is known. Rows, ends of
//! rows and cells then refer to that column, so that whoever obeys the schema obeys the rule.

use arrow::datatypes::{DataType, TimeUnit};

use crate::schema::{Column, Schema, SemanticType, Table, TableId};
use crate::sql::quoted;

/// Starts the name of the column that says from when a date is known.
const END_OF: &str = "relcast_end_of_";

/// The column of the source that `column` stands for: the date, where it says from when that is known.
#[must_use]
pub fn source_column(column: &str) -> &str {
    column.strip_prefix(END_OF).unwrap_or(column)
}

impl Table {
    /// The column of the source from which it follows when a row became known.
    #[must_use]
    pub fn time_source(&self) -> Option<&str> {
        self.time_column.as_deref().map(source_column)
    }
}

impl Schema {
    /// The same schema with every date known from the midnight that ends it: as the time of a row, as
    /// the end of one, as what another column is known from, and as a cell. Planned cells and keys stay
    /// known with their row.
    #[must_use]
    pub fn with_dates_known_at_end(&self) -> Self {
        let mut schema = self.clone();
        for table in &mut schema.tables {
            let is_date = |name: &str| self.dates.contains(&(table.name.clone(), name.to_owned()));
            let dates: Vec<String> = table
                .columns
                .iter()
                .filter(|c| is_date(&c.name) && table.find_column(&end_of(&c.name)).is_none())
                .map(|c| c.name.clone())
                .collect();
            for date in dates {
                know_at_end(table, &date);
            }
        }
        schema.resolve_known_from();
        schema
    }
}

fn end_of(date: &str) -> String {
    format!("{END_OF}{date}")
}

/// Puts the column of `date`'s ends beside it and refers to that, where it is of use.
fn know_at_end(table: &mut Table, date: &str) {
    let end = end_of(date);
    let refer = |to: &mut Option<String>| {
        let refers = to.as_deref() == Some(date);
        if refers {
            *to = Some(end.clone());
        }
        refers
    };
    let is_time = refer(&mut table.time_column);
    let mut needed = is_time | refer(&mut table.end_time_column);
    // A cell that was declared to be known later still is.
    let mut later = None;
    for column in &mut table.columns {
        needed |= refer(&mut column.known_from);
        let masked = !is_time && !column.planned && column.semantic != SemanticType::Key;
        if column.name == date && masked {
            later = column.known_from.replace(end.clone());
            needed = true;
        }
    }
    if needed {
        table.columns.push(Column {
            name: end,
            data_type: DataType::Timestamp(TimeUnit::Microsecond, None),
            semantic: SemanticType::Ignored,
            planned: false,
            known_from: later,
        });
    }
}

/// What stands in FROM, without an alias, for the rows of a table with all columns of the schema.
#[must_use]
pub fn rows_relation(schema: &Schema, table: TableId) -> String {
    let table = schema.table(table);
    let name = quoted(&table.name);
    let ends: Vec<String> = table.columns.iter().filter_map(end_sql).collect();
    match ends.is_empty() {
        true => name,
        false => format!("(SELECT *, {} FROM {name})", ends.join(", ")),
    }
}

/// The column as an item of SELECT, if it says from when a date is known; NULL where never.
fn end_sql(column: &Column) -> Option<String> {
    let midnight = |date: &str| format!("{} + INTERVAL '1 day'", quoted(date));
    let end = midnight(column.name.strip_prefix(END_OF)?);
    let known = match column.known_from.as_deref() {
        None => end,
        Some(later) => {
            let later = later.strip_prefix(END_OF).map_or_else(|| quoted(later), midnight);
            format!(
                "CASE WHEN {later} > {end} THEN {later} WHEN {later} IS NOT NULL THEN {end} END"
            )
        }
    };
    Some(format!("{known} AS {}", quoted(&column.name)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::schema::KnownFrom;

    fn shop() -> Schema {
        let column = |name: &str, semantic| Column {
            name: name.to_owned(),
            data_type: DataType::Timestamp(TimeUnit::Microsecond, None),
            semantic,
            planned: name == "due",
            known_from: (name == "paid").then(|| "seen".to_owned()),
        };
        let stamp = |name: &str| column(name, SemanticType::Timestamp);
        let table = Table {
            name: "orders".to_owned(),
            columns: vec![
                column("day", SemanticType::Key),
                stamp("placed"),
                stamp("paid"),
                stamp("due"),
                stamp("seen"),
            ],
            primary_key: vec!["day".to_owned()],
            time_column: Some("placed".to_owned()),
            end_time_column: Some("paid".to_owned()),
            known_from: KnownFrom::Static,
        };
        let dates = ["day", "placed", "paid", "due"].map(|d| ("orders".to_owned(), d.to_owned()));
        Schema { tables: vec![table], dates: dates.into(), ..Schema::default() }
    }

    #[test]
    fn rows_ends_and_cells_refer_to_the_ends_of_their_dates() {
        let schema = shop().with_dates_known_at_end();
        let orders = &schema.tables[0];
        assert_eq!(orders.known_from, KnownFrom::TimeColumn("relcast_end_of_placed".to_owned()));
        assert_eq!(orders.time_source(), Some("placed"));
        assert_eq!(orders.end_time_column.as_deref(), Some("relcast_end_of_paid"));
        assert_eq!(orders.primary_key, ["day"]);
        let known_from = |name: &str| orders.find_column(name).unwrap().known_from.as_deref();
        assert_eq!(known_from("paid"), Some("relcast_end_of_paid"));
        for with_its_row in ["day", "placed", "due", "seen"] {
            assert_eq!(known_from(with_its_row), None, "{with_its_row}");
        }
        let names: Vec<&str> = orders.columns.iter().skip(5).map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["relcast_end_of_placed", "relcast_end_of_paid"]);
        assert_eq!(schema.with_dates_known_at_end(), schema);
    }

    #[test]
    fn the_ends_are_computed_where_the_rows_are_read() {
        assert_eq!(rows_relation(&shop(), TableId(0)), "\"orders\"");
        let sql = rows_relation(&shop().with_dates_known_at_end(), TableId(0));
        assert!(sql.starts_with("(SELECT *, "), "{sql}");
        assert!(sql.ends_with(" FROM \"orders\")"), "{sql}");
        for part in [
            "\"placed\" + INTERVAL '1 day' AS \"relcast_end_of_placed\"",
            "CASE WHEN \"seen\" > \"paid\" + INTERVAL '1 day' THEN \"seen\" WHEN \"seen\" IS NOT NULL THEN \"paid\" + INTERVAL '1 day' END AS \"relcast_end_of_paid\"",
        ] {
            assert!(sql.contains(part), "{sql}");
        }
    }
}
