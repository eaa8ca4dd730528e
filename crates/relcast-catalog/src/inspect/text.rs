//! An inspection as aligned text, and a schema as a Graphviz graph.

use std::fmt::Write;

use petgraph::dot::{Config, Dot};

use super::{Inspection, TableReport, known_from_text};
use crate::catalog::semantic_name;
use crate::schema::Schema;
use crate::times::format_time;

impl Inspection {
    /// The inspection for a terminal: tables, schema graph, columns, problems, proposals.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} tables, {} rows, {} links, {} edges\n",
            self.tables.len(),
            number(self.rows),
            self.links.len(),
            number(self.edges)
        );
        if let (Some(first), Some(last)) = (self.first_known, self.last_known) {
            push(&mut text, &format!("times {} .. {}", format_time(first), format_time(last)));
        }
        for (name, time) in
            [("validation", self.schema.val_timestamp), ("test", self.schema.test_timestamp)]
        {
            if let Some(time) = time {
                push(&mut text, &format!("{name} from {}", format_time(time)));
            }
        }
        section(&mut text, "tables", &self.table_rows());
        section(&mut text, "schema graph", &self.link_rows());
        for table in &self.tables {
            section(&mut text, &format!("table {}", table.table), &column_rows(table));
        }
        section(&mut text, "problems found", &self.finding_rows());
        section(&mut text, "inferred, not declared", &self.proposal_rows());
        text
    }

    /// The schema graph in Graphviz's language, with rows and edges counted.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let rows: Vec<u64> = self.tables.iter().map(|t| t.rows).collect();
        let edges: Vec<u64> = self.links.iter().map(|l| l.edges).collect();
        dot(&self.schema, &rows, &edges)
    }

    fn table_rows(&self) -> Vec<Vec<String>> {
        let mut rows =
            vec![titles(&["table", "rows", "primary key", "known from", "first", "last"])];
        for (table, report) in self.schema.tables.iter().zip(&self.tables) {
            let time = |t: Option<i64>| t.map(format_time).unwrap_or_default();
            rows.push(vec![
                report.table.clone(),
                number(report.rows),
                table.primary_key.join(", "),
                report.known_from.clone(),
                time(report.first_known),
                time(report.last_known),
            ]);
        }
        rows
    }

    fn link_rows(&self) -> Vec<Vec<String>> {
        if self.links.is_empty() {
            return Vec::new();
        }
        let mut rows = vec![titles(&["link", "", "parent", "edges", "NULL", "dangling"])];
        for link in &self.links {
            rows.push(vec![
                link.link.clone(),
                "→".to_owned(),
                link.parent.clone(),
                number(link.edges),
                number(link.nulls),
                number(link.dangling),
            ]);
        }
        rows
    }

    fn finding_rows(&self) -> Vec<Vec<String>> {
        self.findings
            .iter()
            .map(|f| {
                let place = match &f.column {
                    Some(column) => format!("{}.{column}", f.table),
                    None => f.table.clone(),
                };
                let count = f.count.filter(|c| *c > 0).map(|c| format!("{} ", number(c)));
                vec![place, format!("{}{}", count.unwrap_or_default(), f.text)]
            })
            .collect()
    }

    fn proposal_rows(&self) -> Vec<Vec<String>> {
        self.proposals
            .iter()
            .map(|p| vec![p.table.clone(), p.what.clone(), p.evidence.clone()])
            .collect()
    }
}

fn column_rows(table: &TableReport) -> Vec<Vec<String>> {
    let mut rows = vec![titles(&["column", "type", "read as", "NULL", "distinct", ""])];
    for column in &table.columns {
        let about = if table.exact { "" } else { "~" };
        let mut notes = Vec::new();
        if column.constant {
            notes.push("constant".to_owned());
        }
        if column.near_unique {
            notes.push("nearly unique".to_owned());
        }
        if column.younger_cells > 0 {
            notes.push(format!("{} cells younger than their row", number(column.younger_cells)));
        }
        rows.push(vec![
            column.column.clone(),
            column.data_type.clone(),
            semantic_name(column.semantic).to_owned(),
            number(column.nulls),
            column.distinct.map(|d| format!("{about}{}", number(d))).unwrap_or_default(),
            notes.join(", "),
        ]);
    }
    rows
}

/// The schema graph in Graphviz's language: a node per table, an edge per link.
#[must_use]
pub fn to_dot(schema: &Schema) -> String {
    dot(schema, &[], &[])
}

fn dot(schema: &Schema, rows: &[u64], edges: &[u64]) -> String {
    let graph = schema.graph();
    let config = [Config::NodeNoLabel, Config::EdgeNoLabel];
    let node = |_: &_, (_, id): (_, &crate::schema::TableId)| {
        let table = schema.table(*id);
        let mut label = escaped(&table.name);
        if let Some(rows) = rows.get(id.index()) {
            label.push_str(&format!("\\n{} rows", number(*rows)));
        }
        label.push_str(&format!("\\n{}", escaped(&known_from_text(schema, &table.known_from))));
        format!("shape = box, label = \"{label}\"")
    };
    let edge = |_: &_, edge: petgraph::graph::EdgeReference<'_, crate::schema::LinkId>| {
        let id = *edge.weight();
        let mut label = escaped(&schema.link(id).columns.join(", "));
        if let Some(edges) = edges.get(id.index()) {
            label.push_str(&format!("\\n{}", number(*edges)));
        }
        format!("label = \"{label}\"")
    };
    format!("{:?}", Dot::with_attr_getters(&graph, &config, &edge, &node))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn titles(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// A count with commas between thousands.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn push(text: &mut String, line: &str) {
    // Writing to a string doesn't fail.
    let _ = writeln!(text, "{}", line.trim_end());
}

/// A titled block of rows with aligned columns; nothing for no rows. Numbers stand to the right.
fn section(text: &mut String, title: &str, rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let width = |column: usize| {
        rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let is_number = |cell: &str| {
        !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '~')
    };
    let right: Vec<bool> = (0..columns)
        .map(|column| {
            let mut cells = rows
                .iter()
                .skip(1)
                .filter_map(|r| r.get(column))
                .filter(|c| !c.is_empty())
                .peekable();
            cells.peek().is_some() && cells.all(|c| is_number(c))
        })
        .collect();
    push(text, "");
    push(text, title);
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let gap = width(column) - cell.chars().count();
            let padding = " ".repeat(gap);
            line.push_str("  ");
            if right.get(column).copied().unwrap_or(false) {
                line.push_str(&padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&padding);
            }
        }
        push(text, &line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [number(0), number(999), number(1000), number(22_630_015)],
            ["0", "999", "1,000", "22,630,015"]
        );
    }
}
