//! A predictive query as text again: every name quoted, parentheses where they are needed.

use std::fmt;

use crate::ast::{
    Aggregate, BinaryOp, Expr, Leaf, Literal, Name, Node, PredictiveQuery, Selection, Shape, Step,
};
use crate::options::OptionValue;

/// The query in the language that [`parse`](crate::parse) reads.
impl PredictiveQuery {
    /// The target alone, where it is written.
    #[must_use]
    pub fn target_text(&self) -> Option<String> {
        self.target.as_ref().map(expression)
    }
}

impl fmt::Display for PredictiveQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = "PREDICT".to_owned();
        let version = |v: Option<u64>| v.map(|v| format!(" VERSION {v}")).unwrap_or_default();
        let model = self
            .model
            .as_ref()
            .map(|m| format!(" USING MODEL {}{}", name(&m.name), version(m.version)));
        let model = model.unwrap_or_default();
        text += &self.target.as_ref().map_or(model.clone(), |t| format!(" {}", expression(t)));
        text += &match self.shape {
            Shape::Plain => String::new(),
            Shape::Rank { k } => format!(" RANK TOP {k}"),
            Shape::Classify { top: None } => " CLASSIFY".to_owned(),
            Shape::Classify { top: Some(k) } => format!(" CLASSIFY TOP {k}"),
            Shape::Forecast { steps } => format!(" FORECAST {steps} TIMEFRAMES"),
        };
        if let Some(entity) = &self.entity {
            text += &format!(" FOR EACH {}.({})", name(&entity.table), names(&entity.columns));
            text += &match &entity.selection {
                Selection::Each => String::new(),
                Selection::Select(sql) => format!(" IN ({sql})"),
                Selection::Keys(keys) => format!(" IN ({})", list(keys, |k| key(k))),
            };
        }
        for (word, condition) in [("WHERE", &self.condition), ("ASSUMING", &self.assuming)] {
            if let Some(condition) = condition {
                text += &format!(" {word} {}", expression(condition));
            }
        }
        if let Some(time) = self.as_of {
            text += &format!(" AS OF '{}'", relcast_catalog::format_time(time));
        } else if let Some(number) = self.as_of_parameter {
            text += &format!(" AS OF ${number}");
        }
        if self.target.is_some() {
            text += &model;
        }
        if !self.options.is_empty() {
            let options = list(&self.options, |(n, v)| format!("{} = {}", name(n), option(v)));
            text += &format!(" WITH ({options})");
        }
        f.write_str(&text)
    }
}

/// How tightly an expression holds together; one that holds less than its place needs parentheses.
///
/// No others are written: each is a level of nesting, and the parser follows so many and no more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tightness {
    Or,
    And,
    Not,
    Comparison,
    Sum,
    Product,
    Sign,
    Whole,
}

fn tightness(expr: &Expr<Leaf>) -> Tightness {
    match &expr.node {
        Node::Leaf(_) | Node::Literal(_) | Node::Case { .. } => Tightness::Whole,
        Node::Negate(_) => Tightness::Sign,
        Node::Not(_) => Tightness::Not,
        Node::Binary { op, .. } => match op {
            BinaryOp::Or => Tightness::Or,
            BinaryOp::And => Tightness::And,
            BinaryOp::Add | BinaryOp::Subtract => Tightness::Sum,
            BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo => Tightness::Product,
            _ => Tightness::Comparison,
        },
        Node::IsNull { .. } | Node::In { .. } | Node::Between { .. } | Node::Text { .. } => {
            Tightness::Comparison
        }
    }
}

/// The expression where at least this tightness is needed.
fn within(least: Tightness, expr: &Expr<Leaf>) -> String {
    let text = expression(expr);
    if tightness(expr) < least { format!("({text})") } else { text }
}

