//! `COPY … TO 'file'`: rows into one file, whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::CopyTo;
use datafusion::sql::parser::{CopyToStatement, Statement as ParsedStatement};
use futures::StreamExt;
use relcast_connect::{CsvOptions, FileWriter, Target};

use super::{Answer, Session};
use crate::error::EngineError;
use crate::json_rows::repeated_column;

/// What a file is written as.
enum Form {
    Parquet,
    Csv,
}

impl Form {
    fn named(name: &str) -> Result<Self, EngineError> {
        match name.to_ascii_lowercase().as_str() {
            "parquet" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            "" => Err(refused("the file's name does not say its format")),
            _ => Err(refused(&format!("{} is no format that COPY writes", name.to_uppercase()))),
        }
    }
}

impl Session {
    /// Writes the rows of a COPY into its file.
    pub(super) async fn copy_to(&self, copy: &CopyTo) -> Result<Answer, EngineError> {
        let path = file_of(&copy.output_url)?;
        let options = Options::read(&copy.options);
        let (target, csv) = match Form::named(&copy.file_type.get_ext())? {
            Form::Parquet => {
                options.all_known("Parquet", "none")?;
                (Target::Parquet(path), CsvOptions::default())
            }
            Form::Csv => (Target::Csv(path), options.of_csv()?),
        };
        // Before the work whose rows are to go there.
        relcast_connect::check_target(&target)?;
        let rows = self.stream(copy.input.as_ref().clone()).await?;
        let file = match &target {
            Target::Csv(path) => FileWriter::csv(path, rows.schema(), &csv)?,
            other => FileWriter::parquet(other.path(), rows.schema())?,
        };
        let count = filled(file, rows).await?.finish()?;
        Ok(Answer::done(&format!("COPY {count}")))
    }

    /// The rows of `input` as they are computed, for a file: each column has a name of its own.
    pub(super) async fn stream(
        &self,
        input: LogicalPlan,
    ) -> Result<SendableRecordBatchStream, EngineError> {
        let frame = self.statement_context().execute_logical_plan(input).await;
        let rows = frame.map_err(EngineError::of_datafusion)?.execute_stream().await;
        let rows = rows.map_err(EngineError::of_datafusion)?;
        match repeated_column(&rows.schema()) {
            None => Ok(rows),
            Some(name) => Err(EngineError::Sql {
                at: None,
                message: format!("two columns have the name \"{name}\""),
                hint: Some("rename one with AS".to_owned()),
            }),
        }
    }
}

/// The file with all `rows` in it, which is still to be finished.
pub(super) async fn filled(
    mut file: FileWriter,
    mut rows: SendableRecordBatchStream,
) -> Result<FileWriter, EngineError> {
    while let Some(batch) = rows.next().await {
        file.write(&batch.map_err(EngineError::of_datafusion)?)?;
    }
    Ok(file)
}

/// Refuses what a COPY asks for and would not get; planning would pass over it.
pub(super) fn check(statement: &ParsedStatement) -> Result<(), EngineError> {
    let copy = match statement {
        ParsedStatement::CopyTo(copy) => copy,
        ParsedStatement::Explain(explain) => return check(&explain.statement),
        _ => return Ok(()),
    };
    let CopyToStatement { target, partitioned_by, stored_as, .. } = copy;
    let extension = Path::new(target).extension().and_then(|e| e.to_str());
    Form::named(stored_as.as_deref().or(extension).unwrap_or_default())?;
    if !partitioned_by.is_empty() {
        return Err(refused("COPY writes one file, which PARTITIONED BY would make many"));
    }
    Ok(())
}

/// Whether the place that a COPY names is a file of this machine.
pub(super) fn is_file(place: &str) -> bool {
    !place.trim_start_matches("file://").contains("://")
}

