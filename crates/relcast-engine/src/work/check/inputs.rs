//! What the model reads, at training and since: queries for each table and column, over the table
//! with the times from which its rows are known.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use relcast_catalog::{KnownFrom, Schema, TableId, known_relation, quoted};
use relcast_graph::Stop;
use relcast_train::features::ColumnPlan;
use relcast_train::model::sample_plan;

use super::windows::Windows;
use super::{CheckLine, CheckedKind, Side};
use crate::error::EngineError;
use crate::stored::StoredModel;

/// Values of a category that stand alone; the others that training has met are one bin.
const VALUES: usize = 20;
/// Days between a row's time and a timestamp cell, as edges of ranges.
const DAYS: [f64; 9] = [-365.0, -30.0, -7.0, -1.0, 0.0, 1.0, 7.0, 30.0, 365.0];
/// Every so many of the quantiles that a model keeps is an edge.
const QUANTILES: usize = 4;

/// Compares the columns that `model` reads: rows known at the last training cutoff with those that
/// came after it, up to `newest`.
pub(super) async fn check(
    context: &SessionContext,
    model: &StoredModel,
    newest: i64,
) -> Result<Vec<CheckLine>, EngineError> {
    let until = model.cutoffs.train.last().copied().unwrap_or(model.cutoffs.val_timestamp);
    let context = one_partition(context);
    let mut lines = Vec::new();
    for table in tables(model)? {
        let name = &model.schema.table(table).name;
        let is_static = model.schema.table(table).known_from == KnownFrom::Static;
        if !is_static {
            Stop::current().check()?;
            let windows = Windows::new(model.cutoffs.horizon, until, newest);
            let rows = read(&context, &windows.sql(&model.schema, table)).await?;
            lines.push(windows.judged(CheckLine::new(CheckedKind::Rows, name, "*"), &rows));
        }
        for column in columns(model, table) {
            Stop::current().check()?;
            let line = CheckLine::new(CheckedKind::Input, name, &column.name);
            if is_static {
                // Such rows do not come: they are the same ones at any time.
                lines.push(line);
                continue;
            }
            let sql = column.sql(&model.schema, table, None, until, newest);
            let rows = read(&context, &sql).await?;
            lines.push(column.judged(line, &rows));
            if column.has_times() && newest > until {
                // As far back from then as from now: cells become known with time.
                let since = until.saturating_sub(newest - until);
                let sql = column.sql(&model.schema, table, Some(since), until, newest);
                let rows = read(&context, &sql).await?;
                let line = CheckLine::new(CheckedKind::Known, name, &column.name);
                lines.push(column.known(line, &rows));
            }
        }
    }
    Ok(lines)
}

