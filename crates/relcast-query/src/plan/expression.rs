//! Bound expressions as SQL text.
//!
//! Division is real division and NULL over zero, booleans count as 0 and 1 where numbers are
//! needed, and all else means what SQL means.

use std::iter;

use crate::ast::{BinaryOp, Expr, Literal, Node, TextTest};
use crate::bind::{ValueType, type_of};
use relcast_catalog::parse_time;

/// How the leaves of an expression are written and what types they have.
pub(super) struct Leaves<'a, L> {
    pub(super) sql: &'a dyn Fn(&L) -> String,
    pub(super) value_type: &'a dyn Fn(&L) -> ValueType,
}

/// A moment as a value of SQL.
pub(super) fn time_sql(time: i64) -> String {
    format!("arrow_cast({time}, 'Timestamp(Microsecond, None)')")
}

/// A constant as a value of SQL.
pub(crate) fn literal_sql(literal: &Literal) -> String {
    match literal {
        Literal::Number(text) if text.starts_with('-') => format!("({text})"),
        Literal::Number(text) => text.clone(),
        Literal::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Literal::Boolean(true) => "TRUE".to_owned(),
        Literal::Boolean(false) => "FALSE".to_owned(),
        Literal::Time(time) => time_sql(*time),
        Literal::Null => "NULL".to_owned(),
        Literal::Parameter(number) => format!("${number}"),
    }
}

impl<'a, L> Leaves<'a, L> {
    /// The expression as SQL, safe to stand inside another.
    pub(super) fn render(&self, expr: &Expr<L>) -> String {
        match &expr.node {
            Node::Leaf(leaf) => (self.sql)(leaf),
            Node::Literal(literal) => literal_sql(literal),
            Node::Not(e) => format!("(NOT {})", self.render(e)),
            Node::Negate(e) => format!("(- {})", self.number(e)),
            Node::Binary { op, left, right } => self.binary(*op, left, right),
            Node::IsNull { operand, negated } => {
                format!("({} IS {}NULL)", self.render(operand), not(*negated))
            }
            Node::In { operand, items, negated } => {
                let all: Vec<&Expr<L>> = iter::once(operand.as_ref()).chain(items).collect();
                let side = self.alike(&all);
                let items: Vec<String> = items.iter().map(&side).collect();
                format!("({} {}IN ({}))", side(operand), not(*negated), items.join(", "))
            }
            Node::Between { operand, low, high, negated } => {
                let side = self.alike(&[operand, low, high]);
                let not = not(*negated);
                format!("({} {not}BETWEEN {} AND {})", side(operand), side(low), side(high))
            }
            Node::Text { operand, test, pattern, negated } => {
                let (operand, pattern) = (self.render(operand), self.render(pattern));
                match test {
                    TextTest::Like | TextTest::ILike => {
                        format!("({operand} {}{} {pattern})", not(*negated), test.words())
                    }
                    TextTest::Contains => {
                        format!("({}contains({operand}, {pattern}))", not(*negated))
                    }
                    TextTest::StartsWith => {
                        format!("({}starts_with({operand}, {pattern}))", not(*negated))
                    }
                    TextTest::EndsWith => {
                        format!("({}ends_with({operand}, {pattern}))", not(*negated))
                    }
                }
            }
            Node::Case { operand, branches, otherwise } => {
                self.case(operand.as_deref(), branches, otherwise.as_deref())
            }
        }
    }

    /// The expression as a number: a boolean becomes 0 or 1.
    fn number(&self, expr: &Expr<L>) -> String {
        match self.type_of(expr) {
            ValueType::Boolean => format!("CAST({} AS BIGINT)", self.render(expr)),
            _ => self.render(expr),
        }
    }

    fn binary(&self, op: BinaryOp, left: &Expr<L>, right: &Expr<L>) -> String {
        let symbol = op.symbol();
        match op {
            BinaryOp::And | BinaryOp::Or => {
                format!("({} {symbol} {})", self.render(left), self.render(right))
            }
            BinaryOp::Divide => format!(
                "(CAST({} AS DOUBLE) / NULLIF(CAST({} AS DOUBLE), 0))",
                self.number(left),
                self.number(right)
            ),
            BinaryOp::Modulo => {
                format!("({} % NULLIF({}, 0))", self.number(left), self.number(right))
            }
            BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply => {
                format!("({} {symbol} {})", self.number(left), self.number(right))
            }
            _ => {
                let side = self.alike(&[left, right]);
                format!("({} {symbol} {})", side(left), side(right))
            }
        }
    }

    fn case(
        &self,
        operand: Option<&Expr<L>>,
        branches: &[(Expr<L>, Expr<L>)],
        otherwise: Option<&Expr<L>>,
    ) -> String {
        let mut sql = "CASE".to_owned();
        // Written once, and so compared as all of what it is compared with asks for.
        let sides: Vec<&Expr<L>> = operand
            .into_iter()
            .flat_map(|o| iter::once(o).chain(branches.iter().map(|(w, _)| w)))
            .collect();
        let side = self.alike(&sides);
        if let Some(operand) = operand {
            sql.push_str(&format!(" {}", side(operand)));
        }
        for (when, then) in branches {
            let when = if operand.is_some() { side(when) } else { self.render(when) };
            sql.push_str(&format!(" WHEN {when} THEN {}", self.render(then)));
        }
        if let Some(value) = otherwise {
            sql.push_str(&format!(" ELSE {}", self.render(value)));
        }
        format!("({sql} END)")
    }

    /// How to write each of the expressions that are compared with each other: booleans as
    /// numbers if any is a number, texts as times if any is a time.
    fn alike<'s>(&'s self, sides: &[&Expr<L>]) -> impl Fn(&Expr<L>) -> String + use<'s, 'a, L> {
        let has = |wanted| sides.iter().any(|e| self.type_of(e) == wanted);
        let (numbers, times) = (has(ValueType::Number), has(ValueType::Time));
        move |e| match &e.node {
            Node::Literal(Literal::Text(text)) if times => {
                parse_time(text).map_or_else(|| self.render(e), time_sql)
            }
            _ if numbers => self.number(e),
            _ => self.render(e),
        }
    }

    fn type_of(&self, expr: &Expr<L>) -> ValueType {
        // Binding has checked the types; what it let pass as unknown stays unknown.
        type_of(expr, self.value_type).unwrap_or(ValueType::Unknown)
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}
