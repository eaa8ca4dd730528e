//! Stable hashes of keys and rows: the same for any source, order and integer width.
//!
//! A cell is hashed in a canonical form: whole numbers as themselves, whether they arrive as
//! integers of any width, as floats or as decimal text; so 7, a `SMALLINT` 7 and '7' are one key.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rayon::prelude::*;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// Rows hashed by one task.
const CHUNK: usize = 8192;

/// Stands for the hash of a key that is NULL.
pub const NO_KEY: u128 = 0;

/// The stable hash of each key, in the order of the primary key's `columns`; zero for a NULL key.
///
/// # Errors
/// Arrow's, if a column has no text form.
pub fn key_hashes(columns: &[ArrayRef]) -> Result<Vec<u64>, ArrowError> {
    Ok(row_keys(columns)?.into_iter().map(shorten).collect())
}

/// A hash of 128 bits per row over `columns`; [`NO_KEY`] where one of them is NULL.
pub fn row_keys(columns: &[ArrayRef]) -> Result<Vec<u128>, ArrowError> {
    hash_rows(columns, Nulls::Spoil)
}

/// A hash per row over all `columns`, NULLs included.
pub fn whole_rows(columns: &[ArrayRef]) -> Result<Vec<u64>, ArrowError> {
    Ok(hash_rows(columns, Nulls::Count)?.into_iter().map(shorten).collect())
}

/// The half of a key's hash that orders rows and feeds random streams.
pub fn shorten(hash: u128) -> u64 {
    hash as u64
}

/// The hash of the `counter`-th among rows that have the same `hash` and time.
pub fn numbered(hash: u64, counter: u64) -> u64 {
    if counter == 0 { hash } else { xxh3_64_with_seed(&hash.to_le_bytes(), counter) }
}

#[derive(Clone, Copy, PartialEq)]
enum Nulls {
    /// A row with a NULL has no hash.
    Spoil,
    /// A NULL is a value.
    Count,
}

fn hash_rows(columns: &[ArrayRef], nulls: Nulls) -> Result<Vec<u128>, ArrowError> {
    let cells: Vec<Cells> = columns.iter().map(Cells::new).collect::<Result<_, _>>()?;
    let rows = columns.first().map_or(0, Array::len);
    let hash_row = |row: usize, buffer: &mut Vec<u8>| {
        buffer.clear();
        for column in &cells {
            if !column.push(row, buffer) {
                if nulls == Nulls::Spoil {
                    return NO_KEY;
                }
                buffer.push(b'n');
            }
        }
        xxh3_128(buffer).max(1)
    };
    let mut hashes = vec![NO_KEY; rows];
    hashes.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, hashes)| {
        let mut buffer = Vec::new();
        for (offset, hash) in hashes.iter_mut().enumerate() {
            *hash = hash_row(chunk * CHUNK + offset, &mut buffer);
        }
    });
    Ok(hashes)
}

/// A column in one of the few forms that are hashed.
enum Cells {
    Integers(Int64Array),
    Floats(Float64Array),
    Times(Int64Array),
    Texts(StringArray),
    Bytes(BinaryArray),
}

