//! The label rows of every task of the real databases equal the task's files, as multisets; so do
//! the predictive queries that say the same.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use relcast_catalog::{Catalog, TaskManifest};
use relcast_connect::Database;
use relcast_query::{Cutoffs, LabelPlan, Split, bind, parse};

/// A label as files and plans may both hold it.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Label {
    Number(f64),
    Text(String),
    List(Vec<String>),
}

type Row = (i64, String, Label);

/// The queries of language.md that say the same as a task, and the rows that they must give.
const QUERIES: [(&str, &str); 4] = [
    (
        "driver-position",
        "PREDICT AVG(results.\"positionOrder\", 0, 60, days) FOR EACH drivers.\"driverId\" WITH (entities = 'all', num_eval_timestamps = 40)",
    ),
    (
        "driver-top3",
        "PREDICT MIN(qualifying.position, 0, 30, days) <= 3 FOR EACH drivers.\"driverId\" WITH (entities = 'all', num_eval_timestamps = 40)",
    ),
    (
        "driver-dnf",
        "PREDICT COUNT(results.* WHERE results.\"statusId\" <> 1, 0, 30, days) > 0 FOR EACH drivers.\"driverId\" ASSUMING COUNT(results.*, 0, 30, days) > 0 WITH (entities = 'all', num_eval_timestamps = 40)",
    ),
    (
        "driver-circuit-compete",
        "PREDICT LIST_DISTINCT(races.\"circuitId\" VIA results, 0, 365, days) RANK TOP 10 FOR EACH drivers.\"driverId\" WITH (entities = 'all', num_eval_timestamps = 1)",
    ),
];

#[tokio::test]
async fn labels_equal_the_files_of_every_task() {
    let Some(data) = relcast_testkit::data_dir() else { return };
    let mut folders: Vec<_> = std::fs::read_dir(&data)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
        .collect();
    folders.sort();
    let only = std::env::var("RELCAST_ONLY").ok();
    let mut wrong = Vec::new();
    let (mut tasks, mut queries) = (0, 0);
    for folder in folders.iter().filter(|f| only.as_ref().is_none_or(|o| f.ends_with(o))) {
        let database = relcast_connect::open(folder.to_str().unwrap()).await.unwrap();
        let catalog = relcast_catalog::load(&database, None).await.unwrap();
        for task in &catalog.tasks {
            tasks += 1;
            let plan = LabelPlan::from_task(task, &catalog.schema).unwrap();
            wrong.extend(compare(&database, &catalog, task, &plan).await);
            let Some((_, query)) = QUERIES.iter().find(|(name, _)| *name == task.name) else {
                continue;
            };
            queries += 1;
            let bound = bind(&parse(query).unwrap(), &catalog.schema).unwrap();
            let task_plan = plan;
            let plan = LabelPlan::from_query(&bound, &catalog.schema).unwrap();
            wrong.extend(compare(&database, &catalog, task, &plan).await);
            // Both read the same tables; the task reads races that have no results yet.
            let of_task = task_plan.newest_time(&database.context, None).await.unwrap();
            let of_query = plan.newest_time(&database.context, None).await.unwrap();
            assert!(of_task == of_query || task.name == "driver-circuit-compete", "{}", task.name);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if only.is_none() {
        assert_eq!((tasks, queries), (15, QUERIES.len()), "tasks and queries that were compared");
    }
}

/// The differences between a plan's label rows and the files of a task.
async fn compare(
    database: &Database,
    catalog: &Catalog,
    task: &TaskManifest,
    plan: &LabelPlan,
) -> Vec<String> {
    let name = format!("{} ({})", task.name, plan.label_column);
    let start = Instant::now();
    let cutoffs: Cutoffs = match plan.cutoffs(&database.context, &catalog.schema).await {
        Ok(cutoffs) => cutoffs,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let mut wrong = Vec::new();
    for split in Split::ALL {
        let found = match plan.split_rows(&database.context, &cutoffs, split).await {
            Ok(batch) => batch,
            Err(error) => return vec![format!("{name}: {error}\n{}", plan.sql())],
        };
        let found =
            rows(&found, [&plan.cutoff_column, &plan.entity_columns[0], &plan.label_column]);
        let file = task.directory.join(format!("{}.parquet", split.name()));
        let expected = file_rows(&file, [&task.time_col, &task.entity_col, &task.target_col]);
        if let Some(difference) = difference(&found, &expected) {
            wrong.push(format!(
                "{name} {}: {} rows, expected {}: {difference}",
                split.name(),
                found.len(),
                expected.len()
            ));
        }
    }
    eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    wrong
}

fn difference(found: &[Row], expected: &[Row]) -> Option<String> {
    let same = |(a, b): (&Row, &Row)| {
        let label = match (&a.2, &b.2) {
            (Label::Number(x), Label::Number(y)) => (x - y).abs() <= 1e-9 * x.abs().max(1.0),
            (x, y) => x == y,
        };
        (a.0, &a.1) == (b.0, &b.1) && label
    };
    let first = found.iter().zip(expected).find(|pair| !same(*pair));
    match first {
        Some((a, b)) => Some(format!("{a:?} instead of {b:?}")),
        None if found.len() != expected.len() => Some("one is longer".to_owned()),
        None => None,
    }
}

fn file_rows(file: &Path, columns: [&str; 3]) -> Vec<Row> {
    let batches = relcast_testkit::read_parquet(file).unwrap();
    let mut all: Vec<Row> = batches.iter().flat_map(|b| rows(b, columns)).collect();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    all
}

/// The rows of a batch, sorted.
fn rows(batch: &RecordBatch, [cutoff, key, label]: [&str; 3]) -> Vec<Row> {
    let options = FormatOptions::default();
    let column =
        |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
    let cutoffs = cast(column(cutoff), &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
    let cutoffs = cutoffs.as_primitive::<TimestampMicrosecondType>();
    let keys = ArrayFormatter::try_new(column(key), &options).unwrap();
    let mut rows: Vec<Row> = (0..batch.num_rows())
        .filter(|row| column(label).is_valid(*row))
        .map(|row| (cutoffs.value(row), keys.value(row).to_string(), label_at(column(label), row)))
        .collect();
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}

fn label_at(column: &dyn Array, row: usize) -> Label {
    let one = column.slice(row, 1);
    match column.data_type() {
        DataType::List(_) | DataType::LargeList(_) => {
            let list = match one.as_list_opt::<i32>() {
                Some(list) => list.value(0),
                None => one.as_list::<i64>().value(0),
            };
            let items = ArrayFormatter::try_new(&list, &FormatOptions::default()).unwrap();
            let mut items: Vec<String> =
                (0..list.len()).map(|i| items.value(i).to_string()).collect();
            items.sort();
            items.dedup();
            Label::List(items)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Label::Text(
            ArrayFormatter::try_new(&one, &FormatOptions::default()).unwrap().value(0).to_string(),
        ),
        _ => Label::Number(
            cast(&one, &DataType::Float64).unwrap().as_primitive::<Float64Type>().value(0),
        ),
    }
}
