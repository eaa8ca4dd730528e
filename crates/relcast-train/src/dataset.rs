//! The data of one predictive query: labels by split, the graph with the labels' own past in it.
//!
//! Labels whose windows have closed are rows like any other: they enter the graph as a table that
//! points to the entity and is known from the moment its window closed, so that a model can read
//! an entity's earlier labels and can never read one that is still open.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray,
};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{
    DataType, Field, Schema as ArrowSchema, TimeUnit, TimestampMicrosecondType,
};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use relcast_catalog::{
    CatalogError, Column, KnownFrom, Link, Schema, SemanticType, Table, TableId,
};
use relcast_graph::TemporalGraph;
use relcast_query::{Cutoffs, LabelPlan, TaskType};

use crate::error::TrainError;
use crate::examples::{Examples, Task};
use crate::label_values::{as_numbers, check_binary, class_numbers, numbers};
use crate::scale::RobustScale;

/// The table of closed labels, and its columns beside the entity's key.
const HISTORY: &str = "relcast_past_labels";
const CLOSED_AT: &str = "relcast_closed_at";
pub(crate) const LABEL: &str = "relcast_label";

/// With fewer label rows than this there is nothing that a model could learn.
const FEWEST_LABELS: usize = 10;

/// Classes of a target, at most: outputs, baselines and figures take a number per row and class.
const MOST_CLASSES: usize = 1_000;

/// Label rows per split: cutoff, entity key, label.
#[derive(Debug, Clone)]
pub struct LabelSplits {
    /// Rows to learn from.
    pub train: RecordBatch,
    /// Rows to choose on.
    pub validation: RecordBatch,
    /// Rows to judge by.
    pub test: RecordBatch,
    /// How much each row to learn from counts, where the labels say it.
    pub weights: Option<Vec<f64>>,
}

impl LabelSplits {
    /// Runs the label plan for every cutoff of every split.
    ///
    /// # Errors
    /// Of the query.
    pub async fn read(
        ctx: &SessionContext,
        plan: &LabelPlan,
        cutoffs: &Cutoffs,
    ) -> Result<Self, TrainError> {
        let (train, weights) = plan.weighted_rows(ctx, &cutoffs.train).await?;
        Ok(Self {
            train,
            validation: plan.label_rows(ctx, &cutoffs.val).await?,
            test: plan.label_rows(ctx, &cutoffs.test).await?,
            weights,
        })
    }

    /// Refuses labels that are infinite or not a number: nothing can be learnt from or judged by
    /// them.
    ///
    /// # Errors
    /// [`TrainError::Labels`] with the split and their number.
    pub fn check_finite(&self) -> Result<(), TrainError> {
        let splits =
            [("train", &self.train), ("validation", &self.validation), ("test", &self.test)];
        for (split, rows) in splits {
            let finite = finite_labels(rows)?;
            let count = finite.iter().filter(|finite| !**finite).count();
            if count > 0 {
                return Err(TrainError::Labels(format!(
                    "{count} of {} {split} labels are infinite or not a number (NaN); leave such rows \
                     out with a condition of the aggregate, ASSUMING or on_error = 'skip', or mend the \
                     column in the source",
                    finite.len()
                )));
            }
        }
        Ok(())
    }

    /// Leaves such labels out instead; tells how many there were, if any.
    ///
    /// # Errors
    /// Arrow's, if labels are no numbers though their type says so.
    pub fn leave_out_infinite(&mut self) -> Result<Option<String>, TrainError> {
        let mut left_out = 0;
        if let Some(weights) = &mut self.weights {
            let mut finite = finite_labels(&self.train)?.into_iter();
            weights.retain(|_| finite.next().unwrap_or(true));
        }
        for rows in [&mut self.train, &mut self.validation, &mut self.test] {
            let finite = BooleanArray::from(finite_labels(rows)?);
            left_out += finite.false_count();
            *rows = filter_record_batch(rows, &finite)?;
        }
        Ok((left_out > 0).then(|| {
            format!("label rows that are left out: {left_out} infinite or not a number (NaN)")
        }))
    }
}

