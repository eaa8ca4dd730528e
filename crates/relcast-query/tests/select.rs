//! Labels from a SELECT: how its columns are found, what its labels mean, which rows count.
#![allow(clippy::unwrap_used)]

mod common;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use common::{at, days, floats, ints, keys, plan, register, shop, shop_session, texts};
use datafusion::prelude::SessionContext;
use relcast_query::statement::{LabelledRows, Labels, Statement};
use relcast_query::{CheckedSelect, LabelPlan, LabelSelect, QueryError, TaskType, statements};

fn written(select: &str, options: &str) -> LabelledRows {
    written_for("customers.id", select, options)
}

fn written_for(entity: &str, select: &str, options: &str) -> LabelledRows {
    let sql = format!("CREATE MODEL m FOR {entity} AS ({select}) {options}");
    let statement = statements(&sql).unwrap().next().unwrap().unwrap();
    let Statement::CreateModel(create) = statement else { panic!("{sql}") };
    let Labels::Select(rows) = create.labels else { panic!("{sql}") };
    rows
}

const MONTH: &str = "WITH (horizon = '10 days')";

/// The shop with rows of labels beside it.
fn session() -> SessionContext {
    let context = shop_session();
    register(
        &context,
        "marks",
        vec![
            ("Cutoff", days(&[Some(1), Some(1), Some(2), Some(2), None, Some(3), Some(3)])),
            ("ID", ints(&[Some(1), Some(2), Some(1), Some(99), Some(1), None, Some(3)])),
            ("score", floats(&[Some(1.0), Some(0.0), Some(1.0), Some(0.0), None, None, None])),
            ("many", ints(&[Some(4), Some(0), Some(1), Some(0), None, None, None])),
            ("word", texts(&[Some("a"), Some("b"), Some("a"), Some("b"), None, None, None])),
        ],
    );
    context
}

async fn check(select: &str, options: &str) -> Result<CheckedSelect, QueryError> {
    LabelSelect::check(&session(), &shop(), &written(select, options)).await
}

async fn error(select: &str) -> String {
    check(select, MONTH).await.unwrap_err().to_string()
}

fn label(column: &str) -> String {
    format!("SELECT \"Cutoff\", \"ID\", {column} AS label FROM marks")
}

#[tokio::test]
async fn the_type_of_the_labels_decides_the_task() {
    for (column, task_type) in [
        ("score > 0", TaskType::Binary),
        ("score", TaskType::Binary),
        ("CAST(score AS BIGINT)", TaskType::Binary),
        ("many", TaskType::Regression),
        ("score + 0.5", TaskType::Regression),
        ("word", TaskType::Multiclass),
    ] {
        let found = check(&label(column), MONTH).await.unwrap().select;
        assert_eq!(found.task_type, task_type, "{column}");
    }
    let error = error(&label("\"Cutoff\"")).await;
    assert!(error.contains("yields a time as label, which cannot be predicted"), "{error}");
}

#[tokio::test]
async fn rows_without_cutoff_label_or_entity_are_left_out_and_counted() {
    let found = check(&label("score"), MONTH).await.unwrap();
    assert_eq!(
        found.notes,
        [
            "label rows that are left out: 1 without a cutoff, 2 without a label, 1 with a key that table \"customers\" does not have"
        ]
    );
    let plan = LabelPlan::from_select(&found.select, &shop(), &[]).unwrap();
    let cutoffs = [at("2020-01-01"), at("2020-01-02"), at("2020-01-03")];
    let rows = plan.label_rows(&session(), &cutoffs).await.unwrap();
    let names: Vec<String> = rows.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["cutoff", "id", "label"]);
    let ids = rows.column(1).as_primitive::<Int64Type>().values().to_vec();
    let times = rows.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
    let labels: Vec<Option<bool>> = rows.column(2).as_boolean().iter().collect();
    assert_eq!(ids, [1, 2, 1]);
    assert_eq!(times, [cutoffs[0], cutoffs[0], cutoffs[1]]);
    assert_eq!(labels, [Some(true), Some(false), Some(true)]);
    assert_eq!(plan.label_rows(&session(), &cutoffs[2..]).await.unwrap().num_rows(), 0);
}

