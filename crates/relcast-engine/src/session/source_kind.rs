//! The kinds of databases that can be attached: their options, as written and as kept on record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use relcast_catalog::nearest;
use relcast_connect::{ConnectError, PostgresUrl, Source, folder, postgres, sqlite};
use relcast_query::Place;
use relcast_query::ast::Name;

use crate::error::{EngineError, split_hint};
use crate::sources::SourceRecord;

const FOLDER: &str = "folder";
const POSTGRES: &str = "postgres";
const SQLITE: &str = "sqlite";

/// The options.
const PATH: &str = "path";
const URL: &str = "url";
const SCHEMA: &str = "schema";

/// The schema of Postgres whose tables are meant where none is named.
const PUBLIC: &str = "public";

/// Where an attached database is.
#[derive(Debug)]
pub(super) enum SourceKind {
    Folder(PathBuf),
    Sqlite(PathBuf),
    Postgres { url: PostgresUrl, schema: String },
}

impl SourceKind {
    /// What `TYPE kind OPTIONS (…)` says.
    pub(super) fn written(kind: &Name, options: &[(Name, String)]) -> Result<Self, EngineError> {
        match kind.text.to_ascii_lowercase().as_str() {
            FOLDER => {
                let hint = "write OPTIONS (path 'folder')";
                let options = Options { kind, what: "a folder", hint, options };
                options.check(&[PATH])?;
                Ok(Self::Folder(options.path(options.needed(PATH)?)?))
            }
            SQLITE => {
                let hint = "write OPTIONS (path 'file.db')";
                let options = Options { kind, what: "a SQLite database", hint, options };
                options.check(&[PATH, URL])?;
                match (options.find(PATH), options.find(URL)) {
                    (None, Some((at, url))) => match url.strip_prefix("sqlite://") {
                        Some(path) => Ok(Self::Sqlite(options.path((at, path))?)),
                        None => Err(options.refused(at, "the url does not start with sqlite://")),
                    },
                    (Some(_), Some((at, _))) => {
                        Err(options.refused(at, "path and url say the same"))
                    }
                    _ => Ok(Self::Sqlite(options.path(options.needed(PATH)?)?)),
                }
            }
            POSTGRES | "postgresql" => {
                let hint = "write OPTIONS (url 'postgres://user@host:5432/database')";
                let options = Options { kind, what: "a Postgres database", hint, options };
                options.check(&[URL, SCHEMA])?;
                let (at, url) = options.needed(URL)?;
                let url = PostgresUrl::parse(url).map_err(|error| {
                    let text = error.to_string();
                    let (message, hint) = split_hint(&text);
                    sql_error(at, message, hint)
                })?;
                let schema = options.find(SCHEMA).map_or(PUBLIC, |(_, schema)| schema);
                Ok(Self::Postgres { url, schema: schema.to_owned() })
            }
            other => {
                let kinds = [FOLDER, POSTGRES, SQLITE];
                let nearest = nearest(other, kinds).map(|kind| format!("did you mean \"{kind}\"?"));
                let hint = nearest.unwrap_or_else(|| format!("there are {}", kinds.join(", ")));
                Err(sql_error(kind.at, &format!("no sources of TYPE {}", kind.text), Some(&hint)))
            }
        }
    }

    /// What a record says.
    pub(super) fn recorded(record: &SourceRecord) -> Result<Self, ConnectError> {
        let option = |name: &str| record.options.get(name).map(String::as_str);
        let path = || PathBuf::from(option(PATH).unwrap_or_default());
        Ok(match record.kind.as_str() {
            SQLITE => Self::Sqlite(path()),
            POSTGRES => Self::Postgres {
                url: PostgresUrl::parse(option(URL).unwrap_or_default())?,
                schema: option(SCHEMA).unwrap_or(PUBLIC).to_owned(),
            },
            _ => Self::Folder(path()),
        })
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Folder(_) => FOLDER,
            Self::Sqlite(_) => SQLITE,
            Self::Postgres { .. } => POSTGRES,
        }
    }

    /// The file or folder that it is.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) | Self::Sqlite(path) => Some(path),
            Self::Postgres { .. } => None,
        }
    }

    /// What goes on record; no password does.
    pub(super) fn options(&self) -> BTreeMap<String, String> {
        let options = match self {
            Self::Folder(path) | Self::Sqlite(path) => {
                vec![(PATH, path.to_string_lossy().into_owned())]
            }
            Self::Postgres { url, schema } => {
                vec![(URL, url.to_string()), (SCHEMA, schema.clone())]
            }
        };
        options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Whether it holds a password that does not go on record.
    pub(super) fn has_password(&self) -> bool {
        matches!(self, Self::Postgres { url, .. } if url.has_password())
    }

    /// Whether sessions share what it opens; a folder is read anew with the database it stands beside.
    pub(super) fn is_shared(&self) -> bool {
        !matches!(self, Self::Folder(_))
    }

    pub(super) fn open(self, name: &str) -> Arc<dyn Source> {
        match self {
            Self::Folder(path) => folder(name, &path.to_string_lossy()),
            Self::Sqlite(path) => sqlite(name, &path),
            Self::Postgres { url, schema } => postgres(name, url, &schema),
        }
    }
}

/// The options of one statement.
struct Options<'a> {
    kind: &'a Name,
    /// What they belong to, with its article.
    what: &'static str,
    hint: &'static str,
    options: &'a [(Name, String)],
}

impl<'a> Options<'a> {
    /// Refuses options that are none of `known`, given twice, or empty. Their values are not told.
    fn check(&self, known: &[&str]) -> Result<(), EngineError> {
        for (index, (name, value)) in self.options.iter().enumerate() {
            let is = |other: &str| name.text.eq_ignore_ascii_case(other);
            if !known.iter().any(|known| is(known)) {
                let message = format!("{} has no option \"{}\"", self.what, name.text);
                return Err(self.refused(name.at, &message));
            }
            if self.options.iter().take(index).any(|(before, _)| is(&before.text)) {
                let message = format!("option \"{}\" is given twice", name.text);
                return Err(sql_error(name.at, &message, Some("keep one of them")));
            }
            if value.is_empty() {
                return Err(self.refused(name.at, &format!("the {} is empty", name.text)));
            }
        }
        Ok(())
    }

    /// An option with its place.
    fn find(&self, name: &str) -> Option<(Place, &'a str)> {
        let found = self.options.iter().find(|(option, _)| option.text.eq_ignore_ascii_case(name));
        found.map(|(option, value)| (option.at, value.as_str()))
    }

    fn needed(&self, name: &str) -> Result<(Place, &'a str), EngineError> {
        let missing = || self.refused(self.kind.at, &format!("{} needs its {name}", self.what));
        self.find(name).ok_or_else(missing)
    }

    /// A path from the root on: whoever opens it next may stand elsewhere.
    fn path(&self, (at, path): (Place, &str)) -> Result<PathBuf, EngineError> {
        if path.is_empty() {
            return Err(self.refused(at, "the path is empty"));
        }
        // Made absolute, it would no longer look like the url that may hold a password.
        if path.contains("://") {
            return Err(self.refused(at, "a path is wanted, and this is a url"));
        }
        std::path::absolute(path).map_err(EngineError::file("find", Path::new(path)))
    }

    fn refused(&self, at: Place, message: &str) -> EngineError {
        sql_error(at, message, Some(self.hint))
    }
}

fn sql_error(at: Place, message: &str, hint: Option<&str>) -> EngineError {
    let (message, hint) = (message.to_owned(), hint.map(str::to_owned));
    EngineError::Sql { at: Some(at), message, hint }
}
