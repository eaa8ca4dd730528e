//! The SQL of a bound query: entities at each cutoff, aggregates over windows, the label over both.

use relcast_catalog::{Schema, key_equality, quoted};

use super::entities::{entities_from, fill_in_from, times_sql};
use super::expression::Leaves;
use super::path::{Exposed, cell, key_expressions, path_sql};
use crate::ast::{Bound, Function};
use crate::bind::{
    BoundAggregate, BoundColumn, BoundExpr, BoundLeaf, BoundQuery, Role, TaskType, ValueType,
    is_whole, leaf_type,
};
use crate::time::Horizon;

/// Writes the SQL of one query over a relation of timestamps.
pub(super) struct QueryWriter<'a> {
    pub(super) query: &'a BoundQuery,
    pub(super) schema: &'a Schema,
    pub(super) timestamps: &'a str,
    pub(super) cutoff_column: &'a str,
    pub(super) label_column: &'a str,
    pub(super) ahead: Ahead,
}

/// How much of what lies ahead of the cutoff is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    /// All that the data hold: what is to be predicted.
    Everything,
    /// What is known when the label's window closes.
    UntilClosed,
}

impl QueryWriter<'_> {
    /// One row per label: cutoff, key, label.
    pub(super) fn label_sql(&self) -> String {
        let exposed = Exposed::default();
        let label = self.label(&exposed);
        let mut filters = self.filter(self.query.condition.as_ref(), true, &exposed);
        filters.extend(self.filter(self.query.assuming.as_ref(), false, &exposed));
        self.select(&exposed, &filters, Some(&label))
    }

    /// The label rows as they are known when their windows close; none where that is all of them:
    /// where no cell is read that may become known later.
    pub(super) fn closed_sql(&self) -> Option<String> {
        if self.query.horizon == Horizon::ZERO {
            return None;
        }
        let closed = QueryWriter { ahead: Ahead::UntilClosed, ..*self }.label_sql();
        Some(closed).filter(|closed| *closed != self.label_sql())
    }

    /// The moment until which a label's cells are read, given its cutoff.
    fn close(&self, cutoff: &str) -> Option<String> {
        let closed = || format!("({cutoff} + {})", self.query.horizon.interval_sql());
        (self.ahead == Ahead::UntilClosed).then(closed)
    }

    /// One row per entity that exists and passes WHERE: cutoff, key.
    pub(super) fn eligible_sql(&self) -> String {
        let exposed = Exposed::default();
        let filters = self.filter(self.query.condition.as_ref(), true, &exposed);
        self.select(&exposed, &filters, None)
    }

    /// The times of what the target reads, a SELECT each; none if all of it is static.
    pub(super) fn times_sql(&self) -> Vec<String> {
        let read = |leaf: &BoundLeaf| match leaf {
            BoundLeaf::Aggregate(index) => self.query.aggregates.get(*index),
            BoundLeaf::Column(_) => None,
        };
        let aggregates = self.query.target.leaves().into_iter().filter_map(read);
        let mut times: Vec<String> = aggregates
            .map(|a| path_sql(self.schema, a, &self.query.entity_columns, &Exposed::default()))
            .collect();
        if times.is_empty() {
            times.extend(times_sql(self.schema, self.query.entity));
        }
        times
    }

    fn select(&self, exposed: &Exposed, filters: &[String], label: Option<&str>) -> String {
        let used = self.used_aggregates(label.is_some());
        let mut parts = vec![format!(
            "\"_entities\" AS (\n  {}\n)",
            self.entities_sql(exposed, label.is_some())
        )];
        let mut joins = String::new();
        for (index, aggregate) in used {
            parts.push(format!(
                "\"_aggregate_{index}\" AS (\n  {}\n)",
                self.aggregate_sql(aggregate)
            ));
            let entity = self.schema.table(self.query.entity);
            let found = key_expressions(self.schema, aggregate, &self.query.entity_columns);
            let keys = self.query.entity_columns.iter().zip(&found).enumerate();
            let on: Vec<String> = keys
                .filter_map(|(k, (key, (_, found)))| {
                    let (own, theirs) = (format!("e.k{}", k + 1), format!("a{index}.k{}", k + 1));
                    Some(key_equality(
                        (&theirs, found),
                        (&own, &entity.find_column(key)?.data_type),
                    ))
                })
                .collect();
            joins.push_str(&format!(
                "\nLEFT JOIN \"_aggregate_{index}\" AS a{index} ON a{index}.\"cutoff\" = e.\"cutoff\" AND {}",
                on.join(" AND ")
            ));
        }
        let names: Vec<String> = std::iter::once(quoted(self.cutoff_column))
            .chain(self.query.entity_columns.iter().map(|c| quoted(c)))
            .collect();
        let keys =
            names.iter().skip(1).enumerate().map(|(i, name)| format!(", e.k{} AS {name}", i + 1));
        let mut columns =
            format!("e.\"cutoff\" AS {}{}", quoted(self.cutoff_column), keys.collect::<String>());
        if let Some(label) = label {
            columns.push_str(&format!(",\n  {label} AS {}", quoted(self.label_column)));
        }
        let filter = if filters.is_empty() {
            String::new()
        } else {
            format!("\nWHERE {}", filters.join("\n  AND "))
        };
        let with = format!("WITH {}\n", parts.join(",\n"));
        let body = format!("SELECT {columns}\nFROM \"_entities\" AS e{joins}{filter}");
        let order = names.join(", ");
        match label {
            None => format!("{with}{body}\nORDER BY {order}"),
            Some(_) => format!(
                "{with}SELECT * FROM (\n{body}\n) AS l WHERE l.{} IS NOT NULL\nORDER BY {order}",
                quoted(self.label_column)
            ),
        }
    }

    /// The aggregates that the label needs, or that WHERE alone needs; numbered from 1.
    fn used_aggregates(&self, with_label: bool) -> Vec<(usize, &BoundAggregate)> {
        let mut used = vec![false; self.query.aggregates.len()];
        let assuming = self.query.assuming.iter().filter(|_| with_label);
        let steps = self.query.steps.iter().filter(|_| with_label);
        for expr in self.query.condition.iter().chain(assuming).chain(steps) {
            for leaf in expr.leaves() {
                if let BoundLeaf::Aggregate(index) = leaf
                    && let Some(slot) = used.get_mut(*index)
                {
                    *slot = true;
                }
            }
        }
        let all = self.query.aggregates.iter().zip(used).enumerate();
        all.filter(|(_, (_, used))| *used).map(|(i, (a, _))| (i + 1, a)).collect()
    }

    /// Cutoff, key and exposed columns of the entities that take part.
    fn entities_sql(&self, exposed: &Exposed, with_label: bool) -> String {
        let query = self.query;
        let keys = query.entity_columns.iter().enumerate();
        let keys = keys
            .map(|(i, c)| format!("e.{} AS k{}", quoted(c), i + 1))
            .collect::<Vec<_>>()
            .join(", ");
        let from = match query.task_type {
            TaskType::FillIn(_) if with_label => {
                fill_in_from(self.schema, query.entity, self.timestamps)
            }
            _ => entities_from(self.schema, query.entity, query.options.entities, self.timestamps),
        };
        let present = query.entity_columns.iter().map(|c| format!("e.{} IS NOT NULL", quoted(c)));
        format!(
            "SELECT t.\"timestamp\" AS \"cutoff\", {keys}{} {from} WHERE {}",
            exposed.select_list(|_| "e".to_owned()),
            present.collect::<Vec<_>>().join(" AND ")
        )
    }

    /// The value of an aggregate by cutoff and key; no row where its window is empty.
    fn aggregate_sql(&self, aggregate: &BoundAggregate) -> String {
        let exposed = Exposed::default();
        let cutoff = (aggregate.role == Role::Where).then_some("w.\"cutoff\"");
        let until = cutoff.map(str::to_owned).or_else(|| self.close("w.\"cutoff\""));
        let read = |column: &BoundColumn| cell(column, &exposed, "p", until.as_deref());
        let mut filters = Vec::new();
        if let Some(condition) = &aggregate.condition {
            let value_type = |c: &BoundColumn| ValueType::of(&c.column.data_type);
            filters.push(Leaves { sql: &read, value_type: &value_type }.render(condition));
        }
        if let Some(cutoff) = cutoff {
            for (i, source) in aggregate.sources.iter().enumerate() {
                if let Some(end) = &self.schema.table(source.table).end_time_column {
                    let end = format!("p.{}", exposed.name(i, end));
                    filters.push(format!("({end} IS NULL OR {end} > {cutoff})"));
                }
            }
        }
        let value = aggregate.value.as_ref().map(read);
        if let (Function::ListDistinct, Some(value)) = (aggregate.function, &value) {
            filters.push(format!("{value} IS NOT NULL"));
        }
        let ties: Vec<String> = aggregate
            .tie_break(self.schema)
            .iter()
            .filter(|_| matches!(aggregate.function, Function::First | Function::Last))
            .map(|c| format!("p.{}", exposed.name(aggregate.last, c)))
            .collect();
        let computed = function_sql(aggregate, value.as_deref(), &ties);
        let keys: Vec<String> =
            (1..=self.query.entity_columns.len()).map(|k| format!("p.k{k}")).collect();
        let keys = keys.join(", ");
        let (edges, within) = window_sql(aggregate);
        let filter = if filters.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", filters.join(" AND "))
        };
        format!(
            "SELECT w.\"cutoff\", {keys}, {computed} AS \"value\"\n  FROM (SELECT \"timestamp\" AS \"cutoff\"{edges} FROM {}) AS w\n  JOIN ({}) AS p ON {within}{filter}\n  GROUP BY w.\"cutoff\", {keys}",
            quoted(self.timestamps),
            path_sql(self.schema, aggregate, &self.query.entity_columns, &exposed),
        )
    }

    fn label(&self, exposed: &Exposed) -> String {
        let rendered: Vec<String> =
            self.query.steps.iter().map(|e| self.render(e, false, exposed)).collect();
        match self.query.task_type {
            TaskType::Forecast { .. } => {
                let numbers: Vec<String> =
                    rendered.iter().map(|s| format!("CAST({s} AS DOUBLE)")).collect();
                let numbers = numbers.join(", ");
                format!("CASE WHEN COALESCE({numbers}) IS NOT NULL THEN make_array({numbers}) END")
            }
            _ => rendered.into_iter().next().unwrap_or_else(|| "NULL".to_owned()),
        }
    }

    fn filter(
        &self,
        condition: Option<&BoundExpr>,
        looks_back: bool,
        exposed: &Exposed,
    ) -> Vec<String> {
        condition.map(|c| self.render(c, looks_back, exposed)).into_iter().collect()
    }

    /// An expression over `_entities` as `e` and the aggregates as `a1…`.
    fn render(&self, expr: &BoundExpr, looks_back: bool, exposed: &Exposed) -> String {
        let aggregates = &self.query.aggregates;
        let cutoff = "e.\"cutoff\"";
        let until = looks_back.then(|| cutoff.to_owned()).or_else(|| self.close(cutoff));
        let sql = |leaf: &BoundLeaf| match leaf {
            BoundLeaf::Column(column) => cell(column, exposed, "e", until.as_deref()),
            BoundLeaf::Aggregate(index) => {
                let value = format!("a{}.\"value\"", index + 1);
                aggregates.get(*index).map_or("NULL".to_owned(), |a| self.over_empty(a, &value))
            }
        };
        Leaves { sql: &sql, value_type: &|leaf| leaf_type(leaf, aggregates) }.render(expr)
    }

    /// An aggregate's value with what it is over an empty window.
    fn over_empty(&self, aggregate: &BoundAggregate, value: &str) -> String {
        match aggregate.function {
            Function::Count | Function::CountDistinct | Function::Sum => {
                format!("COALESCE({value}, 0)")
            }
            Function::Exists => format!("COALESCE({value}, FALSE)"),
            Function::ListDistinct if self.query.task_type == TaskType::Multilabel => {
                let element = aggregate
                    .value
                    .as_ref()
                    .map_or("Null".to_owned(), |v| v.column.data_type.to_string());
                format!(
                    "array_sort(COALESCE({value}, arrow_cast(make_array(), 'List({element})')))"
                )
            }
            Function::ListDistinct => format!("array_sort({value})"),
            Function::Avg | Function::Min | Function::Max | Function::First | Function::Last => {
                value.to_owned()
            }
        }
    }
}

