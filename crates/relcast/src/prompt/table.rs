//! Rows as a person reads them: as many and as wide as can be taken in.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::failure::Failure;
use crate::output;

/// Rows that are shown of a result.
const MOST_ROWS: usize = 100;
/// Columns are left out before one is narrower than this.
const NARROWEST: usize = 8;
/// What a column takes beside its cells: a space on either side, and a line.
const FRAME: usize = 3;

/// How rows are laid out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// The columns of the terminal.
    pub width: usize,
    /// Whether each row is shown whole, a column a line.
    pub expanded: bool,
}

/// A column's name, and its cells as text.
struct Column {
    name: String,
    cells: Vec<Option<String>>,
}

impl Layout {
    /// Prints the first rows, and how many there are. Plans are printed as the text that they are.
    pub fn print(
        self,
        tag: &str,
        schema: &SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<(), Failure> {
        let failed = |error: ArrowError| Failure::new(format!("cannot print the result: {error}"));
        let is_plan =
            tag == "EXPLAIN" && schema.fields().last().is_some_and(|f| f.name() == "plan");
        let most = if is_plan { usize::MAX } else { MOST_ROWS };
        let columns = columns(schema, batches, most).map_err(failed)?;
        let all = batches.iter().map(RecordBatch::num_rows).sum();
        let text = match (is_plan, self.expanded) {
            (true, _) => plan(&columns),
            (false, true) => format!("{}{}", whole_rows(&columns), count(all, "")),
            (false, false) => self.table(&columns, all).map_err(failed)?,
        };
        output::print(&text)
    }

    /// The columns side by side, cut short where a line would not fit.
    fn table(self, columns: &[Column], all: usize) -> Result<String, ArrowError> {
        let widths: Vec<usize> = columns.iter().map(Column::width).collect();
        let (many, widest) = fit(&widths, self.width);
        let mut fields: Vec<(String, ArrayRef)> = Vec::new();
        for column in &columns[..many] {
            let cells = column.cells.iter();
            let cells = cells.map(|cell| cell.as_deref().map(|text| cut(text, widest)));
            let cells: StringArray = cells.collect();
            fields.push((cut(&column.name, widest), Arc::new(cells)));
        }
        let mut left_out = String::new();
        if many < columns.len() {
            let dots = StringArray::from(vec!["…"; all.min(MOST_ROWS)]);
            fields.push(("…".to_owned(), Arc::new(dots)));
            left_out = format!("{many} of {} columns, \\x shows all", columns.len());
        }
        // Without columns there is nothing to frame.
        if fields.is_empty() {
            return Ok(count(all, ""));
        }
        let names =
            fields.iter().map(|(name, cells)| Field::new(name, cells.data_type().clone(), true));
        let schema = Arc::new(Schema::new(names.collect::<Vec<_>>()));
        let cells = fields.into_iter().map(|(_, cells)| cells).collect();
        let batch = RecordBatch::try_new(schema, cells)?;
        Ok(format!("{}\n{}", pretty_format_batches(&[batch])?, count(all, &left_out)))
    }
}

impl Column {
    /// The columns of a terminal that its widest line takes.
    fn width(&self) -> usize {
        let cells = self.cells.iter().flatten().flat_map(|cell| cell.lines());
        cells.chain([self.name.as_str()]).map(UnicodeWidthStr::width).max().unwrap_or(0)
    }
}

/// The first rows, at most `most`.
fn columns(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    most: usize,
) -> Result<Vec<Column>, ArrowError> {
    let options = FormatOptions::default();
    let named = |field: &FieldRef| Column { name: field.name().clone(), cells: Vec::new() };
    let mut columns: Vec<Column> = schema.fields().iter().map(named).collect();
    let mut left = most;
    for batch in batches {
        let part = batch.slice(0, left.min(batch.num_rows()));
        left -= part.num_rows();
        for (column, values) in columns.iter_mut().zip(part.columns()) {
            let formatter = ArrayFormatter::try_new(values, &options)?;
            let cell = |row| (!values.is_null(row)).then(|| formatter.value(row).to_string());
            column.cells.extend((0..values.len()).map(cell));
        }
    }
    Ok(columns)
}

/// How many columns fit side by side into `width`, and how wide each of them may be at most.
fn fit(widths: &[usize], width: usize) -> (usize, usize) {
    let line = |many: usize, widest: usize| {
        let cells = widths[..many].iter().map(|width| width.min(&widest) + FRAME);
        // What stands for the columns that are left out.
        let others = if many < widths.len() { 1 + FRAME } else { 0 };
        1 + cells.sum::<usize>() + others
    };
    let fits = |many: &usize| line(*many, NARROWEST) <= width;
    let many = (1..=widths.len()).rev().find(fits).unwrap_or(widths.len().min(1));
    let most = widths[..many].iter().copied().max().unwrap_or(0);
    let widest = (NARROWEST..=most).rev().find(|widest| line(many, *widest) <= width);
    (many, widest.unwrap_or(NARROWEST))
}

/// The text with each line no wider than `widest`.
fn cut(text: &str, widest: usize) -> String {
    let line = |line: &str| {
        if line.width() <= widest {
            return line.to_owned();
        }
        let mut room = widest.saturating_sub(1);
        let fits = |c: &char| {
            let width = c.width().unwrap_or(0);
            let fits = width <= room;
            room = room.saturating_sub(width);
            fits
        };
        format!("{}…", line.chars().take_while(fits).collect::<String>())
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Every row with a line for each column.
fn whole_rows(columns: &[Column]) -> String {
    let names = columns.iter().map(|column| column.name.width());
    let widest = names.max().unwrap_or(0);
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let mut text = String::new();
    for row in 0..rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "-[ row {} ]", row + 1);
        for Column { name, cells } in columns {
            let space = " ".repeat(widest - name.width());
            let cell = cells[row].as_deref().unwrap_or_default();
            let below = format!("\n{} | ", " ".repeat(widest));
            let _ = writeln!(text, "{name}{space} | {}", cell.replace('\n', &below));
        }
    }
    text
}

/// The lines of a plan.
fn plan(columns: &[Column]) -> String {
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let cells =
        (0..rows).flat_map(|row| columns.iter().filter_map(move |c| c.cells[row].as_deref()));
    cells.map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// How many rows there are, and what is not shown.
fn count(all: usize, left_out: &str) -> String {
    let rows = if all == 1 { "row" } else { "rows" };
    let mut text = format!("({all} {rows}");
    if all > MOST_ROWS {
        let _ = write!(text, ", the first {MOST_ROWS} shown");
    }
    if !left_out.is_empty() {
        let _ = write!(text, ", {left_out}");
    }
    text + ")"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn column(name: &str, cell: &str, rows: usize) -> Column {
        Column { name: name.to_owned(), cells: vec![Some(cell.to_owned()); rows] }
    }

    fn table(width: usize, columns: &[Column]) -> String {
        let all = columns[0].cells.len();
        let text = Layout { width, expanded: false }.table(columns, all).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.width() <= width), "{text}");
        text
    }

