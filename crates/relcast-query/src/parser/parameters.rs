//! Parameters where the predictive grammar wants a literal.

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::{place, shown};
use crate::ast::Literal;
use crate::error::QueryError;

/// The parameters that a statement may have: as many as Postgres' protocol can give values for.
const MOST_PARAMETERS: usize = 65_535;

/// Microseconds.
const DAY: i64 = 86_400_000_000;

/// The number of a parameter such as `$1`.
pub(super) fn parameter_number(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok().filter(|number| (1..=MOST_PARAMETERS).contains(number))
}

/// Refuses `$0`, and numbers beyond what a protocol can give values for: whoever describes a
/// statement counts up to its last parameter.
pub(super) fn refuse_far_parameters(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let is_far = |token: &TokenWithSpan| match &token.token {
        Token::Placeholder(name) => {
            let digits = name.strip_prefix('$').filter(|digits| !digits.is_empty());
            digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                && parameter_number(name).is_none()
        }
        _ => false,
    };
    match tokens.iter().find(|token| is_far(token)) {
        None => Ok(()),
        Some(token) => Err(QueryError::Syntax {
            at: place(token.span.start),
            expected: format!("a parameter from $1 to ${MOST_PARAMETERS}"),
            found: shown(&token.token),
            hint: None,
        }),
    }
}

/// The literal that says the same as the value; none for what the grammar has no literals of, such
/// as lists.
pub(super) fn literal_of(value: &ScalarValue) -> Option<Literal> {
    if value.is_null() {
        return Some(Literal::Null);
    }
    Some(match value {
        ScalarValue::Boolean(Some(value)) => Literal::Boolean(*value),
        ScalarValue::Int8(Some(value)) => Literal::Number(value.to_string()),
        ScalarValue::Int16(Some(value)) => Literal::Number(value.to_string()),
        ScalarValue::Int32(Some(value)) => Literal::Number(value.to_string()),
        ScalarValue::Int64(Some(value)) => Literal::Number(value.to_string()),
        // With a point or an exponent, so that it stays a float.
        ScalarValue::Float32(Some(value)) if value.is_finite() => {
            Literal::Number(format!("{value:?}"))
        }
        ScalarValue::Float64(Some(value)) if value.is_finite() => {
            Literal::Number(format!("{value:?}"))
        }
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => Literal::Text(text.clone()),
        ScalarValue::Date32(Some(days)) => Literal::Time(i64::from(*days) * DAY),
        ScalarValue::TimestampMicrosecond(Some(time), _) => Literal::Time(*time),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_types() {
        let number = |text: &str| Some(Literal::Number(text.to_owned()));
        assert_eq!(literal_of(&ScalarValue::from(1.0f64)), number("1.0"));
        assert_eq!(literal_of(&ScalarValue::from(1e300f64)), number("1e300"));
        assert_eq!(literal_of(&ScalarValue::from(0.1f32)), number("0.1"));
        assert_eq!(literal_of(&ScalarValue::from(f64::NAN)), None);
        assert_eq!(literal_of(&ScalarValue::from(-1i16)), number("-1"));
        assert_eq!(literal_of(&ScalarValue::Date32(Some(-1))), Some(Literal::Time(-DAY)));
        assert_eq!(literal_of(&ScalarValue::Utf8(None)), Some(Literal::Null));
        let text = ScalarValue::from("it's");
        assert_eq!(literal_of(&text), Some(Literal::Text("it's".to_owned())));
        assert_eq!(literal_of(&ScalarValue::Binary(Some(vec![1]))), None);
    }
}
