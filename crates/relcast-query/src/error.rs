//! What can go wrong between the text of a predictive query and its training table.

use std::fmt;

use datafusion::error::DataFusionError;
use serde::Serialize;

/// A place in the text of a statement; both numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The character in the line.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// An error of a predictive query: in its text, in its names, or while its labels are computed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text does not follow the grammar.
    #[error("{at}: expected {expected}, found {found}{}", hint_text(.hint.as_deref()))]
    Syntax {
        /// Where the unexpected token starts.
        at: Place,
        /// What could have stood there.
        expected: String,
        /// What stands there.
        found: String,
        /// What to do, such as the nearest keyword.
        hint: Option<String>,
    },
    /// The text follows the grammar but means nothing for this database.
    #[error("{at}: {message}{}", hint_text(.hint.as_deref()))]
    Meaning {
        /// Where the part in question starts.
        at: Place,
        /// What is wrong.
        message: String,
        /// What to do, such as the nearest name.
        hint: Option<String>,
    },
    /// An option has an unknown name or an unusable value.
    #[error("{}{message}{}", place_text(.at.as_ref()), hint_text(.hint.as_deref()))]
    Option {
        /// Where the option stands; none for options set outside a statement.
        at: Option<Place>,
        /// What is wrong.
        message: String,
        /// What to do, such as the nearest name.
        hint: Option<String>,
    },
    /// The SELECT of the labels does not yield label rows.
    #[error("{}the SELECT of the labels {message}{}", place_text(.at.as_ref()), hint_text(.hint.as_deref()))]
    Labels {
        /// Where the SELECT starts; none where it was written earlier.
        at: Option<Place>,
        /// What is wrong with it, as its predicate.
        message: String,
        /// What to do, such as the nearest name.
        hint: Option<String>,
    },
    /// The rows of FOR … IN (SELECT …) do not name entities.
    #[error("FOR … IN (SELECT …) {message}{}", hint_text(.hint.as_deref()))]
    Named {
        /// What is wrong with it, as its predicate.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The data allow no split into train, validation and test.
    #[error("cannot split by time: {message}")]
    Split {
        /// Which cutoffs are missing and which times were used.
        message: String,
    },
    /// A task's declaration cannot be turned into a label plan.
    #[error("task \"{task}\": {message}")]
    Task {
        /// The task's name.
        task: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// DataFusion refused or failed to run a generated plan.
    #[error("{doing}: {}", plain_words(.source))]
    Run {
        /// What was being computed.
        doing: String,
        /// DataFusion's own error.
        #[source]
        source: Box<DataFusionError>,
    },
}

impl QueryError {
    /// An error of meaning without a hint.
    pub(crate) fn meaning(at: Place, message: impl Into<String>) -> Self {
        Self::Meaning { at, message: message.into(), hint: None }
    }

    /// An error of meaning that says what to do.
    pub(crate) fn meaning_with_hint(
        at: Place,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) -> Self {
        Self::Meaning { at, message: message.into(), hint: hint.into() }
    }

    /// Wraps an error of DataFusion with what was being computed.
    pub(crate) fn run(doing: &str) -> impl Fn(DataFusionError) -> Self + '_ {
        move |source| Self::Run { doing: doing.to_owned(), source: Box::new(source) }
    }

    /// Where in the statement the error is, if it is in the statement.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Syntax { at, .. } | Self::Meaning { at, .. } => Some(*at),
            Self::Option { at, .. } | Self::Labels { at, .. } => *at,
            Self::Named { .. } | Self::Split { .. } | Self::Task { .. } | Self::Run { .. } => None,
        }
    }
}

/// DataFusion's words without those for its own developers: the backtrace, which library failed, and
/// where to report a bug.
#[must_use]
pub fn plain_words(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let text = text.split("\n\nbacktrace").next().unwrap_or_default();
    let text = text.split(".\nThis issue was likely caused by").next().unwrap_or_default();
    let found =
        ["Internal error: ", "Arrow error: "].iter().find_map(|kind| text.strip_prefix(kind));
    found.unwrap_or(text).to_owned()
}

fn hint_text(hint: Option<&str>) -> String {
    hint.map(|hint| format!("; {hint}")).unwrap_or_default()
}

fn place_text(at: Option<&Place>) -> String {
    at.map(|at| format!("{at}: ")).unwrap_or_default()
}

/// `did you mean "x"?` for the candidate nearest to `name`, if one is near enough.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    relcast_catalog::nearest(name, candidates).map(|nearest| format!("did you mean \"{nearest}\"?"))
}
