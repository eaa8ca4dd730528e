//! Text of a client: divided into statements, read, printed, bound, and planned; nothing runs.

use std::sync::LazyLock;

use datafusion::common::ScalarValue;
use datafusion::sql::parser::DFParserBuilder;
use relcast_catalog::Schema;
use relcast_query::ast::{Name, PredictiveQuery};
use relcast_query::statement::{CreateModel, Labels, Statement};
use relcast_query::{
    LabelPlan, OptionValue, Options, QueryError, bind, open_statements, parse, statements,
    statements_with,
};

use crate::shop::shop;

/// Bytes of a text; longer ones show nothing that shorter ones do not.
const LONGEST: usize = 4096;
/// Nesting that the SQL of a label plan may have where it is run.
const DEEPEST: usize = 2000;

static SHOP: LazyLock<Schema> = LazyLock::new(shop);

/// Reads `input` as a session reads the text of a client.
///
/// # Panics
/// If an error lies outside the text, a query that is printed and read again is another, or the
/// labels of a query that means something are no SQL.
pub fn statement(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if text.len() > LONGEST {
        return;
    }
    match parse(text) {
        Ok(query) => check(text, &query),
        Err(error) => check_place(text, &error),
    }
    match statements(text) {
        Ok(read) => read.for_each(|statement| check_statement(text, statement, true)),
        Err(error) => check_place(text, &error),
    }
    let values =
        [ScalarValue::from(-1i64), ScalarValue::from("2020-01-31"), ScalarValue::Utf8(None)];
    if let Ok(read) = statements_with(text, &values) {
        read.for_each(|statement| check_statement(text, statement, false));
    }
    // To be described, before there are values.
    if let Ok(read) = open_statements(text) {
        read.filter_map(Result::err).for_each(|error| check_place(text, &error));
    }
}

/// Checks one statement of `text`; `as_written` where its parameters have no values.
fn check_statement(text: &str, statement: Result<Statement, QueryError>, as_written: bool) {
    match statement {
        Err(error) => check_place(text, &error),
        Ok(Statement::Sql(sql)) => sql.predictions.iter().for_each(|query| check(text, query)),
        Ok(Statement::ExplainPredict { query, .. }) => check(text, &query),
        Ok(Statement::CreateModel(create) | Statement::ExplainCreateModel(create)) => {
            check_creation(text, &create, as_written);
        }
        Ok(Statement::EvaluateModel { options, .. }) => check_options(text, &options),
        Ok(_) => {}
    }
}

fn check_creation(text: &str, create: &CreateModel, as_written: bool) {
    match &create.labels {
        Labels::Select(rows) => check_options(text, &rows.options),
        Labels::Query { query, text: kept } => {
            check(text, query);
            if as_written {
                let kept = parse(kept).unwrap_or_else(|error| panic!("{kept}\n{error}"));
                // NOW() is another moment by now.
                let timeless =
                    |query: &PredictiveQuery| PredictiveQuery { as_of: None, ..query.clone() };
                let (kept, query) = (timeless(&kept), timeless(query));
                assert_eq!(without_places(&kept), without_places(&query));
            }
        }
    }
}

fn check_options(text: &str, options: &[(Name, OptionValue)]) {
    if let Err(error) = Options::from_statement(options) {
        check_place(text, &error);
    }
}

/// What holds for every query of `text` that can be read.
fn check(text: &str, query: &PredictiveQuery) {
    let printed = query.to_string();
    let again = parse(&printed).unwrap_or_else(|error| panic!("{printed}\n{error}"));
    assert_eq!(without_places(&again), without_places(query), "{printed}");
    let bound = match bind(query, &SHOP) {
        Ok(bound) => bound,
        Err(error) => return check_place(text, &error),
    };
    let Ok(plan) = LabelPlan::from_query(&bound, &SHOP) else { return };
    let parser = DFParserBuilder::new(plan.sql()).with_recursion_limit(DEEPEST).build();
    let read = parser.and_then(|mut parser| parser.parse_statements());
    let read = read.unwrap_or_else(|error| panic!("{printed}\n{}\n{error}", plan.sql()));
    assert_eq!(read.len(), 1, "{}", plan.sql());
}

/// An error can be told, and lies within the text.
fn check_place(text: &str, error: &QueryError) {
    let told = error.to_string();
    let Some(place) = error.place() else { return };
    let line = usize::try_from(place.line).ok().and_then(|line| line.checked_sub(1));
    let line = line.and_then(|line| text.split('\n').nth(line));
    let line = line.unwrap_or_else(|| panic!("no such line: {told}"));
    let column = usize::try_from(place.column).unwrap_or(usize::MAX);
    assert!((1..=line.chars().count() + 1).contains(&column), "no such column: {told}");
}

/// All of a query but where its parts stand.
fn without_places(query: &PredictiveQuery) -> String {
    let text = format!("{query:?}");
    let mut parts = text.split("Place { line: ");
    let first = parts.next().unwrap_or_default().to_owned();
    // A text of the query may look like a place.
    first + &parts.map(|part| after_place(part).unwrap_or(part)).collect::<String>()
}

fn after_place(part: &str) -> Option<&str> {
    let column = after_digits(part).strip_prefix(", column: ")?;
    after_digits(column).strip_prefix(" }")
}

fn after_digits(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_passed_over_and_nothing_else_is() {
        let query = |text: &str| without_places(&parse(text).unwrap());
        assert_eq!(query("PREDICT x FOR a.b"), query("PREDICT\n\n  x FOR EACH a . b"));
        assert_ne!(query("PREDICT x FOR a.b"), query("PREDICT y FOR a.b"));
        let like = |text: &str| query(&format!("PREDICT '{text}' FOR a.b"));
        assert_ne!(like("Place { line: 1"), like("Place { line: 2"));
    }

    #[test]
    fn what_is_too_long_or_no_text_is_passed_over() {
        statement(b"\xff");
        statement(&vec![b'('; 1 << 20]);
    }

    #[test]
    #[should_panic(expected = "no such line")]
    fn an_error_outside_the_text_is_found() {
        let error = parse("PREDICT\n\n1 +").unwrap_err();
        check_place("PREDICT", &error);
    }
}
