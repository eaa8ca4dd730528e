//! From a written query to a [`BoundQuery`]: names looked up, paths found, types and windows checked.
//!
//! A [`BoundQuery`] can only be made by [`bind`], so whoever holds one need not check again.

mod aggregate;
mod names;
mod path;
mod task;
mod types;

use datafusion::arrow::datatypes::DataType;
use relcast_catalog::{Column, Schema, TableId};

use crate::ast::{
    ColumnName, Expr, ForClause, Function, Leaf, Literal, PredictiveQuery, Selection, Shape,
};
use crate::dates::known_schema;
use crate::error::{Place, QueryError};
use crate::options::Options;
use crate::time::{Horizon, Span};
pub(crate) use aggregate::{BoundAggregate, Role};
pub(crate) use path::Direction;
pub use task::{FillIn, Item, TaskType};
pub(crate) use types::{ValueType, type_of};

/// Steps of a forecast; each is an aggregate of its own in the label plan.
const MOST_STEPS: usize = 100;

/// Aggregates of a query, those of all steps together; each is a join in the label plan.
const MOST_AGGREGATES: usize = 1_000;

/// A column of a source: of the entity (source 0), of a table on an aggregate's path, or of one of
/// the parents that its condition reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BoundColumn {
    pub(crate) source: usize,
    pub(crate) column: Column,
}

/// A leaf after binding: a column of the entity, or an aggregate by its position in the query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BoundLeaf {
    Column(BoundColumn),
    Aggregate(usize),
}

pub(crate) type BoundExpr = Expr<BoundLeaf>;

/// A predictive query whose every name, path, type and window has been checked against a schema.
#[derive(Debug, Clone)]
pub struct BoundQuery {
    pub(crate) task_type: TaskType,
    pub(crate) entity: TableId,
    /// The entity's key, in the order of the primary key.
    pub(crate) entity_columns: Vec<String>,
    pub(crate) selection: Selection,
    /// The key's columns in the order in which FOR writes them, and so its keys.
    pub(crate) written_columns: Vec<String>,
    pub(crate) target: BoundExpr,
    /// One target per step of a forecast, else the target alone.
    pub(crate) steps: Vec<BoundExpr>,
    pub(crate) condition: Option<BoundExpr>,
    pub(crate) assuming: Option<BoundExpr>,
    pub(crate) aggregates: Vec<BoundAggregate>,
    pub(crate) horizon: Horizon,
    pub(crate) as_of: Option<i64>,
    pub(crate) item: Option<Item>,
    pub(crate) options: Options,
}

impl BoundQuery {
    /// The kind of task.
    #[must_use]
    pub fn task_type(&self) -> &TaskType {
        &self.task_type
    }

    /// The table predicted for.
    #[must_use]
    pub fn entity(&self) -> TableId {
        self.entity
    }

    /// The columns of the entity's key, in the order of the primary key, however FOR orders them.
    #[must_use]
    pub fn entity_columns(&self) -> &[String] {
        &self.entity_columns
    }

    /// Whether FOR names keys of its own.
    #[must_use]
    pub fn names_entities(&self) -> bool {
        self.selection != Selection::Each
    }

    /// How far the label looks ahead.
    #[must_use]
    pub fn horizon(&self) -> Horizon {
        self.horizon
    }

    /// The cutoff to predict at, where the query says it: microseconds, UTC.
    #[must_use]
    pub fn as_of(&self) -> Option<i64> {
        self.as_of
    }

    /// What is ranked or listed, where labels are lists.
    #[must_use]
    pub fn item(&self) -> Option<&Item> {
        self.item.as_ref()
    }

    /// The columns of the entity that the target reads, where they are what is filled in.
    pub(crate) fn filled_in(&self) -> Vec<String> {
        let column = |leaf: &BoundLeaf| match leaf {
            BoundLeaf::Column(column) => Some(column.column.name.clone()),
            BoundLeaf::Aggregate(_) => None,
        };
        match self.task_type {
            TaskType::FillIn(_) => self.target.leaves().into_iter().filter_map(column).collect(),
            _ => Vec::new(),
        }
    }

