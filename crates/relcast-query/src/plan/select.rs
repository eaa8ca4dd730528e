//! Labels from any SELECT, as data: its SQL with columns named, and what its labels are.

use std::fmt;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectNamePart, Statement, visit_relations};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use relcast_catalog::{Schema, TableId, quoted};
use serde::{Deserialize, Serialize};

use super::entities::times_sql;
use super::task::all_times;
use crate::bind::TaskType;
use crate::error::{Place, QueryError};
use crate::options::Options;
use crate::time::Horizon;

/// The columns of label rows beside the entity's key.
pub(super) const CUTOFF: &str = "cutoff";
pub(super) const LABEL: &str = "label";
pub(super) const WEIGHT: &str = "weight";
/// The relation of cutoffs; a SELECT may read tables that no schema knows, so not just any name does.
pub(super) const TIMESTAMPS: &str = "relcast_timestamps";

/// A SELECT whose rows are labels, checked against a schema and against its own rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelSelect {
    /// The entity table.
    pub table: String,
    /// Its primary key.
    pub columns: Vec<String>,
    /// The SELECT as written.
    pub sql: String,
    /// The options as written, the horizon among them.
    pub options: Options,
    /// How long after its cutoff a label is known.
    pub horizon: Horizon,
    /// What the labels are.
    pub task_type: TaskType,
    /// The SELECT with its columns named, in one order and of their types: cutoff, key, label,
    /// weight. Rows without a cutoff, a label or an entity are left out.
    pub(super) rows: String,
    pub(super) weighted: bool,
}

impl LabelSelect {
    pub(super) fn entity(&self, schema: &Schema) -> Result<TableId, QueryError> {
        let gone =
            || labels(None, format!("is about table \"{}\", which is gone", self.table), None);
        schema.find_table(&self.table).ok_or_else(gone)
    }

    /// The label rows at the cutoffs of the relation `timestamps`, in the order of cutoff and key.
    pub(super) fn labels_sql(&self, key: &[String], timestamps: &str) -> String {
        let mut columns = cutoff_and(key);
        columns.push(LABEL.to_owned());
        columns.extend(self.weighted.then(|| WEIGHT.to_owned()));
        let columns = listed("l", &columns);
        format!(
            "SELECT {columns} FROM (\n{}\n) AS l JOIN {} AS t ON t.\"timestamp\" = l.\"cutoff\"\nORDER BY {}",
            self.rows,
            quoted(timestamps),
            listed("l", &cutoff_and(key))
        )
    }

    /// The cutoffs of the rows, each once, ascending, as `time`.
    pub(super) fn cutoffs_sql(&self) -> String {
        format!(
            "SELECT DISTINCT l.\"cutoff\" AS \"time\" FROM (\n{}\n) AS l ORDER BY \"time\"",
            self.rows
        )
    }
}

/// The times of the tables of `schema` that a SELECT reads; of all where it reads none of them, or
/// others too, but for the relation `beside` them.
pub(super) fn times_read(sql: &str, schema: &Schema, beside: Option<&str>) -> Vec<String> {
    let read = tables_read(sql, schema, beside).unwrap_or_default();
    let times: Vec<String> = read.into_iter().filter_map(|t| times_sql(schema, t)).collect();
    if times.is_empty() { all_times(schema) } else { times }
}

impl fmt::Display for LabelSelect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = match self.columns.as_slice() {
            [column] => column.clone(),
            columns => format!("({})", columns.join(", ")),
        };
        let Self { table, sql, horizon, .. } = self;
        write!(f, "FOR {table}.{key} AS ({sql}) WITH (horizon = '{horizon}')")
    }
}

pub(super) fn cutoff_and(key: &[String]) -> Vec<String> {
    std::iter::once(CUTOFF.to_owned()).chain(key.iter().cloned()).collect()
}

pub(super) fn listed(alias: &str, columns: &[String]) -> String {
    columns.iter().map(|c| format!("{alias}.{}", quoted(c))).collect::<Vec<_>>().join(", ")
}

pub(super) fn labels(
    at: Option<Place>,
    message: impl Into<String>,
    hint: Option<String>,
) -> QueryError {
    QueryError::Labels { at, message: message.into(), hint }
}

/// The tables of `schema` that a SELECT reads; none where it reads others too, whose times are not
/// known, but for the relation `beside` them.
fn tables_read(sql: &str, schema: &Schema, beside: Option<&str>) -> Option<Vec<TableId>> {
    let statements = Parser::parse_sql(&GenericDialect {}, sql).ok()?;
    let [Statement::Query(query)] = statements.as_slice() else { return None };
    let named = query.with.iter().flat_map(|with| &with.cte_tables);
    let named: Vec<&str> = named.map(|cte| cte.alias.name.value.as_str()).collect();
    let mut found = Vec::new();
    let visited = visit_relations(query, |relation| {
        let [ObjectNamePart::Identifier(name)] = relation.0.as_slice() else {
            return ControlFlow::Break(());
        };
        match schema.find_table(&name.value) {
            _ if named.contains(&name.value.as_str()) => {}
            _ if beside.is_some_and(|beside| name.value.eq_ignore_ascii_case(beside)) => {}
            Some(table) => found.push(table),
            None => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    });
    found.sort_unstable();
    found.dedup();
    visited.is_continue().then_some(found)
}

#[cfg(test)]
mod tests {
    use relcast_catalog::{KnownFrom, Table};

    use super::*;

    #[test]
    fn only_a_select_from_tables_of_the_schema_alone_tells_which_times_count() {
        let table = |name: &str| Table {
            name: name.to_owned(),
            columns: Vec::new(),
            primary_key: Vec::new(),
            time_column: None,
            end_time_column: None,
            known_from: KnownFrom::Static,
        };
        let tables = vec![table("customers"), table("orders")];
        let schema = Schema { tables, ..Schema::default() };
        let read = |sql: &str| tables_read(sql, &schema, None);
        let both = Some(vec![TableId(0), TableId(1)]);
        assert_eq!(read("SELECT 1 FROM orders o, (SELECT * FROM Customers) c, orders"), both);
        assert_eq!(read("WITH x AS (SELECT * FROM customers) SELECT 1 FROM x, orders"), both);
        assert_eq!(read("SELECT 1 FROM customers WHERE a IN (SELECT b FROM orders)"), both);
        assert_eq!(read("SELECT 1"), Some(Vec::new()));
        for beyond in ["SELECT 1 FROM customers, marks", "SELECT 1 FROM s.orders", "SELECT ("] {
            assert_eq!(read(beyond), None, "{beyond}");
        }
        let sql = "SELECT 1 FROM Timestamps t LEFT JOIN orders o ON o.at <= t.timestamp";
        assert_eq!(read(sql), None);
        assert_eq!(tables_read(sql, &schema, Some("timestamps")), Some(vec![TableId(1)]));
    }
}
