//! What is held of a table while the graph is built: hashes and times, in the order of arrival.

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Schema as ArrowSchema, TimeUnit, TimestampMicrosecondType,
};
use rayon::prelude::*;
use relcast_catalog::{Schema, Table, TableId};

use crate::STATIC_TIME;
use crate::build::spill::Spill;
use crate::error::GraphError;
use crate::hash::{NO_KEY, row_keys, shorten, whole_rows};
use crate::snapshot::TableReport;

/// A time that is NULL: the row is left out.
pub const NO_TIME: i64 = i64::MAX;

/// A table as it was read, in the order in which its rows arrived.
pub struct RawTable {
    /// Its columns.
    pub spill: Spill,
    /// The hash of each primary key; empty for a table without one.
    pub keys: Vec<u128>,
    /// Orders the rows of one time: by primary key, without one by all that is known at once.
    pub hashes: Vec<u64>,
    /// Orders rows of one time and hash, if any are not yet known to be equal.
    pub ties: Option<Vec<u64>>,
    /// The table's own time, later the inherited one.
    pub times: Vec<i64>,
    /// From when on rows are no longer seen; [`NO_TIME`] for never.
    pub ends: Option<Vec<i64>>,
    /// Rows beyond the first of each primary key.
    pub duplicate_keys: usize,
}

impl RawTable {
    /// Hashes the rows of `spill`.
    ///
    /// # Errors
    /// If a column is missing or holds no times where it should.
    pub fn new(schema: &Schema, id: TableId, spill: Spill) -> Result<Self, GraphError> {
        let table = schema.table(id);
        let all: Vec<usize> = (0..spill.columns().fields().len()).collect();
        let whole = |columns: &[usize]| {
            Ok::<_, GraphError>(spill.map_batches(columns, whole_rows)?.concat())
        };
        let times = match &table.time_column {
            Some(column) => {
                let mut times = moments(&spill, column)?;
                times.par_iter_mut().for_each(|t| *t = (*t).max(STATIC_TIME + 1));
                times
            }
            None => vec![STATIC_TIME; spill.rows()],
        };
        let ends = table.end_time_column.as_ref().map(|c| moments(&spill, c)).transpose()?;
        let (mut keys, mut duplicate_keys) = (Vec::new(), 0);
        let (hashes, ties);
        if table.primary_key.is_empty() {
            let certain = known_at_once(table, spill.columns());
            ties = (certain.len() < all.len()).then(|| whole(&all)).transpose()?;
            hashes = whole(if certain.is_empty() { &all } else { &certain })?;
        } else {
            keys = spill.map_batches(&spill.positions(&table.primary_key)?, row_keys)?.concat();
            duplicate_keys = count_duplicates(&keys);
            let without = keys.par_iter().any(|k| *k == NO_KEY);
            ties = (without || duplicate_keys > 0).then(|| whole(&all)).transpose()?;
            let of_row = |(row, key): (usize, &u128)| match &ties {
                Some(ties) if *key == NO_KEY => ties[row],
                _ => shorten(*key),
            };
            hashes = keys.par_iter().enumerate().map(of_row).collect();
        }
        Ok(Self { spill, keys, hashes, ties, times, ends, duplicate_keys })
    }

    /// Whether the row is in the graph: its time is not NULL.
    pub fn has_time(&self, row: u32) -> bool {
        self.times[row as usize] != NO_TIME
    }

    /// What orders rows.
    pub fn rank(&self, row: u32) -> (i64, u64, u64) {
        let row = row as usize;
        (self.times[row], self.hashes[row], self.ties.as_ref().map_or(0, |t| t[row]))
    }

    /// Counts, given how many rows are in the graph.
    pub fn report(&self, rows: usize) -> TableReport {
        TableReport {
            rows,
            without_time: self.spill.rows() - rows,
            duplicate_keys: self.duplicate_keys,
        }
    }

    /// Frees all but the columns.
    pub fn forget(&mut self) {
        (self.keys, self.hashes, self.times) = (Vec::new(), Vec::new(), Vec::new());
        (self.ties, self.ends) = (None, None);
    }
}

/// The columns of a table without a primary key whose cells are known as soon as their row is.
///
/// A cell that becomes known later must not decide how rows of one moment are ordered.
fn known_at_once(table: &Table, columns: &ArrowSchema) -> Vec<usize> {
    let certain = |field: &Field| {
        let declared = table.find_column(field.name());
        let later = declared.is_some_and(|c| c.known_from.is_some());
        let planned = declared.is_some_and(|c| c.planned);
        let own_time = table.time_column.as_ref() == Some(field.name());
        let moment = matches!(field.data_type(), DataType::Timestamp(_, _));
        !later && (!moment || own_time || planned)
    };
    let fields = columns.fields().iter().enumerate();
    fields.filter(|(_, f)| certain(f)).map(|(position, _)| position).collect()
}

fn count_duplicates(keys: &[u128]) -> usize {
    let mut keys: Vec<u128> = keys.iter().copied().filter(|k| *k != NO_KEY).collect();
    keys.par_sort_unstable();
    keys.windows(2).filter(|pair| pair[0] == pair[1]).count()
}

/// A column's moments in microseconds; [`NO_TIME`] where it is NULL.
fn moments(spill: &Spill, column: &String) -> Result<Vec<i64>, GraphError> {
    let positions = spill.positions(std::slice::from_ref(column))?;
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    if let Some(other) =
        positions.iter().map(|p| spill.columns().field(*p).data_type()).find(|t| **t != micros)
    {
        return Err(GraphError::NotATime {
            table: spill.table().to_owned(),
            column: column.clone(),
            data_type: other.to_string(),
        });
    }
    let read = |columns: &[arrow::array::ArrayRef]| {
        let times = cast(&columns[0], &micros)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        Ok(times.iter().map(|t| t.unwrap_or(NO_TIME)).collect::<Vec<i64>>())
    };
    Ok(spill.map_batches(&positions, read)?.concat())
}
