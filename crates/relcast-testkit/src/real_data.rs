//! Where the real databases lie.

use std::path::PathBuf;
use std::sync::OnceLock;

/// The folder of the real databases (one RelBench folder each): `RELCAST_DATA` if set, else
/// `../shared/data` next to the workspace. `None`, with one notice on stderr, where it is absent:
/// tests that need it then pass without checking anything.
pub fn data_dir() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let dir = std::env::var_os("RELCAST_DATA").map_or_else(default_dir, PathBuf::from);
            if dir.is_dir() {
                return Some(dir);
            }
            eprintln!(
                "notice: no real data at {}; tests that need it check nothing (set RELCAST_DATA)",
                dir.display()
            );
            None
        })
        .clone()
}

/// Seen from the crate that is tested now: this one may have been compiled for another checkout.
fn default_dir() -> PathBuf {
    let tested = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    tested.unwrap_or_else(|| PathBuf::from(".")).join("../../../shared/data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_given_exists() {
        assert!(data_dir().is_none_or(|dir| dir.is_dir()));
    }
}
