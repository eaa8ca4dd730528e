//! CSV files: read to memory once, so that every bad row is met when the database is opened.
//!
//! The types come from all rows. A text column whose every value is an ISO date or moment, or a date
//! with slashes, points or dashes that all rows allow to be read in one order alone, becomes a
//! timestamp. For tables that don't fit into memory, Parquet is the format.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::error::ConnectError;
use crate::written_dates::find_written;

const HINT: &str = "every row needs as many values as the header, in UTF-8 and separated by commas (in .tsv by tabs)";

/// What a CSV file holds.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    /// The columns whose every value is a date without a time of the day.
    pub(crate) dates: Vec<String>,
    /// The columns that are text although most of their values are ISO dates or moments.
    pub(crate) odd_times: Vec<OddCell>,
}

/// The first cell of a column that is no time, though most of them are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OddCell {
    pub(crate) column: String,
    pub(crate) line: usize,
    pub(crate) value: String,
    /// How many cells of the column are no times, and how many are.
    pub(crate) odd: usize,
    pub(crate) times: usize,
}

/// Reads a CSV file, or a TSV file, with a header, an empty value as NULL.
pub(crate) fn read(path: &Path) -> Result<Rows, ConnectError> {
    let bad =
        |reason: String| ConnectError::Unreadable { file: path.to_owned(), reason, hint: HINT };
    let arrow = |e: ArrowError| bad(with_line(path, plain(&e)));
    let is_tsv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tsv"));
    let delimiter = if is_tsv { b'\t' } else { b',' };
    let format = Format::default().with_header(true).with_delimiter(delimiter);
    let (inferred, _) =
        format.infer_schema(open(path).map_err(|e| bad(e.to_string()))?, None).map_err(arrow)?;
    check_header(&inferred).map_err(bad)?;

    let padded = padded_columns(path, &format, &inferred).map_err(arrow)?;
    let schema = Arc::new(with_text(&inferred, &padded));
    let source = open(path).map_err(|e| bad(e.to_string()))?;
    let reader = ReaderBuilder::new(schema.clone()).with_format(format).build_buffered(source);
    let batches: Vec<RecordBatch> =
        reader.map_err(arrow)?.collect::<Result<_, _>>().map_err(arrow)?;
    parse_times(&schema, &batches).map_err(arrow)
}

/// The file from its first character on: a byte order mark is skipped.
fn open(path: &Path) -> std::io::Result<BufReader<File>> {
    let mut file = File::open(path)?;
    let mut start = [0u8; 3];
    let read = file.by_ref().take(3).read(&mut start)?;
    let skip = if read == 3 && start == [0xef, 0xbb, 0xbf] { 3 } else { 0 };
    file.seek(SeekFrom::Start(skip))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

fn check_header(schema: &Schema) -> Result<(), String> {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    if names.is_empty() {
        return Err("the file has no header row".to_owned());
    }
    for (index, name) in names.iter().enumerate() {
        if name.trim().is_empty() {
            return Err(format!("column {} of the header has no name", index + 1));
        }
        if names.iter().take(index).any(|n| n == name) {
            return Err(format!("the header names column {name:?} twice"));
        }
    }
    Ok(())
}

/// The columns of whole numbers that are text: zeros before a value tell it from another one, as
/// where both `007` and `7` occur. Where they tell nothing apart, they are but how numbers are written.
fn padded_columns(path: &Path, format: &Format, schema: &Schema) -> Result<Vec<usize>, ArrowError> {
    let fields = schema.fields().iter().enumerate();
    let whole: Vec<usize> =
        fields.filter(|(_, f)| f.data_type() == &DataType::Int64).map(|(i, _)| i).collect();
    let mut padded = BTreeSet::new();
    each_text(path, format, schema, &whole, |column, text| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.len() > 1 && digits.starts_with('0') {
            padded.insert(column);
        }
    })?;
    // The lengths in which the numbers of a column are written.
    let mut lengths: HashMap<(usize, i64), usize> = HashMap::new();
    let mut apart = BTreeSet::new();
    let padded: Vec<usize> = padded.into_iter().collect();
    each_text(path, format, schema, &padded, |column, text| {
        if let Ok(number) = text.parse::<i64>()
            && *lengths.entry((column, number)).or_insert(text.len()) != text.len()
        {
            apart.insert(column);
        }
    })?;
    Ok(apart.into_iter().collect())
}

