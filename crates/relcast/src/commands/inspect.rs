//! `relcast inspect`: what is in a database, and what may be wrong with it.

use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use relcast_catalog::{Catalog, inspect, propose_yaml};

use super::open;
use crate::arguments::{Common, Format, Inspect};
use crate::failure::Failure;
use crate::output::{print, print_json};

/// Prints the inspection; with `--write` also writes relcast.yaml.
pub async fn run(common: &Common, arguments: &Inspect) -> Result<(), Failure> {
    let (database, catalog) = open(common, &arguments.source).await?;
    let inspection = inspect(&database, &catalog).await?;
    match common.format {
        Format::Table | Format::Csv => print(&inspection.to_text())?,
        Format::Json => print_json(&inspection)?,
        Format::Dot => print(&inspection.to_dot())?,
    }
    if arguments.write {
        write_yaml(&database.directory.join("relcast.yaml"), &catalog)?;
    }
    Ok(())
}

/// Writes the schema of `catalog` to a file that doesn't exist yet, whole or not at all.
fn write_yaml(path: &Path, catalog: &Catalog) -> Result<(), Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("{} is already there", path.display()))
            .with_hint("move it away first, or edit it by hand"),
        _ => Failure::new(format!("cannot write {}: {error}", path.display())),
    };
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".relcast-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        file.write_all(propose_yaml(catalog).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        Ok(())
    };
    write().map_err(failed)?;
    tracing::info!("wrote {}", path.display());
    Ok(())
}
