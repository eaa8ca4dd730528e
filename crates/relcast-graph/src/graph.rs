//! The graph as it is read: slices over mapped files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{FieldRef, Schema as ArrowSchema};
use rayon::prelude::*;
use relcast_catalog::{LinkId, Schema, TableId};

use crate::NO_ROW;
use crate::arrow_file::ArrowFile;
use crate::error::GraphError;
use crate::hash::row_keys;
use crate::key_index::KeyIndex;
use crate::snapshot::{GraphReport, META, Meta, name};

/// A memory-mapped snapshot of a database's rows and links.
///
/// Functions that take a row number panic if the table has no such row.
#[derive(Debug)]
pub struct TemporalGraph {
    directory: PathBuf,
    /// Locked while columns may still be read.
    _in_use: File,
    meta: Meta,
    tables: Vec<Rows>,
    links: Vec<Edges>,
}

#[derive(Debug)]
struct Rows {
    times: ScalarBuffer<i64>,
    ends: Option<ScalarBuffer<i64>>,
    hashes: ScalarBuffer<u64>,
    columns: Vec<OnceLock<(FieldRef, ArrayRef)>>,
    keys: OnceLock<(Vec<u128>, KeyIndex)>,
}

#[derive(Debug)]
struct Edges {
    parents: ScalarBuffer<u32>,
    offsets: ScalarBuffer<u64>,
    children: ScalarBuffer<u32>,
}

impl TemporalGraph {
    /// Maps the snapshot in `directory` and checks times, hashes and links against their
    /// checksums; a column is checked when it is first read. Until it is dropped the graph holds
    /// [`META`] locked for sharing: whoever can lock it alone may remove the snapshot.
    ///
    /// # Errors
    /// If there is none, it is damaged, or of another version.
    pub fn open(directory: &Path) -> Result<Arc<Self>, GraphError> {
        let path = directory.join(META);
        let in_use = File::open(&path)
            .and_then(|file| file.lock_shared().map(|()| file))
            .map_err(GraphError::file(&path))?;
        let meta = Meta::read(directory)?;
        if meta.report.tables.len() != meta.schema.tables.len()
            || meta.report.links.len() != meta.schema.links.len()
        {
            let reason = "the report is not that of the schema";
            return Err(GraphError::damaged(&path, reason));
        }
        let ids: Vec<TableId> = (0u32..).map(TableId).take(meta.schema.tables.len()).collect();
        let tables = ids
            .into_par_iter()
            .map(|id| Rows::open(directory, &meta, id))
            .collect::<Result<Vec<_>, GraphError>>()?;
        let ids: Vec<LinkId> = meta.schema.link_ids().map(|(id, _)| id).collect();
        let links = ids
            .into_par_iter()
            .map(|id| Edges::open(directory, &meta, id))
            .collect::<Result<Vec<_>, GraphError>>()?;
        let directory = directory.to_owned();
        Ok(Arc::new(Self { directory, _in_use: in_use, meta, tables, links }))
    }

