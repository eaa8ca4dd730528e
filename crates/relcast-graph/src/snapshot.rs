//! The snapshot's files: what they are called, how they are written and checked.
//!
//! A snapshot is a folder with one file of plain values per table or link and kind, one Arrow file
//! per column, and [`META`]: a line with the format, the byte order and a checksum, then JSON with
//! the schema, the report and the length and checksum of every other file. It is written under
//! another name and renamed when complete.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;
use arrow::ipc::writer::FileWriter;
use relcast_catalog::{LinkId, Schema, TableId};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::GraphError;
use crate::mmap::map;

/// The first words of a snapshot.
const MAGIC: &str = "relcast-graph";

/// The format of the files and their byte order; another one is not read.
const FORMAT: &str = if cfg!(target_endian = "little") { "4-le" } else { "4-be" };

/// The file that tells what the others hold.
pub const META: &str = "graph.meta";

/// What was read into the graph, and what was left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GraphReport {
    /// Per table, in the order of the schema.
    pub tables: Vec<TableReport>,
    /// Per link, in the order of the schema.
    pub links: Vec<LinkReport>,
}

impl GraphReport {
    /// Rows of all tables together.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.tables.iter().map(|t| t.rows).sum()
    }

    /// Edges of all links together, each counted once.
    #[must_use]
    pub fn edges(&self) -> usize {
        self.links.iter().map(|l| l.edges).sum()
    }
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableReport {
    /// Rows in the graph.
    pub rows: usize,
    /// Rows left out because their time is NULL, their own or that of all their parents.
    pub without_time: usize,
    /// Rows beyond the first of each primary key, those left out included.
    pub duplicate_keys: usize,
}

/// The edges of one link. The three counts add up to the rows of the child table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkReport {
    /// Child rows that point to a row.
    pub edges: usize,
    /// Child rows whose foreign key is NULL.
    pub null: usize,
    /// Child rows whose foreign key points nowhere, or to a row that was left out.
    pub dangling: usize,
}

/// What [`META`] says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Meta {
    /// The schema that was read.
    pub schema: Schema,
    /// What was read.
    pub report: GraphReport,
    /// Every other file by name.
    pub files: BTreeMap<String, Contents>,
}

/// What a file must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    bytes: usize,
    checksum: u64,
}

impl Contents {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len(), checksum: xxh3_64(bytes) }
    }
}

/// The names of a snapshot's files.
pub mod name {
    use super::{LinkId, TableId};

    pub fn times(table: TableId) -> String {
        format!("table-{}.times", table.0)
    }
    pub fn ends(table: TableId) -> String {
        format!("table-{}.ends", table.0)
    }
    pub fn hashes(table: TableId) -> String {
        format!("table-{}.hashes", table.0)
    }
    pub fn column(table: TableId, column: usize) -> String {
        format!("table-{}.column-{column}.arrow", table.0)
    }
    pub fn parents(link: LinkId) -> String {
        format!("link-{}.parents", link.0)
    }
    pub fn offsets(link: LinkId) -> String {
        format!("link-{}.offsets", link.0)
    }
    pub fn children(link: LinkId) -> String {
        format!("link-{}.children", link.0)
    }
}

impl Meta {
    /// Reads [`META`] in `directory`.
    ///
    /// # Errors
    /// If there is none, it is damaged or of another version.
    pub fn read(directory: &Path) -> Result<Self, GraphError> {
        let path = directory.join(META);
        let bytes = fs::read(&path).map_err(GraphError::file(&path))?;
        let damaged = |reason: &str| GraphError::damaged(&path, reason);
        let line_end = bytes.iter().position(|b| *b == b'\n');
        let (line, json) = bytes.split_at(line_end.ok_or_else(|| damaged("it has no first line"))?);
        let (line, json) = (String::from_utf8_lossy(line), &json[1..]);
        let mut words = line.split(' ');
        if words.next() != Some(MAGIC) {
            return Err(damaged("it is no graph"));
        }
        let found = words.next().unwrap_or_default();
        if found != FORMAT {
            return Err(GraphError::Version {
                path,
                found: found.to_owned(),
                expected: FORMAT.to_owned(),
            });
        }
        if words.next() != Some(&format!("{:016x}", xxh3_64(json))) {
            return Err(damaged("its checksum is another"));
        }
        serde_json::from_slice(json).map_err(|e| GraphError::damaged(&path, e.to_string()))
    }

    /// Whether the snapshot in `directory` is this one, and whole.
    fn stands_in(&self, directory: &Path) -> bool {
        let same = |other: &Self| other.schema == self.schema && other.files == self.files;
        Self::read(directory).is_ok_and(|other| same(&other))
            && self.files.keys().all(|name| self.map(directory, name).is_ok())
    }

    /// Whether the snapshot has a file of this name.
    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Maps a file and compares its length and checksum: reads all of it once.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn map(&self, directory: &Path, name: &str) -> Result<Buffer, GraphError> {
        let path = directory.join(name);
        let expected =
            self.files.get(name).ok_or_else(|| GraphError::damaged(&path, "it is not listed"))?;
        let buffer = map(&path)?;
        if buffer.len() != expected.bytes {
            let reason = format!("it has {} bytes instead of {}", buffer.len(), expected.bytes);
            return Err(GraphError::damaged(&path, reason));
        }
        if xxh3_64(&buffer) != expected.checksum {
            return Err(GraphError::damaged(&path, "its checksum is another"));
        }
        Ok(buffer)
    }

