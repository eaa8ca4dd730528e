//! Parquet files as lazily read frames, checked for what would fail later.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::prelude::{Column, DataFrame, Expr, ParquetReadOptions, SessionContext};

use crate::error::ConnectError;
use crate::normalise::normalised_frame;

const HINT: &str = "the file may be cut off or not be Parquet at all; write it again";

/// The rows of a Parquet file with normalised columns, and its columns of dates; nothing but its
/// footer, and the columns whose values decide whether and as what they can be read, is read here.
pub(crate) async fn read(
    context: &SessionContext,
    path: &Path,
) -> Result<(DataFrame, Vec<String>), ConnectError> {
    let bad = |e: DataFusionError| ConnectError::Unreadable {
        file: path.to_owned(),
        reason: e.strip_backtrace().lines().next().unwrap_or_default().to_owned(),
        hint: HINT,
    };
    if let Some(name) = repeated_column(path) {
        return Err(ConnectError::Unreadable {
            file: path.to_owned(),
            reason: format!("it has column {name:?} twice"),
            hint: "rename one of the two",
        });
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let extension = format!(".{extension}");
    let options = ParquetReadOptions::default().file_extension(&extension);
    let url = file_url(path).map_err(|e| bad(e.into()))?;
    let frame = context.read_parquet(url, options).await.map_err(bad)?;
    if frame.schema().fields().is_empty() {
        return Err(bad(DataFusionError::Plan("it has no columns".to_owned())));
    }
    check_times(&frame, path).await?;
    let mut by_values = text_columns(&frame).await.map_err(bad)?;
    by_values.extend(whole_numbers(&frame).await.map_err(bad)?);
    let dates = columns(&frame, |field| is_date(field.data_type()));
    let dates = dates.map(|(field, _)| field.name().clone()).collect();
    Ok((normalised_frame(frame, &by_values)?, dates))
}

/// The first name that two columns have; none where the file cannot be read, which is told later.
fn repeated_column(path: &Path) -> Option<String> {
    let file = ParquetRecordBatchReaderBuilder::try_new(File::open(path).ok()?).ok()?;
    let names: Vec<&String> = file.schema().fields().iter().map(|field| field.name()).collect();
    let is_repeated = |(index, name): &(usize, &&String)| names[..*index].contains(name);
    names.iter().enumerate().find(is_repeated).map(|(_, name)| (*name).clone())
}

fn is_date(data_type: &DataType) -> bool {
    match data_type {
        DataType::Date32 | DataType::Date64 => true,
        DataType::Dictionary(_, values) => is_date(values),
        _ => false,
    }
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

/// The columns whose fields are asked for, each with its expression.
fn columns<'a>(
    frame: &'a DataFrame,
    asked: impl Fn(&Field) -> bool + 'a,
) -> impl Iterator<Item = (&'a Field, Expr)> {
    let fields = frame.schema().iter().filter(move |(_, field)| asked(field));
    fields.map(|(qualifier, field)| {
        (field.as_ref(), Expr::Column(Column::new(qualifier.cloned(), field.name())))
    })
}

/// The smallest and the largest value of each column, as arrays of one value.
async fn bounds(
    frame: &DataFrame,
    columns: &[(&Field, Expr)],
) -> Result<Vec<[ArrayRef; 2]>, DataFusionError> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let items = columns.iter().enumerate().flat_map(|(i, (_, column))| {
        [
            min(column.clone()).alias(format!("min {i}")),
            max(column.clone()).alias(format!("max {i}")),
        ]
    });
    let row = frame.clone().aggregate(vec![], items.collect())?.collect().await?;
    let row = row.iter().find(|batch| batch.num_rows() > 0);
    let pairs = row.map(RecordBatch::columns).unwrap_or_default().chunks_exact(2);
    Ok(pairs.map(|pair| [pair[0].clone(), pair[1].clone()]).collect())
}

/// Refuses times that microseconds can't hold, from the smallest and largest value of each column
/// with a coarser unit.
async fn check_times(frame: &DataFrame, path: &Path) -> Result<(), ConnectError> {
    let coarse = |field: &Field| microseconds_per_unit(field.data_type()).is_some();
    let coarse: Vec<(&Field, Expr)> = columns(frame, coarse).collect();
    let bounds = bounds(frame, &coarse).await?;
    let each = coarse.iter().zip(&bounds);
    for (field, bound) in each.flat_map(|((field, _), two)| two.iter().map(move |b| (field, b))) {
        let Some((per_unit, unit)) = microseconds_per_unit(field.data_type()) else { continue };
        let numbers = match bound.data_type() {
            DataType::Date32 => {
                cast(bound, &DataType::Int32).and_then(|n| cast(&n, &DataType::Int64))
            }
            _ => cast(bound, &DataType::Int64),
        };
        let numbers = numbers.map_err(DataFusionError::from)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        if let Some(value) = numbers.iter().flatten().find(|v| v.checked_mul(per_unit).is_none()) {
            return Err(ConnectError::TimeOutOfRange {
                file: path.to_owned(),
                column: field.name().clone(),
                value,
                unit,
            });
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

/// Byte columns that hold text, as old writers leave them: every value is UTF-8, whatever the order
/// of the rows.
async fn text_columns(frame: &DataFrame) -> Result<BTreeMap<String, DataType>, DataFusionError> {
    let bytes = |field: &Field| {
        matches!(field.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
    };
    let mut text = BTreeMap::new();
    for (field, column) in columns(frame, bytes) {
        if is_text(frame, column).await? {
            text.insert(field.name().clone(), DataType::Utf8);
        }
    }
    Ok(text)
}

/// Whether every value of a byte column is UTF-8; reads no further than the first that is not.
async fn is_text(frame: &DataFrame, column: Expr) -> Result<bool, DataFusionError> {
    let mut batches = frame.clone().select([column])?.execute_stream().await?;
    while let Some(batch) = poll_fn(|cx| batches.as_mut().poll_next(cx)).await {
        let values = cast(batch?.column(0), &DataType::Binary)?;
        let mut values = values.as_binary::<i32>().iter().flatten();
        if !values.all(|value| std::str::from_utf8(value).is_ok()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Decimals without a fraction whose type could hold more than `Int64`, but whose values do not:
/// warehouses declare every whole number with 38 digits.
async fn whole_numbers(frame: &DataFrame) -> Result<BTreeMap<String, DataType>, DataFusionError> {
    let wide = |field: &Field| {
        matches!(field.data_type(), DataType::Decimal128(19.., 0) | DataType::Decimal256(19.., 0))
    };
    let wide: Vec<(&Field, Expr)> = columns(frame, wide).collect();
    let bounds = bounds(frame, &wide).await?;
    let mut whole = BTreeMap::new();
    for ((field, _), bounds) in wide.iter().zip(&bounds) {
        let mut fits = true;
        for bound in bounds {
            fits &= cast(bound, &DataType::Int64)?.null_count() == bound.null_count();
        }
        if fits {
            whole.insert(field.name().clone(), DataType::Int64);
        }
    }
    Ok(whole)
}
