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
    /// Orders rows of one time and hash, if there may be any that differ.
    pub ties: Option<Ties>,
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
            let certain = hash_of_certain(table, &spill)?;
            let of_rows = Ties::new(table, &spill, certain.clone())?;
            // Rows that are alike in all they will ever hold may stand in any order.
            ties = Some(of_rows).filter(|ties| !ties.late.is_empty());
            hashes = certain;
        } else {
            keys = spill.map_batches(&spill.positions(&table.primary_key)?, row_keys)?.concat();
            duplicate_keys = count_duplicates(&keys);
            let without = keys.par_iter().any(|k| *k == NO_KEY);
            ties = match without || duplicate_keys > 0 {
                true => Some(Ties::new(table, &spill, hash_of_certain(table, &spill)?)?),
                false => None,
            };
            let of_row = |(row, key): (usize, &u128)| match &ties {
                Some(ties) if *key == NO_KEY => ties.certain[row],
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
    pub fn rank(&self, row: u32) -> (i64, u64, Option<Tie>) {
        let ties = self.ties.as_ref().map(|ties| ties.of(row));
        (self.times[row as usize], self.hashes[row as usize], ties)
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

/// What orders one row among those of its time and hash.
pub type Tie = (u64, Vec<(i64, usize, u64)>);

/// Orders rows of one time and hash: by what is known at once, then by what becomes known, in the
/// order in which it does. So rows that look the same at some moment may stand in an order that
/// the future decides, but rows that differ by then do not.
pub struct Ties {
    /// The hash of the cells that are known as soon as their row is.
    certain: Vec<u64>,
    /// For each other column, from when on each cell is known, and its hash.
    late: Vec<(Vec<i64>, Vec<u64>)>,
}

impl Ties {
    fn new(table: &Table, spill: &Spill, certain: Vec<u64>) -> Result<Self, GraphError> {
        let at_once = known_at_once(table, spill.columns());
        let mut late = Vec::new();
        for (position, field) in spill.columns().fields().iter().enumerate() {
            if at_once.contains(&position) {
                continue;
            }
            let known_from = table.find_column(field.name()).and_then(|c| c.known_from.as_ref());
            let known = moments(spill, known_from.unwrap_or(field.name()))?;
            late.push((known, spill.map_batches(&[position], whole_rows)?.concat()));
        }
        Ok(Self { certain, late })
    }

    /// What orders the row; of use only among rows of one time and hash.
    pub fn of(&self, row: u32) -> Tie {
        let row = row as usize;
        let late = self.late.iter().enumerate();
        let mut late: Vec<_> = late.map(|(i, (known, hash))| (known[row], i, hash[row])).collect();
        late.sort_unstable();
        (self.certain[row], late)
    }
}

/// The hash of what is known of each row at once; the same for all where nothing is.
fn hash_of_certain(table: &Table, spill: &Spill) -> Result<Vec<u64>, GraphError> {
    let certain = known_at_once(table, spill.columns());
    if certain.is_empty() {
        return Ok(vec![0; spill.rows()]);
    }
    Ok(spill.map_batches(&certain, whole_rows)?.concat())
}

/// The columns of a table whose cells are known as soon as their row is.
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
