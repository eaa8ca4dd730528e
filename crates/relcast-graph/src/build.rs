//! Building the snapshot: read the tables, find every row's time, order, link, write.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::ipc::writer::FileWriter;
use datafusion::prelude::SessionContext;
use rayon::prelude::*;
use relcast_catalog::{KnownFrom, LinkId, Schema, Table, TableId};

use crate::error::GraphError;
use crate::hash::{row_keys, shorten, whole_rows};
use crate::snapshot::{FORMAT, Files, GraphReport, LinkReport, Meta, TableReport};
use crate::{NO_ROW, STATIC_TIME};

/// A time that is NULL: the row is left out.
const NO_TIME: i64 = i64::MAX;

/// A table as it was read, in the order in which its rows arrived.
struct RawTable {
    batch: RecordBatch,
    keys: Vec<Option<u128>>,
    /// Orders rows of one time: by primary key, then by the whole row.
    hashes: Vec<(u64, u64)>,
    times: Vec<i64>,
    ends: Option<Vec<i64>>,
}

/// Reads all tables of `schema` from `ctx` and writes the snapshot to `directory`, which appears
/// whole or not at all.
///
/// # Errors
/// If a table cannot be read, or the disk refuses.
pub async fn build(
    ctx: &SessionContext,
    schema: &Schema,
    directory: &Path,
) -> Result<GraphReport, GraphError> {
    let mut tables = Vec::with_capacity(schema.tables.len());
    for table in &schema.tables {
        tables.push(read(ctx, table).await?);
    }
    let indexes: Vec<HashMap<u128, u32>> = tables.par_iter().map(key_index).collect();
    let parents = schema
        .links
        .iter()
        .map(|link| {
            let child = &tables[link.child.index()];
            let keys =
                row_keys(&columns(&child.batch, &schema.table(link.child).name, &link.columns)?)?;
            let index = &indexes[link.parent.index()];
            let find =
                |key: &Option<u128>| key.and_then(|k| index.get(&k).copied()).unwrap_or(NO_ROW);
            let null = keys.iter().filter(|k| k.is_none()).count();
            Ok((keys.iter().map(find).collect::<Vec<u32>>(), null))
        })
        .collect::<Result<Vec<_>, GraphError>>()?;
    inherit_times(schema, &mut tables, &parents);
    write(schema, &tables, &parents, directory)
}

async fn read(ctx: &SessionContext, table: &Table) -> Result<RawTable, GraphError> {
    let failed = |source| GraphError::Read { table: table.name.clone(), source };
    let reference = datafusion::common::TableReference::bare(table.name.clone());
    let frame = ctx.table(reference).await.map_err(failed)?;
    let schema = frame.schema().inner().clone();
    let batches = frame.collect().await.map_err(failed)?;
    let batch = match batches.first() {
        Some(first) => concat_batches(&first.schema(), &batches)?,
        None => RecordBatch::new_empty(schema),
    };
    let rows = batch.num_rows();
    if rows >= NO_ROW as usize {
        return Err(GraphError::TooManyRows { table: table.name.clone(), rows });
    }
    let whole = whole_rows(batch.columns())?;
    let keys = if table.primary_key.is_empty() {
        whole.iter().map(|h| Some(*h)).collect()
    } else {
        row_keys(&columns(&batch, &table.name, &table.primary_key)?)?
    };
    let hashes =
        keys.iter().zip(&whole).map(|(k, w)| (k.map_or(0, shorten), shorten(*w))).collect();
    let times = match &table.time_column {
        Some(column) => micros(&columns(&batch, &table.name, std::slice::from_ref(column))?[0])?,
        None => vec![STATIC_TIME; rows],
    };
    let ends = match &table.end_time_column {
        Some(column) => {
            Some(micros(&columns(&batch, &table.name, std::slice::from_ref(column))?[0])?)
        }
        None => None,
    };
    Ok(RawTable { batch, keys, hashes, times, ends })
}

fn columns(
    batch: &RecordBatch,
    table: &str,
    names: &[String],
) -> Result<Vec<ArrayRef>, GraphError> {
    let find = |name: &String| {
        batch
            .column_by_name(name)
            .cloned()
            .ok_or_else(|| GraphError::NoColumn { table: table.to_owned(), column: name.clone() })
    };
    names.iter().map(find).collect()
}

fn micros(column: &ArrayRef) -> Result<Vec<i64>, GraphError> {
    let times = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    Ok(times
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .map(|t| t.unwrap_or(NO_TIME))
        .collect())
}

/// The row of each key; of several the one with the smallest (time, hash).
fn key_index(table: &RawTable) -> HashMap<u128, u32> {
    let mut index: HashMap<u128, u32> = HashMap::with_capacity(table.keys.len());
    let rank = |row: u32| (table.times[row as usize], table.hashes[row as usize]);
    for (row, key) in (0u32..).zip(&table.keys) {
        let Some(key) = key else { continue };
        if table.times[row as usize] == NO_TIME {
            continue;
        }
        let held = index.entry(*key).or_insert(row);
        if rank(row) < rank(*held) {
            *held = row;
        }
    }
    index
}

/// Gives rows of untimed tables the latest time among their parents, until nothing changes.
///
/// Times only grow and come from a finite set, so circles of untimed tables end too.
fn inherit_times(schema: &Schema, tables: &mut [RawTable], parents: &[(Vec<u32>, usize)]) {
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for (t, table) in schema.tables.iter().enumerate() {
            let KnownFrom::Parents(links) = &table.known_from else { continue };
            for link in links {
                let parent = schema.link(*link).parent.index();
                for row in 0..tables[t].times.len() {
                    let target = parents[link.index()].0[row];
                    if target == NO_ROW {
                        continue;
                    }
                    let time = tables[parent].times[target as usize];
                    if time != NO_TIME && time > tables[t].times[row] {
                        tables[t].times[row] = time;
                        changed = true;
                    }
                }
            }
        }
    }
}