    /// The options of WITH, and those that were set over them.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }
}

/// Checks a query against a schema.
///
/// # Errors
/// The first name, path, type, window or option that does not fit, with its place in the text and
/// the nearest name.
pub fn bind(query: &PredictiveQuery, schema: &Schema) -> Result<BoundQuery, QueryError> {
    bind_with(query, schema, &[])
}

/// The same with options, by name and value, over those of the query.
///
/// # Errors
/// As [`bind`], and for an option that is unknown or has no such value.
pub fn bind_with(
    query: &PredictiveQuery,
    schema: &Schema,
    set: &[(String, String)],
) -> Result<BoundQuery, QueryError> {
    let (Some(target), Some(entity)) = (&query.target, &query.entity) else {
        return Err(QueryError::meaning_with_hint(
            query.at,
            "this query leaves its target or its entity to a model",
            "complete it with the query that the model was made from".to_owned(),
        ));
    };
    let (table, written_columns) = bind_entity(entity, schema)?;
    check_keys(&entity.selection, &written_columns, table, schema, entity)?;
    let mut options = Options::from_statement(&query.options)?;
    for (name, value) in set {
        options.set(name, value)?;
    }
    let schema = known_schema(schema, &options, &query.options)?;
    let schema = &*schema;
    let mut binder = Binder { schema, entity: table, aggregates: Vec::new() };
    let bound_target = binder.expression(target, Role::Target)?;
    let condition = binder.condition(query.condition.as_ref(), Role::Where)?;
    let assuming = binder.condition(query.assuming.as_ref(), Role::Assuming)?;
    let (task_type, item) = task::task_of(query.shape, &bound_target, &binder)?;
    if let (TaskType::FillIn(_), Some(assuming)) = (&task_type, &assuming) {
        return Err(QueryError::meaning_with_hint(
            assuming.at,
            "ASSUMING is about a horizon, and filling in a column has none",
            "put the condition into WHERE".to_owned(),
        ));
    }
    let steps = match query.shape {
        Shape::Forecast { steps } => binder.forecast(&bound_target, steps)?,
        _ => vec![bound_target.clone()],
    };
    let horizon = binder.horizon();
    Ok(BoundQuery {
        task_type,
        entity: table,
        // Rows are found and linked by the primary key's order; how FOR is written changes nothing.
        entity_columns: schema.table(table).primary_key.clone(),
        selection: entity.selection.clone(),
        written_columns,
        target: bound_target,
        steps,
        condition,
        assuming,
        aggregates: binder.aggregates,
        horizon,
        as_of: query.as_of,
        item,
        options,
    })
}