impl Cells {
    fn new(column: &ArrayRef) -> Result<Self, ArrowError> {
        let to = |data_type: &DataType| cast(column, data_type);
        Ok(match column.data_type() {
            DataType::UInt64 => Self::Texts(to(&DataType::Utf8)?.as_string().clone()),
            t if t.is_integer() => Self::Integers(to(&DataType::Int64)?.as_primitive().clone()),
            t if t.is_floating() => Self::Floats(to(&DataType::Float64)?.as_primitive().clone()),
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
                let micros = to(&DataType::Timestamp(TimeUnit::Microsecond, None))?;
                Self::Times(cast(&micros, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            DataType::Dictionary(_, values) => Self::new(&to(values)?)?,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                Self::Texts(to(&DataType::Utf8)?.as_string().clone())
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => {
                Self::Bytes(to(&DataType::Binary)?.as_binary().clone())
            }
            _ => Self::Texts(texts(column)?),
        })
    }

    /// Adds the canonical form of a cell to `buffer`; false if it is NULL.
    fn push(&self, row: usize, buffer: &mut Vec<u8>) -> bool {
        match self {
            Self::Integers(cells) if cells.is_valid(row) => push_integer(cells.value(row), buffer),
            Self::Floats(cells) if cells.is_valid(row) => push_float(cells.value(row), buffer),
            Self::Times(cells) if cells.is_valid(row) => {
                buffer.push(b't');
                buffer.extend_from_slice(&cells.value(row).to_le_bytes());
            }
            Self::Texts(cells) if cells.is_valid(row) => {
                push_text(cells.value(row).as_bytes(), buffer);
            }
            Self::Bytes(cells) if cells.is_valid(row) => push_text(cells.value(row), buffer),
            _ => return false,
        }
        true
    }
}

/// Cells of any other type as Arrow shows them.
fn texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let options = FormatOptions::default().with_null("\u{0}");
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let text = |row| {
        if column.is_null(row) {
            return Ok(None);
        }
        formatter.value(row).try_to_string().map(Some)
    };
    (0..column.len()).map(text).collect()
}

fn push_integer(value: i64, buffer: &mut Vec<u8>) {
    buffer.push(b'i');
    buffer.extend_from_slice(&value.to_le_bytes());
}

/// Whole numbers that arrived as floats (NULLs made them so) are the same keys.
fn push_float(value: f64, buffer: &mut Vec<u8>) {
    let whole = value as i64;
    if whole as f64 == value && whole != i64::MAX {
        push_integer(whole, buffer);
    } else {
        let canonical = if value.is_nan() { f64::NAN } else { value };
        buffer.push(b'f');
        buffer.extend_from_slice(&canonical.to_bits().to_le_bytes());
    }
}

fn push_text(text: &[u8], buffer: &mut Vec<u8>) {
    if let Some(value) = canonical_integer(text) {
        push_integer(value, buffer);
    } else {
        buffer.push(b's');
        buffer.extend_from_slice(&(text.len() as u64).to_le_bytes());
        buffer.extend_from_slice(text);
    }
}

/// The number that is written exactly so: "7", but not "07", "+7" or "7 ".
fn canonical_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [] => false,
        [b'0'] => digits.len() == text.len(),
        [first, rest @ ..] => (b'1'..=b'9').contains(first) && rest.iter().all(u8::is_ascii_digit),
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int16Array, LargeStringArray, UInt64Array};

    use super::*;

    fn hashes(column: impl Array + 'static) -> Vec<u64> {
        key_hashes(&[Arc::new(column)]).unwrap()
    }

    #[test]
    fn numbers_of_any_width_and_their_text_are_one_key() {
        let expected = hashes(Int64Array::from(vec![Some(7), Some(-12), Some(0), None]));
        assert_eq!(hashes(Int16Array::from(vec![Some(7), Some(-12), Some(0), None])), expected);
        assert_eq!(
            hashes(StringArray::from(vec![Some("7"), Some("-12"), Some("0"), None])),
            expected
        );
        assert_eq!(hashes(LargeStringArray::from(vec!["7", "-12", "0"])), expected[..3]);
        assert_eq!(hashes(Float64Array::from(vec![7.0, -12.0, -0.0])), expected[..3]);
        assert_eq!(hashes(UInt64Array::from(vec![7, u64::MAX]))[0], expected[0]);
        assert_eq!(expected[3], 0);
    }

    #[test]
    fn text_that_only_looks_like_a_number_is_another_key() {
        let seven = hashes(Int64Array::from(vec![7]))[0];
        for text in ["07", "+7", "7 ", "7.0", "-", "", "-0", "00"] {
            assert_ne!(hashes(StringArray::from(vec![text]))[0], seven, "{text}");
            assert_eq!(canonical_integer(text.as_bytes()), None, "{text}");
        }
        assert_eq!(canonical_integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(canonical_integer(b"9223372036854775808"), None);
    }

    #[test]
    fn cells_of_a_composite_key_do_not_run_together() {
        let pair = |a: &str, b: &str| {
            let column = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
            key_hashes(&[column(a), column(b)]).unwrap()[0]
        };
        assert_ne!(pair("ab", "c"), pair("a", "bc"));
        assert_ne!(pair("a", "b"), pair("b", "a"));
    }

    #[test]
    fn nulls_count_in_whole_rows_only() {
        let columns: [ArrayRef; 2] = [
            Arc::new(Int64Array::from(vec![Some(1), None])),
            Arc::new(StringArray::from(vec![None, Some("1")])),
        ];
        assert_eq!(row_keys(&columns).unwrap(), [NO_KEY, NO_KEY]);
        let whole = whole_rows(&columns).unwrap();
        assert_ne!(whole[0], whole[1]);
    }
}
