//! Expressions: OR, AND, NOT, comparisons, sums, products, signs and what they stand on.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::aggregate::aggregate;
use super::cursor::Cursor;
use super::predictive_query::list_to_parenthesis;
use crate::ast::{BinaryOp, ColumnName, Expr, Function, Leaf, Literal, Node, TextTest};
use crate::error::{Place, QueryError, did_you_mean};
use relcast_catalog::parse_time;

type Parsed = Result<Expr<Leaf>, QueryError>;

/// Words that end an expression and so cannot be unquoted columns.
const RESERVED: [&str; 34] = [
    "AND",
    "AS",
    "ASSUMING",
    "BETWEEN",
    "CASE",
    "CLASSIFY",
    "CONTAINS",
    "EACH",
    "ELSE",
    "END",
    "ENDS",
    "FOR",
    "FORECAST",
    "FROM",
    "ILIKE",
    "IN",
    "IS",
    "LIKE",
    "NOT",
    "OF",
    "ON",
    "OR",
    "PREDICT",
    "RANK",
    "SELECT",
    "STARTS",
    "THEN",
    "TIMEFRAMES",
    "TOP",
    "USING",
    "VIA",
    "WHEN",
    "WHERE",
    "WITH",
];

/// A whole expression.
pub(super) fn condition(cursor: &mut Cursor<'_>) -> Parsed {
    cursor.nested(disjunction)
}

fn disjunction(cursor: &mut Cursor<'_>) -> Parsed {
    chain(cursor, "OR", BinaryOp::Or, conjunction)
}

fn conjunction(cursor: &mut Cursor<'_>) -> Parsed {
    chain(cursor, "AND", BinaryOp::And, negation)
}

