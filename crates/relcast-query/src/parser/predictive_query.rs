//! The clauses of a predictive query, in their order.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::expression::{condition, literal, starts_literal};
use crate::ast::{ForClause, Literal, ModelName, Name, PredictiveQuery, Selection, Shape};
use crate::error::QueryError;
use crate::options::OptionValue;
use crate::time::{Span, is_in_calendar, midnight, now};
use relcast_catalog::{format_time, parse_time};

/// The options that say which columns come back; these must be known before a statement runs.
const OF_COLUMNS: [&str; 3] = ["embedding", "interval", "quantiles"];

/// The clauses that may follow FOR, in their order.
const CLAUSES: [&str; 5] = ["WHERE", "ASSUMING", "AS OF", "USING MODEL", "WITH"];

pub(super) fn predictive_query(cursor: &mut Cursor<'_>) -> Result<PredictiveQuery, QueryError> {
    let at = cursor.at();
    if !cursor.eat_words(&["PREDICT"]) {
        return Err(cursor.unexpected_keyword(&["PREDICT"]));
    }
    let mut model = model_clause(cursor)?;
    let (target, shape) = match model {
        Some(_) => (None, Shape::Plain),
        None => (Some(condition(cursor)?), shape(cursor)?),
    };
    let entity =
        if model.is_some() && !cursor.sees(&["FOR"]) { None } else { Some(for_clause(cursor)?) };
    let filter = cursor.eat_words(&["WHERE"]).then(|| condition(cursor)).transpose()?;
    let assuming = cursor.eat_words(&["ASSUMING"]).then(|| condition(cursor)).transpose()?;
    let (as_of, as_of_parameter) = as_of(cursor)?;
    if model.is_none() {
        model = model_clause(cursor)?;
    }
    let options = if cursor.eat_words(&["WITH"]) { options(cursor)? } else { Vec::new() };
    if !matches!(cursor.peek(), None | Some(Token::SemiColon | Token::RParen)) {
        return Err(misplaced_clause(cursor));
    }
    Ok(PredictiveQuery {
        target,
        shape,
        entity,
        condition: filter,
        assuming,
        as_of,
        as_of_parameter,
        model,
        options,
        at,
    })
}

/// What follows the last clause: a misspelt keyword, a clause of SQL's, or one out of its order.
fn misplaced_clause(cursor: &Cursor<'_>) -> QueryError {
    let mut error = cursor.unexpected_keyword(&CLAUSES);
    let of_sql = ["ORDER", "LIMIT", "OFFSET", "FETCH"].into_iter().any(|word| cursor.sees(&[word]));
    if let (true, QueryError::Syntax { hint, .. }) = (of_sql, &mut error) {
        let around = "SELECT * FROM (PREDICT …) AS p LIMIT 3";
        *hint = Some(format!("SQL around it sorts and limits its rows: {around}"));
    }
    let starts_clause =
        CLAUSES.iter().any(|c| c.split(' ').next().is_some_and(|word| cursor.sees(&[word])));
    if let (true, QueryError::Syntax { expected, hint, .. }) = (starts_clause, &mut error) {
        "the end of the statement".clone_into(expected);
        *hint = Some(format!("each clause stands once, in the order FOR, {}", CLAUSES.join(", ")));
    }
    error
}

fn model_clause(cursor: &mut Cursor<'_>) -> Result<Option<ModelName>, QueryError> {
    if !cursor.eat_words(&["USING"]) {
        return Ok(None);
    }
    cursor.expect_words(&["MODEL"])?;
    model_name(cursor).map(Some)
}

/// `m [VERSION n]`.
pub(super) fn model_name(cursor: &mut Cursor<'_>) -> Result<ModelName, QueryError> {
    let name = cursor.name("the name of a model")?;
    let version = cursor
        .eat_words(&["VERSION"])
        .then(|| cursor.whole("the number of a version"))
        .transpose()?;
    Ok(ModelName { name, version })
}

fn shape(cursor: &mut Cursor<'_>) -> Result<Shape, QueryError> {
    if cursor.eat_words(&["RANK"]) {
        cursor.expect_words(&["TOP"])?;
        return Ok(Shape::Rank { k: count(cursor)? });
    }
    if cursor.eat_words(&["CLASSIFY"]) {
        let top = cursor.eat_words(&["TOP"]).then(|| count(cursor)).transpose()?;
        return Ok(Shape::Classify { top });
    }
    if cursor.eat_words(&["FORECAST"]) {
        let steps = count(cursor)?;
        cursor.expect_words(&["TIMEFRAMES"])?;
        return Ok(Shape::Forecast { steps });
    }
    Ok(Shape::Plain)
}