    /// [`Meta::map`] for a file of `len` values.
    ///
    /// # Errors
    /// If it is missing, damaged or holds another number of values.
    pub fn map_values<T: ArrowNativeType>(
        &self,
        directory: &Path,
        name: &str,
        len: usize,
    ) -> Result<ScalarBuffer<T>, GraphError> {
        let buffer = self.map(directory, name)?;
        if buffer.len() != len * size_of::<T>() {
            let reason = format!("it has {} bytes for {len} values", buffer.len());
            return Err(GraphError::damaged(&directory.join(name), reason));
        }
        Ok(ScalarBuffer::new(buffer, 0, len))
    }
}

/// A snapshot that is being written beside its final place.
#[derive(Debug)]
pub struct SnapshotWriter {
    folder: TempDir,
    files: Mutex<BTreeMap<String, Contents>>,
}

impl SnapshotWriter {
    /// Makes the unfinished snapshot beside `directory`.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn new(directory: &Path) -> Result<Self, GraphError> {
        let around = around(directory);
        fs::create_dir_all(around).map_err(GraphError::file(around))?;
        let folder = tempfile::Builder::new()
            .prefix(".unfinished-")
            .tempdir_in(around)
            .map_err(GraphError::file(around))?;
        Ok(Self { folder, files: Mutex::default() })
    }

    /// Where a file of this name lies until the snapshot is complete.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes plain values.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_values<T: ArrowNativeType>(
        &self,
        name: String,
        values: Vec<T>,
    ) -> Result<(), GraphError> {
        let values = ScalarBuffer::from(values);
        let bytes = values.inner().as_slice();
        let path = self.path(&name);
        fs::write(&path, bytes).map_err(GraphError::file(&path))?;
        self.add(name, Contents::of(bytes));
        Ok(())
    }

    /// Writes one batch as an Arrow file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_batch(&self, name: String, batch: &RecordBatch) -> Result<(), GraphError> {
        let path = self.path(&name);
        let file = File::create(&path).map_err(GraphError::file(&path))?;
        let mut writer = FileWriter::try_new(BufWriter::new(file), &batch.schema())?;
        writer.write(batch)?;
        writer.into_inner()?.into_inner().map_err(|e| GraphError::file(&path)(e.into_error()))?;
        self.add(name, Contents::of(&map(&path)?));
        Ok(())
    }

    fn add(&self, name: String, contents: Contents) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(name, contents);
    }

    /// Puts the complete snapshot into its place, instead of one that may be there.
    ///
    /// Several processes may build the same snapshot: it is there from the first of them on.
    ///
    /// # Errors
    /// If the disk refuses; the old snapshot then stays.
    pub fn finish(
        self,
        directory: &Path,
        schema: &Schema,
        report: GraphReport,
    ) -> Result<GraphReport, GraphError> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let meta = Meta { schema: schema.clone(), report, files };
        let path = self.folder.path().join(META);
        let json = serde_json::to_string(&meta).map_err(|e| GraphError::file(&path)(e.into()))?;
        let text = format!("{MAGIC} {FORMAT} {:016x}\n{json}", xxh3_64(json.as_bytes()));
        fs::write(&path, text).map_err(GraphError::file(&path))?;
        // Another process may be faster with the same snapshot, now or while this one is put there.
        if !meta.stands_in(directory) {
            match self.put(directory) {
                // The folder has moved; there is nothing left to clean up.
                Ok(()) => drop(self.folder.keep()),
                Err(_) if meta.stands_in(directory) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(meta.report)
    }

    /// Renames the folder to `directory`; another snapshot that is there gives way.
    fn put(&self, directory: &Path) -> Result<(), GraphError> {
        let new = self.folder.path();
        if !directory.exists() {
            return fs::rename(new, directory).map_err(GraphError::file(directory));
        }
        let around = around(directory);
        let aside = tempfile::Builder::new()
            .prefix(".unfinished-")
            .tempdir_in(around)
            .map_err(GraphError::file(around))?;
        let old = aside.path().join("replaced");
        fs::rename(directory, &old).map_err(GraphError::file(directory))?;
        fs::rename(new, directory).map_err(|error| {
            // Whatever refused the new one may refuse the old one too; the first error is told.
            let _ = fs::rename(&old, directory);
            GraphError::file(directory)(error)
        })
    }
}

/// The folder that `directory` lies in.
fn around(directory: &Path) -> &Path {
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn written(directory: &Path, value: i64) -> SnapshotWriter {
        let writer = SnapshotWriter::new(directory).unwrap();
        writer.write_values("values".to_owned(), vec![value; 3]).unwrap();
        writer
    }

    fn finish(writer: SnapshotWriter, directory: &Path) {
        writer.finish(directory, &Schema::default(), GraphReport::default()).unwrap();
    }

    fn value(directory: &Path) -> i64 {
        let meta = Meta::read(directory).unwrap();
        meta.map_values::<i64>(directory, "values", 3).unwrap()[0]
    }

    #[test]
    fn a_snapshot_that_several_build_at_once_is_there_for_all_of_them() {
        let around = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let directory = around.path().join(round.to_string());
            let barrier = Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let writer = written(&directory, round);
                        barrier.wait();
                        finish(writer, &directory);
                        assert_eq!(value(&directory), round);
                    });
                }
            });
        }
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 50);
    }

    #[test]
    fn another_snapshot_in_its_place_gives_way() {
        let around = tempfile::tempdir().unwrap();
        let directory = around.path().join("graph");
        for n in 1..=2 {
            finish(written(&directory, n), &directory);
            assert_eq!(value(&directory), n);
        }
        fs::write(directory.join("values"), "damaged").unwrap();
        finish(written(&directory, 2), &directory);
        assert_eq!(value(&directory), 2);
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 1);
    }
}