/// The task that the training labels make, with what is learnt from them.
///
/// # Errors
/// If there are fewer than [`FEWEST_LABELS`] training labels, only one value of them, labels that
/// are not of their kind, or more than [`MOST_CLASSES`] classes.
pub fn task_of(kind: &TaskType, train: &RecordBatch) -> Result<Task, TrainError> {
    let labels = label_column(train)?;
    if labels.is_empty() {
        return Err(TrainError::Labels(
            "there is no label row to learn from: no entity passes FOR and WHERE at any training cutoff".into(),
        ));
    }
    if labels.len() < FEWEST_LABELS {
        return Err(TrainError::Labels(format!(
            "there are {} label rows to learn from, at least {FEWEST_LABELS} are needed; shorten the horizon or cutoff_step, drop a condition, or bring more data",
            labels.len()
        )));
    }
    let task = match kind {
        TaskType::Binary => {
            check_binary(&numbers(labels)?)?;
            Task::Binary
        }
        TaskType::Regression => {
            let mut values = numbers(labels)?;
            values.sort_unstable_by(f64::total_cmp);
            let deviation = crate::metrics::sample_std(&values).unwrap_or(0.0);
            Task::Regression { deviation, scale: RobustScale::learn(&values) }
        }
        TaskType::Multiclass => {
            let texts = cast(labels, &DataType::Utf8)?;
            let mut classes: Vec<String> =
                texts.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
            classes.sort_unstable();
            classes.dedup();
            if classes.len() > MOST_CLASSES {
                return Err(TrainError::Labels(format!(
                    "the training labels have {} different values, at most {MOST_CLASSES} can be told apart; put rare ones together with CASE, or predict a number",
                    classes.len()
                )));
            }
            Task::Multiclass { classes }
        }
        TaskType::Multilabel => return Err(not_yet("CLASSIFY")),
        TaskType::Ranking { .. } => return Err(not_yet("RANK")),
        TaskType::Forecast { .. } => return Err(not_yet("FORECAST")),
        TaskType::FillIn(_) => return Err(not_yet("columns of the entity table")),
    };
    let one_value = match &task {
        Task::Multiclass { classes } => classes.len() < 2,
        Task::Binary | Task::Regression { .. } => {
            numbers(labels)?.windows(2).all(|pair| pair[0] == pair[1])
        }
    };
    if one_value {
        return Err(TrainError::Labels(
            "all training labels are equal: there is nothing to learn; widen the window, drop a condition, or start training earlier".into(),
        ));
    }
    Ok(task)
}

fn not_yet(what: &str) -> TrainError {
    TrainError::Labels(format!(
        "models for {what} cannot be trained yet; `relcast labels` gives their training table"
    ))
}

