//! What can go wrong in the home folder, the registry and the artefacts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::error::DataFusionError;
use relcast_connect::redacted;
use relcast_graph::Stopped;
use relcast_query::plain_words;
use relcast_train::TrainError;

use crate::sqlstate;

/// An error of the engine: what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The home folder cannot be used.
    #[error("cannot write to the home folder {}: {source}", path.display())]
    Home {
        /// The home folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file or folder of the home folder cannot be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was being done, as a verb: `read`, `write`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process holds the model's lock.
    #[error("{} is writing model \"{model}\"", holder_text(.process.as_ref()))]
    Locked {
        /// The model.
        model: String,
        /// The process that holds the lock, where it is known.
        process: Option<u32>,
    },
    /// A name that cannot be a model's.
    #[error(
        "\"{name}\" cannot be the name of a model: a name has 1 to 100 letters, digits, \
         \"_\", \"-\" or \".\", and starts with a letter, a digit or \"_\""
    )]
    ModelName {
        /// The name.
        name: String,
    },
    /// The registry has no such model.
    #[error("no model \"{model}\"{}", nearest_text(.nearest.as_deref()))]
    NoModel {
        /// The name asked for.
        model: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// The model has no such version.
    #[error("model \"{model}\" has no version {version}; it has {existing}")]
    NoVersion {
        /// The model.
        model: String,
        /// The version asked for.
        version: i64,
        /// The versions that exist, as text.
        existing: String,
    },
    /// The registry cannot be read or written.
    #[error("registry {}: {source}", path.display())]
    Registry {
        /// The registry's file.
        path: PathBuf,
        /// SQLite's own error.
        source: sqlx::Error,
    },
    /// The registry's tables cannot be brought to this program's version.
    #[error("registry {}: {source}", path.display())]
    Migration {
        /// The registry's file.
        path: PathBuf,
        /// What the migration said.
        source: sqlx::migrate::MigrateError,
    },
    /// A row of the registry holds what no relcast wrote.
    #[error("registry: {place} is not valid: {message}")]
    BadRow {
        /// Model, version and column.
        place: String,
        /// What is wrong with it.
        message: String,
    },
    /// A file of an artefact is missing or is not what was written.
    #[error("artefact {}: {message}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The tables could not be read for what their columns mean.
    #[error(transparent)]
    Catalog(#[from] relcast_catalog::CatalogError),
    /// An artefact is of another format.
    #[error(
        "version {version} of model \"{model}\" was written by relcast {writer} in {}; this relcast reads format {expected}",
        .found.map_or_else(|| "a format without a number".to_owned(), |n| format!("format {n}"))
    )]
    Format {
        /// The model.
        model: String,
        /// The version.
        version: i64,
        /// Its format's number, where it has one.
        found: Option<u64>,
        /// The number that can be read.
        expected: u64,
        /// The version of relcast that wrote it.
        writer: String,
    },
    /// A query could not be read or bound.
    #[error("{source}")]
    InText {
        /// What is wrong, and where in the text.
        source: relcast_query::QueryError,
        /// The text of the query.
        text: String,
    },
    /// A query could not be planned or run.
    #[error(transparent)]
    Query(#[from] relcast_query::QueryError),
    /// A model could not be fitted, evaluated or used.
    #[error(transparent)]
    Train(TrainError),
    /// The query names entities of its own.
    #[error("FOR … = and FOR … IN choose whom to predict for; a model learns from all entities")]
    NamesEntities,
    /// A column of the question has the name of a column of every prediction.
    #[error("the key or label column \"{name}\" has the name of a column of predictions")]
    ResultColumn {
        /// The name.
        name: String,
    },
    /// What was read of the source is older than it may be, and it cannot be read again.
    #[error("what was read of the source is older than --freshness allows ({bound:?}): {reason}")]
    Outdated {
        /// How old it may be.
        bound: std::time::Duration,
        /// Why it cannot be read.
        reason: String,
    },
    /// There is nothing that RelBench's leaderboard would take.
    #[error("model \"{model}\" has nothing to submit to RelBench: {reason}")]
    NoSubmission {
        /// The model.
        model: String,
        /// Why not.
        reason: String,
    },
    /// A source could not be read, or predictions not be written.
    #[error(transparent)]
    Connect(#[from] relcast_connect::ConnectError),
    /// A column could not be laid out.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// Something could not be told as JSON.
    #[error("cannot read or write JSON: {0}")]
    Json(String),
    /// The database is not the one the model was trained on.
    #[error("the schema has changed since model \"{model}\" was trained: {difference}")]
    SchemaChanged {
        /// The model.
        model: String,
        /// What differs first.
        difference: String,
    },
    /// SQL that cannot be planned or run.
    #[error("{}{message}{}", at.map(|at| format!("{at}: ")).unwrap_or_default(), hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    Sql {
        /// Where in the statement, if it can be said.
        at: Option<relcast_query::Place>,
        /// What is wrong.
        message: String,
        /// What to do, such as the nearest name.
        hint: Option<String>,
    },
    /// SQL that DataFusion refused or failed to run.
    #[error("{}{message}{}", at.map(|at| format!("{at}: ")).unwrap_or_default(), hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    Failed {
        /// The SQLSTATE of what lies at its bottom.
        state: &'static str,
        /// Where in the statement, if it can be said.
        at: Option<relcast_query::Place>,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A statement needs more memory than it may take.
    #[error("the statement needs more memory than it may take: {0}")]
    Memory(String),
    /// A model of that name exists.
    #[error("model \"{model}\" exists already")]
    ModelExists {
        /// The name.
        model: String,
    },
    /// A table of that name exists.
    #[error("table \"{table}\" exists already")]
    TableExists {
        /// The name.
        table: String,
    },
    /// A table that is only read.
    #[error("table \"{table}\" belongs to the source and is only read")]
    ReadOnly {
        /// The name.
        table: String,
    },
    /// A query with another target or entity than the model that it names.
    #[error("model \"{model}\" predicts something else: {target}")]
    OtherTarget {
        /// The model.
        model: String,
        /// What it predicts.
        target: String,
    },
    /// A condition on a model that has no query to take part in.
    #[error("model \"{model}\" was trained from {origin}: it takes no target, WHERE or ASSUMING")]
    TaskModel {
        /// The model.
        model: String,
        /// What it was trained from.
        origin: &'static str,
    },
    /// Something that this version cannot do.
    #[error("not yet: {what}")]
    NotYet {
        /// What.
        what: String,
    },
    /// The statement changes something, and whoever asks may only read.
    #[error("you may read and predict, but not train, write or drop")]
    Forbidden,
    /// A file or folder that the statement may not name.
    #[error("\"{what}\" is in no folder that clients of this server may name")]
    OutOfReach {
        /// What was named.
        what: String,
    },
    /// A file or folder that people name, and that lies in the home folder.
    #[error("{} lies in the home folder {}, which relcast keeps for itself", what.display(), home.display())]
    InHome {
        /// What was named.
        what: PathBuf,
        /// The home folder.
        home: PathBuf,
    },
    /// A setting of the whole process, which no session of a server may change.
    #[error("{name} is for all sessions of the server")]
    SharedSetting {
        /// Its name.
        name: String,
    },
    /// Nobody waits for the result any more.
    #[error("the statement was stopped")]
    Stopped,
    /// A document's name cannot be a file name of an artefact.
    #[error("\"{name}\" cannot be the name of a document in an artefact")]
    DocumentName {
        /// The name.
        name: String,
    },
}

