//! The predictive query as written: names are not looked up yet, every part knows its place.
//!
//! [`Expr`] is generic over its leaves, so that the same shape serves before binding (leaves are
//! written names and aggregates) and after it (leaves are columns of known sources).

use serde::{Deserialize, Serialize};

use crate::error::Place;
use crate::options::OptionValue;
use crate::time::Span;

/// A name as written: quotes are gone, case is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The text.
    pub text: String,
    /// Where it starts.
    pub at: Place,
}

/// A column, with or without its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnName {
    /// The table, if written.
    pub table: Option<Name>,
    /// The column.
    pub column: Name,
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A number, as written.
    Number(String),
    /// A text.
    Text(String),
    /// TRUE or FALSE.
    Boolean(bool),
    /// A moment: microseconds, UTC.
    Time(i64),
    /// NULL.
    Null,
    /// `$n`: a value that is given when the statement runs.
    Parameter(usize),
}

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl BinaryOp {
    /// The operator as SQL spells it.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Or => "OR",
            Self::And => "AND",
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }

    /// Whether the result is true or false.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Less
                | Self::LessOrEqual
                | Self::Greater
                | Self::GreaterOrEqual
        )
    }
}

/// A test of a text against another text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TextTest {
    Like,
    ILike,
    Contains,
    StartsWith,
    EndsWith,
}

impl TextTest {
    /// The test as written in a query.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Like => "LIKE",
            Self::ILike => "ILIKE",
            Self::Contains => "CONTAINS",
            Self::StartsWith => "STARTS WITH",
            Self::EndsWith => "ENDS WITH",
        }
    }
}

/// An expression over leaves of type `L`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr<L> {
    /// What it is.
    pub node: Node<L>,
    /// Where it starts.
    pub at: Place,
}

/// The forms of an expression.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Node<L> {
    Leaf(L),
    Literal(Literal),
    Not(Box<Expr<L>>),
    Negate(Box<Expr<L>>),
    Binary {
        op: BinaryOp,
        left: Box<Expr<L>>,
        right: Box<Expr<L>>,
    },
    IsNull {
        operand: Box<Expr<L>>,
        negated: bool,
    },
    In {
        operand: Box<Expr<L>>,
        items: Vec<Expr<L>>,
        negated: bool,
    },
    Between {
        operand: Box<Expr<L>>,
        low: Box<Expr<L>>,
        high: Box<Expr<L>>,
        negated: bool,
    },
    Text {
        operand: Box<Expr<L>>,
        test: TextTest,
        pattern: Box<Expr<L>>,
        negated: bool,
    },
    Case {
        operand: Option<Box<Expr<L>>>,
        branches: Vec<(Expr<L>, Expr<L>)>,
        otherwise: Option<Box<Expr<L>>>,
    },
}

