//! What is printed to stdout: text, JSON, rows.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::util::pretty::pretty_format_batches_with_schema;
use relcast_engine::{repeated_column, rows_as_json};
use serde::Serialize;

use crate::arguments::Format;
use crate::failure::Failure;

/// Prints `text` with a closing line break; a reader that has gone away is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| {
        let closing = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
        out.write_all(closing.as_bytes())?;
        out.flush()
    });
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Tells a person what is no result, on stderr; that nobody reads it is no failure.
pub fn tell(text: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints a value as JSON.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("cannot print the result as JSON: {error}")))?;
    print(&text)
}

/// Text in columns under their headers, all left-aligned.
pub fn columns<const N: usize>(headers: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headers.map(|header| header.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; N]| {
        let padded: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&headers.map(str::to_owned));
    text.extend(rows.iter().map(line));
    text
}

/// Prints rows as text in columns, as CSV with a header, or as JSON.
pub fn print_rows(
    format: Format,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<(), Failure> {
    let failed = |error: ArrowError| Failure::new(format!("cannot print the result: {error}"));
    match format {
        Format::Json => {
            if let Some(name) = repeated_column(schema) {
                let message =
                    format!("two columns have the name \"{name}\", and JSON keeps one of them");
                return Err(Failure::new(message).with_hint("rename one with AS, or print CSV"));
            }
            print_json(&rows_as_json(batches).map_err(failed)?)
        }
        Format::Csv => {
            let mut text = Vec::new();
            let mut writer = WriterBuilder::new().with_header(true).build(&mut text);
            // A batch without rows brings the header.
            let header = RecordBatch::new_empty(schema.clone());
            for batch in std::iter::once(&header).chain(batches) {
                let flat = relcast_connect::flattened(batch).map_err(failed)?;
                writer.write(&flat).map_err(failed)?;
            }
            drop(writer);
            print(&String::from_utf8_lossy(&text))
        }
        Format::Table | Format::Dot => {
            let text =
                pretty_format_batches_with_schema(schema.clone(), batches).map_err(failed)?;
            print(&text.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a".to_owned(), "1".to_owned()], ["größer".to_owned(), "22".to_owned()]];
        assert_eq!(columns(["name", "n"], &rows), "name    n\na       1\ngrößer  22\n");
    }
}
