//! A database written anew with another future: the same as far as it is known at a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Schema as ArrowSchema, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::parquet::arrow::ArrowWriter;
use relcast_catalog::{KnownFrom, Schema, SemanticType, Table, TableId, known_relation};
use relcast_testkit::{DAY, Random};

use super::Bench;

/// What becomes of all that is known later than a moment.
#[derive(Clone, Copy, PartialEq)]
pub enum Future {
    /// A random half of the rows is deleted, the others have new values and those of one another;
    /// cells of older rows that are known later have new values too.
    Changed,
    /// The rows are all deleted, the cells NULL.
    Gone,
}

/// Writes `source` anew into `target` with its rows in another order, and with all that is known
/// later than a moment changed.
pub async fn rewrite(source: &Path, target: &Path, change: Option<(i64, Future)>) {
    let scratch = tempfile::tempdir().unwrap();
    let bench = Bench::open(source, scratch.path(), 2).await;
    let schema = &bench.catalog.schema;
    copy_documents(source, target);
    let mut random = Random::new(7);
    let mut tables = Vec::new();
    for (id, table) in (0u32..).map(TableId).zip(&schema.tables) {
        let sql = known_relation(schema, id);
        let rows = bench.database.context.sql(&sql).await.unwrap().collect().await.unwrap();
        let rows = arrow::compute::concat_batches(&rows[0].schema(), &rows).unwrap();
        let known = micros(rows.column_by_name("relcast_known_at").unwrap());
        let columns: Vec<usize> =
            table.columns.iter().map(|c| rows.schema().index_of(&c.name).unwrap()).collect();
        tables.push((rows.project(&columns).unwrap(), known));
    }
    let future: Vec<Vec<bool>> = tables
        .iter()
        .map(|(_, known)| {
            let later = |time: &Option<i64>| match (change, time) {
                (Some((moment, _)), Some(time)) => *time > moment,
                _ => false,
            };
            known.iter().map(later).collect()
        })
        .collect();
    if let Some((moment, kind)) = change {
        for (t, (rows, _)) in tables.iter_mut().enumerate() {
            *rows = with_other_cells(schema, t, rows, &future[t], moment, kind, &mut random);
        }
    }
    // Rows go after they changed places: one that is left behind its parents would be known with
    // those that remain, and that may be earlier.
    let deleted = match change {
        Some((_, kind)) => deleted(schema, &tables, &future, kind, &mut random),
        None => future.clone(),
    };
    for (t, table) in schema.tables.iter().enumerate() {
        let rows = &tables[t].0;
        let mut order: Vec<u32> =
            (0..rows.num_rows() as u32).filter(|row| !deleted[t][*row as usize]).collect();
        random.shuffle(&mut order);
        write(&taken(rows, &order), source, target, &table.name);
    }
}

/// Which rows of each table are gone.
fn deleted(
    schema: &Schema,
    tables: &[(RecordBatch, Vec<Option<i64>>)],
    future: &[Vec<bool>],
    kind: Future,
    random: &mut Random,
) -> Vec<Vec<bool>> {
    if kind == Future::Gone {
        return future.to_vec();
    }
    let inherits = |t: usize| matches!(schema.tables[t].known_from, KnownFrom::Parents(_));
    let mut deleted: Vec<Vec<bool>> = future
        .iter()
        .enumerate()
        .map(|(t, rows)| rows.iter().map(|f| *f && !inherits(t) && random.chance(0.5)).collect())
        .collect();
    // A row that was known with a deleted one would be known from another moment without it.
    for _ in &schema.tables {
        for link in &schema.links {
            let (child, parent) = (link.child.index(), link.parent.index());
            if !inherits(child) {
                continue;
            }
            let key = &schema.tables[parent].primary_key;
            let gone: BTreeSet<String> = texts(&tables[parent].0, key)
                .into_iter()
                .zip(&deleted[parent])
                .filter_map(|(key, gone)| gone.then_some(key))
                .collect();
            for (row, key) in texts(&tables[child].0, &link.columns).into_iter().enumerate() {
                deleted[child][row] |= future[child][row] && gone.contains(&key);
            }
        }
    }
    deleted
}

/// The table with other values in all that is known later than `moment`. Keys stay, and so does
/// that a row is known later.
fn with_other_cells(
    schema: &Schema,
    t: usize,
    rows: &RecordBatch,
    future: &[bool],
    moment: i64,
    kind: Future,
    random: &mut Random,
) -> RecordBatch {
    let table = &schema.tables[t];
    let id = TableId(t as u32);
    let foreign: BTreeSet<&String> =
        schema.links_from(id).flat_map(|(_, link)| &link.columns).collect();
    // Foreign keys change places together, so that a row is known with all the parents of another.
    let together = among(future, random);
    let columns = table.columns.iter().zip(rows.columns()).map(|(column, values)| {
        let is_time = matches!(values.data_type(), DataType::Timestamp(..));
        if table.primary_key.contains(&column.name) {
            return values.clone();
        }
        if foreign.contains(&column.name) {
            return take(values, &together, None).unwrap();
        }
        if table.time_column.as_ref() == Some(&column.name) {
            let later = times(values, moment, random);
            return zip(&BooleanArray::from(future.to_vec()), &later, values).unwrap();
        }
        let hidden = hidden(table, rows, &column.name, moment);
        let swapped = take(values, &among(future, random), None).unwrap();
        let mut fresh = match is_time && !column.planned {
            true => times(values, moment, random),
            false => other_values(values, random),
        };
        if kind == Future::Gone {
            fresh = arrow::array::new_null_array(values.data_type(), values.len());
        }
        let is_fresh = |row: usize| (future[row] && random.chance(0.5)) || hidden[row];
        let is_fresh: BooleanArray = (0..values.len()).map(is_fresh).map(Some).collect();
        zip(&is_fresh, &fresh, &swapped).unwrap()
    });
    // Cells that are gone are NULL, whatever the file declares.
    let fields = rows
        .schema()
        .fields()
        .iter()
        .map(|f| f.as_ref().clone().with_nullable(true))
        .collect::<Vec<_>>();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns.collect()).unwrap()
}

