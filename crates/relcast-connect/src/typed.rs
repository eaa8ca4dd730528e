//! Columns of text that are times or numbers, be it for a few odd cells.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::cast_utils::string_to_datetime;
use chrono::Utc;

use crate::written_dates::find_written;

/// As what a column of a CSV file is read, where something is declared about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAs {
    /// As numbers; cells that are none are NULL.
    Numbers,
    /// As times; cells that are none are NULL.
    Times,
    /// As what all of its cells are.
    Whole,
}

/// Tables, and of each the columns of which something is declared.
pub type ReadColumns = BTreeMap<String, BTreeMap<String, ReadAs>>;

/// From this many values on, a few odd cells keep no column from being typed.
const ENOUGH: usize = 100;

/// The cells of a column, one list per batch; an odd cell is `None`, as NULL is.
pub(crate) type Cells<T> = Vec<Vec<Option<T>>>;

/// A column of text of which more than half is of one kind, or which is declared to be of it.
#[derive(Debug)]
pub(crate) struct Reading {
    /// `times` or `numbers`.
    pub(crate) what: &'static str,
    /// The typed column, one array per batch.
    pub(crate) arrays: Vec<ArrayRef>,
    /// How many cells are of the kind, and how many are neither that nor NULL.
    pub(crate) good: usize,
    pub(crate) odd: usize,
    /// Whether the column is to be read so, its odd cells as NULL.
    pub(crate) is_typed: bool,
}

/// Reads a column of text as times or numbers.
pub(crate) fn read_typed(texts: &[&StringArray], declared: Option<ReadAs>) -> Option<Reading> {
    let values: usize = texts.iter().map(|t| t.len() - t.null_count()).sum();
    let last = values.checked_sub(1)?;
    let (what, (arrays, has_codes)) = match declared {
        Some(ReadAs::Times) => ("times", (times(texts, last)?, false)),
        Some(ReadAs::Numbers) => ("numbers", numbers(texts, last, true)?),
        Some(ReadAs::Whole) | None => match times(texts, last / 2) {
            Some(arrays) => ("times", (arrays, false)),
            None => ("numbers", numbers(texts, last / 2, false)?),
        },
    };
    let good: usize = arrays.iter().map(|a| a.len() - a.null_count()).sum();
    let odd = values - good;
    let is_rare = values >= ENOUGH && odd * 100 <= values;
    // Many codes are no slips of the pen.
    if has_codes && !is_rare {
        return None;
    }
    let is_typed = match declared {
        Some(ReadAs::Times | ReadAs::Numbers) => true,
        Some(ReadAs::Whole) => odd == 0,
        None => odd == 0 || (is_rare && !has_codes),
    };
    Some(Reading { what, arrays, good, odd, is_typed })
}

/// What `parse` makes of each cell, unless it fails on more than `most` of them.
pub(crate) fn cells<T>(
    texts: &[&StringArray],
    most: usize,
    mut parse: impl FnMut(&str) -> Option<T>,
) -> Option<Cells<T>> {
    let mut odd = 0;
    let mut columns = Vec::with_capacity(texts.len());
    for strings in texts {
        let mut cells = Vec::with_capacity(strings.len());
        for text in *strings {
            let cell = text.and_then(&mut parse);
            odd += usize::from(text.is_some() && cell.is_none());
            if odd > most {
                return None;
            }
            cells.push(cell);
        }
        columns.push(cells);
    }
    Some(columns)
}

/// How many cells have a value.
pub(crate) fn count<T>(cells: &Cells<T>) -> usize {
    cells.iter().flatten().flatten().count()
}

/// The column as timestamps: as ISO dates and moments, or in the order of a country where that reads
/// more of them.
fn times(texts: &[&StringArray], most: usize) -> Option<Vec<ArrayRef>> {
    let iso = cells(texts, most, iso_micros);
    let is_whole = |cells: &Cells<i64>| {
        let values: usize = texts.iter().map(|t| t.len() - t.null_count()).sum();
        count(cells) == values
    };
    let read = match iso {
        Some(iso) if is_whole(&iso) => iso,
        Some(iso) => match find_written(texts, most) {
            Some(written) if count(&written) > count(&iso) => written,
            _ => iso,
        },
        None => find_written(texts, most)?,
    };
    let array =
        |cells: Vec<Option<i64>>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(cells)) };
    Some(read.into_iter().map(array).collect())
}

/// Microseconds, UTC, of an ISO date or moment.
fn iso_micros(text: &str) -> Option<i64> {
    if !starts_like_a_date(text) {
        return None;
    }
    string_to_datetime(&Utc, text).ok().map(|time| time.timestamp_micros())
}

/// Whether a value begins with `yyyy-mm-dd`.
fn starts_like_a_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes.iter().take(10).enumerate().all(|(i, b)| match i {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        })
}

/// A number as it is written, whole or not.
#[derive(Debug, Clone, Copy)]
enum Number {
    Whole(i64),
    Float(f64),
}

/// The column as whole numbers, or else as floats, and whether there are codes such as `85123A` among
/// whole numbers. Those that nothing declares as such are none where `007` stands beside `7`.
fn numbers(
    texts: &[&StringArray],
    most: usize,
    is_declared: bool,
) -> Option<(Vec<ArrayRef>, bool)> {
    let (mut is_apart, mut has_codes, mut is_whole) = (false, false, true);
    let mut lengths = HashMap::new();
    let read = cells(texts, most, |text| {
        let number = number(text);
        match number {
            Some(Number::Whole(whole)) => is_apart |= tells_apart(&mut lengths, whole, text),
            Some(Number::Float(_)) => is_whole = false,
            None => has_codes |= is_code(text),
        }
        number
    })?;
    if is_whole && is_apart && !is_declared {
        return None;
    }
    let array = |cells: Vec<Option<Number>>| -> ArrayRef {
        if is_whole {
            let whole = |number| match number {
                Some(Number::Whole(whole)) => Some(whole),
                _ => None,
            };
            return Arc::new(cells.into_iter().map(whole).collect::<Int64Array>());
        }
        let float = |number: Option<Number>| {
            number.map(|number| match number {
                Number::Whole(whole) => whole as f64,
                Number::Float(float) => float,
            })
        };
        Arc::new(cells.into_iter().map(float).collect::<Float64Array>())
    };
    let arrays = read.into_iter().map(array).collect();
    Some((arrays, has_codes && is_whole && !is_declared))
}

/// Whole numbers that are too large are none: as floats, neighbours would be one.
fn number(text: &str) -> Option<Number> {
    if let Ok(whole) = text.parse() {
        return Some(Number::Whole(whole));
    }
    let is_float = text.contains(['.', 'e', 'E'])
        && text.chars().all(|c| c.is_ascii_digit() || ['.', '-', '+', 'e', 'E'].contains(&c));
    if !is_float && !["NaN", "nan", "inf", "-inf"].contains(&text) {
        return None;
    }
    text.parse().ok().map(Number::Float)
}

/// Whether a number was met before in another writing, which `lengths` remembers.
pub(crate) fn tells_apart(lengths: &mut HashMap<i64, usize>, number: i64, text: &str) -> bool {
    *lengths.entry(number).or_insert(text.len()) != text.len()
}

/// Whether a text that is no number is of digits and letters alone, or of too many digits.
fn is_code(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric()) && text.contains(|c: char| c.is_ascii_digit())
}
