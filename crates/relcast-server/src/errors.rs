//! Errors as clients know them: SQLSTATE, hint, position in the statement.

use pgwire::error::{ErrorInfo, PgWireError};
use relcast_engine::EngineError;
use relcast_query::{Place, QueryError};
use relcast_train::TrainError;
use serde::Serialize;
use utoipa::ToSchema;

/// What a client is told of an error, whatever its protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Told {
    /// The SQLSTATE.
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// Where in the statement: the character, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<usize>,
}

/// What is told of an error of a statement of `text`.
pub(crate) fn told(error: &EngineError, text: &str) -> Told {
    let (message, hint) = error.told();
    let position = error.place().map(|place| position(text, place));
    Told { code: code(error), message, hint, position }
}

/// The error of a statement of `text`.
pub(crate) fn of_engine(error: &EngineError, text: &str) -> PgWireError {
    let Told { code, message, hint, position } = told(error, text);
    let mut info = ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message);
    info.hint = hint;
    info.position = position.map(|position| position.to_string());
    PgWireError::UserError(Box::new(info))
}

/// The error of a text that is no statement.
pub(crate) fn of_query(error: QueryError, text: &str) -> PgWireError {
    of_engine(&EngineError::Query(error), text)
}

/// An error with its SQLSTATE that ends the connection.
pub(crate) fn fatal(code: &str, message: &str) -> PgWireError {
    let info = ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message.to_owned());
    PgWireError::UserError(Box::new(info))
}

/// An error with its SQLSTATE.
pub(crate) fn plain(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "ERROR".to_owned(),
        code.to_owned(),
        message.into(),
    )))
}

fn code(error: &EngineError) -> &'static str {
    match error {
        EngineError::Query(error)
        | EngineError::InText { source: error, .. }
        | EngineError::Train(TrainError::Query(error))
            if !matches!(error, QueryError::Run { .. }) =>
        {
            code_of_query(error)
        }
        EngineError::Sql { message, .. } => code_of_message(message),
        EngineError::NoModel { .. } | EngineError::NoVersion { .. } => "42704",
        EngineError::ModelExists { .. } => "42710",
        EngineError::TableExists { .. } => "42P07",
        EngineError::ReadOnly { .. } => "25006",
        EngineError::Memory(_) => "53200",
        EngineError::NotYet { .. } => "0A000",
        EngineError::Stopped => "57014",
        EngineError::Forbidden
        | EngineError::OutOfReach { .. }
        | EngineError::InHome { .. }
        | EngineError::SharedSetting { .. } => "42501",
        EngineError::Outdated { .. } => "57P03",
        EngineError::Locked { .. } => "55P03",
        EngineError::SchemaChanged { .. } => "55000",
        EngineError::ModelName { .. } => "42602",
        EngineError::NamesEntities
        | EngineError::OtherTarget { .. }
        | EngineError::TaskModel { .. }
        | EngineError::ResultColumn { .. } => "22023",
        EngineError::Corrupt { .. } => "XX001",
        _ => error.sqlstate_beneath().unwrap_or("XX000"),
    }
}

fn code_of_query(error: &QueryError) -> &'static str {
    match error {
        QueryError::Syntax { .. } => "42601",
        QueryError::Meaning { message, .. } => code_of_message(message),
        _ => "22023",
    }
}

fn code_of_message(message: &str) -> &'static str {
    if message.starts_with("no table") || message.starts_with("no view") {
        "42P01"
    } else if message.starts_with("no source \"") {
        "42704"
    } else if message.starts_with("view ") {
        if message.ends_with("exists already") { "42P07" } else { "55000" }
    } else if message.ends_with("is a view") {
        "42809"
    } else if message.starts_with("no column") {
        "42703"
    } else if message.contains(" has two columns ") || message.starts_with("two columns ") {
        "42701"
    } else if message.starts_with("parameter $") {
        "42P02"
    } else if message.starts_with("no row has") || message.starts_with("no such entity") {
        "P0002"
    } else if message.starts_with("expected ") {
        "42601"
    } else {
        "42000"
    }
}

/// The character of `text` at `place`, counted from 1.
fn position(text: &str, place: Place) -> usize {
    let before = usize::try_from(place.line).unwrap_or(1).saturating_sub(1);
    let lines = text.split_inclusive('\n').take(before);
    let column = usize::try_from(place.column).unwrap_or(1);
    lines.map(|line| line.chars().count()).sum::<usize>() + column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_position_in_characters() {
        let text = "SELECT 'ä';\nSELECT x";
        assert_eq!(position(text, Place { line: 1, column: 8 }), 8);
        assert_eq!(position(text, Place { line: 2, column: 8 }), 12 + 8);
    }

    #[test]
    fn what_to_do_is_the_hint() {
        let error = EngineError::Sql {
            at: Some(Place { line: 1, column: 15 }),
            message: "no table \"custmers\"".to_owned(),
            hint: Some("did you mean \"customers\"?".to_owned()),
        };
        let PgWireError::UserError(info) = of_engine(&error, "SELECT * FROM custmers") else {
            panic!()
        };
        assert_eq!(info.code, "42P01");
        assert_eq!(info.message, "no table \"custmers\"");
        assert_eq!(info.hint.as_deref(), Some("did you mean \"customers\"?"));
        assert_eq!(info.position.as_deref(), Some("15"));
    }
}