impl EngineError {
    /// What a person can do about it, where something can be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Home { .. } => "name a folder you can write to with --home DIR",
            Self::Locked { .. } => "wait until it has finished, or train under another name",
            Self::NoModel { .. } | Self::NoVersion { .. } => "`relcast models list` shows them all",
            Self::Migration { source: sqlx::migrate::MigrateError::VersionMissing(_), .. } => {
                "a newer relcast wrote this home folder: use that one, or another --home DIR"
            }
            Self::Registry { .. } | Self::Migration { .. } if disk_is_full(self) => {
                "the disk is full or files may not grow: make room, or name another folder with --home DIR"
            }
            Self::Registry { .. } | Self::Migration { .. } | Self::BadRow { .. } => {
                "if the file is damaged, restore it from a copy, or start anew with --home DIR"
            }
            Self::NoSubmission { .. } => {
                "train with --task on a task of two classes or of a number that the database declares"
            }
            Self::Format { .. } => "train the model again, or use the relcast that wrote it",
            Self::Corrupt { .. } => "train the model again, or drop this version",
            Self::SchemaChanged { .. } => "train the model again on the database as it is now",
            Self::ResultColumn { .. } => "give it another name in the source or in the manifest",
            Self::NamesEntities => {
                "write FOR EACH to train, and name the entities when you predict; WHERE chooses by \
                 what is known at each cutoff"
            }
            Self::InText { .. }
            | Self::Query(_)
            | Self::Train(_)
            | Self::Connect(_)
            | Self::Arrow(_)
            | Self::Json(_) => {
                return None;
            }
            Self::Memory(_) => {
                "read fewer rows or columns, or serve with a larger --statement-memory"
            }
            Self::ModelExists { .. } => {
                "CREATE OR REPLACE MODEL trains its next version, CREATE MODEL IF NOT EXISTS keeps it"
            }
            Self::TableExists { .. } => {
                "choose another name; CREATE OR REPLACE TABLE replaces a table that CREATE TABLE made"
            }
            Self::Outdated { .. } => {
                "mend the source: answers go on once it can be read; or allow more with --freshness"
            }
            Self::ReadOnly { .. } => "INSERT and DROP are for tables that CREATE TABLE made",
            Self::OtherTarget { .. } => {
                "leave the target out (PREDICT USING MODEL …), or train a model for this one"
            }
            Self::TaskModel { .. } => {
                "write PREDICT USING MODEL … FOR …, and filter its rows with SQL around it"
            }
            Self::OutOfReach { .. } => {
                "COPY … TO STDOUT sends the rows to you; relcast serve --files DIR names a folder for clients"
            }
            Self::InHome { .. } => "name a place in another folder",
            Self::SharedSetting { .. } => {
                "say it where the server starts, such as --statement-memory"
            }
            Self::Sql { .. }
            | Self::Failed { .. }
            | Self::NotYet { .. }
            | Self::Stopped
            | Self::Forbidden
            | Self::Catalog(_) => return None,
            Self::File { .. } | Self::ModelName { .. } | Self::DocumentName { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether somebody stopped the work, and nothing went wrong.
    #[must_use]
    pub(crate) fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped)
    }

    /// What is wrong, without its place, and what to do where that can be said; with no password
    /// that the statement or a library's message may hold.
    #[must_use]
    pub fn told(&self) -> (String, Option<String>) {
        let (message, hint) = self.split();
        (redacted(&message), hint.map(|hint| redacted(&hint)))
    }

    fn split(&self) -> (String, Option<String>) {
        if let Self::Sql { message, hint, .. } | Self::Failed { message, hint, .. } = self {
            return (message.clone(), hint.clone());
        }
        let text = self.to_string();
        let text = match self.place() {
            Some(place) => text.strip_prefix(&format!("{place}: ")).unwrap_or(&text).to_owned(),
            None => text,
        };
        match (self.hint(), split_hint(&text)) {
            (Some(hint), _) => (text, Some(hint)),
            (None, (what, hint)) => (what.to_owned(), hint.map(str::to_owned)),
        }
    }

    /// Ours, where DataFusion carries an error of ours; else its own in a person's words.
    #[must_use]
    pub fn of_datafusion(error: DataFusionError) -> Self {
        let error = match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(ours) => return *ours,
                Err(inner) => match inner.downcast::<relcast_connect::ConnectError>() {
                    Ok(of_source) => return Self::Connect(*of_source),
                    Err(inner) => DataFusionError::External(inner),
                },
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                return Self::of_datafusion(*inner);
            }
            DataFusionError::Shared(inner) => match Arc::try_unwrap(inner) {
                Ok(inner) => return Self::of_datafusion(inner),
                Err(inner) => DataFusionError::Shared(inner),
            },
            other => other,
        };
        if let DataFusionError::ResourcesExhausted(message) = error.find_root() {
            return Self::Memory(message.lines().next().unwrap_or_default().to_owned());
        }
        let state = sqlstate::of_datafusion(&error);
        let text = plain_words(&error);
        if let Some(file) = file_gone(&text) {
            return Self::Failed {
                state: sqlstate::IO,
                at: None,
                message: format!("the file {file} of a table is gone"),
                hint: Some("put it back, or open the database anew without it".to_owned()),
            };
        }
        let (message, at) = split_place(&text);
        Self::Failed { state, at, message, hint: None }
    }

    /// The same error with its place in the statement, where it has none yet.
    pub(crate) fn at(self, place: Option<relcast_query::Place>) -> Self {
        match self {
            Self::Sql { at: None, message, hint } => Self::Sql { at: place, message, hint },
            Self::Failed { state, at: None, message, hint } => {
                Self::Failed { state, at: place, message, hint }
            }
            other => other,
        }
    }

    /// Where in the statement the error is, if it is in the statement.
    #[must_use]
    pub fn place(&self) -> Option<relcast_query::Place> {
        match self {
            Self::Sql { at, .. } | Self::Failed { at, .. } => *at,
            Self::Query(error) => error.place(),
            _ => None,
        }
    }

    /// Keeps the text of a query beside what is wrong with it.
    pub(crate) fn in_text(text: &str) -> impl Fn(relcast_query::QueryError) -> Self + '_ {
        move |source| Self::InText { source, text: text.to_owned() }
    }

    /// Wraps an error of the JSON library.
    pub(crate) fn json(error: impl std::fmt::Display) -> Self {
        Self::Json(error.to_string())
    }

    /// Wraps an error of the operating system with what was being done to which file.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}

