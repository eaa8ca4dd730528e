//! A folder of files as one SQL session.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::error::ConnectError;
use crate::file_writer::folder_of;
use crate::left_out::left_out;
use crate::tables::Tables;
use crate::typed::ReadColumns;
use crate::{csv, fingerprint, normalise, parquet};

/// An open database: its tables, ready to be queried.
///
/// Every table is registered under its own name with normalised columns: timestamps are
/// `Timestamp(Microsecond, None)` in UTC, strings are `Utf8`. Identifiers keep their case.
#[derive(Clone)]
pub struct Database {
    /// The session that knows all tables.
    pub context: SessionContext,
    /// The folder that was opened; `manifest.yaml`, `relcast.yaml` and `tasks` lie in it.
    pub directory: PathBuf,
    /// The names of the tables, sorted.
    pub tables: Vec<String>,
    /// The tables and columns that the source holds as dates, without a time of the day: in CSV files
    /// those whose every value is written so. They are read as their midnights.
    pub dates: BTreeSet<(String, String)>,
    /// Columns of CSV files that are, or would be, times or numbers but for a few cells.
    pub odd_cells: Vec<OddCells>,
    /// The names of what lies among the tables' files and is not read, each with what to do about it.
    pub left_out: Vec<(String, &'static str)>,
    /// Hash of names, sizes and contents of the tables' files (not of what declares their keys).
    pub fingerprint: String,
    stamps: BTreeMap<String, Stamp>,
}

/// A column of times or numbers, but for a few cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddCells {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Whether the column is read as times or numbers, those cells as NULL; else it is text.
    pub is_typed: bool,
    /// What is wrong with it: how many cells, and line and value of the first.
    pub text: String,
}

/// How large a table's file is, when it was written, and which file it is.
type Stamp = (u64, Option<SystemTime>, Identity);

/// What changes when another file takes the place of one, be it as large and as old.
type Identity = (u64, i64, i64);

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> Identity {
    Identity::default()
}

impl Database {
    /// Whether files of tables came, went, were written or replaced since the database was opened.
    /// Looks at sizes, times of writing and which files they are, not at contents.
    ///
    /// # Errors
    /// When the folder can no longer be read, or holds no table.
    pub fn has_changed(&self) -> Result<bool, ConnectError> {
        Ok(stamps(&table_files(&self.directory)?)? != self.stamps)
    }
}

fn stamps(files: &BTreeMap<String, PathBuf>) -> Result<BTreeMap<String, Stamp>, ConnectError> {
    let stamp = |(table, path): (&String, &PathBuf)| {
        let metadata = std::fs::metadata(path).map_err(|e| ConnectError::Unreadable {
            file: path.clone(),
            reason: e.to_string(),
            hint: "check its permissions",
        })?;
        let written = metadata.modified().ok();
        Ok((table.clone(), (metadata.len(), written, identity(&metadata))))
    };
    files.iter().map(stamp).collect()
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("directory", &self.directory)
            .field("tables", &self.tables)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// How a database is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Threads that a query may use; by default one per processor.
    pub threads: Option<usize>,
}

/// Opens the database at `db` with default options; see [`open_with`].
///
/// # Errors
/// As [`open_with`].
pub async fn open(db: &str) -> Result<Database, ConnectError> {
    open_with(db, &OpenOptions::default()).await
}

/// Opens a directory in RelBench layout (`db/*.parquet`) or a bare folder of Parquet, CSV and TSV
/// files; each file is one table, named by its stem.
///
/// # Errors
/// When the source is no such directory or holds no table, when a file can't be read, or when a
/// time doesn't fit into microseconds. The error names the file and says what to do.
pub async fn open_with(db: &str, options: &OpenOptions) -> Result<Database, ConnectError> {
    open_as(db, options, &ReadColumns::new()).await
}

/// The same, with the columns of CSV files of which something is declared read as that.
///
/// # Errors
/// As [`open_with`].
pub async fn open_as(
    db: &str,
    options: &OpenOptions,
    declared: &ReadColumns,
) -> Result<Database, ConnectError> {
    refuse_servers(db)?;
    let directory = Path::new(db);
    let files = table_files(directory)?;
    // Taken first: what is written while we read counts as a change.
    let stamps = stamps(&files)?;
    let context = session(options, Tables::of_files(files.clone()))?;
    let (mut dates, mut odd_cells) = (BTreeSet::new(), Vec::new());
    for (table, path) in &files {
        let (found, odd) = register(&context, table, path, declared).await?;
        dates.extend(found.into_iter().map(|column| (table.clone(), column)));
        odd_cells.extend(odd.into_iter().map(|cell| OddCells {
            table: table.clone(),
            is_typed: cell.is_typed,
            text: format!(
                "{} of {} values are {}; {} are none, the first {:?} in line {}",
                cell.good,
                cell.good + cell.odd,
                cell.what,
                cell.odd,
                cell.value,
                cell.line
            ),
            column: cell.column,
        }));
    }
    let paths: Vec<&PathBuf> = files.values().collect();
    let fingerprint =
        fingerprint::of_files(&paths).map_err(|(index, e)| ConnectError::Unreadable {
            file: paths.get(index).map_or_else(PathBuf::new, |p| (*p).clone()),
            reason: e.to_string(),
            hint: "check its permissions",
        })?;
    let left_out = paths.first().map(|file| left_out(folder_of(file))).unwrap_or_default();
    Ok(Database {
        context,
        directory: directory.to_owned(),
        tables: files.into_keys().collect(),
        dates,
        odd_cells,
        left_out,
        fingerprint,
        stamps,
    })
}

