//! SQLSTATEs of what fails beneath the engine: in DataFusion, in Arrow, with files.

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use relcast_connect::ConnectError;
use relcast_query::QueryError;
use relcast_train::TrainError;

use crate::error::EngineError;

/// A file cannot be read or written.
pub(crate) const IO: &str = "58030";
const NO_FILE: &str = "58P01";
/// What is written follows the grammar and cannot be done.
const MEANING: &str = "42000";
const NO_TABLE: &str = "42P01";
const NO_COLUMN: &str = "42703";
const UNKNOWN: &str = "XX000";

impl EngineError {
    /// The SQLSTATE of what failed beneath the engine; none of what the engine refuses by itself.
    #[must_use]
    pub fn sqlstate_beneath(&self) -> Option<&'static str> {
        Some(match self {
            Self::Failed { state, .. } => *state,
            Self::Query(QueryError::Run { source, .. })
            | Self::InText { source: QueryError::Run { source, .. }, .. }
            | Self::Train(TrainError::Query(QueryError::Run { source, .. })) => {
                of_datafusion(source)
            }
            Self::Train(TrainError::DataFusion(source))
            | Self::Connect(ConnectError::Session(source)) => of_datafusion(source),
            Self::Train(TrainError::Arrow(source)) | Self::Arrow(source) => of_arrow(source),
            Self::Connect(
                ConnectError::NoDirectory { .. }
                | ConnectError::NotADirectory { .. }
                | ConnectError::NoTables { .. }
                | ConnectError::NoFolder { .. },
            ) => NO_FILE,
            Self::Connect(
                ConnectError::Source { .. }
                | ConnectError::Unreadable { .. }
                | ConnectError::Unwritable { .. },
            )
            | Self::File { .. }
            | Self::Home { .. } => IO,
            Self::Connect(ConnectError::NotYet { .. }) => "0A000",
            Self::Connect(_) => MEANING,
            _ => return None,
        })
    }
}

/// The SQLSTATE of an error of DataFusion's, by what lies at its bottom.
pub(crate) fn of_datafusion(error: &DataFusionError) -> &'static str {
    match error.find_root() {
        DataFusionError::SQL(..) => "42601",
        DataFusionError::Plan(message) => of_plan(message),
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { .. } => NO_COLUMN,
            SchemaError::AmbiguousReference { .. } => "42702",
            SchemaError::DuplicateQualifiedField { .. }
            | SchemaError::DuplicateUnqualifiedField { .. } => "42701",
        },
        DataFusionError::ArrowError(error, _) => of_arrow(error),
        DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_) => IO,
        DataFusionError::NotImplemented(_) => "0A000",
        DataFusionError::Configuration(_) => "22023",
        DataFusionError::Execution(_) => "22000",
        DataFusionError::ResourcesExhausted(_) => "53200",
        _ => UNKNOWN,
    }
}

/// Planning tells only in words what is missing.
fn of_plan(message: &str) -> &'static str {
    if message.starts_with("table '") && message.contains("' not found") {
        NO_TABLE
    } else if message.contains("No field named") {
        NO_COLUMN
    } else if message.starts_with("Invalid function") {
        "42883"
    } else {
        MEANING
    }
}

fn of_arrow(error: &ArrowError) -> &'static str {
    match error {
        ArrowError::DivideByZero => "22012",
        ArrowError::ArithmeticOverflow(_) => "22003",
        ArrowError::CastError(_) | ArrowError::ParseError(_) => "22P02",
        ArrowError::IoError(..)
        | ArrowError::ParquetError(_)
        | ArrowError::CsvError(_)
        | ArrowError::IpcError(_) => IO,
        ArrowError::NotYetImplemented(_) => "0A000",
        ArrowError::ComputeError(_) | ArrowError::InvalidArgumentError(_) => "22000",
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_state_of_its_bottom() {
        let arrow = |error| DataFusionError::ArrowError(Box::new(error), None);
        let file = std::io::Error::from(std::io::ErrorKind::NotFound);
        for (error, state) in [
            (arrow(ArrowError::DivideByZero), "22012"),
            (arrow(ArrowError::CastError("x".to_owned())), "22P02"),
            (arrow(ArrowError::ArithmeticOverflow("x".to_owned())), "22003"),
            (arrow(ArrowError::ExternalError(Box::new(arrow(ArrowError::DivideByZero)))), "22012"),
            (arrow(ArrowError::DivideByZero).context("while something"), "22012"),
            (DataFusionError::IoError(file), "58030"),
            (DataFusionError::Plan("table 'a.b.c' not found".to_owned()), "42P01"),
            (DataFusionError::Plan("what".to_owned()), "42000"),
            (DataFusionError::Internal("what".to_owned()), "XX000"),
        ] {
            assert_eq!(of_datafusion(&error), state, "{error}");
            let error = EngineError::of_datafusion(error);
            assert_eq!(error.sqlstate_beneath(), Some(state), "{error}");
        }
        let source = Box::new(arrow(ArrowError::DivideByZero));
        let query = QueryError::Run { doing: "counting".to_owned(), source };
        assert_eq!(EngineError::Query(query).sqlstate_beneath(), Some("22012"));
        assert_eq!(EngineError::Forbidden.sqlstate_beneath(), None);
    }
}
