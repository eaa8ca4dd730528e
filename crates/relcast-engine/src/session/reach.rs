//! What statements may touch beside the database: whoever sits at the machine may name any file,
//! clients of a server only those in folders that were named when it started.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::logical_expr::Statement;

use crate::error::EngineError;
use crate::outside::resolved;

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
    /// Refuses a file or folder out of reach.
    pub(super) fn check_path(&self, path: &Path) -> Result<(), EngineError> {
        let Self::Folders(folders) = self else { return Ok(()) };
        let found = resolved(path).unwrap_or_default();
        let within = |folder: &Path| folder.canonicalize().is_ok_and(|f| found.starts_with(f));
        match folders.iter().any(|folder| within(folder)) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_folders_is_in_reach_by_whatever_way_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for folder in ["open/inner", "closed", "opened"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::fs::write(at("closed/secret.csv"), "a\n1\n").unwrap();
        let reach = Reach::Folders(Arc::from([at("open")]));
        let may = |path: &Path| reach.check_path(path).is_ok();
        for path in ["open", "open/new.csv", "open/inner/../x/y.csv", "closed/../open/f"] {
            assert!(may(&at(path)), "{path}");
        }
        let refused = [
            "",
            "closed/secret.csv",
            "open/../closed/secret.csv",
            "open/nothing/../../closed/new.csv",
            "opened/new.csv",
        ];
        for path in refused {
            assert!(!may(&at(path)), "{path}");
        }
        assert!(!may(Path::new("/etc/passwd")));
        assert!(Reach::Machine.check_path(Path::new("/etc/passwd")).is_ok());
        let none = Reach::Folders(Arc::from(Vec::new()));
        assert!(none.check_path(&at("open")).is_err());
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
            assert!(reach.check_path(&at(path)).is_err(), "{path}");
        }
    }
}