    /// The schema that was read into the graph.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.meta.schema
    }

    /// What was read and what was left out.
    #[must_use]
    pub fn report(&self) -> &GraphReport {
        &self.meta.report
    }

    /// All tables, in the order of the schema.
    pub fn tables(&self) -> impl Iterator<Item = TableId> + use<> {
        (0u32..).map(TableId).take(self.tables.len())
    }

    /// How many rows `table` has.
    #[must_use]
    pub fn rows(&self, table: TableId) -> usize {
        self.tables[table.index()].times.len()
    }

    /// From when each row of `table` is known, microseconds UTC, ascending;
    /// [`crate::STATIC_TIME`] for always.
    #[must_use]
    pub fn times(&self, table: TableId) -> &[i64] {
        &self.tables[table.index()].times
    }

    /// From when each row of `table` is no longer seen, microseconds UTC, `i64::MAX` for never;
    /// `None` if rows of the table do not end.
    #[must_use]
    pub fn end_times(&self, table: TableId) -> Option<&[i64]> {
        self.tables[table.index()].ends.as_deref()
    }

    /// Whether rows of `table` end.
    #[must_use]
    pub fn has_ends(&self, table: TableId) -> bool {
        self.tables[table.index()].ends.is_some()
    }

    /// Whether `row` of `table` is seen at `view`: it exists, is known by then, and not ended.
    #[must_use]
    pub fn is_seen(&self, table: TableId, row: u32, view: i64) -> bool {
        let rows = &self.tables[table.index()];
        let known = rows.times.get(row as usize).is_some_and(|time| *time <= view);
        let ended = |ends: &ScalarBuffer<i64>| ends.get(row as usize).is_some_and(|e| *e <= view);
        known && !rows.ends.as_ref().is_some_and(ended)
    }

    /// The stable hash of each row of `table`: that of its primary key.
    #[must_use]
    pub fn stable_hashes(&self, table: TableId) -> &[u64] {
        &self.tables[table.index()].hashes
    }

    /// How many rows of `table` are known at `view`: the first ones.
    #[must_use]
    pub fn known_rows(&self, table: TableId, view: i64) -> u32 {
        self.times(table).partition_point(|t| *t <= view) as u32
    }

    /// The row that `row` points to over `link`.
    #[must_use]
    pub fn parent(&self, link: LinkId, row: u32) -> Option<u32> {
        Some(self.links[link.index()].parents[row as usize]).filter(|p| *p != NO_ROW)
    }

    /// The rows that point to `row` over `link`, in the order of time.
    #[must_use]
    pub fn children(&self, link: LinkId, row: u32) -> &[u32] {
        let edges = &self.links[link.index()];
        let row = row as usize;
        &edges.children[edges.offsets[row] as usize..edges.offsets[row + 1] as usize]
    }

    /// Those of [`TemporalGraph::children`] that are known at `view`: the first ones.
    #[must_use]
    pub fn children_known(&self, link: LinkId, row: u32, view: i64) -> &[u32] {
        let times = self.times(self.schema().link(link).child);
        let children = self.children(link, row);
        &children[..children.partition_point(|c| times[*c as usize] <= view)]
    }

    /// All columns of `table` in the order of the graph, as one batch that points into the
    /// snapshot's files.
    ///
    /// # Errors
    /// If the snapshot is damaged.
    pub fn table_columns(&self, table: TableId) -> Result<RecordBatch, GraphError> {
        let count = self.tables[table.index()].columns.len();
        let columns = (0..count)
            .into_par_iter()
            .map(|position| self.column(table, position))
            .collect::<Result<Vec<_>, _>>()?;
        let (fields, columns): (Vec<FieldRef>, Vec<ArrayRef>) =
            columns.into_iter().map(|(field, column)| (field.clone(), column.clone())).unzip();
        Ok(RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns)?)
    }

    fn column(&self, table: TableId, position: usize) -> Result<&(FieldRef, ArrayRef), GraphError> {
        let held = &self.tables[table.index()].columns[position];
        if let Some(column) = held.get() {
            return Ok(column);
        }
        let column = self.read_column(table, position)?;
        Ok(held.get_or_init(|| column))
    }

    fn read_column(
        &self,
        table: TableId,
        position: usize,
    ) -> Result<(FieldRef, ArrayRef), GraphError> {
        let name = name::column(table, position);
        let path = self.directory.join(&name);
        let damaged = |reason: String| GraphError::damaged(&path, reason);
        let file = ArrowFile::parse(&self.meta.map(&self.directory, &name)?).map_err(damaged)?;
        if file.batches() != 1 || file.schema().fields().len() != 1 {
            return Err(damaged("it does not hold one column".into()));
        }
        let batch = file.batch(0, &[0]).map_err(|e| damaged(e.to_string()))?;
        if batch.num_rows() != self.rows(table) {
            let reason = format!("{} rows instead of {}", batch.num_rows(), self.rows(table));
            return Err(damaged(reason));
        }
        Ok((batch.schema().fields()[0].clone(), batch.column(0).clone()))
    }

    /// The row of each key of `table`, given in the order of its primary key's columns; of rows
    /// with one key the earliest. `None` for a key that is NULL or that no row has.
    ///
    /// # Errors
    /// If there are more or fewer columns than in the primary key, or the snapshot is damaged.
    pub fn find_rows(
        &self,
        table: TableId,
        keys: &[ArrayRef],
    ) -> Result<Vec<Option<u32>>, GraphError> {
        let schema = self.schema().table(table);
        if keys.len() != schema.primary_key.len() || keys.is_empty() {
            return Err(GraphError::KeyWidth {
                what: "the key looked up".into(),
                table: schema.name.clone(),
                expected: schema.primary_key.len(),
                given: keys.len(),
            });
        }
        let held = &self.tables[table.index()].keys;
        let (row_of, index) = match held.get() {
            Some(index) => index,
            None => {
                let index = self.index_keys(table)?;
                held.get_or_init(|| index)
            }
        };
        Ok(row_keys(keys)?.into_iter().map(|key| index.find(row_of, key)).collect())
    }

    fn index_keys(&self, table: TableId) -> Result<(Vec<u128>, KeyIndex), GraphError> {
        let schema = self.schema().table(table);
        let names = || schema.columns.iter().map(|c| c.name.as_str());
        let column = |name: &String| {
            let position = names()
                .position(|n| n == name)
                .ok_or_else(|| GraphError::no_column(&schema.name, name, names()))?;
            Ok(self.column(table, position)?.1.clone())
        };
        let columns =
            schema.primary_key.iter().map(column).collect::<Result<Vec<_>, GraphError>>()?;
        let keys = row_keys(&columns)?;
        let index = KeyIndex::new(&keys, |_| true, |a, b| a < b);
        Ok((keys, index))
    }
}

impl Rows {
    fn open(directory: &Path, meta: &Meta, id: TableId) -> Result<Self, GraphError> {
        let rows = meta.report.tables[id.index()].rows;
        let ends = name::ends(id);
        let columns = meta.schema.table(id).columns.iter().map(|_| OnceLock::new()).collect();
        Ok(Self {
            times: meta.map_values(directory, &name::times(id), rows)?,
            ends: meta.has(&ends).then(|| meta.map_values(directory, &ends, rows)).transpose()?,
            hashes: meta.map_values(directory, &name::hashes(id), rows)?,
            columns,
            keys: OnceLock::new(),
        })
    }
}

impl Edges {
    fn open(directory: &Path, meta: &Meta, id: LinkId) -> Result<Self, GraphError> {
        let link = meta.schema.link(id);
        let rows = |table: TableId| meta.report.tables[table.index()].rows;
        let edges = meta.report.links[id.index()].edges;
        Ok(Self {
            parents: meta.map_values(directory, &name::parents(id), rows(link.child))?,
            offsets: meta.map_values(directory, &name::offsets(id), rows(link.parent) + 1)?,
            children: meta.map_values(directory, &name::children(id), edges)?,
        })
    }
}
