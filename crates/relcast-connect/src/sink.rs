//! Write-back of record batches, whole or not at all.
//!
//! Files are written beside their target and renamed at the end; a SQLite table is replaced in
//! one transaction. After an error the target holds what it held before.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::error::ConnectError;
use crate::file_writer::{CsvOptions, FileWriter, check_place, folder_of};
use crate::target::Target;
use crate::{json, sqlite};

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
    match target {
        Target::Parquet(path) => whole(FileWriter::parquet(path, first.schema())?, batches),
        Target::Csv(path) => {
            whole(FileWriter::csv(path, first.schema(), &CsvOptions::default())?, batches)
        }
        Target::Sqlite { file, table } => {
            check_place(&target.to_string(), file)?;
            let flat = batches.iter().map(json::flattened).collect::<Result<Vec<_>, ArrowError>>();
            let flat = flat.map_err(|error| unwritable(target, &error))?;
            let written = sqlite::replace_table(file, table, &flat).await;
            written.map_err(|error| unwritable(target, &*error))?;
            Ok(batches.iter().map(|b| b.num_rows() as u64).sum())
        }
    }
}

fn whole(mut file: FileWriter, batches: &[RecordBatch]) -> Result<u64, ConnectError> {
    batches.iter().try_for_each(|batch| file.write(batch))?;
    file.finish()
}

/// Checks that `target` can be written, before the work whose result is to go there.
///
/// # Errors
/// When its folder is not there, cannot be written to, or when something that is no file stands in
/// the target's place.
pub fn check_target(target: &Target) -> Result<(), ConnectError> {
    let path = target.path();
    check_place(&target.to_string(), path)?;
    let probe = tempfile::Builder::new().prefix(".relcast-").tempfile_in(folder_of(path));
    probe.map(drop).map_err(|error| unwritable(target, &error))
}

fn unwritable(target: &Target, error: &dyn std::error::Error) -> ConnectError {
    ConnectError::Unwritable { target: target.to_string(), reason: error.to_string() }
}
