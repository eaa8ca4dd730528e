//! The graph as it is read: slices over mapped files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::ipc::reader::FileReader;
use relcast_catalog::{LinkId, Schema, TableId};

use crate::NO_ROW;
use crate::error::GraphError;
use crate::hash::row_keys;
use crate::mmap::map;
use crate::snapshot::{FORMAT, Files, GraphReport, Meta};

/// A memory-mapped snapshot of a database's rows and links.
#[derive(Debug)]
pub struct TemporalGraph {
    directory: PathBuf,
    schema: Schema,
    report: GraphReport,
    tables: Vec<Rows>,
    links: Vec<Edges>,
}

#[derive(Debug)]
struct Rows {
    times: ScalarBuffer<i64>,
    ends: Option<ScalarBuffer<i64>>,
    hashes: ScalarBuffer<u64>,
    keys: OnceLock<HashMap<u128, u32>>,
}

#[derive(Debug)]
struct Edges {
    parents: ScalarBuffer<u32>,
    offsets: ScalarBuffer<u64>,
    children: ScalarBuffer<u32>,
}

impl TemporalGraph {
    /// Maps the snapshot in `directory`.
    ///
    /// # Errors
    /// If there is none, it is damaged, or of another version.
    pub fn open(directory: &Path) -> Result<Arc<Self>, GraphError> {
        let files = Files(directory);
        let damaged = |reason: String| GraphError::Damaged { path: files.meta(), reason };
        let text = fs::read(files.meta())
            .map_err(|source| GraphError::File { path: files.meta(), source })?;
        let meta: Meta = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        if meta.format != FORMAT {
            return Err(damaged(format!(
                "its format is {}, this relcast reads {FORMAT}",
                meta.format
            )));
        }
        let tables = (0u32..)
            .map(TableId)
            .zip(&meta.report.tables)
            .zip(&meta.ends)
            .map(|((id, table), has_ends)| {
                Ok(Rows {
                    times: map(&files.times(id), table.rows)?,
                    ends: has_ends.then(|| map(&files.ends(id), table.rows)).transpose()?,
                    hashes: map(&files.hashes(id), table.rows)?,
                    keys: OnceLock::new(),
                })
            })
            .collect::<Result<Vec<_>, GraphError>>()?;
        let links = meta
            .schema
            .link_ids()
            .zip(&meta.report.links)
            .map(|((id, link), _)| {
                let offsets: ScalarBuffer<u64> =
                    map(&files.offsets(id), tables[link.parent.index()].times.len() + 1)?;
                Ok(Edges {
                    parents: map(&files.parents(id), tables[link.child.index()].times.len())?,
                    children: map(&files.children(id), offsets.last().map_or(0, |n| *n as usize))?,
                    offsets,
                })
            })
            .collect::<Result<Vec<_>, GraphError>>()?;
        Ok(Arc::new(Self {
            directory: directory.to_owned(),
            schema: meta.schema,
            report: meta.report,
            tables,
            links,
        }))
    }

    /// The schema that was read into the graph.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What was read and what was left out.
    #[must_use]
    pub fn report(&self) -> &GraphReport {
        &self.report
    }

    /// How many rows `table` has.
    #[must_use]
    pub fn rows(&self, table: TableId) -> usize {
        self.tables[table.index()].times.len()
    }

    /// From when each row of `table` is known, ascending; [`crate::STATIC_TIME`] for always.
    #[must_use]
    pub fn times(&self, table: TableId) -> &[i64] {
        &self.tables[table.index()].times
    }

    /// Whether `row` of `table` is seen at `view`: known by then, and not ended.
    #[must_use]
    pub fn is_seen(&self, table: TableId, row: u32, view: i64) -> bool {
        let rows = &self.tables[table.index()];
        let ended = rows.ends.as_ref().is_some_and(|ends| ends[row as usize] <= view);
        rows.times[row as usize] <= view && !ended
    }

    /// Whether rows of `table` end.
    #[must_use]
    pub fn has_ends(&self, table: TableId) -> bool {
        self.tables[table.index()].ends.is_some()
    }

    /// The stable hash of each row of `table`.
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
        &edges.children
            [edges.offsets[row as usize] as usize..edges.offsets[row as usize + 1] as usize]
    }

    /// Those of [`TemporalGraph::children`] that are known at `view`: the first ones.
    #[must_use]
    pub fn children_known(&self, link: LinkId, row: u32, view: i64) -> &[u32] {
        let times = self.times(self.schema.link(link).child);
        let children = self.children(link, row);
        &children[..children.partition_point(|c| times[*c as usize] <= view)]
    }

    /// The columns of `table` in the order of the graph, as one batch.
    ///
    /// # Errors
    /// If the snapshot is damaged.
    pub fn table_columns(&self, table: TableId) -> Result<RecordBatch, GraphError> {
        let path = Files(&self.directory).columns(table);
        let file =
            File::open(&path).map_err(|source| GraphError::File { path: path.clone(), source })?;
        let damaged = |reason: String| GraphError::Damaged { path: path.clone(), reason };
        let reader =
            FileReader::try_new_buffered(file, None).map_err(|e| damaged(e.to_string()))?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|e| damaged(e.to_string()))?;
        let batch = arrow::compute::concat_batches(&schema, &batches)?;
        if batch.num_rows() != self.rows(table) {
            return Err(damaged(format!(
                "{} rows instead of {}",
                batch.num_rows(),
                self.rows(table)
            )));
        }
        Ok(batch)
    }

    /// The row of each key of `table`, given in the order of its primary key's columns.
    ///
    /// # Errors
    /// If the keys cannot be hashed, or the snapshot is damaged.
    pub fn find_rows(
        &self,
        table: TableId,
        keys: &[ArrayRef],
    ) -> Result<Vec<Option<u32>>, GraphError> {
        let rows = &self.tables[table.index()];
        let index = match rows.keys.get() {
            Some(index) => index,
            None => {
                let index = self.index_keys(table)?;
                rows.keys.get_or_init(|| index)
            }
        };
        Ok(row_keys(keys)?.iter().map(|key| key.and_then(|k| index.get(&k).copied())).collect())
    }

    fn index_keys(&self, table: TableId) -> Result<HashMap<u128, u32>, GraphError> {
        let batch = self.table_columns(table)?;
        let schema = self.schema.table(table);
        let columns = schema
            .primary_key
            .iter()
            .map(|name| {
                batch.column_by_name(name).cloned().ok_or_else(|| GraphError::NoColumn {
                    table: schema.name.clone(),
                    column: name.clone(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut index = HashMap::new();
        for (row, key) in (0u32..).zip(row_keys(&columns)?) {
            if let Some(key) = key {
                index.entry(key).or_insert(row);
            }
        }
        Ok(index)
    }
}
