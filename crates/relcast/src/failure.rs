//! Errors as a person reads them: one line, a hint, and the place in the statement.

use std::fmt;

use datafusion::error::DataFusionError;
use relcast_catalog::CatalogError;
use relcast_connect::{ConnectError, redacted};
use relcast_engine::{EngineError, split_hint};
use relcast_query::{Place, QueryError, statements};
use unicode_width::UnicodeWidthStr;

/// Why a command failed, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    excerpt: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, excerpt: None }
    }

    /// The same failure with what to do about it.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The failure of a query, with the line of `statement` that the error points at.
    pub fn of_query(error: &QueryError, statement: &str) -> Self {
        let excerpt = error.place().and_then(|place| excerpt(statement, place));
        Self { excerpt, ..Self::split(&error.to_string()) }
    }

    /// The failure of statement `number` of `text`, with the line that the error points at; where it
    /// points at none, with the number, if there are several statements.
    pub fn of_statement(error: EngineError, text: &str, number: usize) -> Self {
        let place = error.place();
        let failure = Self::from(error);
        match place {
            Some(place) => Self { excerpt: excerpt(text, place), ..failure },
            None if statements(text).is_ok_and(|all| all.take(2).count() == 2) => {
                Self { message: format!("statement {number}: {}", failure.message), ..failure }
            }
            None => failure,
        }
    }

    /// Our errors say what is wrong, then, after a semicolon, what to do.
    pub fn split(text: &str) -> Self {
        let (message, hint) = split_hint(text);
        Self { hint: hint.map(str::to_owned), ..Self::new(message) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whatever a library says of a URL, its password is not shown.
        write!(f, "error: {}", redacted(&self.message))?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{excerpt}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {}", redacted(hint)),
            None => Ok(()),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::split(&error.to_string())
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Query { .. } => Self::new(error.to_string()),
            _ => Self::split(&error.to_string()),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Run { .. } => Self::new(error.to_string()),
            _ => Self::split(&error.to_string()),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::InText { source, text } => Self::of_query(&source, &text),
            EngineError::Query(error) => error.into(),
            EngineError::Connect(error) => error.into(),
            _ => {
                let (message, hint) = error.told();
                let message = match error.place() {
                    Some(place) => format!("{place}: {message}"),
                    None => message,
                };
                Self { hint, ..Self::new(message) }
            }
        }
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::new(error.strip_backtrace())
    }
}

/// The line at `place` with a mark under its column.
fn excerpt(statement: &str, place: Place) -> Option<String> {
    let line = statement.lines().nth(usize::try_from(place.line).ok()?.checked_sub(1)?)?;
    let before = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let line: String = line.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let shown = redacted(&line);
    // Columns are no longer where they were once a password is covered.
    if shown != line {
        return Some(format!("  | {shown}"));
    }
    // Some characters are two columns wide, and some take none.
    let before: String = shown.chars().take(before).collect();
    Some(format!("  | {shown}\n  | {}^", " ".repeat(before.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_semicolon_is_the_hint() {
        let failure = Failure::split("no table \"custmers\"; did you mean \"customers\"?");
        let expected = "error: no table \"custmers\"\n  hint: did you mean \"customers\"?";
        assert_eq!(failure.to_string(), expected);
    }

    #[test]
    fn an_error_without_a_place_names_its_statement_among_several() {
        let failure = |text: &str| {
            let error =
                EngineError::Sql { at: None, message: "Divide by zero".to_owned(), hint: None };
            Failure::of_statement(error, text, 2).to_string()
        };
        assert_eq!(failure("SELECT 1; SELECT 1/0"), "error: statement 2: Divide by zero");
        assert_eq!(failure("SELECT 1/0"), "error: Divide by zero");
    }

    #[test]
    fn the_place_is_marked_in_the_line() {
        let place = Place { line: 2, column: 3 };
        assert_eq!(excerpt("a\n\tbc d", place).as_deref(), Some("  |  bc d\n  |   ^"));
        assert_eq!(excerpt("a", place), None);
        let place = Place { line: 3, column: 5 };
        assert_eq!(excerpt("a\n\n東京 äx", place).as_deref(), Some("  | 東京 äx\n  |       ^"));
        let place = Place { line: 1, column: 3 };
        let covered = excerpt("url 'postgres://ana:s3cret@h/d'", place);
        assert_eq!(covered.as_deref(), Some("  | url 'postgres://ana:***@h/d'"));
    }
}
