//! Where predictions go.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::ConnectError;

/// A file or table that [`write`](crate::write) makes or replaces.
///
/// ```
/// use relcast_connect::Target;
///
/// let target: Target = "sqlite://out.db#churn".parse()?;
/// assert_eq!(target, Target::Sqlite { file: "out.db".into(), table: "churn".into() });
/// # Ok::<(), relcast_connect::ConnectError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A Parquet file.
    Parquet(PathBuf),
    /// A CSV file with a header.
    Csv(PathBuf),
    /// A table of a SQLite database; the database is created where it doesn't exist.
    Sqlite {
        /// The database file.
        file: PathBuf,
        /// The table's name.
        table: String,
    },
}

impl Target {
    /// The file that is written.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Parquet(path) | Self::Csv(path) | Self::Sqlite { file: path, .. } => path,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Parquet(path) | Target::Csv(path) => write!(f, "{}", path.display()),
            Target::Sqlite { file, table } => write!(f, "sqlite://{}#{table}", file.display()),
        }
    }
}

impl FromStr for Target {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, ConnectError> {
        let bad = |detail| ConnectError::BadTarget { text: text.to_owned(), detail };
        if let Some(rest) = text.strip_prefix("sqlite://") {
            return match rest.rsplit_once('#') {
                Some((file, table)) if !file.is_empty() && !table.is_empty() => {
                    Ok(Target::Sqlite { file: file.into(), table: table.to_owned() })
                }
                Some(("", _)) => Err(bad(Some("the file is missing"))),
                _ => Err(bad(Some("the table is missing"))),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Err(ConnectError::NotYet {
                what: "writing to postgres://".to_owned(),
                hint: "write to file.parquet, file.csv or sqlite://file#table",
            });
        }
        if text.contains("://") {
            return Err(bad(Some("unknown kind of address")));
        }
        let path = PathBuf::from(text);
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("parquet") => Ok(Target::Parquet(path)),
            Some("csv") => Ok(Target::Csv(path)),
            _ => Err(bad(None)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_target_reads_what_it_prints() {
        for text in ["a/b.parquet", "b.csv", "sqlite://a.db#t", "sqlite:///x/a.db#t"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_forms_are_refused_with_the_known_ones() {
        for text in
            ["out.txt", "out", "sqlite://a.db", "sqlite://#t", "sqlite://a.db#", "s3://b/x.csv"]
        {
            let message = text.parse::<Target>().unwrap_err().to_string();
            assert!(message.contains("sqlite://file#table"), "{message}");
        }
        let later = "postgres://h/d#s.t".parse::<Target>().unwrap_err().to_string();
        assert!(later.contains("not supported yet"), "{later}");
    }
}