/// The aggregate function over `value` of the joined rows `p`.
fn function_sql(aggregate: &BoundAggregate, value: Option<&str>, ties: &[String]) -> String {
    let counted = value.map_or("COUNT(*)".to_owned(), |v| format!("COUNT({v})"));
    let Some(value) = value else {
        return if aggregate.function == Function::Exists {
            format!("{counted} > 0")
        } else {
            counted
        };
    };
    let data_type = aggregate.value.as_ref().map(|v| &v.column.data_type);
    let whole = data_type.is_some_and(is_whole);
    let is_boolean = data_type.is_some_and(|t| ValueType::of(t) == ValueType::Boolean);
    let ordered = |function: &str| {
        let ties: String = ties.iter().map(|t| format!(", {t}")).collect();
        format!("{function}({value} ORDER BY p.\"time\"{ties}, {value})")
    };
    match aggregate.function {
        Function::Count => counted,
        Function::Exists => format!("{counted} > 0"),
        Function::CountDistinct => format!("COUNT(DISTINCT {value})"),
        Function::Sum if whole => format!("SUM(CAST({value} AS BIGINT))"),
        Function::Sum => format!("SUM(CAST({value} AS DOUBLE))"),
        // Whole numbers add up the same in any order.
        Function::Avg if whole => {
            format!("CAST(SUM(CAST({value} AS BIGINT)) AS DOUBLE) / {counted}")
        }
        Function::Avg => format!("AVG(CAST({value} AS DOUBLE))"),
        Function::Min if is_boolean => format!("MIN(CAST({value} AS BIGINT))"),
        Function::Max if is_boolean => format!("MAX(CAST({value} AS BIGINT))"),
        Function::Min => format!("MIN({value})"),
        Function::Max => format!("MAX({value})"),
        Function::First => ordered("FIRST_VALUE"),
        Function::Last => ordered("LAST_VALUE"),
        Function::ListDistinct => format!("ARRAY_AGG(DISTINCT {value})"),
    }
}

/// The edges of the window as columns of `w`, and the condition that a row of `p` lies within them.
fn window_sql(aggregate: &BoundAggregate) -> (String, String) {
    let (mut edges, mut within) = (String::new(), Vec::new());
    for (bound, name, comparison) in
        [(aggregate.window.start, "after", ">"), (aggregate.window.end, "until", "<=")]
    {
        let Bound::At(span) = bound else { continue };
        let sign = if span.comparable() < 0 { "-" } else { "+" };
        let edge = if span.comparable() == 0 {
            "\"timestamp\"".to_owned()
        } else {
            format!("\"timestamp\" {sign} {}", span.interval_sql())
        };
        edges.push_str(&format!(", {edge} AS \"{name}\""));
        within.push(format!("p.\"time\" {comparison} w.\"{name}\""));
    }
    (edges, within.join(" AND "))
}