fn count(cursor: &mut Cursor<'_>) -> Result<usize, QueryError> {
    let expected = "a whole number above 0";
    match cursor.peek() {
        Some(Token::Number(text, _)) if text.parse::<usize>().is_ok_and(|n| n > 0) => {
            cursor.whole(expected)
        }
        _ => Err(cursor.unexpected(expected)),
    }
}

fn for_clause(cursor: &mut Cursor<'_>) -> Result<ForClause, QueryError> {
    if !cursor.eat_words(&["FOR"]) {
        return Err(cursor.unexpected_keyword(&["FOR", "RANK", "CLASSIFY", "FORECAST"]));
    }
    cursor.eat_words(&["EACH"]);
    let table = cursor.name("the entity as table.primary_key")?;
    cursor.expect(&Token::Period, "\".\" and the primary key")?;
    let columns = key_columns(cursor, "a column of the primary key")?;
    let width = columns.len();
    let selection = if cursor.eat(&Token::Eq) {
        Selection::Keys(vec![key(cursor, width)?])
    } else if cursor.eat_words(&["IN"]) {
        cursor.expect(&Token::LParen, "\"(\"")?;
        selected(cursor, width)?
    } else {
        Selection::Each
    };
    Ok(ForClause { table, columns, selection })
}

/// `column` or `(column, …)`.
pub(super) fn key_columns(cursor: &mut Cursor<'_>, what: &str) -> Result<Vec<Name>, QueryError> {
    if cursor.eat(&Token::LParen) {
        return list_to_parenthesis(cursor, |c| c.name(what));
    }
    Ok(vec![cursor.name(what)?])
}

/// What stands in `IN ( … )`, the opening parenthesis passed: literals or a SELECT.
fn selected(cursor: &mut Cursor<'_>, width: usize) -> Result<Selection, QueryError> {
    if cursor.sees(&["SELECT"]) || cursor.sees(&["WITH"]) {
        return cursor.sql_to_closing_parenthesis().map(Selection::Select);
    }
    list_to_parenthesis(cursor, |c| key(c, width)).map(Selection::Keys)
}

/// One key: a literal, or as many in parentheses as the key has columns.
pub(super) fn key(cursor: &mut Cursor<'_>, width: usize) -> Result<Vec<Literal>, QueryError> {
    if width == 1 {
        return Ok(vec![literal(cursor)?]);
    }
    let expected = format!("a key of {width} values in parentheses");
    cursor.expect(&Token::LParen, &expected)?;
    let values = list_to_parenthesis(cursor, literal)?;
    if values.len() == width { Ok(values) } else { Err(cursor.unexpected(&expected)) }
}

