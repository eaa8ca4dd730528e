//! Write-back of record batches, whole or not at all.
//!
//! Files are written beside their target and renamed at the end; a SQLite table is replaced in
//! one transaction. After an error the target holds what it held before.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

use crate::error::ConnectError;
use crate::target::Target;
use crate::{json, sqlite};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Writes `batches` to `target`, replacing what was there; gives the number of rows written.
///
/// All batches have the columns of the first one; an empty batch makes an empty table. CSV and
/// SQLite hold nested values as JSON text, and moments as ISO text in UTC.
///
/// # Errors
/// When there is no batch, when batches differ in their columns, or when the target can't be
/// written. What the target held before is then unchanged.
pub async fn write(target: &Target, batches: &[RecordBatch]) -> Result<u64, ConnectError> {
    let Some(first) = batches.first() else {
        return Err(ConnectError::NoBatches { target: target.to_string() });
    };
    let same = |b: &RecordBatch| {
        let (a, b) = (first.schema(), b.schema());
        a.fields().len() == b.fields().len()
            && a.fields()
                .iter()
                .zip(b.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
    };
    if let Some(index) = batches.iter().position(|b| !same(b)) {
        return Err(ConnectError::MixedSchemas { target: target.to_string(), index });
    }
    let unwritable =
        |e: Failure| ConnectError::Unwritable { target: target.to_string(), reason: e.to_string() };
    match target {
        Target::Parquet(path) => {
            check_folder(target, path)?;
            replace_file(path, |file| write_parquet(file, batches)).map_err(unwritable)?;
        }
        Target::Csv(path) => {
            check_folder(target, path)?;
            replace_file(path, |file| write_csv(file, batches)).map_err(unwritable)?;
        }
        Target::Sqlite { file, table } => {
            check_folder(target, file)?;
            let flat: Vec<RecordBatch> = batches
                .iter()
                .map(json::flattened)
                .collect::<Result<_, _>>()
                .map_err(|e| unwritable(e.into()))?;
            sqlite::replace_table(file, table, &flat).await.map_err(unwritable)?;
        }
    }
    Ok(batches.iter().map(|b| b.num_rows() as u64).sum())
}

/// Checks that `target` can be written, before the work whose result is to go there.
///
/// # Errors
/// When its folder is not there, cannot be written to, or when the target itself is a folder.
pub fn check_target(target: &Target) -> Result<(), ConnectError> {
    let (Target::Parquet(path) | Target::Csv(path) | Target::Sqlite { file: path, .. }) = target;
    check_folder(target, path)?;
    let unwritable =
        |reason: String| ConnectError::Unwritable { target: target.to_string(), reason };
    if path.is_dir() {
        return Err(unwritable("it is a folder".to_owned()));
    }
    let probe = tempfile::Builder::new().prefix(".relcast-").tempfile_in(folder_of(path));
    probe.map(drop).map_err(|error| unwritable(error.to_string()))
}

/// The folder that `path` lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn check_folder(target: &Target, path: &Path) -> Result<(), ConnectError> {
    let folder = folder_of(path);
    if folder.is_dir() {
        return Ok(());
    }
    Err(ConnectError::NoFolder { target: target.to_string(), folder: folder.to_owned() })
}

/// Fills a new file beside `path` and, once that is on disk, puts it in the place of `path`.
fn replace_file(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut file = tempfile::Builder::new()
        .prefix(".relcast-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder_of(path))?;
    fill(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn write_parquet(file: &mut File, batches: &[RecordBatch]) -> Result<(), Failure> {
    let Some(first) = batches.first() else { return Ok(()) };
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut writer = ArrowWriter::try_new(file, first.schema(), Some(properties))?;
    for batch in batches {
        // The writer compares whole schemas; nullability may differ between batches.
        writer.write(&RecordBatch::try_new(first.schema(), batch.columns().to_vec())?)?;
    }
    writer.close()?;
    Ok(())
}

fn write_csv(file: &mut File, batches: &[RecordBatch]) -> Result<(), Failure> {
    let mut writer = WriterBuilder::new().with_header(true).build(std::io::BufWriter::new(file));
    for batch in batches {
        writer.write(&json::flattened(batch)?)?;
    }
    std::io::Write::flush(&mut writer.into_inner())?;
    Ok(())
}