impl<L> Expr<L> {
    /// The same expression with every leaf replaced by what `leaf` makes of it.
    ///
    /// # Errors
    /// The first error of `leaf`.
    pub fn try_map<M, E>(
        &self,
        leaf: &mut dyn FnMut(&L, Place) -> Result<M, E>,
    ) -> Result<Expr<M>, E> {
        let node = match &self.node {
            Node::Leaf(l) => Node::Leaf(leaf(l, self.at)?),
            Node::Literal(literal) => Node::Literal(literal.clone()),
            Node::Not(e) => Node::Not(e.try_map_boxed(leaf)?),
            Node::Negate(e) => Node::Negate(e.try_map_boxed(leaf)?),
            Node::Binary { op, left, right } => Node::Binary {
                op: *op,
                left: left.try_map_boxed(leaf)?,
                right: right.try_map_boxed(leaf)?,
            },
            Node::IsNull { operand, negated } => {
                Node::IsNull { operand: operand.try_map_boxed(leaf)?, negated: *negated }
            }
            Node::In { operand, items, negated } => Node::In {
                operand: operand.try_map_boxed(leaf)?,
                items: items.iter().map(|e| e.try_map(leaf)).collect::<Result<_, E>>()?,
                negated: *negated,
            },
            Node::Between { operand, low, high, negated } => Node::Between {
                operand: operand.try_map_boxed(leaf)?,
                low: low.try_map_boxed(leaf)?,
                high: high.try_map_boxed(leaf)?,
                negated: *negated,
            },
            Node::Text { operand, test, pattern, negated } => Node::Text {
                operand: operand.try_map_boxed(leaf)?,
                test: *test,
                pattern: pattern.try_map_boxed(leaf)?,
                negated: *negated,
            },
            Node::Case { operand, branches, otherwise } => Node::Case {
                operand: operand.as_ref().map(|e| e.try_map_boxed(leaf)).transpose()?,
                branches: branches
                    .iter()
                    .map(|(when, then)| Ok((when.try_map(leaf)?, then.try_map(leaf)?)))
                    .collect::<Result<_, E>>()?,
                otherwise: otherwise.as_ref().map(|e| e.try_map_boxed(leaf)).transpose()?,
            },
        };
        Ok(Expr { node, at: self.at })
    }

    fn try_map_boxed<M, E>(
        &self,
        leaf: &mut dyn FnMut(&L, Place) -> Result<M, E>,
    ) -> Result<Box<Expr<M>>, E> {
        self.try_map(leaf).map(Box::new)
    }

    /// The leaves, from left to right.
    #[must_use]
    pub fn leaves(&self) -> Vec<&L> {
        let mut leaves = Vec::new();
        self.collect_leaves(&mut leaves);
        leaves
    }

    fn collect_leaves<'a>(&'a self, leaves: &mut Vec<&'a L>) {
        match &self.node {
            Node::Leaf(l) => leaves.push(l),
            Node::Literal(_) => {}
            Node::Not(e) | Node::Negate(e) | Node::IsNull { operand: e, .. } => {
                e.collect_leaves(leaves);
            }
            Node::Binary { left, right, .. } => {
                left.collect_leaves(leaves);
                right.collect_leaves(leaves);
            }
            Node::In { operand, items, .. } => {
                operand.collect_leaves(leaves);
                items.iter().for_each(|e| e.collect_leaves(leaves));
            }
            Node::Between { operand, low, high, .. } => {
                [operand, low, high].into_iter().for_each(|e| e.collect_leaves(leaves));
            }
            Node::Text { operand, pattern, .. } => {
                operand.collect_leaves(leaves);
                pattern.collect_leaves(leaves);
            }
            Node::Case { operand, branches, otherwise } => {
                operand.iter().for_each(|e| e.collect_leaves(leaves));
                for (when, then) in branches {
                    when.collect_leaves(leaves);
                    then.collect_leaves(leaves);
                }
                otherwise.iter().for_each(|e| e.collect_leaves(leaves));
            }
        }
    }
}

/// What an aggregate computes over the rows of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Function {
    Count,
    CountDistinct,
    Sum,
    Avg,
    Min,
    Max,
    First,
    Last,
    Exists,
    ListDistinct,
}

impl Function {
    /// Every function with its name in queries.
    pub const ALL: [(&'static str, Self); 10] = [
        ("COUNT", Self::Count),
        ("COUNT_DISTINCT", Self::CountDistinct),
        ("SUM", Self::Sum),
        ("AVG", Self::Avg),
        ("MIN", Self::Min),
        ("MAX", Self::Max),
        ("FIRST", Self::First),
        ("LAST", Self::Last),
        ("EXISTS", Self::Exists),
        ("LIST_DISTINCT", Self::ListDistinct),
    ];

    /// The function's name in queries.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, f)| *f == self).map_or("", |(name, _)| name)
    }
}

/// One end of a window: a whole number of units from the cutoff, or without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Bound {
    MinusInfinity,
    At(Span),
    Infinity,
}