fn write(
    schema: &Schema,
    tables: &[RawTable],
    parents: &[(Vec<u32>, usize)],
    directory: &Path,
) -> Result<GraphReport, GraphError> {
    let folder = directory.parent().unwrap_or(Path::new("."));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| GraphError::File { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let unfinished = tempfile::Builder::new()
        .prefix(".unfinished-")
        .tempdir_in(folder)
        .map_err(failed(folder))?;
    let files = Files(unfinished.path());

    let orders: Vec<Vec<u32>> = tables.par_iter().map(order).collect();
    let mut report = GraphReport::default();
    for ((id, table), order) in (0u32..).map(TableId).zip(tables).zip(&orders) {
        let pick = |values: &[i64]| order.iter().map(|r| values[*r as usize]).collect::<Vec<_>>();
        write_values(&files.times(id), &pick(&table.times), |v| v.to_le_bytes())?;
        if let Some(ends) = &table.ends {
            write_values(&files.ends(id), &pick(ends), |v| v.to_le_bytes())?;
        }
        let hashes: Vec<u64> = order.iter().map(|r| table.hashes[*r as usize].0).collect();
        write_values(&files.hashes(id), &hashes, |v| v.to_le_bytes())?;
        write_columns(&files.columns(id), &table.batch, order)?;
        report.tables.push(table_report(schema.table(id), table, order));
    }
    for (id, link) in schema.link_ids() {
        let (raw, null) = &parents[id.index()];
        let (child, parent) = (&orders[link.child.index()], &orders[link.parent.index()]);
        report.links.push(write_link(
            &files,
            id,
            raw,
            *null,
            child,
            parent,
            tables[link.parent.index()].times.len(),
        )?);
    }
    let ends = tables.iter().map(|t| t.ends.is_some()).collect();
    let meta = Meta { format: FORMAT, schema: schema.clone(), report: report.clone(), ends };
    let text = serde_json::to_vec(&meta)
        .map_err(|e| GraphError::File { path: files.meta(), source: e.into() })?;
    fs::write(files.meta(), text).map_err(failed(&files.meta()))?;
    let unfinished = unfinished.keep();
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(failed(directory))?;
    }
    fs::rename(&unfinished, directory).map_err(failed(directory))?;
    Ok(report)
}

/// Rows in the order of the graph, without those that have no time.
fn order(table: &RawTable) -> Vec<u32> {
    let mut rows: Vec<u32> = (0u32..)
        .take(table.times.len())
        .filter(|row| table.times[*row as usize] != NO_TIME)
        .collect();
    rows.par_sort_unstable_by_key(|row| (table.times[*row as usize], table.hashes[*row as usize]));
    rows
}

fn table_report(schema: &Table, table: &RawTable, order: &[u32]) -> TableReport {
    let mut keys: Vec<u128> = table.keys.iter().flatten().copied().collect();
    keys.sort_unstable();
    let duplicates = keys.windows(2).filter(|pair| pair[0] == pair[1]).count();
    TableReport {
        rows: order.len(),
        without_time: table.times.len() - order.len(),
        duplicate_keys: if schema.primary_key.is_empty() { 0 } else { duplicates },
    }
}

fn write_link(
    files: &Files<'_>,
    link: LinkId,
    raw: &[u32],
    null: usize,
    child: &[u32],
    parent: &[u32],
    parent_rows: usize,
) -> Result<LinkReport, GraphError> {
    let mut numbers = vec![NO_ROW; parent_rows];
    for (new, old) in (0u32..).zip(parent) {
        numbers[*old as usize] = new;
    }
    let parents: Vec<u32> = child
        .iter()
        .map(|old| match raw[*old as usize] {
            NO_ROW => NO_ROW,
            target => numbers[target as usize],
        })
        .collect();
    let mut offsets = vec![0u64; parent.len() + 1];
    for target in parents.iter().filter(|t| **t != NO_ROW) {
        offsets[*target as usize + 1] += 1;
    }
    for i in 1..offsets.len() {
        offsets[i] += offsets[i - 1];
    }
    let edges = offsets.last().map_or(0, |n| *n as usize);
    let mut next = offsets.clone();
    let mut children = vec![0u32; edges];
    for (row, target) in (0u32..).zip(&parents).filter(|(_, t)| **t != NO_ROW) {
        let slot = &mut next[*target as usize];
        children[*slot as usize] = row;
        *slot += 1;
    }
    write_values(&files.parents(link), &parents, |v| v.to_le_bytes())?;
    write_values(&files.offsets(link), &offsets, |v| v.to_le_bytes())?;
    write_values(&files.children(link), &children, |v| v.to_le_bytes())?;
    Ok(LinkReport { edges, null, dangling: raw.iter().filter(|t| **t == NO_ROW).count() - null })
}

fn write_values<T: Copy, const N: usize>(
    path: &Path,
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> Result<(), GraphError> {
    let flat: Vec<u8> = values.iter().flat_map(|v| bytes(*v)).collect();
    fs::write(path, flat).map_err(|source| GraphError::File { path: path.to_owned(), source })
}

fn write_columns(path: &Path, batch: &RecordBatch, order: &[u32]) -> Result<(), GraphError> {
    let ordered = take_record_batch(batch, &UInt32Array::from(order.to_vec()))?;
    let file =
        File::create(path).map_err(|source| GraphError::File { path: path.to_owned(), source })?;
    let mut writer = FileWriter::try_new(BufWriter::new(file), &ordered.schema())?;
    writer.write(&ordered)?;
    writer.finish()?;
    Ok(())
}
