//! Rows as a person reads them: as many and as wide as can be taken in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;

use crate::failure::Failure;
use crate::output;

/// Rows that are shown of a result.
const MOST_ROWS: usize = 100;
/// Characters that are shown of a cell.
const MOST_CHARACTERS: usize = 80;

/// Prints the first rows, long cells cut short, and how many rows there are.
pub fn print(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("cannot print the result: {error}"));
    let text = format(schema, batches).map_err(failed)?;
    output::print(&text)
}

fn format(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let all: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut left = MOST_ROWS;
    let mut shown = Vec::new();
    for batch in batches {
        let part = batch.slice(0, left.min(batch.num_rows()));
        left -= part.num_rows();
        shown.push(shortened(&part)?);
    }
    if shown.is_empty() {
        shown.push(shortened(&RecordBatch::new_empty(schema.clone()))?);
    }
    let rows = if all == 1 { "row" } else { "rows" };
    let count = match all > MOST_ROWS {
        true => format!("({all} {rows}, the first {MOST_ROWS} shown)"),
        false => format!("({all} {rows})"),
    };
    Ok(format!("{}\n{count}", pretty_format_batches(&shown)?))
}

/// The cells as text, long ones cut short.
fn shortened(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let options = FormatOptions::default();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for column in batch.columns() {
        let formatter = ArrayFormatter::try_new(column, &options)?;
        let cell = |row| (!column.is_null(row)).then(|| cut(formatter.value(row).to_string()));
        columns.push(Arc::new((0..column.len()).map(cell).collect::<StringArray>()));
    }
    let schema = batch.schema();
    let fields = schema.fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let count = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &count)
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn long_results_and_cells_are_cut_short() {
        let numbers: Vec<String> = (0..150).map(|n| format!("{n} {}", "ä".repeat(200))).collect();
        let column: ArrayRef = Arc::new(StringArray::from(numbers));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let text = format(&batch.schema(), &[batch]).unwrap();
        assert!(text.ends_with("(150 rows, the first 100 shown)"), "{text}");
        assert_eq!(text.lines().count(), 100 + 5);
        assert!(text.lines().all(|line| line.chars().count() <= MOST_CHARACTERS + 5));
    }
}