#[tokio::test]
async fn columns_are_found_in_any_case_and_their_errors_name_the_nearest() {
    let missing = error("SELECT \"Cutoff\", \"ID\" AS customer, score AS label FROM marks").await;
    assert!(missing.contains("yields no column \"id\""), "{missing}");
    let missing = error("SELECT \"Cutoff\" AS cutof, \"ID\", score AS label FROM marks").await;
    assert!(missing.ends_with("yields no column \"cutoff\"; did you mean \"cutof\"?"), "{missing}");
    assert!(missing.starts_with("line 1, column 37: the SELECT of the labels yields"), "{missing}");
    let none =
        error("SELECT \"Cutoff\", \"ID\", score AS \"Label\", score AS \"LABEL\" FROM marks");
    let none = none.await;
    assert!(none.contains("several columns \"label\" that differ in case alone"), "{none}");
    let text = error("SELECT '2020-01-01' AS cutoff, \"ID\", score AS label FROM marks").await;
    assert!(text.contains("yields a text as cutoff"), "{text}");
    let notes = check("SELECT \"Cutoff\", \"ID\", score AS label, 2 AS wieght FROM marks", MONTH);
    let notes = notes.await.unwrap().notes;
    assert_eq!(
        notes[1],
        "columns of the SELECT that are not used: wieght; did you mean \"weight\"?"
    );
}

