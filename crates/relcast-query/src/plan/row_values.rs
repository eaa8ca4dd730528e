//! The rows that a target reads, each with the label that it would give alone in the window.
//!
//! The mean of an entity's last such rows is the strongest naive prediction there is.

use super::expression::Leaves;
use super::path::{Exposed, cell, path_sql};
use super::query::QueryWriter;
use crate::ast::Function;
use crate::bind::{BoundAggregate, BoundColumn, BoundLeaf, TaskType, ValueType, leaf_type};

impl QueryWriter<'_> {
    /// Key columns `k1…`, `time`, `value`; none where the target is no function of one aggregate's
    /// rows, each by itself, known as soon as the row is.
    pub(super) fn row_values_sql(&self) -> Option<String> {
        let query = self.query;
        let task = &query.task_type;
        if !matches!(task, TaskType::Binary | TaskType::Regression | TaskType::Multiclass) {
            return None;
        }
        let leaves = query.target.leaves();
        let index = leaves.first().and_then(|leaf| match leaf {
            BoundLeaf::Aggregate(index) => Some(*index),
            BoundLeaf::Column(_) => None,
        })?;
        if leaves.iter().any(|leaf| **leaf != BoundLeaf::Aggregate(index)) {
            return None;
        }
        // A row whose cells become known later than the row has no value yet when it is known.
        if self.closed_sql().is_some() {
            return None;
        }
        let aggregate = query.aggregates.get(index)?;
        let exposed = Exposed::default();
        let (alone, filter) = alone_sql(aggregate, &exposed)?;
        let label = Leaves {
            sql: &|_| alone.clone(),
            value_type: &|leaf| leaf_type(leaf, &query.aggregates),
        }
        .render(&query.target);
        let data_type = if *task == TaskType::Multiclass { "VARCHAR" } else { "DOUBLE" };
        let keys: Vec<String> =
            (1..=query.entity_columns.len()).map(|k| format!("p.k{k}")).collect();
        let rows = path_sql(self.schema, aggregate, &query.entity_columns, &exposed);
        let filter = filter.map(|f| format!(" WHERE {f}")).unwrap_or_default();
        Some(format!(
            "SELECT {}, p.\"time\", CAST({label} AS {data_type}) AS \"value\" FROM ({rows}) AS p{filter}",
            keys.join(", ")
        ))
    }
}

/// What the aggregate is over one row of `p`, and which rows it is over.
fn alone_sql(aggregate: &BoundAggregate, exposed: &Exposed) -> Option<(String, Option<String>)> {
    let read = |column: &BoundColumn| cell(column, exposed, "p", None);
    let value_type = |c: &BoundColumn| ValueType::of(&c.column.data_type);
    let leaves = Leaves { sql: &read, value_type: &value_type };
    let condition = aggregate.condition.as_ref().map(|c| leaves.render(c));
    let value = aggregate.value.as_ref().map(read);
    match aggregate.function {
        Function::Count | Function::Exists => {
            let present = value.map(|v| format!("{v} IS NOT NULL"));
            let tests: Vec<String> = condition.into_iter().chain(present).collect();
            // Every row counts: nothing differs from one row to the next.
            if tests.is_empty() {
                return None;
            }
            let tests = tests.join(" AND ");
            let alone = match aggregate.function {
                Function::Count => format!("(CASE WHEN {tests} THEN 1 ELSE 0 END)"),
                _ => format!("COALESCE({tests}, FALSE)"),
            };
            Some((alone, None))
        }
        Function::CountDistinct | Function::ListDistinct => None,
        Function::Sum
        | Function::Avg
        | Function::Min
        | Function::Max
        | Function::First
        | Function::Last => Some((value?, condition)),
    }
}