/// The session and the schema with the closed labels of `rows` as a table of their own.
///
/// # Errors
/// DataFusion's, if the table cannot be registered.
pub async fn with_label_history(
    ctx: &SessionContext,
    schema: &Schema,
    plan: &LabelPlan,
    cutoffs: &Cutoffs,
    task: &Task,
    rows: &RecordBatch,
) -> Result<(SessionContext, Schema), TrainError> {
    if let Some(table) = schema.tables.iter().find(|t| t.name.eq_ignore_ascii_case(HISTORY)) {
        return Err(TrainError::Labels(format!(
            "the database has a table \"{}\", which is the name of the closed labels in the graph; give it another name",
            table.name
        )));
    }
    let times = cutoff_column(rows)?;
    let closed: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(
        times.iter().map(|t| cutoffs.horizon.after(*t)),
    ));
    let labels = label_column(rows)?;
    let (label, semantic) = match task {
        Task::Multiclass { .. } => (cast(labels, &DataType::Utf8)?, SemanticType::Categorical),
        _ => (Arc::new(as_numbers(labels)?) as ArrayRef, SemanticType::Numerical),
    };
    let stamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let mut columns: Vec<(Column, ArrayRef)> = Vec::new();
    for (i, name) in plan.entity_columns.iter().enumerate() {
        let key = rows.column(i + 1).clone();
        columns.push((column(&format!("key_{name}"), key.data_type(), SemanticType::Key), key));
    }
    columns.push((column(CLOSED_AT, &stamp, SemanticType::Timestamp), closed));
    columns.push((column(LABEL, label.data_type(), semantic), label));
    let fields: Vec<Field> =
        columns.iter().map(|(c, _)| Field::new(&c.name, c.data_type.clone(), true)).collect();
    let batch = RecordBatch::try_new(
        Arc::new(ArrowSchema::new(fields)),
        columns.iter().map(|(_, values)| values.clone()).collect(),
    )?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
    let session = relcast_connect::with_table(ctx, HISTORY, Arc::new(table)).await?;

    let mut extended = schema.clone();
    let child = TableId(extended.tables.len() as u32);
    extended.tables.push(Table {
        name: HISTORY.to_owned(),
        columns: columns.into_iter().map(|(c, _)| c).collect(),
        primary_key: Vec::new(),
        time_column: Some(CLOSED_AT.to_owned()),
        end_time_column: None,
        known_from: KnownFrom::TimeColumn(CLOSED_AT.to_owned()),
    });
    extended.links.push(Link {
        child,
        columns: plan.entity_columns.iter().map(|c| format!("key_{c}")).collect(),
        parent: plan.entity,
    });
    Ok((session, extended))
}

fn column(name: &str, data_type: &DataType, semantic: SemanticType) -> Column {
    Column {
        name: name.to_owned(),
        data_type: data_type.clone(),
        semantic,
        planned: false,
        known_from: None,
    }
}

/// The table of closed labels in a `schema` extended by [`with_label_history`].
#[must_use]
pub fn closed_label_table(schema: &Schema) -> Option<TableId> {
    let position = schema.tables.iter().position(|table| table.name == HISTORY)?;
    Some(TableId(position as u32))
}

/// Its labels, one per row of `graph`; zero for a label that is NULL.
///
/// # Errors
/// If the graph has no such column of numbers.
pub fn closed_labels(graph: &TemporalGraph, table: TableId) -> Result<Vec<f64>, TrainError> {
    let rows = graph.table_columns(table)?;
    let labels = rows.column_by_name(LABEL);
    numbers(labels.ok_or_else(|| TrainError::Labels("closed labels without a label".into()))?)
}

/// The examples that label `rows` make in `graph`.
///
/// # Errors
/// If keys cannot be looked up or labels are not of the task's kind.
pub fn examples(
    graph: &TemporalGraph,
    plan: &LabelPlan,
    task: &Task,
    rows: &RecordBatch,
) -> Result<Examples, TrainError> {
    let labels = label_column(rows)?;
    let labels = match task {
        Task::Multiclass { classes } => {
            class_numbers(classes, cast(labels, &DataType::Utf8)?.as_string::<i32>())
        }
        Task::Binary => {
            let labels = numbers(labels)?;
            check_binary(&labels)?;
            labels
        }
        Task::Regression { .. } => numbers(labels)?,
    };
    let keys = &rows.columns()[1..rows.num_columns() - 1];
    seeds_of(graph, plan, cutoff_column(rows)?, keys, labels)
}

/// Examples without labels, for predicting: one per row of `keys`, all at `cutoffs`.
///
/// # Errors
/// If keys cannot be looked up.
pub fn seeds_of(
    graph: &TemporalGraph,
    plan: &LabelPlan,
    cutoffs: Vec<i64>,
    keys: &[ArrayRef],
    labels: Vec<f64>,
) -> Result<Examples, TrainError> {
    Ok(Examples {
        rows: graph.find_rows(plan.entity, keys)?,
        keys: relcast_graph::key_hashes(keys)?,
        cutoffs,
        labels,
        weights: Vec::new(),
    })
}