/// The file that was there when its table was opened, and no longer is when it is read.
fn file_gone(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("Object at location ")?;
    rest.split_once(" not found").map(|(file, _)| file)
}

fn holder_text(process: Option<&u32>) -> String {
    process.map_or_else(
        || "another process".to_owned(),
        |process| format!("another process ({process})"),
    )
}

fn nearest_text(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// DataFusion's own words without their kind, and the place that the SQL parser puts at their end.
fn split_place(text: &str) -> (String, Option<relcast_query::Place>) {
    let kinds = [
        "SQL error: ParserError(\"",
        "Error during planning: ",
        "Execution error: ",
        "Schema error: ",
        "This feature is not implemented: ",
        "External error: ",
    ];
    let found = kinds.iter().find_map(|kind| text.strip_prefix(kind));
    let text = found.unwrap_or(text).trim_end_matches("\")");
    let Some((message, place)) = text.rsplit_once(" at Line: ") else {
        return (text.to_owned(), None);
    };
    let numbers = place.split_once(", Column: ");
    let place = numbers.and_then(|(line, column)| {
        Some(relcast_query::Place { line: line.parse().ok()?, column: column.parse().ok()? })
    });
    (message.to_owned(), place)
}

impl From<Stopped> for EngineError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<TrainError> for EngineError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Stopped(stopped) => stopped.into(),
            other => Self::Train(other),
        }
    }
}

