//! Types of expressions, as far as the meaning of a query needs them.

use datafusion::arrow::datatypes::DataType;

use crate::ast::{BinaryOp, Expr, Literal, Node};
use crate::error::{Place, QueryError};
use relcast_catalog::parse_time;

/// The kinds of values that operators tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
    Boolean,
    Number,
    Text,
    Time,
    List,
    /// NULL, or a stored type that no operator knows.
    Unknown,
}

impl ValueType {
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            t if t.is_numeric() => Self::Number,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Self::Time,
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Self::List,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Time => "a time",
            Self::List => "a list",
            Self::Unknown => "a value of unknown type",
        }
    }
}

pub(super) fn literal_text(literal: &Literal) -> String {
    match literal {
        Literal::Number(text) => text.clone(),
        Literal::Text(text) => format!("'{text}'"),
        Literal::Boolean(value) => value.to_string(),
        Literal::Time(time) => relcast_catalog::format_time(*time),
        Literal::Null => "NULL".to_owned(),
        Literal::Parameter(number) => format!("${number}"),
    }
}

/// The type of an expression whose leaves have the types that `leaf` says.
pub(crate) fn type_of<L>(
    expr: &Expr<L>,
    leaf: &dyn Fn(&L) -> ValueType,
) -> Result<ValueType, QueryError> {
    let of = |e: &Expr<L>| type_of(e, leaf);
    match &expr.node {
        Node::Leaf(l) => Ok(leaf(l)),
        Node::Literal(literal) => Ok(match literal {
            Literal::Number(_) => ValueType::Number,
            Literal::Text(_) => ValueType::Text,
            Literal::Boolean(_) => ValueType::Boolean,
            Literal::Time(_) => ValueType::Time,
            Literal::Null | Literal::Parameter(_) => ValueType::Unknown,
        }),
        Node::Not(e) => {
            expect_boolean(e, of(e)?, "NOT")?;
            Ok(ValueType::Boolean)
        }
        Node::Negate(e) => {
            expect_number(e, of(e)?, "-")?;
            Ok(ValueType::Number)
        }
        Node::Binary { op, left, right } => {
            binary_type(*op, (left, of(left)?), (right, of(right)?))
        }
        Node::IsNull { operand, .. } => of(operand).map(|_| ValueType::Boolean),
        Node::In { operand, items, .. } => {
            let operand_type = of(operand)?;
            for item in items {
                expect_comparable((operand, operand_type), (item, of(item)?))?;
            }
            Ok(ValueType::Boolean)
        }
        Node::Between { operand, low, high, .. } => {
            let operand_type = of(operand)?;
            expect_comparable((operand, operand_type), (low, of(low)?))?;
            expect_comparable((operand, operand_type), (high, of(high)?))?;
            Ok(ValueType::Boolean)
        }
        Node::Text { operand, test, pattern, .. } => {
            for side in [operand, pattern] {
                let found = of(side)?;
                if !matches!(found, ValueType::Text | ValueType::Unknown) {
                    return Err(mismatch(
                        side.at,
                        &format!("{} needs a text", test.words()),
                        found,
                    ));
                }
            }
            Ok(ValueType::Boolean)
        }
        Node::Case { operand, branches, otherwise } => {
            let operand = operand.as_ref().map(|e| of(e).map(|t| (e, t))).transpose()?;
            let mut result = ValueType::Unknown;
            for (when, _) in branches {
                match operand {
                    Some((e, operand_type)) => {
                        expect_comparable((e, operand_type), (when, of(when)?))?;
                    }
                    None => expect_boolean(when, of(when)?, "WHEN")?,
                }
            }
            for value in branches.iter().map(|(_, then)| then).chain(otherwise.as_deref()) {
                let found = of(value)?;
                if result != ValueType::Unknown && found != ValueType::Unknown && found != result {
                    let expected =
                        format!("the branches of CASE agree: the first is {}", result.text());
                    return Err(mismatch(value.at, &expected, found));
                }
                if result == ValueType::Unknown {
                    result = found;
                }
            }
            Ok(result)
        }
    }
}

fn binary_type<L>(
    op: BinaryOp,
    left: (&Expr<L>, ValueType),
    right: (&Expr<L>, ValueType),
) -> Result<ValueType, QueryError> {
    if matches!(op, BinaryOp::And | BinaryOp::Or) {
        expect_boolean(left.0, left.1, op.symbol())?;
        expect_boolean(right.0, right.1, op.symbol())?;
        return Ok(ValueType::Boolean);
    }
    if op.is_comparison() {
        expect_comparable(left, right)?;
        return Ok(ValueType::Boolean);
    }
    expect_number(left.0, left.1, op.symbol())?;
    expect_number(right.0, right.1, op.symbol())?;
    Ok(ValueType::Number)
}

pub(super) fn expect_boolean<L>(
    expr: &Expr<L>,
    found: ValueType,
    by: &str,
) -> Result<(), QueryError> {
    match found {
        ValueType::Boolean | ValueType::Unknown => Ok(()),
        _ => Err(mismatch(expr.at, &format!("{by} needs a condition"), found)),
    }
}

fn expect_number<L>(expr: &Expr<L>, found: ValueType, by: &str) -> Result<(), QueryError> {
    match found {
        ValueType::Number | ValueType::Boolean | ValueType::Unknown => Ok(()),
        _ => Err(mismatch(expr.at, &format!("\"{by}\" needs a number"), found)),
    }
}

/// Values compare with their own kind, booleans also with numbers, times also with texts that are times.
fn expect_comparable<L>(
    left: (&Expr<L>, ValueType),
    right: (&Expr<L>, ValueType),
) -> Result<(), QueryError> {
    use ValueType::{Boolean, Number, Text, Time, Unknown};
    match (left.1, right.1) {
        (ValueType::List, _) => {
            Err(mismatch(left.0.at, "a comparison needs a single value", left.1))
        }
        (_, ValueType::List) => {
            Err(mismatch(right.0.at, "a comparison needs a single value", right.1))
        }
        (a, b) if a == b => Ok(()),
        (Unknown, _) | (_, Unknown) | (Boolean, Number) | (Number, Boolean) => Ok(()),
        (Time, Text) => expect_time_text(right.0),
        (Text, Time) => expect_time_text(left.0),
        (a, b) => Err(QueryError::meaning(
            right.0.at,
            format!("cannot compare {} with {}", a.text(), b.text()),
        )),
    }
}

fn expect_time_text<L>(expr: &Expr<L>) -> Result<(), QueryError> {
    match &expr.node {
        Node::Literal(Literal::Text(text)) if parse_time(text).is_some() => Ok(()),
        _ => Err(mismatch(
            expr.at,
            "a comparison with a time needs a time such as '2020-01-31'",
            ValueType::Text,
        )),
    }
}

fn mismatch(at: Place, expected: &str, found: ValueType) -> QueryError {
    QueryError::meaning(at, format!("{expected}, found {}", found.text()))
}