/// The window `(start, end]` relative to the cutoff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The open start.
    pub start: Bound,
    /// The closed end.
    pub end: Bound,
    /// The window as written, such as `0, 30, days`.
    pub text: String,
    /// Where it starts.
    pub at: Place,
}

/// One step of a VIA path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A table to which only one link leads.
    Table(Name),
    /// A link: the child table and its foreign key's columns.
    Link {
        /// The table that holds the foreign key.
        child: Name,
        /// The foreign key.
        columns: Vec<Name>,
    },
}

/// An aggregate over the rows of a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// What is computed.
    pub function: Function,
    /// The aggregated table.
    pub table: Name,
    /// The aggregated column; none for `*`.
    pub column: Option<Name>,
    /// The path from the entity outwards, if written.
    pub via: Option<Vec<Step>>,
    /// Which rows count.
    pub condition: Option<Expr<Leaf>>,
    /// When rows count.
    pub window: Window,
}

/// A leaf before binding.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Leaf {
    Column(ColumnName),
    Aggregate(Box<Aggregate>),
}

/// What is asked of the target beyond its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The value itself.
    Plain,
    /// The `k` most likely items.
    Rank {
        /// How many.
        k: usize,
    },
    /// Classes; `top` of them.
    Classify {
        /// How many, if said.
        top: Option<usize>,
    },
    /// The value in each of `steps` windows, one after the other.
    Forecast {
        /// How many.
        steps: usize,
    },
}

/// Which entities are named in FOR.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// All that pass WHERE.
    Each,
    /// These keys; a composite key is a row of literals.
    Keys(Vec<Vec<Literal>>),
    /// What this SELECT yields: the keys, and a cutoff of its own per row where there is one column more.
    Select(String),
}

/// The FOR clause.
#[derive(Debug, Clone, PartialEq)]
pub struct ForClause {
    /// The entity table.
    pub table: Name,
    /// The columns of its primary key.
    pub columns: Vec<Name>,
    /// Which entities.
    pub selection: Selection,
}

/// A reference to a trained model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// The model.
    pub name: Name,
    /// Its version, if said.
    pub version: Option<u64>,
}

/// A predictive query as written.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictiveQuery {
    /// The target; left out where a model brings it.
    pub target: Option<Expr<Leaf>>,
    /// RANK, CLASSIFY or FORECAST.
    pub shape: Shape,
    /// Whom to predict for; left out where a model brings it.
    pub entity: Option<ForClause>,
    /// Which entities take part.
    pub condition: Option<Expr<Leaf>>,
    /// Which label rows count.
    pub assuming: Option<Expr<Leaf>>,
    /// The cutoff to predict at: microseconds, UTC.
    pub as_of: Option<i64>,
    /// The number of the parameter that gives the cutoff, until its value is known.
    pub as_of_parameter: Option<usize>,
    /// The model to use.
    pub model: Option<ModelName>,
    /// The options as written, in their order.
    pub options: Vec<(Name, OptionValue)>,
    /// Where the statement starts.
    pub at: Place,
}

impl PredictiveQuery {
    /// This query with what it left out taken from the query that its model was made from: the
    /// target with its shape and ASSUMING, WHERE, and the entity.
    #[must_use]
    pub fn completed_by(&self, model: &Self) -> Self {
        let mut query = self.clone();
        if query.target.is_none() {
            query.target.clone_from(&model.target);
            query.shape = model.shape;
            query.assuming.clone_from(&model.assuming);
            if query.condition.is_none() {
                query.condition.clone_from(&model.condition);
            }
        }
        if query.entity.is_none() {
            query.entity.clone_from(&model.entity);
        }
        let written =
            |name: &str| self.options.iter().any(|(n, _)| n.text.eq_ignore_ascii_case(name));
        let inherited = model.options.iter().filter(|(n, _)| !written(&n.text)).cloned();
        query.options = inherited.chain(self.options.iter().cloned()).collect();
        query
    }
}