impl From<DataFusionError> for EngineError {
    fn from(error: DataFusionError) -> Self {
        Self::of_datafusion(error)
    }
}

/// Our errors say what is wrong, then, after a semicolon outside of quotes, what to do.
#[must_use]
pub fn split_hint(text: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        quoted ^= character == '"';
        if !quoted && let Some(hint) = text.get(at..).and_then(|rest| rest.strip_prefix("; ")) {
            return (text.get(..at).unwrap_or(text), Some(hint));
        }
    }
    (text, None)
}

/// Whether SQLite says that there is no room: in so many words, or that a file of its could not grow
/// (SQLITE_IOERR_WRITE, SQLITE_IOERR_SHMSIZE).
fn disk_is_full(error: &EngineError) -> bool {
    let text = error.to_string();
    ["disk is full", "(code: 778)", "(code: 4874)"].iter().any(|said| text.contains(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_no_hint() {
        assert_eq!(
            split_hint("no table \"a; b\"; did you mean \"c\"?"),
            ("no table \"a; b\"", Some("did you mean \"c\"?"))
        );
        assert_eq!(split_hint("no model \"x; y\""), ("no model \"x; y\"", None));
        let message =
            "Cannot cast string '1'; DROP MODEL churn; --' to value of Int64 type".to_owned();
        let error = EngineError::Sql { at: None, message: message.clone(), hint: None };
        assert_eq!(error.told(), (message, None));
    }

    #[test]
    fn what_is_for_developers_of_libraries_is_not_told() {
        use arrow::error::ArrowError;

        let told = |error| EngineError::of_datafusion(error).to_string();
        let no_cast = ArrowError::CastError("Cannot cast string 'x'".to_owned());
        let no_cast = DataFusionError::ArrowError(Box::new(no_cast), None);
        assert_eq!(told(no_cast), "Cast error: Cannot cast string 'x'");
        let internal = || DataFusionError::Internal("no plan for this".to_owned());
        assert!(internal().to_string().contains("filing a bug report"));
        assert_eq!(told(internal()), "no plan for this");
        let source = Box::new(internal());
        let query = relcast_query::QueryError::Run { doing: "counting".to_owned(), source };
        assert_eq!(EngineError::Query(query).to_string(), "counting: no plan for this");
    }

    #[test]
    fn no_password_is_told() {
        let error = EngineError::Sql {
            at: None,
            message: "no object store for postgres://ana:s3cret@h/d".to_owned(),
            hint: Some("password=s3cret is not taken".to_owned()),
        };
        let (message, hint) = error.told();
        assert_eq!(message, "no object store for postgres://ana:***@h/d");
        assert_eq!(hint.as_deref(), Some("password=*** is not taken"));
    }
}
