//! Aggregates: their column, path, condition, and whether their window may stand where it does.

use relcast_catalog::{KnownFrom, Schema, TableId};

use super::path::{Direction, PathStep, find_path, only_path_up};
use super::types::{self, ValueType, type_of};
use super::{BoundColumn, names};
use crate::ast::{Aggregate, Bound, ColumnName, Expr, Function, Leaf, Window};
use crate::error::{Place, QueryError};
use crate::time::Span;

/// Where in a query an aggregate stands: it decides which way its window may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Target,
    Where,
    Assuming,
}

impl Role {
    pub(crate) fn clause(self) -> &'static str {
        match self {
            Self::Target => "the target",
            Self::Where => "WHERE",
            Self::Assuming => "ASSUMING",
        }
    }
}

/// A table that an aggregate reads, and how it is reached from an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) table: TableId,
    /// The source it is joined to and the link between; none for the entity.
    pub(crate) join: Option<(usize, PathStep)>,
}

/// An aggregate with its tables, columns and window looked up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BoundAggregate {
    pub(crate) function: Function,
    /// The entity, then the tables along the path, then the parents that the condition reads.
    pub(crate) sources: Vec<Source>,
    /// The position of the aggregated table; parents of the condition come after it.
    pub(crate) last: usize,
    /// The aggregated column; none for `*`.
    pub(crate) value: Option<BoundColumn>,
    pub(crate) condition: Option<Expr<BoundColumn>>,
    pub(crate) window: Window,
    pub(crate) role: Role,
}

impl BoundAggregate {
    /// Whether both compute the same, wherever they stand in the text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let looks_back = |a: &Self| a.role == Role::Where;
        self.function == other.function
            && self.sources == other.sources
            && self.value == other.value
            && self.condition.is_none()
            && other.condition.is_none()
            && (self.window.start, self.window.end) == (other.window.start, other.window.end)
            && looks_back(self) == looks_back(other)
    }

    /// The end of the window, if finite.
    pub(super) fn end(&self) -> Option<Span> {
        match self.window.end {
            Bound::At(span) => Some(span),
            Bound::MinusInfinity | Bound::Infinity => None,
        }
    }

    /// How wide the window is, if both ends count in the same kind of unit.
    pub(super) fn width(&self) -> Option<Span> {
        match (self.window.start, self.window.end) {
            (Bound::At(start), Bound::At(end)) => end.plus(start.times(-1)?),
            _ => None,
        }
    }

    /// The same aggregate over a window moved ahead.
    pub(super) fn shifted_by(&self, shift: Span) -> Option<Self> {
        let moved = |bound: Bound| match bound {
            Bound::At(span) => span.plus(shift).map(Bound::At),
            infinite => Some(infinite),
        };
        let mut shifted = self.clone();
        shifted.window.start = moved(self.window.start)?;
        shifted.window.end = moved(self.window.end)?;
        Some(shifted)
    }

    /// The columns that break ties between rows of the same time.
    pub(crate) fn tie_break<'a>(&self, schema: &'a Schema) -> &'a [String] {
        self.sources.get(self.last).map_or(&[], |s| &schema.table(s.table).primary_key)
    }
}

pub(super) fn bind_aggregate(
    schema: &Schema,
    entity: TableId,
    written: &Aggregate,
    role: Role,
    at: Place,
) -> Result<BoundAggregate, QueryError> {
    let table = names::table(schema, &written.table)?;
    let path = find_path(schema, entity, table, written.via.as_deref(), written.table.at)?;
    let mut sources = vec![Source { table: entity, join: None }];
    for (i, step) in path.iter().enumerate() {
        sources.push(Source { table: step.arrives_at(schema), join: Some((i, *step)) });
    }
    let last = path.len();
    let value = value_column(schema, table, last, written)?;
    check_window(schema, &sources, &written.window, role)?;
    let condition = written
        .condition
        .as_ref()
        .map(|condition| bind_condition(schema, &mut sources, last, condition))
        .transpose()?;
    let aggregate = BoundAggregate {
        function: written.function,
        sources,
        last,
        value,
        condition,
        window: written.window.clone(),
        role,
    };
    check_function(&aggregate, written, at)?;
    Ok(aggregate)
}

/// The aggregated column; `*` counts rows, and where rows must be told apart it is the primary key.
fn value_column(
    schema: &Schema,
    table: TableId,
    source: usize,
    written: &Aggregate,
) -> Result<Option<BoundColumn>, QueryError> {
    let table = schema.table(table);
    if let Some(name) = &written.column {
        let column = names::column(table, name)?.clone();
        return Ok(Some(BoundColumn { source, column }));
    }
    if matches!(written.function, Function::Count | Function::Exists) {
        return Ok(None);
    }
    Err(QueryError::meaning_with_hint(
        written.table.at,
        format!("{} needs a column, found \"{}.*\"", written.function.name(), table.name),
        "only COUNT and EXISTS take *".to_owned(),
    ))
}