/// The names of the tables that [`open`] would find in the folder `db`, sorted; no file is read.
pub(crate) fn table_names(db: &str) -> Result<Vec<String>, ConnectError> {
    refuse_servers(db)?;
    Ok(table_files(Path::new(db))?.into_keys().collect())
}

fn refuse_servers(db: &str) -> Result<(), ConnectError> {
    let Some((scheme, _)) = db.split_once("://") else { return Ok(()) };
    Err(ConnectError::NotYet {
        what: format!("reading from {scheme}://"),
        hint: "export the tables as Parquet or CSV files into one folder and give that folder",
    })
}

/// A session as all of relcast expects it.
fn session(options: &OpenOptions, tables: Tables) -> Result<SessionContext, ConnectError> {
    // Clients are told the catalog as the name of the database.
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_default_catalog_and_schema("relcast", "public");
    if let Some(threads) = options.threads {
        config = config.with_target_partitions(threads.max(1));
    }
    let settings = config.options_mut();
    settings.sql_parser.enable_ident_normalization = false;
    settings.execution.parquet.schema_force_view_types = false;
    settings.execution.parquet.binary_as_string = false;
    let (catalog, schema) =
        (settings.catalog.default_catalog.clone(), settings.catalog.default_schema.clone());
    let context = SessionContext::new_with_config(config);
    if let Some(catalog) = context.catalog(&catalog) {
        catalog.register_schema(&schema, Arc::new(tables))?;
    }
    Ok(context)
}

/// The files that hold tables, by table name: those of the folder `db`, or of `directory` itself.
pub(crate) fn table_files(directory: &Path) -> Result<BTreeMap<String, PathBuf>, ConnectError> {
    if !directory.exists() {
        return Err(ConnectError::NoDirectory { path: directory.to_owned() });
    }
    if !directory.is_dir() {
        return Err(ConnectError::NotADirectory { path: directory.to_owned() });
    }
    let inner = directory.join("db");
    let mut files = BTreeMap::new();
    if inner.is_dir() {
        files = files_in(&inner)?;
    }
    if files.is_empty() {
        files = files_in(directory)?;
    }
    if files.is_empty() {
        return Err(ConnectError::NoTables { path: directory.to_owned() });
    }
    Ok(files)
}

fn files_in(folder: &Path) -> Result<BTreeMap<String, PathBuf>, ConnectError> {
    let unreadable = |e: std::io::Error| ConnectError::Unreadable {
        file: folder.to_owned(),
        reason: e.to_string(),
        hint: "check the folder's permissions",
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() && format_of(&path).is_some() {
            paths.push(path);
        }
    }
    paths.sort();
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in paths {
        let Some(stem) = path.file_stem().and_then(|s| s.to_str()) else { continue };
        if stem.starts_with('.') {
            continue;
        }
        if let Some(first) = files.get(stem) {
            return Err(ConnectError::SameTable {
                table: stem.to_owned(),
                first: first.clone(),
                second: path,
            });
        }
        files.insert(stem.to_owned(), path);
    }
    Ok(files)
}

pub(crate) enum Format {
    Parquet,
    Csv,
}

pub(crate) fn format_of(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?;
    if extension.eq_ignore_ascii_case("parquet") {
        Some(Format::Parquet)
    } else if ["csv", "tsv"].iter().any(|e| extension.eq_ignore_ascii_case(e)) {
        Some(Format::Csv)
    } else {
        None
    }
}

/// Makes a table known; gives its columns of dates, and those with a few odd cells.
async fn register(
    context: &SessionContext,
    table: &str,
    path: &Path,
    declared: &ReadColumns,
) -> Result<(Vec<String>, Vec<csv::OddCell>), ConnectError> {
    let (frame, dates, odd) = match format_of(path) {
        Some(Format::Csv) => {
            let nothing = BTreeMap::new();
            let declared = declared.get(table).unwrap_or(&nothing);
            let csv::Rows { schema, batches, dates, odd_cells } = csv::read(path, declared)?;
            let memory = MemTable::try_new(schema, vec![batches])?;
            let frame = context.read_table(Arc::new(memory))?;
            (normalise::normalised_frame(frame, &BTreeMap::new())?, dates, odd_cells)
        }
        _ => {
            let (frame, dates) = parquet::read(context, path).await?;
            (frame, dates, Vec::new())
        }
    };
    tracing::debug!(table, file = %path.display(), "table registered");
    context.register_table(TableReference::bare(table), frame.into_view())?;
    Ok((dates, odd))
}