/// Weights as a fit uses them: one on average, so that they leave the size of its steps alone.
///
/// # Errors
/// If no row weighs anything.
pub fn normalised_weights(weights: &[f64]) -> Result<Vec<f64>, TrainError> {
    // Divided first by the largest, so that no sum is too large.
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let mean = weights.iter().map(|w| w / largest).sum::<f64>() / weights.len().max(1) as f64;
    if !largest.is_finite() || !mean.is_finite() || mean <= 0.0 {
        return Err(TrainError::Labels(
            "no training label has a weight above 0: there is nothing to learn from; give weights to rows of earlier cutoffs too".into(),
        ));
    }
    Ok(weights.iter().map(|w| w / largest / mean).collect())
}

/// Builds the graph of `schema` under `directory`, unless it is there already, and opens it. One
/// that is there but damaged or of another version is built anew, with a warning.
///
/// # Errors
/// Of the graph, and [`CatalogError::DuplicateKeys`].
pub async fn open_graph(
    ctx: &SessionContext,
    schema: &Schema,
    directory: &Path,
) -> Result<Arc<TemporalGraph>, TrainError> {
    // Columns are checked when they are read, and whoever opens a graph reads them all.
    let whole = TemporalGraph::open(directory).and_then(|graph| {
        graph.tables().try_for_each(|table| graph.table_columns(table).map(drop))?;
        Ok(graph)
    });
    let graph = match whole {
        Ok(graph) => graph,
        Err(error) => {
            if directory.exists() {
                tracing::warn!("the stored graph cannot be used and is built anew: {error}");
            }
            relcast_graph::build(ctx, schema, directory).await?;
            TemporalGraph::open(directory)?
        }
    };
    for (table, report) in schema.tables.iter().zip(&graph.report().tables) {
        if report.duplicate_keys > 0 {
            return Err(CatalogError::duplicate_keys(table, report.duplicate_keys as u64).into());
        }
    }
    Ok(graph)
}

