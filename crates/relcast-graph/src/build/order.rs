//! The canonical order of a table's rows, and its columns in that order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Schema as ArrowSchema};
use rayon::prelude::*;
use relcast_catalog::TableId;

use crate::build::spill::Spill;
use crate::build::table::RawTable;
use crate::error::GraphError;
use crate::hash::numbered;
use crate::snapshot::{SnapshotWriter, name};
use crate::stop::Stop;

/// Rows in the order of the graph, by (time, stable hash), without those that have no time.
pub fn order(table: &RawTable) -> Vec<u32> {
    let rows = u32::try_from(table.times.len()).unwrap_or(u32::MAX);
    let mut ranked: Vec<(i64, u64, u32)> = (0..rows)
        .into_par_iter()
        .filter(|row| table.has_time(*row))
        .map(|row| (table.times[row as usize], table.hashes[row as usize], row))
        .collect();
    ranked.par_sort_unstable();
    if let Some(ties) = &table.ties {
        for run in ranked.chunk_by_mut(|a, b| (a.0, a.1) == (b.0, b.1)) {
            if run.len() > 1 {
                run.sort_by_cached_key(|(_, _, row)| (ties.of(*row), *row));
            }
        }
    }
    ranked.into_par_iter().map(|(_, _, row)| row).collect()
}

/// The stable hash of each row of `order`; rows of one time and hash are numbered.
pub fn final_hashes(table: &RawTable, order: &[u32]) -> Vec<u64> {
    let rank = |row: u32| (table.times[row as usize], table.hashes[row as usize]);
    let mut hashes = Vec::with_capacity(order.len());
    for run in order.chunk_by(|a, b| rank(*a) == rank(*b)) {
        let counted = (0u64..).zip(run);
        hashes.extend(counted.map(|(counter, row)| numbered(table.hashes[*row as usize], counter)));
    }
    hashes
}

/// Writes each column in `order`; about one column per thread is in memory at a time.
///
/// # Errors
/// If the disk refuses, a column holds too much text, or it was stopped.
pub fn write_columns(
    writer: &SnapshotWriter,
    id: TableId,
    spill: &Spill,
    order: &[u32],
) -> Result<(), GraphError> {
    let order = UInt32Array::from(order.to_vec());
    let stop = Stop::current();
    let fields = spill.columns().fields();
    fields.par_iter().enumerate().try_for_each(|(position, field)| {
        // Threads of the pool do not have it.
        let _entered = stop.clone().enter();
        let parts = spill.map_batches(&[position], |columns| Ok(columns[0].clone()))?;
        check_text(spill, field.name(), &parts)?;
        let column = match parts.iter().map(AsRef::as_ref).collect::<Vec<_>>().as_slice() {
            [] => new_empty_array(field.data_type()),
            parts => concat(parts)?,
        };
        drop(parts);
        let column = take(&column, &order, None)?;
        let schema = Arc::new(ArrowSchema::new(vec![field.clone()]));
        let batch = RecordBatch::try_new(schema, vec![column])?;
        writer.write_batch(name::column(id, position), &batch)
    })
}

/// Text of one column is addressed by 32 bits.
fn check_text(spill: &Spill, column: &str, parts: &[ArrayRef]) -> Result<(), GraphError> {
    let bytes = |part: &ArrayRef| match part.data_type() {
        DataType::Utf8 => {
            let text = part.as_string::<i32>();
            (text.value_offsets()[text.len()] - text.value_offsets()[0]) as usize
        }
        DataType::Binary => {
            let text = part.as_binary::<i32>();
            (text.value_offsets()[text.len()] - text.value_offsets()[0]) as usize
        }
        _ => 0,
    };
    let bytes = parts.iter().map(bytes).sum();
    if bytes <= i32::MAX as usize {
        return Ok(());
    }
    Err(GraphError::TooMuchText {
        table: spill.table().to_owned(),
        column: column.to_owned(),
        bytes,
    })
}
