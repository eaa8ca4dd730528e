//! CSV files: read to memory once, so that every bad row is met when the database is opened.
//!
//! The types come from all rows. A text column whose every value is an ISO date or moment, or a date
//! with slashes, points or dashes that all rows allow to be read in one order alone, becomes a
//! timestamp. A few odd cells in a hundred rows and more change no type: they are NULL, and told.
//! For tables that don't fit into memory, Parquet is the format.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::error::ConnectError;
use crate::typed::{ReadAs, read_typed, tells_apart};

const HINT: &str = "every row needs as many values as the header, in UTF-8 and separated by commas (in .tsv by tabs)";

/// What a CSV file holds.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    /// The columns whose every value is a date without a time of the day.
    pub(crate) dates: Vec<String>,
    /// The columns that are, or would be, times or numbers but for a few cells.
    pub(crate) odd_cells: Vec<OddCell>,
}

/// The first cell of a column that is not what most of them are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OddCell {
    pub(crate) column: String,
    pub(crate) line: usize,
    pub(crate) value: String,
    /// How many cells of the column are odd, and how many are good.
    pub(crate) odd: usize,
    pub(crate) good: usize,
    /// What the good ones are: `times` or `numbers`.
    pub(crate) what: &'static str,
    /// Whether the column is read so, its odd cells as NULL; else it is text.
    pub(crate) is_typed: bool,
}