/// The entity table and its key as written, which must be the primary key.
pub(crate) fn bind_entity(
    entity: &ForClause,
    schema: &Schema,
) -> Result<(TableId, Vec<String>), QueryError> {
    let id = names::table(schema, &entity.table)?;
    let table = schema.table(id);
    if table.primary_key.is_empty() {
        return Err(QueryError::meaning_with_hint(
            entity.table.at,
            format!(
                "table \"{}\" has no primary key, so its rows cannot be predicted for",
                table.name
            ),
            "declare one in relcast.yaml".to_owned(),
        ));
    }
    let columns = entity
        .columns
        .iter()
        .map(|name| names::column(table, name).map(|c| c.name.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let (mut written, mut key) = (columns.clone(), table.primary_key.clone());
    written.sort_unstable();
    key.sort_unstable();
    if written == key {
        return Ok((id, columns));
    }
    let expected = match table.primary_key.as_slice() {
        [column] => format!("{}.{column}", table.name),
        columns => format!("{}.({})", table.name, columns.join(", ")),
    };
    let at = entity.columns.first().map_or(entity.table.at, |c| c.at);
    Err(QueryError::meaning_with_hint(
        at,
        format!("an entity is named by its primary key, found \"{}\"", columns.join(", ")),
        format!("write {expected}"),
    ))
}

/// Keys named in FOR must be of the key's type.
fn check_keys(
    selection: &Selection,
    columns: &[String],
    table: TableId,
    schema: &Schema,
    entity: &ForClause,
) -> Result<(), QueryError> {
    let Selection::Keys(keys) = selection else { return Ok(()) };
    let table = schema.table(table);
    for (literal, name) in keys.iter().flat_map(|key| key.iter().zip(columns)) {
        let Some(column) = table.find_column(name) else { continue };
        let expected = ValueType::of(&column.data_type);
        let fits = match literal {
            Literal::Null => false,
            Literal::Parameter(_) => true,
            Literal::Number(_) => matches!(expected, ValueType::Number | ValueType::Unknown),
            Literal::Text(_) => {
                matches!(expected, ValueType::Text | ValueType::Time | ValueType::Unknown)
            }
            Literal::Boolean(_) => expected == ValueType::Boolean,
            Literal::Time(_) => expected == ValueType::Time,
        };
        if !fits {
            let at = entity.columns.first().map_or(entity.table.at, |c| c.at);
            let message = format!(
                "a key \"{name}\" is {}, found {}",
                expected.text(),
                types::literal_text(literal)
            );
            return Err(QueryError::meaning(at, message));
        }
    }
    Ok(())
}

/// What binding collects on its way through the expressions of a query.
pub(crate) struct Binder<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) entity: TableId,
    pub(crate) aggregates: Vec<BoundAggregate>,
}

