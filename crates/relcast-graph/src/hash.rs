//! Stable hashes of keys and rows: the same for any source, order and integer width.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

/// Rows hashed by one task.
const CHUNK: usize = 8192;

/// A hash of 128 bits per row over the text of `columns`; `None` where one of them is NULL.
///
/// Values are hashed as text, so that 7, a `SMALLINT` 7 and '7' are one key.
///
/// # Errors
/// Arrow's, if a column has no text form.
pub fn row_keys(columns: &[ArrayRef]) -> Result<Vec<Option<u128>>, ArrowError> {
    hash_rows(columns, true)
}

/// A hash of 128 bits per row over all `columns`, NULLs included.
///
/// # Errors
/// Arrow's, if a column has no text form.
pub fn whole_rows(columns: &[ArrayRef]) -> Result<Vec<u128>, ArrowError> {
    Ok(hash_rows(columns, false)?.into_iter().map(|h| h.unwrap_or(0)).collect())
}

/// The stable hash of each key, in the order of the primary key's `columns`; zero for a NULL key.
///
/// # Errors
/// Arrow's, if a column has no text form.
pub fn key_hashes(columns: &[ArrayRef]) -> Result<Vec<u64>, ArrowError> {
    Ok(row_keys(columns)?.into_iter().map(|h| h.map_or(0, shorten)).collect())
}

/// The half of a key's hash that orders rows and feeds random streams.
pub fn shorten(hash: u128) -> u64 {
    hash as u64
}

fn hash_rows(columns: &[ArrayRef], null_is_none: bool) -> Result<Vec<Option<u128>>, ArrowError> {
    let texts: Vec<(ArrayRef, bool)> = columns
        .iter()
        .map(|c| Ok((cast(c, &DataType::Utf8)?, c.data_type().is_floating())))
        .collect::<Result<_, ArrowError>>()?;
    let rows = columns.first().map_or(0, |c| c.len());
    let hash_row = |row: usize, buffer: &mut Vec<u8>| {
        buffer.clear();
        for (text, floating) in &texts {
            let text = text.as_string::<i32>();
            if text.is_null(row) {
                if null_is_none {
                    return None;
                }
                buffer.push(0);
                continue;
            }
            let value = text.value(row);
            // Whole numbers that arrived as floats (NULLs made them so) are the same keys.
            let whole = value.strip_suffix(".0").filter(|_| *floating);
            let value = whole.unwrap_or(value);
            buffer.push(1);
            buffer.extend_from_slice(&(value.len() as u64).to_le_bytes());
            buffer.extend_from_slice(value.as_bytes());
        }
        Some(xxh3_128(buffer))
    };
    let chunks: Vec<Vec<Option<u128>>> = (0..rows.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            let mut buffer = Vec::new();
            let end = rows.min((chunk + 1) * CHUNK);
            (chunk * CHUNK..end).map(|row| hash_row(row, &mut buffer)).collect()
        })
        .collect();
    Ok(chunks.concat())
}