fn expression(expr: &Expr<Leaf>) -> String {
    let operand = |e: &Expr<Leaf>| within(Tightness::Sum, e);
    let not = |negated: &bool| if *negated { "NOT " } else { "" };
    match &expr.node {
        Node::Leaf(Leaf::Column(column)) => {
            let table = column.table.iter().map(|t| format!("{}.", name(t))).collect::<String>();
            format!("{table}{}", name(&column.column))
        }
        Node::Leaf(Leaf::Aggregate(a)) => aggregate(a),
        Node::Literal(l) => literal_text(l),
        Node::Not(e) => format!("NOT {}", within(Tightness::Not, e)),
        Node::Negate(e) => format!("- {}", within(Tightness::Sign, e)),
        Node::Binary { op, left, right } => {
            let (before, after) = match tightness(expr) {
                // However a chain of these is grouped, it is read as one chain.
                Tightness::Or => (Tightness::Or, Tightness::Or),
                Tightness::And => (Tightness::And, Tightness::And),
                Tightness::Sum => (Tightness::Sum, Tightness::Product),
                Tightness::Product => (Tightness::Product, Tightness::Sign),
                _ => (Tightness::Sum, Tightness::Sum),
            };
            format!("{} {} {}", within(before, left), op.symbol(), within(after, right))
        }
        Node::IsNull { operand: e, negated } => format!("{} IS {}NULL", operand(e), not(negated)),
        Node::In { operand: e, items, negated } => {
            format!("{} {}IN ({})", operand(e), not(negated), list(items, operand))
        }
        Node::Between { operand: e, low, high, negated } => {
            let not = not(negated);
            format!("{} {not}BETWEEN {} AND {}", operand(e), operand(low), operand(high))
        }
        Node::Text { operand: e, test, pattern, negated } => {
            format!("{} {}{} {}", operand(e), not(negated), test.words(), operand(pattern))
        }
        Node::Case { operand, branches, otherwise } => {
            let operand = operand.iter().map(|e| format!(" {}", expression(e))).collect::<String>();
            let branches = branches
                .iter()
                .map(|(when, then)| format!(" WHEN {} THEN {}", expression(when), expression(then)))
                .collect::<String>();
            let otherwise =
                otherwise.iter().map(|e| format!(" ELSE {}", expression(e))).collect::<String>();
            format!("CASE{operand}{branches}{otherwise} END")
        }
    }
}

fn aggregate(a: &Aggregate) -> String {
    let column = a.column.as_ref().map_or("*".to_owned(), name);
    let via = a.via.iter().map(|path| format!(" VIA ({})", list(path, step))).collect::<String>();
    let filter = a.condition.iter().map(|c| format!(" WHERE {}", expression(c)));
    let filter = filter.collect::<String>();
    let window = &a.window.text;
    format!("{}({}.{column}{via}{filter}, {window})", a.function.name(), name(&a.table))
}

fn step(step: &Step) -> String {
    match step {
        Step::Table(table) => name(table),
        Step::Link { child, columns } => format!("{}.({})", name(child), names(columns)),
    }
}

/// A literal as a predictive query writes it.
pub(crate) fn literal_text(literal: &Literal) -> String {
    match literal {
        Literal::Number(text) => text.clone(),
        Literal::Text(value) => text(value),
        Literal::Boolean(value) => value.to_string(),
        Literal::Time(time) => format!("TIMESTAMP '{}'", relcast_catalog::format_time(*time)),
        Literal::Null => "NULL".to_owned(),
        Literal::Parameter(number) => format!("${number}"),
    }
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn key(values: &[Literal]) -> String {
    match values {
        [one] => literal_text(one),
        several => format!("({})", list(several, literal_text)),
    }
}

fn option(value: &OptionValue) -> String {
    match value {
        OptionValue::Number(text) => text.clone(),
        OptionValue::Text(value) => text(value),
        OptionValue::Boolean(value) => value.to_string(),
        OptionValue::List(items) => format!("[{}]", list(items, option)),
    }
}

fn name(name: &Name) -> String {
    format!("\"{}\"", name.text.replace('"', "\"\""))
}

fn names(names: &[Name]) -> String {
    list(names, name)
}

fn list<T>(items: &[T], print: impl Fn(&T) -> String) -> String {
    items.iter().map(print).collect::<Vec<_>>().join(", ")
}
