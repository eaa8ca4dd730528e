//! What kind of task a target is.

use std::fmt;

use relcast_catalog::{SemanticType, TableId};
use serde::{Deserialize, Serialize};

use super::{Binder, BoundExpr, BoundLeaf, ValueType};
use crate::ast::{Function, Node, Shape};
use crate::error::QueryError;

/// What is predicted, and so which head, losses and metrics fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskType {
    /// True or false.
    Binary,
    /// A number.
    Regression,
    /// One of several classes; labels keep the type of the column.
    Multiclass,
    /// A set of classes; labels are lists.
    Multilabel,
    /// The most likely items; labels are lists of items.
    Ranking {
        /// How many items are asked for.
        k: usize,
    },
    /// A number per step; labels are lists of so many numbers.
    Forecast {
        /// How many steps.
        steps: usize,
    },
    /// A cell of the entity's own row.
    FillIn(FillIn),
}

impl fmt::Display for TaskType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binary => f.write_str("binary classification"),
            Self::Regression => f.write_str("regression"),
            Self::Multiclass => f.write_str("multiclass classification"),
            Self::Multilabel => f.write_str("multi-label classification"),
            Self::Ranking { k } => write!(f, "ranking (top {k})"),
            Self::Forecast { steps } => write!(f, "forecasting ({steps} steps)"),
            Self::FillIn(_) => f.write_str("filling in a column"),
        }
    }
}

/// What kind of cell is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FillIn {
    /// True or false.
    Binary,
    /// A number.
    Regression,
    /// One of several classes.
    Multiclass,
}

/// What a list of labels is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The table whose rows are the items: the parent that a foreign key points to, or the
    /// aggregated table where its own key is listed. None where plain values are listed.
    pub table: Option<TableId>,
    /// The listed column.
    pub column: String,
}

pub(super) fn task_of(
    shape: Shape,
    target: &BoundExpr,
    binder: &Binder<'_>,
) -> Result<(TaskType, Option<Item>), QueryError> {
    if let Some(item) = listed_item(target, binder)? {
        let task = match shape {
            Shape::Rank { k } => TaskType::Ranking { k },
            Shape::Classify { .. } => TaskType::Multilabel,
            Shape::Plain | Shape::Forecast { .. } => {
                return Err(QueryError::meaning_with_hint(
                    target.at,
                    "a list is no target by itself",
                    "follow LIST_DISTINCT(…) with RANK TOP k or CLASSIFY".to_owned(),
                ));
            }
        };
        return Ok((task, Some(item)));
    }
    if matches!(shape, Shape::Rank { .. }) {
        return Err(QueryError::meaning_with_hint(
            target.at,
            "RANK needs a list of items",
            "write LIST_DISTINCT(table.column, start, end) RANK TOP k".to_owned(),
        ));
    }
    let value = value_task(shape, target, binder)?;
    let reads_columns = target.leaves().iter().any(|l| matches!(l, BoundLeaf::Column(_)));
    let reads_windows = target.leaves().iter().any(|l| matches!(l, BoundLeaf::Aggregate(_)));
    let task = match (reads_columns, reads_windows, shape) {
        (true, true, _) => {
            return Err(QueryError::meaning_with_hint(
                target.at,
                "the target mixes aggregates with columns of the entity",
                "predict one or the other; conditions on the entity stand in WHERE".to_owned(),
            ));
        }
        (false, false, _) => {
            return Err(QueryError::meaning_with_hint(
                target.at,
                "the target is a constant",
                "predict an aggregate such as COUNT(table.*, 0, 30, days), or a column of the entity".to_owned(),
            ));
        }
        (_, false, Shape::Forecast { .. }) => {
            return Err(QueryError::meaning(target.at, "FORECAST needs aggregates over windows"));
        }
        (true, false, _) => TaskType::FillIn(match value {
            TaskType::Binary => FillIn::Binary,
            TaskType::Multiclass => FillIn::Multiclass,
            _ => FillIn::Regression,
        }),
        (false, true, Shape::Forecast { steps }) => match value {
            TaskType::Regression => TaskType::Forecast { steps },
            _ => return Err(QueryError::meaning(target.at, "FORECAST needs a number as target")),
        },
        (false, true, _) => value,
    };
    Ok((task, None))
}

/// The item of a target that is LIST_DISTINCT alone; an error if a list stands inside an expression.
fn listed_item(target: &BoundExpr, binder: &Binder<'_>) -> Result<Option<Item>, QueryError> {
    let lists = |leaf: &BoundLeaf| match leaf {
        BoundLeaf::Aggregate(i) => {
            binder.aggregates.get(*i).filter(|a| a.function == Function::ListDistinct)
        }
        BoundLeaf::Column(_) => None,
    };
    let Some(aggregate) = target.leaves().into_iter().find_map(lists) else { return Ok(None) };
    if !matches!(target.node, Node::Leaf(_)) {
        return Err(QueryError::meaning(
            target.at,
            "LIST_DISTINCT stands alone, not inside an expression",
        ));
    }
    let (Some(source), Some(value)) = (aggregate.sources.get(aggregate.last), &aggregate.value)
    else {
        return Ok(None);
    };
    let column = value.column.name.clone();
    let key = std::slice::from_ref(&column);
    let parent = binder.schema.links_from(source.table).find(|(_, link)| link.columns == key);
    let own = binder.schema.table(source.table).primary_key == key;
    let table = parent.map(|(_, link)| link.parent).or(own.then_some(source.table));
    Ok(Some(Item { table, column }))
}

/// The task by the target's value alone.
fn value_task(
    shape: Shape,
    target: &BoundExpr,
    binder: &Binder<'_>,
) -> Result<TaskType, QueryError> {
    let value = binder.type_of(target)?;
    match value {
        ValueType::Boolean => return Ok(TaskType::Binary),
        ValueType::Text => return Ok(TaskType::Multiclass),
        ValueType::Number => {}
        ValueType::Time | ValueType::List | ValueType::Unknown => {
            return Err(QueryError::meaning_with_hint(
                target.at,
                format!("{} cannot be predicted", value.text()),
                "predict a number, a boolean, a class or a list".to_owned(),
            ));
        }
    }
    let is_class = matches!(shape, Shape::Classify { .. }) || is_categorical(target, binder);
    Ok(if is_class { TaskType::Multiclass } else { TaskType::Regression })
}

/// Whether the target is a categorical column, or the first or last of one.
fn is_categorical(target: &BoundExpr, binder: &Binder<'_>) -> bool {
    let column = match &target.node {
        Node::Leaf(BoundLeaf::Column(column)) => Some(column),
        Node::Leaf(BoundLeaf::Aggregate(i)) => binder
            .aggregates
            .get(*i)
            .filter(|a| matches!(a.function, Function::First | Function::Last))
            .and_then(|a| a.value.as_ref()),
        _ => None,
    };
    column.is_some_and(|c| {
        matches!(
            c.column.semantic,
            SemanticType::Categorical | SemanticType::Key | SemanticType::Text
        )
    })
}
