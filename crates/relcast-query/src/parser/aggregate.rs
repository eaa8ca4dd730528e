//! Aggregates: `FUNCTION(table.column [VIA path] [WHERE condition], start, end [, unit])`.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::expression::condition;
use super::predictive_query::{key_columns, list_to_parenthesis};
use crate::ast::{Aggregate, Bound, Function, Step, Window};
use crate::error::QueryError;
use crate::time::{Span, UNITS};

/// An aggregate, its function's name passed.
pub(super) fn aggregate(
    cursor: &mut Cursor<'_>,
    function: Function,
) -> Result<Aggregate, QueryError> {
    cursor.expect(&Token::LParen, "\"(\"")?;
    let table = cursor.name("what is aggregated as table.column or table.*")?;
    cursor.expect(&Token::Period, "\".\" and a column or *")?;
    let column = if cursor.eat(&Token::Mul) { None } else { Some(cursor.name("a column or *")?) };
    let via = cursor.eat_words(&["VIA"]).then(|| path(cursor)).transpose()?;
    let condition = cursor.eat_words(&["WHERE"]).then(|| condition(cursor)).transpose()?;
    if cursor.peek() != Some(&Token::Comma) {
        let keywords: &[&str] = match (&via, &condition) {
            (None, None) => &["VIA", "WHERE", "\",\" and the window"],
            (Some(_), None) => &["WHERE", "\",\" and the window"],
            (_, Some(_)) => &["\",\" and the window"],
        };
        return Err(cursor.unexpected_keyword(keywords));
    }
    cursor.advance();
    let window = window(cursor)?;
    Ok(Aggregate { function, table, column, via, condition, window })
}

/// `step` or `(step, …)`.
fn path(cursor: &mut Cursor<'_>) -> Result<Vec<Step>, QueryError> {
    if cursor.eat(&Token::LParen) {
        return list_to_parenthesis(cursor, step);
    }
    Ok(vec![step(cursor)?])
}

fn step(cursor: &mut Cursor<'_>) -> Result<Step, QueryError> {
    let table = cursor.name("a step of the path: a table, or a link as child_table.foreign_key")?;
    if !cursor.eat(&Token::Period) {
        return Ok(Step::Table(table));
    }
    let columns = key_columns(cursor, "the foreign key's column")?;
    Ok(Step::Link { child: table, columns })
}

/// `start, end [, unit])`.
fn window(cursor: &mut Cursor<'_>) -> Result<Window, QueryError> {
    let at = cursor.at();
    let start = edge(cursor, "the start of the window: a whole number, -INF or INF")?;
    cursor.expect(&Token::Comma, "\",\" and the end of the window")?;
    let end = edge(cursor, "the end of the window: a whole number, -INF or INF")?;
    let mut unit_name = "days".to_owned();
    if cursor.eat(&Token::Comma) {
        unit_name = match cursor.peek_word() {
            Some(word) if Span::unit(&word.value).is_some() => word.value.to_lowercase(),
            _ => return Err(unknown_unit(cursor)),
        };
        cursor.advance();
    }
    cursor.expect(&Token::RParen, "\")\"")?;
    let unit = Span::unit(&unit_name).unwrap_or(Span::ZERO);
    let too_far = || QueryError::Syntax {
        at,
        expected: "a window within the calendar".to_owned(),
        found: format!("\"{}, {}, {unit_name}\"", start.text(), end.text()),
        hint: None,
    };
    Ok(Window {
        start: start.bound(unit).ok_or_else(too_far)?,
        end: end.bound(unit).ok_or_else(too_far)?,
        text: format!("{}, {}, {unit_name}", start.text(), end.text()),
        at,
    })
}

fn unknown_unit(cursor: &Cursor<'_>) -> QueryError {
    let units: Vec<String> = UNITS.iter().map(|(unit, _)| format!("{unit}s")).collect();
    cursor.unexpected_keyword(&units.iter().map(String::as_str).collect::<Vec<_>>())
}

/// One end of a window as written.
enum Edge {
    Whole(i64),
    Infinite { negative: bool },
}

impl Edge {
    fn text(&self) -> String {
        match self {
            Self::Whole(n) => n.to_string(),
            Self::Infinite { negative: true } => "-INF".to_owned(),
            Self::Infinite { negative: false } => "INF".to_owned(),
        }
    }

    fn bound(&self, unit: Span) -> Option<Bound> {
        match self {
            Self::Whole(n) => unit.times(*n).map(Bound::At),
            Self::Infinite { negative: true } => Some(Bound::MinusInfinity),
            Self::Infinite { negative: false } => Some(Bound::Infinity),
        }
    }
}

fn edge(cursor: &mut Cursor<'_>, what: &str) -> Result<Edge, QueryError> {
    let negative = cursor.eat(&Token::Minus);
    if !negative {
        cursor.eat(&Token::Plus);
    }
    if cursor.eat_words(&["INF"]) || cursor.eat_words(&["INFINITY"]) {
        return Ok(Edge::Infinite { negative });
    }
    let whole: i64 = cursor.whole(what)?;
    Ok(Edge::Whole(if negative { -whole } else { whole }))
}