    #[test]
    fn a_table_is_no_wider_than_the_terminal() {
        let text = table(30, &[column("a", "1", 1), column("text", &"ä".repeat(99), 1)]);
        assert!(text.contains(&format!("| 1 | {}… |", "ä".repeat(21))), "{text}");
        assert!(text.ends_with("(1 row)"), "{text}");
        // Characters that are two columns wide.
        let text = table(17, &[column("a", "1", 1), column("b", &"東".repeat(9), 1)]);
        assert!(text.contains("| 1 | 東東東東… |"), "{text}");
        let many: Vec<Column> = (0..9).map(|n| column(&format!("c{n}"), "0123456789", 2)).collect();
        let text = table(40, &many);
        assert!(text.contains("| 0123456… | 0123456… | 0123456… | … |"), "{text}");
        assert!(text.ends_with("(2 rows, 3 of 9 columns, \\x shows all)"), "{text}");
        // However narrow it is, a column is shown.
        let text = Layout { width: 3, expanded: false }.table(&many, 2).unwrap();
        assert!(text.contains("| 0123456… | … |"), "{text}");
    }

    #[test]
    fn long_results_are_cut_short() {
        let numbers: ArrayRef = Arc::new(StringArray::from(vec!["n"; 150]));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let schema = batch.schema();
        let shown = columns(&schema, &[batch.clone(), batch], MOST_ROWS).unwrap();
        let text = Layout { width: 80, expanded: false }.table(&shown, 300).unwrap();
        assert!(text.ends_with("(300 rows, the first 100 shown)"), "{text}");
        assert_eq!(text.lines().count(), 100 + 5);
        assert_eq!(Layout::default().table(&[], 0).unwrap(), "(0 rows)");
    }

    #[test]
    fn whole_rows_and_plans_are_not_cut() {
        let long = "x".repeat(200);
        let text = whole_rows(&[column("a", "1\n2", 1), column("long", &long, 1)]);
        assert_eq!(text, format!("-[ row 1 ]\na    | 1\n     | 2\nlong | {long}\n"));
        let text = plan(&[column("plan_type", "logical", 1), column("plan", "Sort\n  Scan\n", 1)]);
        assert_eq!(text, "logical\nSort\n  Scan");
    }
}