async fn read(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>, EngineError> {
    tracing::debug!(sql, "counting what a table holds");
    Ok(context.sql(sql).await?.collect().await?)
}

/// Sums of floats depend on the order of their terms, which must not depend on threads.
fn one_partition(context: &SessionContext) -> SessionContext {
    let state = context.state();
    let config = state.config().clone().with_target_partitions(1);
    // A default catalog made anew would hide the tables.
    let config = config.with_create_default_catalog_and_schema(false);
    let state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
    SessionContext::new_with_state(state)
}

/// The tables of the source that trees of the model reach.
fn tables(model: &StoredModel) -> Result<BTreeSet<TableId>, EngineError> {
    let plan = &model.plan;
    let reached = sample_plan(&plan.schema, plan.entity, &plan.fanout)?.blocks;
    let ours = reached.into_iter().map(|block| block.table);
    Ok(ours.filter(|table| table.index() < model.schema.tables.len()).collect())
}

/// A column with the bins that its values fall into.
struct Column {
    name: String,
    content: Content,
    /// Whether a cell is known only once its own time has come.
    own_time: bool,
    /// The column from whose value on a cell is known.
    known_from: Option<String>,
}

enum Content {
    /// Numbers, by the inner edges of ranges.
    Numbers(Vec<f64>),
    /// Times, by the days between the row's time and them.
    Times,
    /// The values that training has met, the commonest first.
    Categories(Vec<String>),
    /// Whatever is only there or not.
    Presence,
}

fn columns(model: &StoredModel, table: TableId) -> Vec<Column> {
    let (declared, plan) = (model.schema.table(table), &model.plan.features.tables[table.index()]);
    let known_from = |name: &str| declared.find_column(name).and_then(|c| c.known_from.clone());
    let read = plan.columns.iter().map(|(name, plan)| Column {
        name: name.clone(),
        content: content(plan),
        own_time: false,
        known_from: known_from(name),
    });
    let times = plan.timestamps.iter().map(|plan| Column {
        name: plan.name.clone(),
        content: Content::Times,
        own_time: !plan.planned,
        known_from: known_from(&plan.name),
    });
    read.chain(times).collect()
}

fn content(plan: &ColumnPlan) -> Content {
    match plan {
        ColumnPlan::Numerical { knots, .. } => {
            let inner = knots.iter().skip(QUANTILES).step_by(QUANTILES);
            let mut edges: Vec<f64> = inner.copied().collect();
            // The last knot is the greatest value.
            edges.pop();
            edges.dedup();
            Content::Numbers(edges)
        }
        ColumnPlan::Categorical { vocabulary } => {
            let by_entry: BTreeMap<u32, &String> =
                vocabulary.iter().map(|(value, entry)| (*entry, value)).collect();
            Content::Categories(by_entry.into_values().cloned().collect())
        }
        ColumnPlan::Multicategorical { .. } | ColumnPlan::Text | ColumnPlan::Embedding { .. } => {
            Content::Presence
        }
    }
}

impl Column {
    /// Whether cells are known later than their rows.
    fn has_times(&self) -> bool {
        self.own_time || self.known_from.is_some()
    }

    /// `phase` (0 for rows known at `until`, 1 for those that came later), `bin` (0 for NULL),
    /// `count`, `total` of the numbers; of rows that came after `since`, if said.
    fn sql(
        &self,
        schema: &Schema,
        table: TableId,
        since: Option<i64>,
        until: i64,
        newest: i64,
    ) -> String {
        let (until, newest) = (moment(until), moment(newest));
        let since = since
            .map_or_else(String::new, |at| format!(" AND \"relcast_known_at\" > {}", moment(at)));
        let limit =
            format!("CASE WHEN \"relcast_known_at\" <= {until} THEN {until} ELSE {newest} END");
        let name = quoted(&self.name);
        let own = self.own_time.then(|| name.clone());
        let times = own.into_iter().chain(self.known_from.as_ref().map(|from| quoted(from)));
        let known: Vec<String> = times.map(|time| format!("{time} <= {limit}")).collect();
        let cell = match known.is_empty() {
            true => name,
            false => format!("CASE WHEN {} THEN {name} END", known.join(" AND ")),
        };
        let total = match self.content {
            Content::Numbers(_) | Content::Times => "SUM(\"value\")",
            Content::Categories(_) | Content::Presence => "CAST(NULL AS DOUBLE)",
        };
        format!(
            "SELECT \"phase\", \"bin\", COUNT(*) AS \"count\", {total} AS \"total\" FROM \
             (SELECT \"phase\", \"value\", {} AS \"bin\" FROM \
             (SELECT \"phase\", {} AS \"value\" FROM \
             (SELECT CASE WHEN \"relcast_known_at\" <= {until} THEN 0 ELSE 1 END AS \"phase\", \
             \"relcast_known_at\" AS \"known\", {cell} AS \"cell\" FROM ({}) AS r \
             WHERE \"relcast_known_at\" <= {newest}{since}) AS c) AS v) AS b \
             GROUP BY \"phase\", \"bin\" ORDER BY \"phase\", \"bin\"",
            self.bin_sql(),
            self.value_sql(),
            known_relation(schema, table),
        )
    }

    /// The cell as it is put into bins.
    fn value_sql(&self) -> String {
        match self.content {
            // What is not finite is read as NULL.
            Content::Numbers(_) => {
                "CASE WHEN abs(TRY_CAST(\"cell\" AS DOUBLE)) <= 1.7976931348623157e308 \
                 THEN TRY_CAST(\"cell\" AS DOUBLE) END"
                    .to_owned()
            }
            Content::Times => {
                let micros = |column: &str| {
                    format!(
                        "arrow_cast(arrow_cast(\"{column}\", 'Timestamp(Microsecond, None)'), 'Int64')"
                    )
                };
                format!("({} - {}) / 86400000000.0", micros("cell"), micros("known"))
            }
            Content::Categories(_) => "CAST(\"cell\" AS VARCHAR)".to_owned(),
            Content::Presence => "\"cell\"".to_owned(),
        }
    }

    fn bin_sql(&self) -> String {
        let mut cases = vec!["WHEN \"value\" IS NULL THEN 0".to_owned()];
        match &self.content {
            Content::Numbers(edges) => cases.extend(ranges(edges)),
            Content::Times => cases.extend(ranges(&DAYS)),
            Content::Categories(values) => {
                let text = |value: &String| format!("'{}'", value.replace('\'', "''"));
                let (alone, others) = values.split_at(values.len().min(VALUES));
                for (bin, value) in (1..).zip(alone) {
                    cases.push(format!("WHEN \"value\" = {} THEN {bin}", text(value)));
                }
                if !others.is_empty() {
                    let list = others.iter().map(text).collect::<Vec<_>>().join(", ");
                    let bin = alone.len() + 1;
                    cases.push(format!("WHEN \"value\" IN ({list}) THEN {bin}"));
                }
            }
            Content::Presence => {}
        }
        format!("CASE {} ELSE {} END", cases.join(" "), self.bins() - 1)
    }

    /// How many bins there are, with that of NULL.
    fn bins(&self) -> usize {
        match &self.content {
            Content::Numbers(edges) => edges.len() + 2,
            Content::Times => DAYS.len() + 2,
            Content::Categories(values) => {
                values.len().min(VALUES) + usize::from(values.len() > VALUES) + 2
            }
            Content::Presence => 2,
        }
    }

    /// Counts by bin, and the total, of each phase.
    fn counted(&self, batches: &[RecordBatch]) -> [(Vec<u64>, Option<f64>); 2] {
        let mut sides = [(); 2].map(|()| (vec![0u64; self.bins()], None::<f64>));
        for batch in batches {
            let whole = |column: usize| batch.column(column).as_primitive_opt::<Int64Type>();
            let totals = batch.column(3).as_primitive_opt::<Float64Type>();
            let (Some(phases), Some(bins), Some(counts)) = (whole(0), whole(1), whole(2)) else {
                continue;
            };
            for row in 0..batch.num_rows() {
                let (counted, sum) = &mut sides[usize::from(phases.value(row) != 0)];
                if let Some(slot) =
                    usize::try_from(bins.value(row)).ok().and_then(|bin| counted.get_mut(bin))
                {
                    *slot += u64::try_from(counts.value(row)).unwrap_or(0);
                }
                if let Some(total) = totals.filter(|totals| totals.is_valid(row)) {
                    *sum = Some(sum.unwrap_or(0.0) + total.value(row));
                }
            }
        }
        sides
    }

    /// `line` with what the rows of [`Column::sql`] say.
    fn judged(&self, line: CheckLine, batches: &[RecordBatch]) -> CheckLine {
        let sides = self.counted(batches);
        let [training, current] = sides.each_ref().map(|(counted, sum)| side(counted, *sum));
        // Cells of late rows are still to come: that they are NULL is no drift.
        let from = usize::from(self.has_times());
        let [then, now] = sides.each_ref().map(|(counted, _)| &counted[from..]);
        let is_category = matches!(self.content, Content::Categories(_));
        let rows = current.rows.filter(|rows| is_category && *rows > 0);
        let unknown = rows.zip(now.last()).map(|(rows, n)| *n as f64 / rows as f64);
        CheckLine { training, current, unknown_share: unknown, ..line.judged(then, now) }
    }

    /// `line` with how many cells are known of rows that came as long ago.
    fn known(&self, line: CheckLine, batches: &[RecordBatch]) -> CheckLine {
        let sides = self.counted(batches);
        let [training, current] = sides.each_ref().map(|(counted, _)| side(counted, None));
        let [then, now] = sides.each_ref().map(|(counted, _)| {
            let nulls = counted.first().copied().unwrap_or(0);
            [nulls, counted.iter().sum::<u64>() - nulls]
        });
        CheckLine { training, current, ..line.judged(&then, &now) }
    }
}

/// A moment, microseconds UTC, as SQL.
pub(super) fn moment(at: i64) -> String {
    format!("arrow_cast({at}, 'Timestamp(Microsecond, None)')")
}

/// The cases of ranges between `edges`, from bin 1 on; the last is what is left.
fn ranges(edges: &[f64]) -> impl Iterator<Item = String> {
    (1..).zip(edges).map(|(bin, edge)| format!("WHEN \"value\" < {edge:?} THEN {bin}"))
}

fn side(counts: &[u64], sum: Option<f64>) -> Side {
    let rows = counts.iter().sum::<u64>();
    let nulls = counts.first().copied().unwrap_or(0);
    let values = rows - nulls;
    Side {
        rows: Some(rows),
        mean: sum.filter(|_| values > 0).map(|sum| sum / values as f64),
        null_share: (rows > 0).then(|| nulls as f64 / rows as f64),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, Int64Array};
    use relcast_train::drift::Verdict;
    use std::sync::Arc;

    use super::*;

    fn column(content: Content) -> Column {
        Column { name: "x".to_owned(), content, own_time: false, known_from: None }
    }

    #[test]
    fn bins_are_numbered_from_null_on() {
        let numbers = column(Content::Numbers(vec![-1.5, 2.0]));
        assert_eq!(
            numbers.bin_sql(),
            "CASE WHEN \"value\" IS NULL THEN 0 WHEN \"value\" < -1.5 THEN 1 \
             WHEN \"value\" < 2.0 THEN 2 ELSE 3 END"
        );
        let values = ["a", "it's"].map(str::to_owned).to_vec();
        assert_eq!(
            column(Content::Categories(values)).bin_sql(),
            "CASE WHEN \"value\" IS NULL THEN 0 WHEN \"value\" = 'a' THEN 1 \
             WHEN \"value\" = 'it''s' THEN 2 ELSE 3 END"
        );
        let many: Vec<String> = (0..22).map(|i| format!("v{i:02}")).collect();
        let many = column(Content::Categories(many));
        assert!(many.bin_sql().ends_with("IN ('v20', 'v21') THEN 21 ELSE 22 END"));
        assert_eq!(many.bins(), 23);
    }

    #[test]
    fn shares_and_means_are_of_the_rows_of_a_side() {
        let whole = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let totals = Float64Array::from(vec![None, Some(20.0), None, Some(90.0)]);
        let batch = RecordBatch::try_from_iter([
            ("phase", whole(vec![0, 0, 1, 1])),
            ("bin", whole(vec![0, 1, 0, 2])),
            ("count", whole(vec![100, 100, 30, 90])),
            ("total", Arc::new(totals) as ArrayRef),
        ])
        .unwrap();
        let column = column(Content::Numbers(vec![0.5]));
        let line = CheckLine::new(CheckedKind::Input, "t", "x");
        let line = column.judged(line, &[batch]);
        let expected = Side { rows: Some(200), mean: Some(0.2), null_share: Some(0.5) };
        assert_eq!(line.training, expected);
        let expected = Side { rows: Some(120), mean: Some(1.0), null_share: Some(0.25) };
        assert_eq!(line.current, expected);
        assert_eq!((line.verdict, line.unknown_share), (Some(Verdict::Drift), None));
    }
}