/// Hands over each value of these columns, as it is written, with the position of its column.
fn each_text(
    path: &Path,
    format: &Format,
    schema: &Schema,
    columns: &[usize],
    mut take: impl FnMut(usize, &str),
) -> Result<(), ArrowError> {
    if columns.is_empty() {
        return Ok(());
    }
    let as_text: Vec<Field> =
        schema.fields().iter().map(|f| Field::new(f.name(), DataType::Utf8, true)).collect();
    let reader = ReaderBuilder::new(Arc::new(Schema::new(as_text)))
        .with_format(format.clone())
        .with_projection(columns.to_vec())
        .build_buffered(open(path)?)?;
    for batch in reader {
        for (index, column) in columns.iter().zip(batch?.columns()) {
            let strings = column.as_any().downcast_ref::<StringArray>();
            for text in strings.into_iter().flatten().flatten() {
                take(*index, text);
            }
        }
    }
    Ok(())
}

/// The schema with text for all but truth values and numbers, and for the `padded` columns.
fn with_text(schema: &Schema, padded: &[usize]) -> Schema {
    let fields = schema.fields().iter().enumerate().map(|(index, f)| match f.data_type() {
        DataType::Boolean | DataType::Int64 | DataType::Float64 if !padded.contains(&index) => {
            f.as_ref().clone()
        }
        _ => Field::new(f.name(), DataType::Utf8, true),
    });
    Schema::new(fields.collect::<Vec<Field>>())
}

/// Turns text columns into timestamps where every value of every batch is one.
fn parse_times(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Rows, ArrowError> {
    let (mut dates, mut odd_times) = (Vec::new(), Vec::new());
    let mut fields = schema.fields().to_vec();
    let mut columns: Vec<Vec<ArrayRef>> = batches.iter().map(|b| b.columns().to_vec()).collect();
    for (index, field) in schema.fields().iter().enumerate() {
        if field.data_type() != &DataType::Utf8 {
            continue;
        }
        let texts: Vec<&ArrayRef> = columns.iter().filter_map(|c| c.get(index)).collect();
        let Some(times) = find_times(&texts).or_else(|| find_written(&texts)) else {
            odd_times.extend(find_odd(batches, index, field.name()));
            continue;
        };
        if texts.iter().all(|text| holds_dates(text)) {
            dates.push(field.name().clone());
        }
        if let Some(field) = fields.get_mut(index) {
            let time = DataType::Timestamp(TimeUnit::Microsecond, None);
            *field = Arc::new(Field::new(field.name(), time, true));
        }
        for (batch, array) in columns.iter_mut().zip(times) {
            if let Some(place) = batch.get_mut(index) {
                *place = array;
            }
        }
    }
    let schema = Arc::new(Schema::new(fields));
    let batches = columns
        .into_iter()
        .map(|c| RecordBatch::try_new(schema.clone(), c))
        .collect::<Result<_, _>>()?;
    Ok(Rows { schema, batches, dates, odd_times })
}

/// The columns as timestamps, if there is a value at all and each is an ISO date or moment.
fn find_times(texts: &[&ArrayRef]) -> Option<Vec<ArrayRef>> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
    let mut seen = false;
    let mut times = Vec::with_capacity(texts.len());
    for text in texts {
        let strings = text.as_any().downcast_ref::<StringArray>()?;
        if !strings.iter().flatten().all(starts_like_a_date) {
            return None;
        }
        seen |= strings.null_count() < strings.len();
        let zoned = cast_with_options(text, &utc, &options).ok()?;
        times.push(cast_with_options(&zoned, &plain, &options).ok()?);
    }
    seen.then_some(times)
}

/// Whether values that are times say no more than the day.
fn holds_dates(text: &ArrayRef) -> bool {
    let strings = text.as_any().downcast_ref::<StringArray>();
    let is_date = |text: &str| text.len() <= 10 && !text.contains(':');
    strings.is_some_and(|strings| strings.iter().flatten().all(is_date))
}