/// Reads a CSV file, or a TSV file, with a header, an empty value as NULL, and columns of which
/// something is declared as that.
pub(crate) fn read(path: &Path, declared: &BTreeMap<String, ReadAs>) -> Result<Rows, ConnectError> {
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
    parse_texts(&schema, &batches, declared).map_err(arrow)
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
    let mut lengths: HashMap<usize, HashMap<i64, usize>> = HashMap::new();
    let mut apart = BTreeSet::new();
    let padded: Vec<usize> = padded.into_iter().collect();
    each_text(path, format, schema, &padded, |column, text| {
        if let Ok(number) = text.parse::<i64>()
            && tells_apart(lengths.entry(column).or_default(), number, text)
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

/// Turns text columns into timestamps and numbers where their values are such, or are declared so.
fn parse_texts(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    declared: &BTreeMap<String, ReadAs>,
) -> Result<Rows, ArrowError> {
    let (mut dates, mut odd_cells) = (Vec::new(), Vec::new());
    let mut fields = schema.fields().to_vec();
    let mut columns: Vec<Vec<ArrayRef>> = batches.iter().map(|b| b.columns().to_vec()).collect();
    for (index, field) in schema.fields().iter().enumerate() {
        if field.data_type() != &DataType::Utf8 {
            continue;
        }
        let cells = batches.iter().filter_map(|b| b.columns().get(index));
        let texts: Vec<&StringArray> = cells.filter_map(|c| c.as_any().downcast_ref()).collect();
        let says = declared.get(field.name()).copied();
        let Some(reading) = read_typed(&texts, says) else { continue };
        // A person has said that it is no column of times or numbers.
        let is_told = reading.odd > 0 && says != Some(ReadAs::Whole);
        if is_told && let Some((line, value)) = first_odd(batches, &texts, &reading.arrays) {
            odd_cells.push(OddCell {
                column: field.name().clone(),
                line,
                value,
                odd: reading.odd,
                good: reading.good,
                what: reading.what,
                is_typed: reading.is_typed,
            });
        }
        let Some(data_type) = reading.arrays.first().map(|a| a.data_type().clone()) else {
            continue;
        };
        if !reading.is_typed {
            continue;
        }
        if matches!(data_type, DataType::Timestamp(_, _)) && holds_dates(&texts, &reading.arrays) {
            dates.push(field.name().clone());
        }
        if let Some(field) = fields.get_mut(index) {
            *field = Arc::new(Field::new(field.name(), data_type, true));
        }
        for (batch, array) in columns.iter_mut().zip(reading.arrays) {
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
    Ok(Rows { schema, batches, dates, odd_cells })
}

/// Whether the cells that are times say no more than the day.
fn holds_dates(texts: &[&StringArray], times: &[ArrayRef]) -> bool {
    let is_date = |text: &str| text.len() <= 10 && !text.contains(':');
    texts.iter().zip(times).all(|(strings, times)| {
        let rows = strings.iter().enumerate();
        rows.filter(|(row, _)| times.is_valid(*row)).all(|(_, text)| text.is_some_and(is_date))
    })
}

/// Line and value of the first cell of a column that has a text but is NULL as read.
fn first_odd(
    batches: &[RecordBatch],
    texts: &[&StringArray],
    read: &[ArrayRef],
) -> Option<(usize, String)> {
    // The header is the first line.
    let mut line = 2;
    for ((batch, strings), read) in batches.iter().zip(texts).zip(read) {
        let all: Vec<&StringArray> =
            batch.columns().iter().filter_map(|c| c.as_any().downcast_ref()).collect();
        for (row, text) in strings.iter().enumerate() {
            if let Some(text) = text.filter(|_| read.is_null(row)) {
                return Some((line, text.to_owned()));
            }
            // A quoted value may go over several lines.
            let breaks = all.iter().filter(|t| t.is_valid(row));
            line += 1 + breaks.map(|t| t.value(row).matches('\n').count()).sum::<usize>();
        }
    }
    None
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
    use arrow::array::{AsArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Int64Type, TimeUnit};

    fn read_text(text: &str) -> Result<Rows, ConnectError> {
        read_declared(text, &[])
    }

    fn read_declared(text: &str, declared: &[(&str, ReadAs)]) -> Result<Rows, ConnectError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        read(&path, &declared.iter().map(|(name, says)| ((*name).to_owned(), *says)).collect())
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
            good: 3,
            what: "times",
            is_typed: false,
        };
        assert_eq!(read_text(text).unwrap().odd_cells, [odd]);
        assert!(read_text("n,at\nc,2020-01-02\nd,x\n").unwrap().odd_cells.is_empty());
    }

    /// A column of 200 values, the last of which is `odd`.
    fn with_odd(value: impl Fn(usize) -> String, odd: &str) -> String {
        let values: String = (0..199).map(|i| value(i) + ",x\n").collect();
        format!("a,b\n{values}{odd},y\n")
    }

    #[test]
    fn a_few_odd_cells_change_no_type_and_are_told() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        type Value = fn(usize) -> String;
        let cases: [(Value, &str, &DataType, &str); 6] = [
            (|i| i.to_string(), "n/a", &DataType::Int64, "numbers"),
            (|i| format!("{i}.5"), "twelve", &DataType::Float64, "numbers"),
            (|i| i.to_string(), "12 kg", &DataType::Int64, "numbers"),
            (|i| format!("2020-01-{:02}", i % 28 + 1), "soon", &time, "times"),
            (|i| format!("01/{:02}/2020", i % 28 + 1), "soon", &time, "times"),
            (|i| format!("01/{:02}/2020", i % 28 + 1), "14/03/2020", &time, "times"),
        ];
        for (value, odd, data_type, what) in cases {
            let rows = read_text(&with_odd(value, odd)).unwrap();
            assert_eq!(rows.schema.field(0).data_type(), data_type, "{odd}");
            let [cell] = rows.odd_cells.as_slice() else { panic!("{:?}", rows.odd_cells) };
            assert_eq!((cell.line, cell.value.as_str(), cell.odd, cell.good), (201, odd, 1, 199));
            assert_eq!((cell.what, cell.is_typed), (what, true));
            assert!(rows.batches[0].column(0).is_null(199));
            assert_eq!(rows.dates.is_empty(), what == "numbers");
        }
        // Names of things stay whole, and so does what holds many odd cells.
        for code in ["85123A", "12345678901234567890"] {
            let codes = read_text(&with_odd(|i| i.to_string(), code)).unwrap();
            assert_eq!(codes.schema.field(0).data_type(), &DataType::Utf8);
            assert!(!codes.odd_cells[0].is_typed, "{code}");
        }
        assert_eq!(type_of(&with_odd(|i| format!("{:03}", i / 2), "7")), DataType::Utf8);
        let odd = |i: usize| if i < 3 { "n/a".to_owned() } else { i.to_string() };
        assert_eq!(type_of(&with_odd(odd, "1")), DataType::Utf8);
    }

    #[test]
    fn what_is_declared_goes_before_what_the_text_says() {
        let text = "a,b\n1,2020-01-01\nx,2020-01-02\n,soon\ny,\n";
        let declared = [("a", ReadAs::Numbers), ("b", ReadAs::Times)];
        let rows = read_declared(text, &declared).unwrap();
        let a: Vec<Option<i64>> =
            rows.batches[0].column(0).as_primitive::<Int64Type>().iter().collect();
        assert_eq!(a, [Some(1), None, None, None]);
        let times = rows.batches[0].column(1).as_any().downcast_ref::<TimestampMicrosecondArray>();
        assert_eq!(times.unwrap().null_count(), 2);
        let told: Vec<(usize, usize)> = rows.odd_cells.iter().map(|c| (c.odd, c.line)).collect();
        assert_eq!(told, [(2, 3), (1, 4)]);
        // A column of other things keeps its type, for an error to name it.
        let rows = read_declared("a,b\nx,1\n", &[("a", ReadAs::Times)]).unwrap();
        assert_eq!(rows.schema.field(0).data_type(), &DataType::Utf8);
        let text = with_odd(|i| i.to_string(), "n/a");
        let rows = read_declared(&text, &[("a", ReadAs::Whole)]).unwrap();
        assert_eq!(rows.schema.field(0).data_type(), &DataType::Utf8);
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
