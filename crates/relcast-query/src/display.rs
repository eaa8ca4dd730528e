//! A predictive query as text again: every name quoted, every operand in parentheses.

use std::fmt;

use crate::ast::{
    Aggregate, Expr, Leaf, Literal, Name, Node, PredictiveQuery, Selection, Shape, Step,
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

fn expression(expr: &Expr<Leaf>) -> String {
    let inner = |e: &Expr<Leaf>| format!("({})", expression(e));
    let not = |negated: &bool| if *negated { "NOT " } else { "" };
    match &expr.node {
        Node::Leaf(Leaf::Column(column)) => {
            let table = column.table.iter().map(|t| format!("{}.", name(t))).collect::<String>();
            format!("{table}{}", name(&column.column))
        }
        Node::Leaf(Leaf::Aggregate(a)) => aggregate(a),
        Node::Literal(l) => literal(l),
        Node::Not(e) => format!("NOT {}", inner(e)),
        Node::Negate(e) => format!("- {}", inner(e)),
        Node::Binary { op, left, right } => {
            format!("{} {} {}", inner(left), op.symbol(), inner(right))
        }
        Node::IsNull { operand, negated } => {
            format!("{} IS {}NULL", inner(operand), not(negated))
        }
        Node::In { operand, items, negated } => {
            format!("{} {}IN ({})", inner(operand), not(negated), list(items, inner))
        }
        Node::Between { operand, low, high, negated } => {
            let not = not(negated);
            format!("{} {not}BETWEEN {} AND {}", inner(operand), inner(low), inner(high))
        }
        Node::Text { operand, test, pattern, negated } => {
            format!("{} {}{} {}", inner(operand), not(negated), test.words(), inner(pattern))
        }
        Node::Case { operand, branches, otherwise } => {
            let operand = operand.iter().map(|e| format!(" {}", inner(e))).collect::<String>();
            let branches = branches
                .iter()
                .map(|(when, then)| format!(" WHEN {} THEN {}", inner(when), inner(then)))
                .collect::<String>();
            let otherwise =
                otherwise.iter().map(|e| format!(" ELSE {}", inner(e))).collect::<String>();
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

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Number(text) => text.clone(),
        Literal::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Literal::Boolean(value) => value.to_string(),
        Literal::Time(time) => format!("TIMESTAMP '{}'", relcast_catalog::format_time(*time)),
        Literal::Null => "NULL".to_owned(),
        Literal::Parameter(number) => format!("${number}"),
    }
}

fn key(values: &[Literal]) -> String {
    match values {
        [one] => literal(one),
        several => format!("({})", list(several, literal)),
    }
}

fn option(value: &OptionValue) -> String {
    match value {
        OptionValue::Number(text) => text.clone(),
        OptionValue::Text(text) => format!("'{text}'"),
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
