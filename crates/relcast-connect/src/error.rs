//! What can go wrong with sources and sinks, said so that a person can act on it.

use std::path::PathBuf;

use datafusion::error::DataFusionError;

/// A source that can't be read or a target that can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kind of source or target is known but not supported in this version.
    #[error("{what} is not supported yet; {hint}")]
    NotYet {
        /// What was asked for.
        what: String,
        /// What works instead.
        hint: &'static str,
    },
    /// A source can't be read.
    #[error("{place}: {reason}{}", .hint.map(|hint| format!("; {hint}")).unwrap_or_default())]
    Source {
        /// The source, and its table where it is about one.
        place: String,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// The url of a Postgres database that is none; no part of it is told.
    #[error(
        "this is no url of a Postgres database: {reason}; write postgres://user@host:5432/database"
    )]
    BadUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The path given as a source doesn't exist.
    #[error("there is no directory {}; give a folder of .parquet, .csv or .tsv files", .path.display())]
    NoDirectory {
        /// The path that was given.
        path: PathBuf,
    },
    /// The path given as a source is a file.
    #[error("{} is a file, not a directory; give the folder that holds the tables", .path.display())]
    NotADirectory {
        /// The path that was given.
        path: PathBuf,
    },
    /// The directory holds no table file.
    #[error("{} holds no .parquet or .csv or .tsv file, neither directly nor in a folder `db`", .path.display())]
    NoTables {
        /// The directory that was searched.
        path: PathBuf,
    },
    /// Two files would give tables of one name.
    #[error("{} and {} would both be table {table:?}; rename or remove one of them", .first.display(), .second.display())]
    SameTable {
        /// The name of the table.
        table: String,
        /// One file.
        first: PathBuf,
        /// The other file.
        second: PathBuf,
    },
    /// A file of a table can't be read.
    #[error("can't read {}: {reason}; {hint}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the reader says.
        reason: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A time lies outside of what microseconds in 64 bits hold.
    #[error(
        "column {column:?} of {} holds a time outside of the years -290307 to 294246 ({value} in {unit}); \
         correct the value or store it as NULL",
        .file.display()
    )]
    TimeOutOfRange {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// The value as stored.
        value: i64,
        /// The unit it is stored in.
        unit: &'static str,
    },
    /// A target that isn't one of the known forms.
    #[error(
        "{text:?} is no target; write file.parquet, file.csv or sqlite://file#table{}",
        .detail.map(|d| format!(" ({d})")).unwrap_or_default()
    )]
    BadTarget {
        /// What was given.
        text: String,
        /// What is missing in it, where that is known.
        detail: Option<&'static str>,
    },
    /// Nothing says which columns the target should have.
    #[error("nothing to write to {target}: no batch was given, so its columns aren't known")]
    NoBatches {
        /// The target.
        target: String,
    },
    /// The batches of one write differ in their columns.
    #[error("can't write {target}: batch {index} has other columns than the first one")]
    MixedSchemas {
        /// The target.
        target: String,
        /// The position of the first batch that differs.
        index: usize,
    },
    /// The folder of a target doesn't exist.
    #[error("can't write {target}: there is no folder {}; create it first", .folder.display())]
    NoFolder {
        /// The target.
        target: String,
        /// The missing folder.
        folder: PathBuf,
    },
    /// A target that is a table of the source, or would be read as one from then on.
    #[error(
        "can't write {target}: the tables are read from {}, and it would be one of them; \
         write into another folder",
        .folder.display()
    )]
    AmongTables {
        /// The target.
        target: String,
        /// The folder of the source's tables.
        folder: PathBuf,
    },
    /// A target can't be written; what it held before is unchanged.
    #[error("can't write {target}: {reason}; what it held before is unchanged")]
    Unwritable {
        /// The target.
        target: String,
        /// What the writer says.
        reason: String,
    },
    /// The session itself refused something.
    #[error("the SQL session failed: {0}")]
    Session(#[from] DataFusionError),
}