/// Windows look back in WHERE, ahead elsewhere, and never over rows without a time.
fn check_window(
    schema: &Schema,
    sources: &[Source],
    window: &Window,
    role: Role,
) -> Result<(), QueryError> {
    let wrong = |why: &str, hint: &str| {
        let message = format!("window \"{}\" {why}", window.text);
        Err(QueryError::meaning_with_hint(window.at, message, hint.to_owned()))
    };
    let distance = |bound: Bound| match bound {
        Bound::MinusInfinity => i64::MIN,
        Bound::At(span) => span.comparable(),
        Bound::Infinity => i64::MAX,
    };
    let (start, end) = (distance(window.start), distance(window.end));
    if start >= end {
        return wrong("is empty", "its start must be before its end");
    }
    if role == Role::Where && end > 0 {
        return wrong("in WHERE looks ahead", "windows in WHERE look back: end <= 0");
    }
    if role != Role::Where && start < 0 {
        let why = format!("in {} looks back", role.clause());
        return wrong(&why, "windows in the target and in ASSUMING look ahead: start >= 0");
    }
    if role != Role::Where && window.end == Bound::Infinity {
        return wrong(&format!("in {} has no end", role.clause()), "give it a finite end");
    }
    let path = sources.get(1..).unwrap_or_default();
    let is_static = |s: &Source| schema.table(s.table).known_from == KnownFrom::Static;
    if path.iter().all(is_static) {
        let name = path.last().map_or("", |s| schema.table(s.table).name.as_str());
        return wrong(
            &format!("is over table \"{name}\", which has no time"),
            "declare a time column, or go through a table that has one with VIA",
        );
    }
    Ok(())
}

/// Functions need columns they can work on.
fn check_function(
    aggregate: &BoundAggregate,
    written: &Aggregate,
    at: Place,
) -> Result<(), QueryError> {
    let Some(value) = &aggregate.value else { return Ok(()) };
    let found = ValueType::of(&value.column.data_type);
    let function = aggregate.function;
    let fits = match function {
        Function::Sum | Function::Avg => matches!(found, ValueType::Number | ValueType::Boolean),
        Function::Min | Function::Max => !matches!(found, ValueType::List | ValueType::Unknown),
        Function::ListDistinct => !matches!(found, ValueType::List),
        Function::Count
        | Function::CountDistinct
        | Function::First
        | Function::Last
        | Function::Exists => true,
    };
    if fits {
        return Ok(());
    }
    let at = written.column.as_ref().map_or(at, |c| c.at);
    let message = format!(
        "{} cannot work on \"{}\", which is {}",
        function.name(),
        value.column.name,
        found.text()
    );
    Err(QueryError::meaning(at, message))
}

/// Binds a row condition: columns of the path's tables and of parents, which are added to the sources.
fn bind_condition(
    schema: &Schema,
    sources: &mut Vec<Source>,
    last: usize,
    condition: &Expr<Leaf>,
) -> Result<Expr<BoundColumn>, QueryError> {
    let bound = condition.try_map(&mut |leaf, at| match leaf {
        Leaf::Aggregate(inner) => Err(QueryError::meaning_with_hint(
            at,
            format!("{} stands inside another aggregate", inner.function.name()),
            "an aggregate's WHERE reads columns of the row and of its parents".to_owned(),
        )),
        Leaf::Column(name) => row_column(schema, sources, last, name),
    })?;
    let found = type_of(&bound, &|leaf: &BoundColumn| ValueType::of(&leaf.column.data_type))?;
    types::expect_boolean(&bound, found, "an aggregate's WHERE")?;
    Ok(bound)
}

fn row_column(
    schema: &Schema,
    sources: &mut Vec<Source>,
    last: usize,
    name: &ColumnName,
) -> Result<BoundColumn, QueryError> {
    let own = sources.get(last).map_or(TableId(0), |s| s.table);
    let source = match &name.table {
        None => last,
        Some(written) => {
            source_of(schema, sources, last, own, names::table(schema, written)?, written.at)?
        }
    };
    let table = sources.get(source).map_or(own, |s| s.table);
    let column = names::column(schema.table(table), &name.column)?.clone();
    Ok(BoundColumn { source, column })
}

/// The source that reads `table`: the one nearest to the aggregated row, else its only parent of that name.
fn source_of(
    schema: &Schema,
    sources: &mut Vec<Source>,
    last: usize,
    own: TableId,
    table: TableId,
    at: Place,
) -> Result<usize, QueryError> {
    let on_path = (0..=last).rev().find(|&i| sources.get(i).is_some_and(|s| s.table == table));
    if let Some(known) = on_path {
        return Ok(known);
    }
    let Some(path) = only_path_up(schema, own, table) else {
        return Err(QueryError::meaning_with_hint(
            at,
            format!(
                "\"{}\" is neither on the path nor the only parent of \"{}\" with that name",
                schema.table(table).name,
                schema.table(own).name
            ),
            "an aggregate's WHERE reads columns of the row and of its parents".to_owned(),
        ));
    };
    let mut here = last;
    for step in path {
        let join = Some((here, PathStep { link: step.link, direction: Direction::Up }));
        let source = Source { table: step.arrives_at(schema), join };
        here = sources.iter().position(|s| *s == source).unwrap_or_else(|| {
            sources.push(source);
            sources.len() - 1
        });
    }
    Ok(here)
}