impl Binder<'_> {
    /// Binds an expression over aggregates and columns of the entity; checks its types.
    fn expression(&mut self, expr: &Expr<Leaf>, role: Role) -> Result<BoundExpr, QueryError> {
        let bound = expr.try_map(&mut |leaf, at| match leaf {
            Leaf::Column(name) => self.entity_column(name).map(BoundLeaf::Column),
            Leaf::Aggregate(written) => {
                let bound = aggregate::bind_aggregate(self.schema, self.entity, written, role, at)?;
                self.leaf_of(bound, at)
            }
        })?;
        self.type_of(&bound)?;
        Ok(bound)
    }

    fn condition(
        &mut self,
        expr: Option<&Expr<Leaf>>,
        role: Role,
    ) -> Result<Option<BoundExpr>, QueryError> {
        let Some(expr) = expr else { return Ok(None) };
        let bound = self.expression(expr, role)?;
        types::expect_boolean(&bound, self.type_of(&bound)?, role.clause())?;
        Ok(Some(bound))
    }

    /// The type of a bound expression.
    pub(crate) fn type_of(&self, expr: &BoundExpr) -> Result<ValueType, QueryError> {
        type_of(expr, &|leaf| leaf_type(leaf, &self.aggregates))
    }

    fn entity_column(&self, name: &ColumnName) -> Result<BoundColumn, QueryError> {
        let entity = self.schema.table(self.entity);
        if let Some(table) = &name.table {
            let id = names::table(self.schema, table)?;
            if id != self.entity {
                return Err(QueryError::meaning_with_hint(
                    table.at,
                    format!("\"{}\" is not the entity's table", self.schema.table(id).name),
                    format!(
                        "read it through an aggregate with a window, or take a column of \"{}\"",
                        entity.name
                    ),
                ));
            }
        }
        let column = names::column(entity, &name.column)?.clone();
        Ok(BoundColumn { source: 0, column })
    }

    /// The target at each step of a forecast: its windows moved by their width.
    fn forecast(&mut self, target: &BoundExpr, steps: usize) -> Result<Vec<BoundExpr>, QueryError> {
        if steps > MOST_STEPS {
            return Err(QueryError::meaning_with_hint(
                target.at,
                format!("a forecast has at most {MOST_STEPS} steps, found {steps}"),
                "widen the windows of the target".to_owned(),
            ));
        }
        let mut width: Option<Span> = None;
        for leaf in target.leaves() {
            let BoundLeaf::Aggregate(index) = leaf else { continue };
            let Some(aggregate) = self.aggregates.get(*index) else { continue };
            let own = aggregate.width();
            if own.is_none() || width.is_some_and(|w| Some(w) != own) {
                return Err(QueryError::meaning_with_hint(
                    aggregate.window.at,
                    format!(
                        "FORECAST needs windows of one width, found \"{}\"",
                        aggregate.window.text
                    ),
                    "give every window of the target the same start and end".to_owned(),
                ));
            }
            width = own;
        }
        let width = width.unwrap_or(Span::ZERO);
        let mut targets = Vec::with_capacity(steps);
        for step in 0..steps {
            let moved = i64::try_from(step).ok().and_then(|s| width.times(s));
            let shift = moved
                .ok_or_else(|| QueryError::meaning(target.at, "the forecast reaches too far"))?;
            targets.push(target.try_map(&mut |leaf, at| match leaf {
                BoundLeaf::Column(column) => Ok(BoundLeaf::Column(column.clone())),
                BoundLeaf::Aggregate(index) => self.shifted(*index, shift, at),
            })?);
        }
        Ok(targets)
    }

    fn shifted(&mut self, index: usize, shift: Span, at: Place) -> Result<BoundLeaf, QueryError> {
        let moved = self.aggregates.get(index).and_then(|a| a.shifted_by(shift));
        let moved = moved.ok_or_else(|| QueryError::meaning(at, "the forecast reaches too far"))?;
        self.leaf_of(moved, at)
    }

    /// The leaf that stands for an aggregate; those that compute the same are one.
    fn leaf_of(&mut self, aggregate: BoundAggregate, at: Place) -> Result<BoundLeaf, QueryError> {
        let known = self.aggregates.iter().position(|a| a.is_same(&aggregate));
        if known.is_none() && self.aggregates.len() >= MOST_AGGREGATES {
            return Err(QueryError::meaning_with_hint(
                at,
                format!("a query has at most {MOST_AGGREGATES} different aggregates"),
                "each step of a forecast has its own; ask for less at a time".to_owned(),
            ));
        }
        let index = known.unwrap_or(self.aggregates.len());
        if known.is_none() {
            self.aggregates.push(aggregate);
        }
        Ok(BoundLeaf::Aggregate(index))
    }

    /// The largest end of a window that looks ahead.
    fn horizon(&self) -> Horizon {
        let ahead = self.aggregates.iter().filter(|a| a.role != Role::Where);
        ahead.filter_map(BoundAggregate::end).reduce(Span::longer).unwrap_or(Span::ZERO)
    }
}

/// The type of a leaf's value.
pub(crate) fn leaf_type(leaf: &BoundLeaf, aggregates: &[BoundAggregate]) -> ValueType {
    match leaf {
        BoundLeaf::Column(column) => ValueType::of(&column.column.data_type),
        BoundLeaf::Aggregate(index) => aggregates.get(*index).map_or(ValueType::Unknown, |a| {
            let value =
                a.value.as_ref().map_or(ValueType::Number, |v| ValueType::of(&v.column.data_type));
            match a.function {
                Function::Count | Function::CountDistinct | Function::Sum | Function::Avg => {
                    ValueType::Number
                }
                Function::Exists => ValueType::Boolean,
                Function::ListDistinct => ValueType::List,
                Function::Min | Function::Max if value == ValueType::Boolean => ValueType::Number,
                Function::Min | Function::Max | Function::First | Function::Last => value,
            }
        }),
    }
}

/// Whether values of this type add up exactly: whole numbers and booleans.
pub(crate) fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer() || *data_type == DataType::Boolean
}