/// The file that a COPY names.
pub(super) fn file_of(place: &str) -> Result<PathBuf, EngineError> {
    let path = place.strip_prefix("file://").unwrap_or(place);
    if !is_file(place) {
        return Err(refused(&format!("\"{place}\" is no file of this machine")));
    }
    if path.ends_with('/') {
        return Err(refused(&format!("\"{place}\" is a folder, and COPY writes one file")));
    }
    Ok(PathBuf::from(path))
}

/// The options of a COPY by name, as they stand in it.
struct Options<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Options<'a> {
    fn read(written: &'a HashMap<String, String>) -> Self {
        // Planning puts this before names that have no point.
        let name = |name: &'a String| name.strip_prefix("format.").unwrap_or(name);
        Self(written.iter().map(|(key, value)| (name(key), value.as_str())).collect())
    }

    fn of_csv(mut self) -> Result<CsvOptions, EngineError> {
        let mut csv = CsvOptions::default();
        if let Some((name, value)) = self.take(["header", "has_header"]) {
            let value = value.to_ascii_lowercase();
            csv.header = value.parse::<bool>().map_err(|_| bad(name, "true or false"))?;
        }
        if let Some((name, value)) = self.take(["delimiter", "delim"]) {
            csv.delimiter = match value.as_bytes() {
                [byte] if *byte == b'\t' || byte.is_ascii_punctuation() && *byte != b'"' => *byte,
                _ => return Err(bad(name, "one sign, such as ';'")),
            };
        }
        if let Some((_, value)) = self.take(["null", "null_value"]) {
            csv.null = value.to_owned();
        }
        self.all_known("CSV", "header, delimiter and null")?;
        Ok(csv)
    }

    /// Takes out an option that has two names.
    fn take(&mut self, names: [&'static str; 2]) -> Option<(&'static str, &'a str)> {
        names.into_iter().find_map(|name| Some((name, self.0.remove(name)?)))
    }

    /// Refuses what is left.
    fn all_known(&self, form: &str, known: &str) -> Result<(), EngineError> {
        let Some(name) = self.0.keys().next() else { return Ok(()) };
        Err(EngineError::Sql {
            at: None,
            message: format!("unknown option \"{name}\" of COPY to {form}"),
            hint: Some(format!("the options of COPY to {form}: {known}")),
        })
    }
}

fn bad(option: &str, expected: &str) -> EngineError {
    EngineError::Sql {
        at: None,
        message: format!("option \"{option}\" of COPY takes {expected}"),
        hint: None,
    }
}

fn refused(message: &str) -> EngineError {
    EngineError::Sql {
        at: None,
        message: message.to_owned(),
        hint: Some(
            "write COPY … TO 'file.parquet' or 'file.csv', or say STORED AS PARQUET or CSV"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_option_does_what_it_says_or_is_refused() {
        let csv = |options: &[(&str, &str)]| {
            let options =
                options.iter().map(|(name, value)| (format!("format.{name}"), (*value).to_owned()));
            Options::read(&options.collect()).of_csv().map_err(|error| error.to_string())
        };
        assert_eq!(csv(&[]), Ok(CsvOptions::default()));
        let written = csv(&[("has_header", "FALSE"), ("delimiter", ";"), ("null", "NA")]);
        let expected = CsvOptions { header: false, delimiter: b';', null: "NA".to_owned() };
        assert_eq!(written, Ok(expected));
        for (option, why) in [
            (("compression", "gzip"), "unknown option \"compression\" of COPY to CSV"),
            (("delimiter", ";;"), "takes one sign"),
            (("header", "maybe"), "takes true or false"),
        ] {
            let error = csv(&[option]).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_place_is_a_file_of_this_machine() {
        assert_eq!(file_of("a/b.csv").unwrap(), Path::new("a/b.csv"));
        assert_eq!(file_of("file:///a/b.csv").unwrap(), Path::new("/a/b.csv"));
        for place in ["s3://bucket/b.csv", "postgres://h/d", "folder/"] {
            assert!(file_of(place).is_err(), "{place}");
        }
    }
}