/// Which cells of a column are not known at `moment` though their row may be.
fn hidden(table: &Table, rows: &RecordBatch, column: &str, moment: i64) -> Vec<bool> {
    let declared = table.find_column(column).unwrap();
    let later = |name: &str| -> Vec<bool> {
        let times = micros(rows.column_by_name(name).unwrap());
        times.iter().map(|time| time.is_none_or(|time| time > moment)).collect()
    };
    let of_reveal = declared.known_from.as_deref().map(later);
    let is_time = declared.semantic == SemanticType::Timestamp && !declared.planned;
    let own = is_time.then(|| later(column));
    let none = || vec![false; rows.num_rows()];
    let pairs = of_reveal.unwrap_or_else(none).into_iter().zip(own.unwrap_or_else(none));
    pairs.map(|(a, b)| a || b).collect()
}

/// Positions in which the rows of the future have changed places among themselves.
fn among(future: &[bool], random: &mut Random) -> UInt32Array {
    let rows: Vec<u32> = (0..future.len() as u32).filter(|row| future[*row as usize]).collect();
    let mut shuffled = rows.clone();
    random.shuffle(&mut shuffled);
    let moved: BTreeMap<u32, u32> = rows.into_iter().zip(shuffled).collect();
    (0..future.len() as u32).map(|row| Some(*moved.get(&row).unwrap_or(&row))).collect()
}

/// A time within two years after `moment` for each row.
fn times(values: &ArrayRef, moment: i64, random: &mut Random) -> ArrayRef {
    let mut one =
        || moment + 1 + random.below(730) as i64 * DAY + random.below(DAY as usize) as i64;
    let times: TimestampMicrosecondArray = (0..values.len()).map(|_| Some(one())).collect();
    cast(&times, values.data_type()).unwrap()
}

/// A value that need not be among those of the column for each row; some are NULL.
fn other_values(values: &ArrayRef, random: &mut Random) -> ArrayRef {
    const WORDS: [&str; 6] = ["amber", "brisk", "cedar", "delta", "ember", "fjord"];
    let mut cell = || random.chance(0.9).then(|| random.below(10_000));
    let cells: Vec<Option<usize>> = (0..values.len()).map(|_| cell()).collect();
    let other: ArrayRef = match values.data_type() {
        DataType::Utf8 => {
            let text = |n: usize| {
                let words: Vec<&str> =
                    (0..2 + n % 9).map(|i| WORDS[(n + i * i) % WORDS.len()]).collect();
                format!("{} {n}", words.join(" "))
            };
            Arc::new(cells.iter().map(|c| c.map(text)).collect::<StringArray>())
        }
        DataType::Boolean => {
            Arc::new(cells.iter().map(|c| c.map(|n| n % 2 == 0)).collect::<BooleanArray>())
        }
        DataType::Timestamp(..) => {
            let time = |n: usize| n as i64 * 2 * DAY;
            Arc::new(cells.iter().map(|c| c.map(time)).collect::<TimestampMicrosecondArray>())
        }
        t if t.is_integer() => {
            Arc::new(cells.iter().map(|c| c.map(|n| n as i64)).collect::<Int64Array>())
        }
        t if t.is_floating() => {
            let number = |n: usize| n as f64 * 12.345 - 6e4;
            Arc::new(cells.iter().map(|c| c.map(number)).collect::<Float64Array>())
        }
        _ => return values.clone(),
    };
    cast(&other, values.data_type()).unwrap()
}

fn taken(rows: &RecordBatch, positions: &[u32]) -> RecordBatch {
    let positions = UInt32Array::from(positions.to_vec());
    let columns = rows.columns().iter().map(|c| take(c, &positions, None).unwrap());
    RecordBatch::try_new(rows.schema(), columns.collect()).unwrap()
}

/// Keys of several columns as one text for each row.
fn texts(rows: &RecordBatch, columns: &[String]) -> Vec<String> {
    let options = FormatOptions::default();
    let columns: Vec<ArrayFormatter<'_>> = columns
        .iter()
        .map(|c| {
            let values = rows.column_by_name(c).unwrap();
            ArrayFormatter::try_new(values.as_ref(), &options).unwrap()
        })
        .collect();
    (0..rows.num_rows())
        .map(|row| columns.iter().map(|c| format!("{}|", c.value(row))).collect())
        .collect()
}

fn micros(values: &ArrayRef) -> Vec<Option<i64>> {
    let times = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
    times.as_primitive::<TimestampMicrosecondType>().iter().collect()
}

fn write(batch: &RecordBatch, source: &Path, target: &Path, table: &str) {
    let folder = if source.join("db").is_dir() { target.join("db") } else { target.to_owned() };
    fs::create_dir_all(&folder).unwrap();
    let file = File::create(folder.join(format!("{table}.parquet"))).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

/// Manifests and yaml files, with the folders they lie in.
fn copy_documents(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let to = target.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_documents(&path, &to);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            fs::copy(&path, to).unwrap();
        }
    }
}