/// `term [word term]…`; a term in parentheses that is such a chain itself becomes part of this one.
fn chain(
    cursor: &mut Cursor<'_>,
    word: &str,
    op: BinaryOp,
    term: fn(&mut Cursor<'_>) -> Parsed,
) -> Parsed {
    let first = term(cursor)?;
    if !cursor.sees(&[word]) {
        return Ok(first);
    }
    let mut terms = Vec::new();
    take_apart(op, first, &mut terms);
    while cursor.eat_words(&[word]) {
        take_apart(op, term(cursor)?, &mut terms);
    }
    let first = terms.remove(0);
    Ok(joined(op, first, terms))
}

fn take_apart(op: BinaryOp, expr: Expr<Leaf>, terms: &mut Vec<Expr<Leaf>>) {
    match expr.node {
        Node::Binary { op: found, left, right } if found == op => {
            take_apart(op, *left, terms);
            take_apart(op, *right, terms);
        }
        node => terms.push(Expr { node, at: expr.at }),
    }
}

fn negation(cursor: &mut Cursor<'_>) -> Parsed {
    let at = cursor.at();
    if cursor.eat_words(&["NOT"]) {
        let operand = cursor.nested(negation)?;
        return Ok(Expr { node: Node::Not(Box::new(operand)), at });
    }
    comparison(cursor)
}

fn comparison(cursor: &mut Cursor<'_>) -> Parsed {
    let left = sum(cursor)?;
    let op = match cursor.peek() {
        Some(Token::Eq | Token::DoubleEq) => BinaryOp::Equal,
        Some(Token::Neq) => BinaryOp::NotEqual,
        Some(Token::Lt) => BinaryOp::Less,
        Some(Token::LtEq) => BinaryOp::LessOrEqual,
        Some(Token::Gt) => BinaryOp::Greater,
        Some(Token::GtEq) => BinaryOp::GreaterOrEqual,
        _ => return word_comparison(cursor, left),
    };
    cursor.advance();
    Ok(binary(op, left, sum(cursor)?))
}

/// Comparisons that are written as words: IS NULL, IN, BETWEEN, LIKE and their kin.
fn word_comparison(cursor: &mut Cursor<'_>, left: Expr<Leaf>) -> Parsed {
    let at = left.at;
    let operand = Box::new(left);
    if cursor.eat_words(&["IS"]) {
        let negated = cursor.eat_words(&["NOT"]);
        cursor.expect_words(&["NULL"])?;
        return Ok(Expr { node: Node::IsNull { operand, negated }, at });
    }
    let negated = cursor.eat_words(&["NOT"]);
    let node = if cursor.eat_words(&["IN"]) {
        cursor.expect(&Token::LParen, "\"(\" and a list of values")?;
        Node::In { operand, items: list_to_parenthesis(cursor, |c| c.nested(sum))?, negated }
    } else if cursor.eat_words(&["BETWEEN"]) {
        let low = Box::new(sum(cursor)?);
        cursor.expect_words(&["AND"])?;
        Node::Between { operand, low, high: Box::new(sum(cursor)?), negated }
    } else if let Some(test) = text_test(cursor)? {
        Node::Text { operand, test, pattern: Box::new(sum(cursor)?), negated }
    } else if negated {
        let keywords = ["IN", "BETWEEN", "LIKE", "ILIKE", "CONTAINS", "STARTS WITH", "ENDS WITH"];
        return Err(cursor.unexpected_keyword(&keywords));
    } else {
        return Ok(*operand);
    };
    Ok(Expr { node, at })
}

fn text_test(cursor: &mut Cursor<'_>) -> Result<Option<TextTest>, QueryError> {
    for (word, test) in
        [("LIKE", TextTest::Like), ("ILIKE", TextTest::ILike), ("CONTAINS", TextTest::Contains)]
    {
        if cursor.eat_words(&[word]) {
            return Ok(Some(test));
        }
    }
    for (word, test) in [("STARTS", TextTest::StartsWith), ("ENDS", TextTest::EndsWith)] {
        if cursor.eat_words(&[word]) {
            cursor.expect_words(&["WITH"])?;
            return Ok(Some(test));
        }
    }
    Ok(None)
}

fn sum(cursor: &mut Cursor<'_>) -> Parsed {
    let mut left = product(cursor)?;
    loop {
        let op = match cursor.peek() {
            Some(Token::Plus) => BinaryOp::Add,
            Some(Token::Minus) => BinaryOp::Subtract,
            _ => return Ok(left),
        };
        cursor.arithmetic()?;
        left = binary(op, left, product(cursor)?);
    }
}

fn product(cursor: &mut Cursor<'_>) -> Parsed {
    let mut left = signed(cursor)?;
    loop {
        let op = match cursor.peek() {
            Some(Token::Mul) => BinaryOp::Multiply,
            Some(Token::Div) => BinaryOp::Divide,
            Some(Token::Mod) => BinaryOp::Modulo,
            _ => return Ok(left),
        };
        cursor.arithmetic()?;
        left = binary(op, left, signed(cursor)?);
    }
}

fn signed(cursor: &mut Cursor<'_>) -> Parsed {
    let at = cursor.at();
    if cursor.eat(&Token::Minus) {
        let operand = cursor.nested(signed)?;
        return Ok(Expr { node: Node::Negate(Box::new(operand)), at });
    }
    if cursor.eat(&Token::Plus) {
        return cursor.nested(signed);
    }
    primary(cursor)
}

fn primary(cursor: &mut Cursor<'_>) -> Parsed {
    let at = cursor.at();
    if cursor.eat(&Token::LParen) {
        let inner = condition(cursor)?;
        cursor.expect(&Token::RParen, "\")\"")?;
        return Ok(inner);
    }
    if starts_literal(cursor) {
        return Ok(constant(literal(cursor)?, at));
    }
    if cursor.eat_words(&["CASE"]) {
        return cursor.nested(|c| case(c, at));
    }
    if let Some(word) = cursor.peek_word() {
        let name = word.value.to_ascii_uppercase();
        if cursor.peek_ahead(1) == Some(&Token::LParen) {
            return call(cursor, &name, at);
        }
        if RESERVED.contains(&name.as_str()) && cursor.peek_ahead(1) != Some(&Token::Period) {
            return Err(cursor.unexpected("an aggregate, a column or a value"));
        }
    }
    let column = column(cursor)?;
    Ok(Expr { node: Node::Leaf(Leaf::Column(column)), at })
}

/// A literal as an expression: the sign of a number, which the value of a parameter may have, stands
/// before it as where it is written.
fn constant(literal: Literal, at: Place) -> Expr<Leaf> {
    let digits = match &literal {
        Literal::Number(text) => text.strip_prefix('-').map(str::to_owned),
        _ => None,
    };
    let Some(digits) = digits else { return Expr { node: Node::Literal(literal), at } };
    let operand = Expr { node: Node::Literal(Literal::Number(digits)), at };
    Expr { node: Node::Negate(Box::new(operand)), at }
}

/// A name before an opening parenthesis: an aggregate.
fn call(cursor: &mut Cursor<'_>, name: &str, at: Place) -> Parsed {
    let Some((_, function)) = Function::ALL.iter().find(|(known, _)| *known == name) else {
        let mut error = cursor.unexpected("an aggregate");
        if let QueryError::Syntax { hint, .. } = &mut error {
            let names = Function::ALL.map(|(known, _)| known);
            *hint = did_you_mean(name, names)
                .or_else(|| Some(format!("the aggregates are {}", names.join(", "))));
        }
        return Err(error);
    };
    cursor.advance();
    let aggregate = cursor.nested(|c| aggregate(c, *function))?;
    Ok(Expr { node: Node::Leaf(Leaf::Aggregate(Box::new(aggregate))), at })
}

/// `column` or `table.column`.
fn column(cursor: &mut Cursor<'_>) -> Result<ColumnName, QueryError> {
    let first = cursor.name("an aggregate, a column or a value")?;
    if cursor.eat(&Token::Period) {
        return Ok(ColumnName { table: Some(first), column: cursor.name("a column")? });
    }
    Ok(ColumnName { table: None, column: first })
}

/// `[operand] WHEN … THEN … [ELSE …] END`, CASE passed.
fn case(cursor: &mut Cursor<'_>, at: Place) -> Parsed {
    let operand = if cursor.sees(&["WHEN"]) { None } else { Some(Box::new(condition(cursor)?)) };
    let mut branches = Vec::new();
    while cursor.eat_words(&["WHEN"]) {
        let when = condition(cursor)?;
        cursor.expect_words(&["THEN"])?;
        branches.push((when, condition(cursor)?));
    }
    if branches.is_empty() {
        return Err(cursor.unexpected_keyword(&["WHEN"]));
    }
    let otherwise =
        cursor.eat_words(&["ELSE"]).then(|| condition(cursor)).transpose()?.map(Box::new);
    if !cursor.eat_words(&["END"]) {
        return Err(cursor.unexpected_keyword(&["WHEN", "ELSE", "END"]));
    }
    Ok(Expr { node: Node::Case { operand, branches, otherwise }, at })
}

/// Whether a literal comes next.
pub(super) fn starts_literal(cursor: &Cursor<'_>) -> bool {
    match cursor.peek() {
        Some(Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_)) => true,
        Some(Token::Minus) => matches!(cursor.peek_ahead(1), Some(Token::Number(..))),
        Some(Token::Word(word)) if word.quote_style.is_none() => {
            let next = cursor.peek_ahead(1);
            match word.value.to_ascii_uppercase().as_str() {
                "TRUE" | "FALSE" | "NULL" => next != Some(&Token::Period),
                "DATE" | "TIMESTAMP" => matches!(next, Some(Token::SingleQuotedString(_))),
                _ => false,
            }
        }
        _ => false,
    }
}

