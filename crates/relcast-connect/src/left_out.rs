//! What lies among the tables and looks like one, but is not read.

use std::path::Path;

use crate::database::format_of;

/// Ends of names of files that hold tables in a form that is not read, with what to do about them.
const FORMS: [(&str, &str); 18] = [
    (".csv.gz", "a compressed file; decompress it"),
    (".tsv.gz", "a compressed file; decompress it"),
    (".csv.zst", "a compressed file; decompress it"),
    (".csv.bz2", "a compressed file; decompress it"),
    (".csv.zip", "a compressed file; decompress it"),
    (".parquet.gz", "a compressed file; decompress it"),
    (".feather", "an Arrow file; write it as Parquet"),
    (".arrow", "an Arrow file; write it as Parquet"),
    (".avro", "an Avro file; write it as Parquet"),
    (".orc", "an ORC file; write it as Parquet"),
    (".json", "JSON; write it as Parquet or CSV"),
    (".jsonl", "lines of JSON; write them as Parquet or CSV"),
    (".ndjson", "lines of JSON; write them as Parquet or CSV"),
    (".xls", "a spreadsheet; write each sheet as CSV"),
    (".xlsx", "a spreadsheet; write each sheet as CSV"),
    (".db", DATABASE),
    (".sqlite", DATABASE),
    (".sqlite3", DATABASE),
];
const DATABASE: &str =
    "a database; write its tables as Parquet or CSV, or read it with CREATE SOURCE";
const PARTS: &str = "a folder of part files; write them as one file of Parquet or CSV";
const TABLES: &str = "a folder with tables; move their files beside the others to have them read";

/// The names of what is left out of `folder`, sorted, each with what to do about it.
pub(crate) fn left_out(folder: &Path) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    for path in entries(folder) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with(['.', '_']) {
            continue;
        }
        let lower = name.to_ascii_lowercase();
        let form = FORMS.iter().find(|(end, _)| lower.ends_with(end)).map(|(_, what)| *what);
        let what = match path.is_dir() {
            true => in_folder(&path),
            false => form,
        };
        found.extend(what.map(|what| (name.to_owned(), what)));
    }
    found.sort();
    found
}

/// What to do about a folder that holds tables, or one in parts: files named so, or partitions such as
/// `year=2020`.
fn in_folder(folder: &Path) -> Option<&'static str> {
    let mut found: Option<&'static str> = None;
    for path in entries(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name.contains('=') {
            return Some(PARTS);
        }
        if format_of(&path).is_some() {
            let is_part = name.to_ascii_lowercase().starts_with("part");
            found = Some(if is_part && found != Some(TABLES) { PARTS } else { TABLES });
        }
    }
    found
}

/// What lies in a folder; nothing where it cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}