/// The first cell that is no ISO date or moment in a column where more than half of the values are.
fn find_odd(batches: &[RecordBatch], index: usize, column: &str) -> Option<OddCell> {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let (mut times, mut odd, mut first) = (0, 0, None);
    // The header is the first line.
    let mut line = 2;
    for batch in batches {
        let texts: Vec<&StringArray> =
            batch.columns().iter().filter_map(|c| c.as_any().downcast_ref()).collect();
        let cells = batch.columns().get(index)?;
        let strings = cells.as_any().downcast_ref::<StringArray>()?;
        let parsed = cast_with_options(cells, &utc, &CastOptions::default()).ok()?;
        for (row, text) in strings.iter().enumerate() {
            if let Some(text) = text {
                let is_time = starts_like_a_date(text) && parsed.is_valid(row);
                times += usize::from(is_time);
                odd += usize::from(!is_time);
                if !is_time && first.is_none() {
                    first = Some((line, text.to_owned()));
                }
            }
            // A quoted value may go over several lines.
            let breaks = texts.iter().filter(|t| t.is_valid(row));
            line += 1 + breaks.map(|t| t.value(row).matches('\n').count()).sum::<usize>();
        }
    }
    let (line, value) = first.filter(|_| times > odd)?;
    Some(OddCell { column: column.to_owned(), line, value, odd, times })
}

/// Whether a value begins with `yyyy-mm-dd`.
fn starts_like_a_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes.iter().take(10).enumerate().all(|(i, b)| match i {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        })
}

/// The message with the line in which the bad row begins.
fn with_line(path: &Path, message: String) -> String {
    let Some((before, line)) = message.rsplit_once(" at line ") else { return message };
    match line.parse().ok().and_then(|line| line_of_row(path, line)) {
        Some(line) => format!("{before} at line {line}"),
        None => message,
    }
}

/// The line in which the row begins that the reader met in line `told`: under CRLF it counts up to
/// the end of the row before, and it passes over empty lines without counting them.
fn line_of_row(path: &Path, told: usize) -> Option<usize> {
    let mut line = told;
    for (index, text) in open(path).ok()?.split(b'\n').enumerate().skip(told.checked_sub(1)?) {
        let text = text.ok()?;
        let is_end_before = index + 1 == told && text.ends_with(b"\r");
        if !is_end_before && !text.trim_ascii().is_empty() {
            break;
        }
        line += 1;
    }
    Some(line)
}