/// A constant: number, text, TRUE, FALSE, NULL, a bare date, `DATE '…'` or `TIMESTAMP '…'`.
pub(super) fn literal(cursor: &mut Cursor<'_>) -> Result<Literal, QueryError> {
    if let Some(date) = bare_date(cursor)? {
        return Ok(Literal::Time(date));
    }
    let literal = match cursor.peek() {
        Some(Token::Number(text, _)) => number(text),
        Some(Token::SingleQuotedString(text)) => Some(Literal::Text(text.clone())),
        Some(Token::Placeholder(name)) => Some(cursor.parameter(name, cursor.at())?),
        Some(Token::Minus) => {
            cursor.advance();
            match cursor.peek() {
                Some(Token::Number(text, _)) => number(&format!("-{text}")),
                _ => None,
            }
        }
        Some(Token::Word(word)) if word.quote_style.is_none() => {
            match word.value.to_ascii_uppercase().as_str() {
                "TRUE" => Some(Literal::Boolean(true)),
                "FALSE" => Some(Literal::Boolean(false)),
                "NULL" => Some(Literal::Null),
                "DATE" | "TIMESTAMP" => {
                    cursor.advance();
                    match cursor.peek() {
                        Some(Token::SingleQuotedString(text)) => {
                            parse_time(text).map(Literal::Time)
                        }
                        _ => None,
                    }
                }
                _ => None,
            }
        }
        _ => None,
    };
    let literal = literal.ok_or_else(|| cursor.unexpected("a value"))?;
    cursor.advance();
    Ok(literal)
}

fn number(text: &str) -> Option<Literal> {
    text.parse::<f64>().is_ok_and(f64::is_finite).then(|| Literal::Number(text.to_owned()))
}

/// `2020-01-31` without spaces; not a subtraction.
fn bare_date(cursor: &mut Cursor<'_>) -> Result<Option<i64>, QueryError> {
    let digits = |n: usize, width: usize| match cursor.peek_ahead(n) {
        Some(Token::Number(text, _))
            if text.len() == width && text.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Some(text)
        }
        _ => None,
    };
    let minus = |n: usize| cursor.peek_ahead(n) == Some(&Token::Minus);
    let (Some(year), Some(month), Some(day)) = (digits(0, 4), digits(2, 2), digits(4, 2)) else {
        return Ok(None);
    };
    if !(minus(1) && minus(3) && (1..5).all(|n| cursor.is_adjacent(n))) {
        return Ok(None);
    }
    let date = parse_time(&format!("{year}-{month}-{day}"));
    let date = date.ok_or_else(|| cursor.unexpected("a date of the calendar"))?;
    (0..5).for_each(|_| cursor.advance());
    Ok(Some(date))
}

fn binary(op: BinaryOp, left: Expr<Leaf>, right: Expr<Leaf>) -> Expr<Leaf> {
    let at = left.at;
    Expr { node: Node::Binary { op, left: Box::new(left), right: Box::new(right) }, at }
}

/// A chain of AND or OR as a tree of little depth: what walks expressions does so by recursion.
fn joined(op: BinaryOp, first: Expr<Leaf>, mut rest: Vec<Expr<Leaf>>) -> Expr<Leaf> {
    let mut second_half = rest.split_off(rest.len() / 2).into_iter();
    match second_half.next() {
        None => first,
        Some(middle) => {
            let left = joined(op, first, rest);
            binary(op, left, joined(op, middle, second_half.collect()))
        }
    }
}
