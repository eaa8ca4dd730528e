//! The home folder is relcast's own: nothing that people name is read or written in it.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::EngineError;

/// The folder of the demo, whose shop and predictions are anybody's.
const DEMO: &str = "demo";

/// Refuses a file or folder in the home folder at `home`, by whatever way it is named: to write over
/// the registry loses every model.
///
/// # Errors
/// [`EngineError::InHome`] if it lies there.
pub fn check_outside_home(home: &Path, path: &Path) -> Result<(), EngineError> {
    // A place that cannot be found cannot be written to, which is told where it is tried.
    let (Ok(found), Ok(folder)) = (resolved(path), home.canonicalize()) else { return Ok(()) };
    if !found.starts_with(&folder) || found.starts_with(folder.join(DEMO)) {
        return Ok(());
    }
    Err(EngineError::InHome { what: path.to_owned(), home: home.to_owned() })
}

/// Where `path` leads, through links and `..`; its last parts may not be there yet.
pub(crate) fn resolved(path: &Path) -> io::Result<PathBuf> {
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
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_lies_in_the_home_folder_is_refused_by_whatever_way_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("home/locks")).unwrap();
        fs::create_dir_all(at("home/demo")).unwrap();
        fs::create_dir(at("out")).unwrap();
        fs::write(at("home/registry.db"), "").unwrap();
        symlink(at("home/registry.db"), at("out/link.db")).unwrap();
        symlink(at("home"), at("out/home")).unwrap();
        let check = |path: &str| check_outside_home(&at("home"), &at(path));
        for path in [
            "home",
            "home/registry.db",
            "home/new/deep/p.csv",
            "out/../home/p.csv",
            "out/link.db",
            "out/home/p.csv",
            "home/demo/../registry.db",
        ] {
            assert!(matches!(check(path), Err(EngineError::InHome { .. })), "{path}");
        }
        for path in ["out/p.csv", "homely/p.csv", "home/demo/p.csv", "home/../p.csv", "no/../p"] {
            assert!(check(path).is_ok(), "{path}");
        }
        assert!(check_outside_home(&at("none yet"), &at("none yet/p.csv")).is_ok());
    }
}