/// `item, …)`, the opening parenthesis passed.
pub(super) fn list_to_parenthesis<T>(
    cursor: &mut Cursor<'_>,
    item: impl Fn(&mut Cursor<'_>) -> Result<T, QueryError>,
) -> Result<Vec<T>, QueryError> {
    let mut items = vec![item(cursor)?];
    while cursor.eat(&Token::Comma) {
        items.push(item(cursor)?);
    }
    cursor.expect(&Token::RParen, "\",\" or \")\"")?;
    Ok(items)
}

/// `[AS OF …]`: the moment, or the number of the parameter that it depends on, if there is one.
pub(super) fn as_of(cursor: &mut Cursor<'_>) -> Result<(Option<i64>, Option<usize>), QueryError> {
    if !cursor.eat_words(&["AS", "OF"]) {
        return Ok((None, None));
    }
    if let Some(number) = cursor.open_parameter() {
        cursor.advance();
        // Read for its errors: what it is moved to is not known.
        moved(cursor, 0)?;
        return Ok((None, Some(number)));
    }
    let time = base_moment(cursor)?;
    Ok((Some(moved(cursor, time)?), None))
}

/// The time moved by `+ INTERVAL …` and `- INTERVAL …`.
fn moved(cursor: &mut Cursor<'_>, mut time: i64) -> Result<i64, QueryError> {
    loop {
        let forward = match cursor.peek() {
            Some(Token::Plus) => true,
            Some(Token::Minus) => false,
            _ => return Ok(time),
        };
        cursor.advance();
        cursor.expect_words(&["INTERVAL"])?;
        let too_far = cursor.unexpected("an interval that stays within the calendar");
        let span = interval(cursor)?;
        time = if forward { span.after(time) } else { span.before(time) };
        if !is_in_calendar(time) {
            return Err(too_far);
        }
    }
}

fn base_moment(cursor: &mut Cursor<'_>) -> Result<i64, QueryError> {
    let expected = "a time such as '2020-01-31' or NOW()";
    for word in ["NOW", "CURRENT_TIMESTAMP", "CURRENT_DATE"] {
        if cursor.eat_words(&[word]) {
            if cursor.eat(&Token::LParen) {
                cursor.expect(&Token::RParen, "\")\"")?;
            }
            return Ok(if word == "CURRENT_DATE" { midnight(now()) } else { now() });
        }
    }
    let before = cursor.unexpected(expected);
    match literal(cursor) {
        Ok(Literal::Time(time)) => Ok(time),
        Ok(Literal::Text(text)) => parse_time(&text).ok_or(before),
        // Says what is wrong with a parameter.
        Err(error @ QueryError::Meaning { .. }) => Err(error),
        _ => Err(before),
    }
}

fn interval(cursor: &mut Cursor<'_>) -> Result<Span, QueryError> {
    let text = match cursor.peek() {
        Some(Token::SingleQuotedString(text)) => text.clone(),
        _ => return Err(cursor.unexpected("an interval such as '30 days'")),
    };
    let with_unit = cursor.peek_ahead(1).and_then(|token| match token {
        Token::Word(word) => Span::parse(&format!("{text} {}", word.value)),
        _ => None,
    });
    if let (Ok(_), Some(span)) = (text.trim().parse::<i64>(), with_unit) {
        cursor.advance();
        cursor.advance();
        return Ok(span);
    }
    let span =
        Span::parse(&text).ok_or_else(|| cursor.unexpected("an interval such as '30 days'"))?;
    cursor.advance();
    Ok(span)
}

/// `(name = value, …)`, without the options whose values are parameters that are not known yet.
pub(super) fn options(cursor: &mut Cursor<'_>) -> Result<Vec<(Name, OptionValue)>, QueryError> {
    cursor.expect(&Token::LParen, "\"(\"")?;
    list_to_parenthesis(cursor, |c| {
        let name = c.name("the name of an option")?;
        c.expect(&Token::Eq, "\"=\"")?;
        if c.open_parameter().is_none() {
            return Ok(Some((name, option_value(c)?)));
        }
        if OF_COLUMNS.iter().any(|option| name.text.eq_ignore_ascii_case(option)) {
            return Err(c.unexpected("a value that is written here, as the columns depend on it"));
        }
        c.advance();
        Ok(None)
    })
    .map(|options| options.into_iter().flatten().collect())
}

fn option_value(cursor: &mut Cursor<'_>) -> Result<OptionValue, QueryError> {
    let closing = match cursor.peek() {
        Some(Token::LParen) => Some(Token::RParen),
        Some(Token::LBracket) => Some(Token::RBracket),
        _ => None,
    };
    if let Some(closing) = closing {
        cursor.advance();
        let mut items = Vec::new();
        while !cursor.eat(&closing) {
            items.push(cursor.nested(option_value)?);
            if !cursor.eat(&Token::Comma) && cursor.peek() != Some(&closing) {
                return Err(cursor.unexpected(&format!("\",\" or \"{closing}\"")));
            }
        }
        return Ok(OptionValue::List(items));
    }
    let is_parameter = matches!(cursor.peek(), Some(Token::Placeholder(_)));
    if starts_literal(cursor) {
        return match literal(cursor)? {
            // Some clients send numbers as texts, too. Lists are written: only the cursor bounds how
            // deep they are.
            Literal::Text(text) if is_parameter && !text.trim_start().starts_with(['(', '[']) => {
                Ok(OptionValue::from_text(&text))
            }
            Literal::Number(text) => Ok(OptionValue::Number(text)),
            Literal::Text(text) => Ok(OptionValue::Text(text)),
            Literal::Boolean(value) => Ok(OptionValue::Boolean(value)),
            Literal::Time(time) => Ok(OptionValue::Text(format_time(time))),
            Literal::Null | Literal::Parameter(_) => Err(cursor.unexpected("a value before this")),
        };
    }
    let mut text = cursor.name("a value")?.text;
    while cursor.eat(&Token::Period) {
        text = format!("{text}.{}", cursor.name("a name")?.text);
    }
    Ok(OptionValue::Text(text))
}