/// The message of an Arrow error without its category.
fn plain(error: &ArrowError) -> String {
    match error {
        ArrowError::CsvError(text) | ArrowError::ParseError(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;

    fn read_text(text: &str) -> Result<Rows, ConnectError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    fn type_of(text: &str) -> DataType {
        read_text(text).unwrap().schema.field(0).data_type().clone()
    }

    #[test]
    fn types_come_from_all_rows() {
        assert_eq!(type_of("a,b\n1,x\n2,y\n"), DataType::Int64);
        assert_eq!(type_of("a,b\n1,x\n2.5,y\n"), DataType::Float64);
        assert_eq!(type_of("a,b\n1,x\n2.5,y\nz,y\n"), DataType::Utf8);
        assert_eq!(type_of("a,b\ntrue,x\nfalse,y\n"), DataType::Boolean);
        assert_eq!(type_of("a,b\n7,x\n007,y\n"), DataType::Utf8);
        assert_eq!(type_of("a,b\n001,x\n040,y\n"), DataType::Int64);
        assert_eq!(type_of("a,b\n0,x\n-10,y\n"), DataType::Int64);
        assert_eq!(type_of("a,b\n0.5,x\n01,y\n"), DataType::Float64);
        assert_eq!(type_of("a,b\n,x\n,y\n"), DataType::Utf8);
        assert_eq!(type_of("\u{feff}a,b\n"), DataType::Utf8);
    }

    #[test]
    fn moments_of_several_zones_become_utc() {
        let text = "t,n\n2020-01-01,1\n2020-01-01 12:00:00,2\n2020-01-01T12:00:00.5+02:00,3\n,4\n2020-01-01T12:00:00Z,5\n";
        let Rows { batches, dates, .. } = read_text(text).unwrap();
        assert!(dates.is_empty(), "{dates:?}");
        let times =
            batches[0].column(0).as_any().downcast_ref::<TimestampMicrosecondArray>().unwrap();
        let day = 1_577_836_800_000_000i64;
        let hour = 3_600_000_000i64;
        let expected = [
            Some(day),
            Some(day + 12 * hour),
            Some(day + 10 * hour + 500_000),
            None,
            Some(day + 12 * hour),
        ];
        assert_eq!(times.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_column_of_days_alone_is_one_of_dates() {
        let dates = |text: &str| read_text(text).unwrap().dates;
        assert_eq!(dates("a,b,c\n2020-01-01,x,\n,y,2020-02-29\n"), ["a", "c"]);
        assert_eq!(dates("a,b\n2020-01-01,x\n2020-01-01T00:00,y\n"), [""; 0]);
    }

    #[test]
    fn dates_in_the_order_of_a_country_are_read_where_all_values_allow_one_order_alone() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(type_of("a,b\n03/14/2024,x\n1/2/2024,y\n"), time);
        assert_eq!(type_of("a,b\n14.03.2024,x\n01.02.2024 10:30,y\n"), time);
        assert_eq!(type_of("a,b\n2024/3/14,x\n,y\n"), time);
        // Which of the two is the day cannot be told, or there is no one order.
        assert_eq!(type_of("a,b\n03/04/2024,x\n01/02/2024,y\n"), DataType::Utf8);
        assert_eq!(type_of("a,b\n03/14/2024,x\n14/03/2024,y\n"), DataType::Utf8);
        assert_eq!(type_of("a,b\n03/14/24,x\n"), DataType::Utf8);
        let Rows { batches, dates, .. } = read_text("a,b\n03/14/2024,x\n").unwrap();
        assert_eq!(dates, ["a"]);
        let times = batches[0].column(0).as_any().downcast_ref::<TimestampMicrosecondArray>();
        assert_eq!(times.unwrap().value(0), 1_710_374_400_000_000);
    }

    #[test]
    fn the_cell_that_keeps_a_column_from_being_a_time_is_named() {
        let text = "n,at\n\"a\nb\",2020-01-01\nc,2020-01-02\nd,\ne,soon\nf,2020-01-03\n";
        let odd = OddCell {
            column: "at".to_owned(),
            line: 6,
            value: "soon".to_owned(),
            odd: 1,
            times: 3,
        };
        assert_eq!(read_text(text).unwrap().odd_times, [odd]);
        assert!(read_text("n,at\nc,2020-01-02\nd,x\n").unwrap().odd_times.is_empty());
    }

    #[test]
    fn one_value_that_is_no_time_keeps_a_column_text() {
        assert_eq!(type_of("a,b\n2020-01-01,x\nsoon,y\n"), DataType::Utf8);
        assert_eq!(type_of("a,b\n2020-13-01,x\n"), DataType::Utf8);
    }

    #[test]
    fn ragged_rows_and_bad_headers_are_named() {
        let ragged = read_text("a,b\n1,2\n3\n").unwrap_err().to_string();
        assert!(ragged.contains("t.csv") && ragged.contains("line"), "{ragged}");
        let lines = [
            ("a,b\n1,2\n3\n", 3),
            ("a,b\r\n1,2\r\n3\r\n", 3),
            ("a,b\r\n\"x\r\ny\",2\r\n\r\n3\r\n", 5),
            ("a,b\n1,2\n\n\n3\n", 5),
            ("a,b\r\n3\r\n", 2),
        ];
        for (text, line) in lines {
            let ragged = read_text(text).unwrap_err().to_string();
            assert!(ragged.contains(&format!(" at line {line};")), "{text:?}: {ragged}");
        }
        let twice = read_text("a,a\n1,2\n").unwrap_err().to_string();
        assert!(twice.contains("twice"), "{twice}");
        assert!(read_text("").unwrap_err().to_string().contains("no header"));
    }
}