/// The cutoffs of label rows, microseconds UTC.
///
/// # Errors
/// Arrow's, if the first column is no time.
pub fn cutoff_column(rows: &RecordBatch) -> Result<Vec<i64>, TrainError> {
    let times = cast(rows.column(0), &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    Ok(times.as_primitive::<TimestampMicrosecondType>().values().to_vec())
}

/// Which label rows have a label that is no infinity and not NaN.
///
/// # Errors
/// Arrow's, if labels are no numbers though their type says so.
pub fn finite_labels(rows: &RecordBatch) -> Result<Vec<bool>, TrainError> {
    let labels = label_column(rows)?;
    if !labels.data_type().is_floating() {
        return Ok(vec![true; labels.len()]);
    }
    Ok(numbers(labels)?.into_iter().map(f64::is_finite).collect())
}

/// The labels of label rows: the last column.
fn label_column(rows: &RecordBatch) -> Result<&ArrayRef, TrainError> {
    rows.columns().last().ok_or_else(|| TrainError::Labels("label rows without a label".into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array, StringArray};

    fn rows(labels: &[f64]) -> RecordBatch {
        labelled(Arc::new(Float64Array::from(labels.to_vec())))
    }

    fn labelled(labels: ArrayRef) -> RecordBatch {
        let count = labels.len();
        let cutoffs = TimestampMicrosecondArray::from_value(0, count);
        let keys = Int64Array::from_iter_values(0..count as i64);
        let columns: [(&str, ArrayRef); 3] =
            [("cutoff", Arc::new(cutoffs)), ("id", Arc::new(keys)), ("label", labels)];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn labels_of_one_value_are_nothing_to_learn_from() {
        for kind in [TaskType::Regression, TaskType::Binary] {
            for labels in [&[1.0; 12][..], &[0.0; 10]] {
                let error = task_of(&kind, &rows(labels)).unwrap_err().to_string();
                assert!(error.contains("all training labels are equal"), "{error}");
            }
            assert!(task_of(&kind, &rows(&[0.0, 1.0].repeat(6))).is_ok());
        }
        assert!(task_of(&TaskType::Regression, &rows(&[])).is_err());
    }

    #[test]
    fn weights_are_one_on_average_and_some_weigh_something() {
        let weights = normalised_weights(&[0.0, 2e300, 6e300]).unwrap();
        assert!(weights.iter().zip([0.0, 0.75, 2.25]).all(|(w, e)| (w - e).abs() < 1e-12));
        assert!(normalised_weights(&[0.0, 0.0]).is_err());
        assert!(normalised_weights(&[]).is_err());
    }

    #[test]
    fn a_label_that_cannot_be_read_is_named() {
        let refusal = |kind, labels: [&str; 3]| {
            let labels: ArrayRef = Arc::new(StringArray::from(labels.repeat(4)));
            task_of(&kind, &labelled(labels)).err().as_ref().map(ToString::to_string)
        };
        for kind in [TaskType::Binary, TaskType::Regression] {
            let message = refusal(kind, ["no", "yes", "no"]).unwrap();
            assert!(message.starts_with("the label \"no\" is no number; "), "{message}");
            let message = refusal(kind, ["1", "0", "n/a"]).unwrap();
            assert!(message.starts_with("the label \"n/a\" is no number; "), "{message}");
            assert_eq!(refusal(kind, ["1", "0", "1"]), None);
        }
        assert_eq!(refusal(TaskType::Multiclass, ["1", "2", "n/a"]), None);
    }

    #[test]
    fn binary_labels_are_zero_and_one() {
        for (labels, wrong) in [([-1.0, 1.0], "-1"), ([0.0, 3.0], "3"), ([0.0, 0.5], "0.5")] {
            let rows = rows(&labels.repeat(6));
            let message = task_of(&TaskType::Binary, &rows).unwrap_err().to_string();
            let expected = format!("{wrong} is no label of binary classification; ");
            assert!(message.starts_with(&expected), "{message}");
            assert!(task_of(&TaskType::Regression, &rows).is_ok());
        }
    }

    #[test]
    fn classes_without_end_are_refused() {
        let task = |classes: usize| {
            let labels = StringArray::from_iter_values((0..classes).map(|c| format!("city {c}")));
            task_of(&TaskType::Multiclass, &labelled(Arc::new(labels)))
        };
        assert!(task(MOST_CLASSES).is_ok());
        let message = task(MOST_CLASSES + 1).unwrap_err().to_string();
        assert!(
            message.starts_with("the training labels have 1001 different values, "),
            "{message}"
        );
    }

    #[test]
    fn labels_that_are_no_numbers_are_refused_and_counted() {
        let splits = |validation: &[f64]| LabelSplits {
            train: rows(&[1.0, 2.0]),
            validation: rows(validation),
            test: rows(&[]),
            weights: None,
        };
        assert!(splits(&[1.0, 3.0]).check_finite().is_ok());
        let error = splits(&[f64::NAN, 1.0, f64::INFINITY]).check_finite().unwrap_err().to_string();
        assert!(error.starts_with("2 of 3 validation labels are infinite"), "{error}");
    }

    #[test]
    fn labels_that_are_no_numbers_can_be_left_out_with_their_weights() {
        let mut splits = LabelSplits {
            train: rows(&[1.0, f64::NAN, 2.0]),
            validation: rows(&[f64::INFINITY]),
            test: rows(&[3.0]),
            weights: Some(vec![0.1, 0.2, 0.3]),
        };
        let note = splits.leave_out_infinite().unwrap().unwrap();
        assert_eq!(note, "label rows that are left out: 2 infinite or not a number (NaN)");
        let left = [&splits.train, &splits.validation, &splits.test].map(RecordBatch::num_rows);
        assert_eq!((left, splits.weights.as_deref()), ([2, 0, 1], Some(&[0.1, 0.3][..])));
        splits.check_finite().unwrap();
        assert_eq!(splits.leave_out_infinite().unwrap(), None);
    }
}
