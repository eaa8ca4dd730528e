//! Parquet files as lazily read frames, checked for what would fail later.

use std::io;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::prelude::{Column, DataFrame, Expr, ParquetReadOptions, SessionContext};

use crate::error::ConnectError;
use crate::normalise::normalised_frame;

const HINT: &str = "the file may be cut off or not be Parquet at all; write it again";

/// The rows of a Parquet file with normalised columns; nothing but its footer, and the columns
/// whose values could be out of range, is read here.
pub(crate) async fn read(context: &SessionContext, path: &Path) -> Result<DataFrame, ConnectError> {
    let bad = |e: DataFusionError| ConnectError::Unreadable {
        file: path.to_owned(),
        reason: e.strip_backtrace().lines().next().unwrap_or_default().to_owned(),
        hint: HINT,
    };
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let extension = format!(".{extension}");
    let options = ParquetReadOptions::default().file_extension(&extension);
    let url = file_url(path).map_err(|e| bad(e.into()))?;
    let frame = context.read_parquet(url, options).await.map_err(bad)?;
    if frame.schema().fields().is_empty() {
        return Err(bad(DataFusionError::Plan("it has no columns".to_owned())));
    }
    check_times(&frame, path).await?;
    let text = text_columns(&frame).await.map_err(bad)?;
    normalised_frame(frame, &text)
}

/// The `file://` address of `path`, in which no character can be read as a pattern.
///
/// # Errors
/// When the path is empty, or relative to a folder that is gone.
pub fn file_url(path: &Path) -> io::Result<String> {
    let mut url = "file://".to_owned();
    for byte in std::path::absolute(path)?.to_string_lossy().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                url.push(char::from(byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    Ok(url)
}

/// Refuses times that microseconds can't hold, from the smallest and largest value of each column
/// with a coarser unit.
async fn check_times(frame: &DataFrame, path: &Path) -> Result<(), ConnectError> {
    let coarse: Vec<(String, Expr, i64, &'static str)> = frame
        .schema()
        .iter()
        .filter_map(|(qualifier, field)| {
            let (per_unit, unit) = microseconds_per_unit(field.data_type())?;
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            Some((field.name().clone(), column, per_unit, unit))
        })
        .collect();
    if coarse.is_empty() {
        return Ok(());
    }
    let bounds = coarse.iter().flat_map(|(name, column, _, _)| {
        [
            min(column.clone()).alias(format!("min {name}")),
            max(column.clone()).alias(format!("max {name}")),
        ]
    });
    let batches = frame.clone().aggregate(vec![], bounds.collect())?.collect().await?;
    for (index, (name, _, per_unit, unit)) in coarse.iter().enumerate() {
        for batch in &batches {
            for bound in batch.columns().iter().skip(2 * index).take(2) {
                let numbers = match bound.data_type() {
                    DataType::Date32 => cast(
                        &cast(bound, &DataType::Int32).map_err(DataFusionError::from)?,
                        &DataType::Int64,
                    ),
                    _ => cast(bound, &DataType::Int64),
                }
                .map_err(DataFusionError::from)?;
                let numbers = numbers.as_primitive::<Int64Type>();
                if let Some(value) =
                    numbers.iter().flatten().find(|v| v.checked_mul(*per_unit).is_none())
                {
                    return Err(ConnectError::TimeOutOfRange {
                        file: path.to_owned(),
                        column: name.clone(),
                        value,
                        unit,
                    });
                }
            }
        }
    }
    Ok(())
}

fn microseconds_per_unit(data_type: &DataType) -> Option<(i64, &'static str)> {
    match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => Some((1_000_000, "seconds")),
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => {
            Some((1_000, "milliseconds"))
        }
        DataType::Date32 => Some((86_400_000_000, "days")),
        _ => None,
    }
}

/// Byte columns that hold text, as old writers leave them: the first thousand values are UTF-8.
async fn text_columns(frame: &DataFrame) -> Result<Vec<String>, DataFusionError> {
    let mut text = Vec::new();
    for (qualifier, field) in frame.schema().iter() {
        if !matches!(
            field.data_type(),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView
        ) {
            continue;
        }
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let first = frame
            .clone()
            .select([column.clone()])?
            .filter(column.is_not_null())?
            .limit(0, Some(1000))?;
        let mut is_text = true;
        for batch in first.collect().await? {
            let values = cast(batch.column(0), &DataType::Binary)?;
            is_text &=
                values.as_binary::<i32>().iter().flatten().all(|v| std::str::from_utf8(v).is_ok());
        }
        if is_text {
            text.push(field.name().clone());
        }
    }
    Ok(text)
}
