//! What statements may touch beside the database: whoever sits at the machine may name any file,
//! clients of a server only those in folders that were named when it started.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use datafusion::logical_expr::Statement;

use crate::error::EngineError;

/// Settings of the whole process.
const SHARED: &str = "datafusion.runtime";

/// What the statements of a session may touch beside the database and what the home folder keeps.
#[derive(Debug, Clone, Default)]
pub enum Reach {
    /// Files anywhere, and the settings of the process.
    #[default]
    Machine,
    /// Files in these folders.
    Folders(Arc<[PathBuf]>),
}

impl Reach {
    /// Refuses a file or folder out of reach, and what lies in `home`, which is written by
    /// statements of its own.
    pub(super) fn check_path(&self, path: &Path, home: &Path) -> Result<(), EngineError> {
        let Self::Folders(folders) = self else { return Ok(()) };
        let found = resolved(path).unwrap_or_default();
        let within = |folder: &Path| folder.canonicalize().is_ok_and(|f| found.starts_with(f));
        match folders.iter().any(|folder| within(folder)) && !within(home) {
            true => Ok(()),
            false => Err(EngineError::OutOfReach { what: path.display().to_string() }),
        }
    }

    /// Refuses a place that is no file of this machine.
    pub(super) fn check_place(&self, place: &str) -> Result<(), EngineError> {
        match self {
            Self::Machine => Ok(()),
            Self::Folders(_) => Err(EngineError::OutOfReach { what: place.to_owned() }),
        }
    }

    /// Refuses to set what all sessions share.
    pub(super) fn check_setting(&self, statement: &Statement) -> Result<(), EngineError> {
        let name = match (self, statement) {
            (Self::Folders(_), Statement::SetVariable(set)) => &set.variable,
            (Self::Folders(_), Statement::ResetVariable(reset)) => &reset.variable,
            _ => return Ok(()),
        };
        match name.to_ascii_lowercase().starts_with(SHARED) {
            true => Err(EngineError::SharedSetting { name: name.clone() }),
            false => Ok(()),
        }
    }
}

/// Where `path` leads, through links and `..`; its last parts may not be there yet.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let there = path.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok());
    let there = there.unwrap_or(Path::new("/"));
    let missing = path.strip_prefix(there).unwrap_or(Path::new(""));
    // Above what is not there, nobody knows what `..` is.
    if missing.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(there.canonicalize()?.join(missing))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_folders_is_in_reach_by_whatever_way_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for folder in ["open/inner", "open/home", "closed", "opened"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::fs::write(at("closed/secret.csv"), "a\n1\n").unwrap();
        let reach = Reach::Folders(Arc::from([at("open")]));
        let may = |path: &Path| reach.check_path(path, &at("open/home")).is_ok();
        for path in ["open", "open/new.csv", "open/inner/../x/y.csv", "closed/../open/f"] {
            assert!(may(&at(path)), "{path}");
        }
        let refused = [
            "",
            "closed/secret.csv",
            "open/../closed/secret.csv",
            "open/nothing/../../closed/new.csv",
            "opened/new.csv",
            "open/home/registry.db",
            "open/home",
        ];
        for path in refused {
            assert!(!may(&at(path)), "{path}");
        }
        assert!(!may(Path::new("/etc/passwd")));
        assert!(Reach::Machine.check_path(Path::new("/etc/passwd"), &at("home")).is_ok());
        let none = Reach::Folders(Arc::from(Vec::new()));
        assert!(none.check_path(&at("open"), &at("home")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_leads_out_of_reach() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("open")).unwrap();
        std::fs::create_dir_all(at("closed")).unwrap();
        std::os::unix::fs::symlink(at("closed"), at("open/link")).unwrap();
        std::os::unix::fs::symlink(at("closed/new.csv"), at("open/dangling.csv")).unwrap();
        let reach = Reach::Folders(Arc::from([at("open")]));
        for path in ["open/link", "open/link/new.csv", "open/dangling.csv"] {
            assert!(reach.check_path(&at(path), &at("home")).is_err(), "{path}");
        }
    }
}
