//! Sources and sinks: where tables come from and where predictions go.
//!
//! [`open`] reads a folder of Parquet and CSV files into one DataFusion session in which every
//! table has normalised columns; a [`Source`] gives the tables of a folder, of Postgres or of SQLite
//! one by one, to be read where they are. [`write`] puts record batches into a Parquet file, a CSV
//! file or a SQLite table, whole or not at all; a [`FileWriter`] takes them one by one. Nothing here
//! knows keys, links or times.

mod apart;
mod csv;
mod database;
mod error;
mod file_writer;
mod fingerprint;
mod json;
mod left_out;
mod normalise;
mod overlay;
mod parquet;
mod postgres;
mod redact;
mod remote;
mod sink;
mod source;
mod sqlite;
mod tables;
mod target;
mod typed;
mod written_dates;

pub use database::{Database, OddCells, OpenOptions, open, open_as, open_with};
pub use error::ConnectError;
pub use file_writer::{CsvOptions, FileWriter};
pub use json::flattened;
pub use overlay::with_table;
pub use parquet::file_url;
pub use postgres::{PostgresUrl, postgres};
pub use redact::redacted;
pub use sink::{check_target, write};
pub use source::{Source, folder};
pub use sqlite::sqlite;
pub use target::Target;
pub use typed::{ReadAs, ReadColumns};
