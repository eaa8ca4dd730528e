//! Label files of the real databases.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};

use crate::error::TestkitError;
use crate::table::read_parquet;

/// One row of a label file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileLabel {
    /// The entity's key, as text.
    pub entity: String,
    /// The cutoff, microseconds UTC.
    pub cutoff: i64,
    /// The label.
    pub label: f64,
}

/// Reads the label rows of a task file: its cutoff, entity key and label columns have these names.
/// Rows with a NULL in one of them are left out.
///
/// # Errors
/// If the file cannot be read or lacks a column.
pub fn read_label_file(
    path: &Path,
    cutoff: &str,
    entity: &str,
    label: &str,
) -> Result<Vec<FileLabel>, TestkitError> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let mut rows = Vec::new();
    for batch in read_parquet(path)? {
        let column = |name: &str, to: &DataType| -> Result<ArrayRef, TestkitError> {
            let found = batch.column_by_name(name).ok_or_else(|| TestkitError::MissingColumn {
                path: path.to_owned(),
                column: name.to_owned(),
                columns: batch
                    .schema()
                    .fields()
                    .iter()
                    .map(|f| f.name().as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
            cast(found, to)
                .map_err(|source| TestkitError::Arrow { table: path.display().to_string(), source })
        };
        let cutoffs = column(cutoff, &micros)?;
        let entities = column(entity, &DataType::Utf8)?;
        let labels = column(label, &DataType::Float64)?;
        let cutoffs =
            cutoffs.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>();
        let labels = labels.as_primitive::<Float64Type>();
        let entities = entities.as_string::<i32>();
        for i in 0..batch.num_rows() {
            if cutoffs.is_valid(i) && entities.is_valid(i) && labels.is_valid(i) {
                rows.push(FileLabel {
                    entity: entities.value(i).to_owned(),
                    cutoff: cutoffs.value(i),
                    label: labels.value(i),
                });
            }
        }
    }
    Ok(rows)
}
