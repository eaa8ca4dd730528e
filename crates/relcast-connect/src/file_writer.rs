//! Files that are written whole or not at all.

use std::fmt::Display;
use std::fs::Permissions;
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::csv::{Writer as CsvWriter, WriterBuilder};
use arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use tempfile::NamedTempFile;

use crate::error::ConnectError;
use crate::json;

/// A file that fills up beside the place where it is to stand. Once finished it stands there, in
/// the place of what was there before; dropped before, it leaves nothing.
pub struct FileWriter {
    path: PathBuf,
    form: Form,
    schema: SchemaRef,
    rows: u64,
}

enum Form {
    Parquet(Box<ArrowWriter<NamedTempFile>>),
    Csv(Box<CsvWriter<BufWriter<NamedTempFile>>>),
}

/// How a CSV file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Whether the first line names the columns.
    pub header: bool,
    /// What stands between two values.
    pub delimiter: u8,
    /// What stands for NULL.
    pub null: String,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { header: true, delimiter: b',', null: String::new() }
    }
}

impl FileWriter {
    /// A Parquet file that is to stand at `path`.
    ///
    /// # Errors
    /// When there can be no file: its folder is not there or cannot be written to, or something that
    /// is no file stands there.
    pub fn parquet(path: &Path, schema: SchemaRef) -> Result<Self, ConnectError> {
        let file = beside(path)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(|error| unwritable(path, &error))?;
        Ok(Self { path: path.to_owned(), form: Form::Parquet(Box::new(writer)), schema, rows: 0 })
    }

    /// A CSV file that is to stand at `path`. Nested values are written as JSON, moments as ISO text
    /// in UTC.
    ///
    /// # Errors
    /// As [`FileWriter::parquet`].
    pub fn csv(path: &Path, schema: SchemaRef, options: &CsvOptions) -> Result<Self, ConnectError> {
        let writer = WriterBuilder::new()
            .with_header(options.header)
            .with_delimiter(options.delimiter)
            .with_null(options.null.clone())
            .build(BufWriter::new(beside(path)?));
        let form = Form::Csv(Box::new(writer));
        let mut file = Self { path: path.to_owned(), form, schema, rows: 0 };
        // The header is there even where no row is.
        file.write(&RecordBatch::new_empty(file.schema.clone()))?;
        Ok(file)
    }

    /// Adds rows.
    ///
    /// # Errors
    /// When they have other columns than the file, or cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ConnectError> {
        let Self { path, form, schema, rows } = self;
        // The writer compares whole schemas; metadata may differ between batches.
        let batch = RecordBatch::try_new(schema.clone(), batch.columns().to_vec())
            .map_err(|error| unwritable(path, &error))?;
        match form {
            Form::Parquet(writer) => {
                writer.write(&batch).map_err(|error| unwritable(path, &error))?;
            }
            Form::Csv(writer) => {
                let flat = json::flattened(&batch).map_err(|error| unwritable(path, &error))?;
                writer.write(&flat).map_err(|error| unwritable(path, &error))?;
            }
        }
        *rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Puts the file in its place once it is on disk; gives the number of rows in it.
    ///
    /// # Errors
    /// When it cannot be written. What stood in its place before is then unchanged.
    pub fn finish(self) -> Result<u64, ConnectError> {
        let Self { path, form, rows, .. } = self;
        let file = match form {
            Form::Parquet(writer) => {
                (*writer).into_inner().map_err(|error| unwritable(&path, &error))?
            }
            Form::Csv(writer) => {
                let buffer = (*writer).into_inner();
                buffer.into_inner().map_err(|error| unwritable(&path, &error.into_error()))?
            }
        };
        file.as_file().sync_all().map_err(|error| unwritable(&path, &error))?;
        file.persist(&path).map_err(|error| unwritable(&path, &error.error))?;
        Ok(rows)
    }
}

/// Checks that a file can be made or replaced at `path`, the place of `target`.
pub(crate) fn check_place(target: &str, path: &Path) -> Result<(), ConnectError> {
    let refused = |reason: &str| ConnectError::Unwritable {
        target: target.to_owned(),
        reason: reason.into(),
    };
    let folder = folder_of(path);
    if !folder.is_dir() {
        let (target, folder) = (target.to_owned(), folder.to_owned());
        return Err(ConnectError::NoFolder { target, folder });
    }
    match path.metadata() {
        Ok(there) if there.is_dir() => Err(refused("it is a folder")),
        Ok(there) if !there.is_file() => Err(refused("it is a device, a pipe or a socket")),
        _ => Ok(()),
    }
}

/// The folder that `path` lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A new file beside `path`, which goes with its owner.
fn beside(path: &Path) -> Result<NamedTempFile, ConnectError> {
    check_place(&path.display().to_string(), path)?;
    tempfile::Builder::new()
        .prefix(".relcast-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder_of(path))
        .map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, reason: &dyn Display) -> ConnectError {
    ConnectError::Unwritable { target: path.display().to_string(), reason: reason.to_string() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn batch() -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        RecordBatch::try_from_iter_with_nullable([
            ("a", numbers.clone(), true),
            ("b", numbers, true),
        ])
        .unwrap()
    }

    #[test]
    fn a_file_stands_in_its_place_once_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.csv");
        fs::write(&path, "before").unwrap();
        let options = CsvOptions { header: false, delimiter: b';', null: "-".to_owned() };
        let mut file = FileWriter::csv(&path, batch().schema(), &options).unwrap();
        file.write(&batch()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(file.finish().unwrap(), 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1;1\n-;-\n");

        let mut given_up = FileWriter::parquet(&path, batch().schema()).unwrap();
        given_up.write(&batch()).unwrap();
        drop(given_up);
        let empty = FileWriter::csv(&path, batch().schema(), &CsvOptions::default()).unwrap();
        assert_eq!(empty.finish().unwrap(), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn what_is_no_file_is_no_place_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let why = |path: &Path| match FileWriter::parquet(path, batch().schema()) {
            Ok(_) => panic!("{}", path.display()),
            Err(error) => error.to_string(),
        };
        assert!(why(folder.path()).contains("it is a folder"));
        assert!(why(&folder.path().join("no/f.parquet")).contains("create it first"));
        assert!(why(Path::new("/dev/null")).contains("a device"));
    }
}
