//! Parameters where the predictive grammar wants a literal.

use datafusion::common::ScalarValue;

use crate::ast::Literal;

/// Microseconds.
const DAY: i64 = 86_400_000_000;

/// The number of a parameter such as `$1`.
pub(super) fn parameter_number(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok().filter(|number| *number > 0)
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
