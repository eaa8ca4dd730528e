//! Targets are kept apart from the source: whatever lies among its files is read as a table.

use std::path::Path;

use crate::database::{Database, format_of, table_files};
use crate::error::ConnectError;
use crate::file_writer::folder_of;
use crate::target::Target;

impl Database {
    /// Checks that writing `target` would neither replace a table of this database nor add one.
    ///
    /// # Errors
    /// [`ConnectError::AmongTables`] if it would.
    pub fn check_apart(&self, target: &Target) -> Result<(), ConnectError> {
        self.check_path_apart(target.path())
    }

    /// The same for a file, or for a folder that is to be filled with files.
    ///
    /// # Errors
    /// As [`Database::check_apart`], and when the source can no longer be read.
    pub fn check_path_apart(&self, path: &Path) -> Result<(), ConnectError> {
        let files = table_files(&self.directory)?;
        let tables = files.values().next().map_or(self.directory.as_path(), |f| folder_of(f));
        // A first table in `db` would hide those of the folder itself.
        let inner = self.directory.join("db");
        let folders = [tables, inner.as_path()];
        let is_table = is_table_file(path)
            && (folders.iter().any(|folder| same(folder_of(path), folder))
                || files.values().any(|file| same(path, file)));
        if is_table || folders.iter().any(|folder| same(path, folder)) {
            return Err(ConnectError::AmongTables {
                target: path.display().to_string(),
                folder: tables.to_owned(),
            });
        }
        Ok(())
    }
}

/// Whether a file of this name is a table where tables are read from.
fn is_table_file(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    format_of(path).is_some() && !hidden
}

/// Whether both are there and are one file or folder, by whatever way they are named.
fn same(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(a).zip(real(b)).is_some_and(|(a, b)| a == b)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::database::open;

    /// A source of one table, and what is said to targets below its parent.
    async fn refused(tables: &str, targets: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("source/out")).unwrap();
        fs::create_dir_all(root.join(tables)).unwrap();
        fs::create_dir_all(root.join("elsewhere")).unwrap();
        fs::write(root.join("elsewhere/linked.csv"), "x\n1\n").unwrap();
        fs::write(root.join(tables).join("orders.csv"), "x\n1\n").unwrap();
        symlink(root.join("elsewhere/linked.csv"), root.join(tables).join("linked.csv")).unwrap();
        symlink(root.join(tables), root.join("other_name")).unwrap();
        let database = open(root.join("source").to_str().unwrap()).await.unwrap();
        let is_refused = |target: &&&str| {
            let prefix = if target.starts_with("sqlite://") { "sqlite://" } else { "" };
            let path = root.join(target.trim_start_matches("sqlite://"));
            let target: Target = format!("{prefix}{}", path.display()).parse().unwrap();
            match database.check_apart(&target) {
                Ok(()) => false,
                Err(ConnectError::AmongTables { .. }) => true,
                Err(other) => panic!("{other}"),
            }
        };
        targets.iter().filter(is_refused).map(|target| (*target).to_owned()).collect()
    }

    #[tokio::test]
    async fn what_would_be_read_as_a_table_is_refused() {
        let targets = [
            "source/orders.csv",
            "source/new.parquet",
            "source/out/../orders.csv",
            "source/orders.csv#t",
            "other_name/new.csv",
            "elsewhere/linked.csv",
        ];
        let targets =
            targets.map(|t| if t.contains('#') { format!("sqlite://{t}") } else { t.into() });
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        assert_eq!(refused("source", &targets).await, targets);
        let apart = [
            "source/out/new.csv",
            "source/.new.csv",
            "elsewhere/new.csv",
            "sqlite://source/predictions.db#t",
        ];
        assert!(refused("source", &apart).await.is_empty());
    }

    #[tokio::test]
    async fn beside_a_folder_db_of_tables_there_is_room() {
        let inner = ["source/db/orders.csv", "source/db/new.csv"];
        assert_eq!(refused("source/db", &inner).await, inner);
        assert!(refused("source/db", &["source/new.csv", "source/out/new.csv"]).await.is_empty());
    }

    #[tokio::test]
    async fn a_first_table_in_db_would_hide_the_others() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("db")).unwrap();
        fs::write(folder.path().join("orders.csv"), "x\n1\n").unwrap();
        let database = open(folder.path().to_str().unwrap()).await.unwrap();
        for path in ["db/new.csv", "db", ""] {
            let message = database.check_path_apart(&folder.path().join(path)).unwrap_err();
            assert!(message.to_string().contains("write into another folder"), "{message}");
        }
    }
}
