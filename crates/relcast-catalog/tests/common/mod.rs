//! Small databases in temporary folders.

// Each test file uses a part of this.
#![allow(dead_code)]

use std::path::Path;

use relcast_catalog::{Catalog, CatalogError, load};
use relcast_connect::{Database, open};
use tempfile::TempDir;

/// A folder with these files; paths may have folders in them.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

pub async fn database(folder: &Path) -> Database {
    open(folder.to_str().unwrap()).await.unwrap()
}

pub async fn try_load(files: &[(&str, &str)]) -> Result<Catalog, CatalogError> {
    let folder = folder(files);
    load(&database(folder.path()).await, None).await
}

pub async fn error_of(files: &[(&str, &str)]) -> String {
    try_load(files).await.unwrap_err().to_string()
}