#[tokio::test]
async fn rows_of_one_cutoff_and_key_are_refused() {
    let select = format!("{} UNION ALL {}", label("score"), label("score"));
    let error = error(&select).await;
    assert!(
        error.contains("yields 2 rows of one cutoff and key: cutoff = 2020-01-01T00:00:00, id = 1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_select_without_label_rows_says_what_they_lack() {
    let error = error(&label("score").replace("\"ID\"", "\"ID\" + 1000 AS \"ID\"")).await;
    assert!(error.contains("yields no label row; label rows that are left out: "), "{error}");
    let none = check(&format!("{} WHERE FALSE", label("score")), MONTH).await.unwrap_err();
    assert!(none.to_string().ends_with("yields no label row; it yields no rows at all"), "{none}");
}

#[tokio::test]
async fn the_horizon_must_be_said_and_cutoffs_have_no_step() {
    let select = label("score");
    let missing = check(&select, "").await.unwrap_err().to_string();
    assert!(missing.contains("need the option \"horizon\"; add WITH (horizon = "), "{missing}");
    let negative = check(&select, "WITH (horizon = '-3 days')").await.unwrap_err().to_string();
    assert!(negative.contains("expects a duration such as '30 days', found -3 days"), "{negative}");
    let step = "WITH (horizon = '3 days', cutoff_step = '1 day')";
    let step = check(&select, step).await.unwrap_err().to_string();
    assert!(step.contains("\"cutoff_step\" does nothing here"), "{step}");
}

#[tokio::test]
async fn what_would_be_refused_can_be_left_out_and_is_counted() {
    let select = "SELECT \"Cutoff\", \"ID\", score AS label, CASE WHEN \"ID\" = 2 THEN -1.0 ELSE 1.0 END AS weight FROM marks \
                  UNION ALL SELECT \"Cutoff\", \"ID\", score, 1.0 FROM marks WHERE \"Cutoff\" = '2020-01-02'";
    assert!(check(select, MONTH).await.is_err());
    let skip = "WITH (horizon = '10 days', on_error = 'skip')";
    let found = check(select, skip).await.unwrap();
    assert_eq!(
        found.notes,
        [
            "label rows that are left out: 1 without a cutoff, 2 without a label, 2 with a key that table \"customers\" does not have, 1 with a weight that is NULL, negative, infinite or no number, 2 that share their cutoff and key with another"
        ]
    );
    let plan = LabelPlan::from_select(&found.select, &shop(), &[]).unwrap();
    let cutoffs = [at("2020-01-01"), at("2020-01-02")];
    let (rows, weights) = plan.weighted_rows(&session(), &cutoffs).await.unwrap();
    assert_eq!(rows.column(1).as_primitive::<Int64Type>().values().to_vec(), [1]);
    assert_eq!(weights.unwrap(), [1.0]);
}

#[tokio::test]
async fn weights_come_with_their_rows_and_must_be_numbers_of_0_or_more() {
    let select = "SELECT \"Cutoff\", \"ID\", score AS label, many + 0.5 AS \"Weight\" FROM marks";
    let found = check(select, MONTH).await.unwrap().select;
    let plan = LabelPlan::from_select(&found, &shop(), &[]).unwrap();
    let cutoffs = [at("2020-01-01"), at("2020-01-02")];
    let (rows, weights) = plan.weighted_rows(&session(), &cutoffs).await.unwrap();
    assert_eq!((rows.num_rows(), rows.num_columns()), (3, 3));
    assert_eq!(weights.unwrap(), [4.5, 0.5, 1.5]);
    let wrong = error(&select.replace("many + 0.5", "many - 1")).await;
    assert!(wrong.contains("yields 1 weights that are NULL, negative, infinite"), "{wrong}");
    let wrong = error(&select.replace("many + 0.5", "0.0 / 0.0 + many")).await;
    assert!(wrong.contains("yields 3 weights that are NULL"), "{wrong}");
    let wrong = error(&select.replace("many + 0.5", "word")).await;
    assert!(wrong.contains("yields a text as weight"), "{wrong}");
}

#[tokio::test]
async fn a_select_that_restates_a_query_gives_its_label_rows() {
    let query = "PREDICT SUM(orders.amount, 0, 10) FOR EACH customers.id WITH (entities = 'all')";
    let cutoffs = [at("2020-01-04"), at("2020-01-10")];
    let expected = plan(query, &shop()).label_rows(&session(), &cutoffs).await.unwrap();
    let select = "SELECT t.cutoff, c.id, COALESCE(SUM(o.amount), 0) AS label
        FROM (SELECT CAST(v AS TIMESTAMP) AS cutoff FROM (VALUES ('2020-01-04'), ('2020-01-10')) AS x(v)) AS t
        CROSS JOIN customers AS c
        LEFT JOIN orders AS o ON o.customer_id = c.id AND o.placed > t.cutoff
            AND o.placed <= t.cutoff + INTERVAL '10 days'
        GROUP BY t.cutoff, c.id";
    let checked = check(select, MONTH).await.unwrap();
    assert_eq!((checked.select.task_type, checked.notes.len()), (TaskType::Regression, 0));
    let plan = LabelPlan::from_select(&checked.select, &shop(), &[]).unwrap();
    let found = plan.label_rows(&session(), &cutoffs).await.unwrap();
    let labels = |rows: &arrow::array::RecordBatch| {
        rows.column(2).as_primitive::<Float64Type>().values().to_vec()
    };
    assert_eq!(found.column(0), expected.column(0));
    assert_eq!(found.column(1), expected.column(1));
    assert_eq!(labels(&found), labels(&expected));
    assert_eq!(plan.newest_time(&session(), None).await.unwrap(), Some(at("2020-01-15")));
}

#[tokio::test]
async fn composite_keys_may_come_in_any_order() {
    let context = session();
    register(
        &context,
        "shelf_marks",
        vec![
            ("cutoff", days(&[Some(1), Some(1)])),
            ("shelf", keys(&[2, 1])),
            ("shop", keys(&[1, 2])),
            ("label", floats(&[Some(1.5), Some(2.5)])),
        ],
    );
    let rows = written_for("shelves.(shelf, shop)", "SELECT * FROM shelf_marks", MONTH);
    let checked = LabelSelect::check(&context, &shop(), &rows).await.unwrap();
    let plan = LabelPlan::from_select(&checked.select, &shop(), &[]).unwrap();
    assert_eq!(plan.entity_columns, ["shop", "shelf"]);
    let found = plan.label_rows(&context, &[at("2020-01-01")]).await.unwrap();
    let column = |i: usize| found.column(i).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!((column(1), column(2)), (vec![1, 2], vec![2, 1]));
    assert_eq!(
        checked.select.to_string(),
        "FOR shelves.(shop, shelf) AS (SELECT * FROM shelf_marks) WITH (horizon = '10 days')"
    );
    assert_eq!(checked.select.check_again(&context, &shop()).await.unwrap(), checked);
}
