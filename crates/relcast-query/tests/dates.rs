//! Dates that are known from the midnight that ends them, in labels, entities and cutoffs.
#![allow(clippy::unwrap_used)]

mod common;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use common::{at, bound, days, ints, keys, plan, register, shop, shop_session, table_mut};
use datafusion::prelude::SessionContext;
use relcast_catalog::{Schema, TaskManifest};
use relcast_query::{LabelPlan, bind_with, parse};

/// The shop whose orders are placed and paid on days.
fn dated() -> Schema {
    let mut schema = shop();
    let orders = table_mut(&mut schema, "orders");
    let mut paid = orders.find_column("placed").unwrap().clone();
    paid.name = "paid".to_owned();
    orders.columns.push(paid);
    for column in ["placed", "paid"] {
        schema.dates.insert(("orders".to_owned(), column.to_owned()));
    }
    schema
}

/// Two orders of customer 1: of the 5th, paid on the 7th, and of the 12th, paid the same day.
fn dated_session() -> SessionContext {
    let context = shop_session();
    context.deregister_table("orders").unwrap();
    let numbers = ints(&[Some(1), Some(2)]);
    register(
        &context,
        "orders",
        vec![
            ("id", keys(&[10, 11])),
            ("customer_id", keys(&[1, 1])),
            ("placed", days(&[Some(5), Some(12)])),
            ("amount", numbers.clone()),
            ("status", numbers.clone()),
            ("gift", numbers),
            ("paid", days(&[Some(7), Some(12)])),
        ],
    );
    context
}

fn text(batch: &RecordBatch, column: usize) -> Vec<String> {
    let cells = batch.column(column);
    let cells = ArrayFormatter::try_new(cells, &FormatOptions::default()).unwrap();
    (0..batch.num_rows()).map(|row| cells.value(row).to_string()).collect()
}

/// The label of customer 1 at a day.
async fn label(plan: &LabelPlan, day: &str) -> String {
    let rows = plan.label_rows(&dated_session(), &[at(day)]).await.unwrap();
    let one = text(&rows, 1).iter().position(|key| key == "1").unwrap();
    text(&rows, 2).remove(one)
}

fn counting(aggregate: &str, date_known: &str) -> LabelPlan {
    let options = format!("entities = 'all', date_known = '{date_known}'");
    let sql = format!("PREDICT COUNT({aggregate}) FOR EACH customers.id WITH ({options})");
    plan(&sql, &dated())
}

#[tokio::test]
async fn a_day_lies_in_the_window_in_which_it_ends() {
    for (known, counts) in [("start_of_day", ["1", "0"]), ("end_of_day", ["0", "1"])] {
        let plan = counting("orders.*, 0, 2", known);
        assert_eq!(label(&plan, "2020-01-10").await, counts[0], "{known}");
        assert_eq!(label(&plan, "2020-01-12").await, counts[1], "{known}");
    }
    // Its value stays what it is.
    let on_the_day = counting("orders.* WHERE orders.placed = 2020-01-12, 0, 10", "end_of_day");
    assert_eq!(label(&on_the_day, "2020-01-10").await, "1");
}

#[tokio::test]
async fn what_happens_on_the_day_of_the_cutoff_is_not_known_at_it() {
    let passing = async |condition: &str, known: &str, day: &str| {
        let options = format!("entities = 'all', date_known = '{known}'");
        let sql = format!(
            "PREDICT COUNT(orders.*, 0, 2) FOR EACH customers.id WHERE COUNT({condition}, -INF, 0) > 0 WITH ({options})"
        );
        let entities = plan(&sql, &dated()).entities(&dated_session(), at(day)).await.unwrap();
        text(&entities, 0)
    };
    let (rows, cells) = ("orders.*", "orders.* WHERE orders.paid IS NOT NULL");
    for (condition, day) in [(rows, "2020-01-05"), (cells, "2020-01-07")] {
        let next = format!("{} 00:00:00", day.replace("05", "06").replace("07", "08"));
        assert_eq!(passing(condition, "start_of_day", day).await, ["1"], "{condition}");
        assert!(passing(condition, "end_of_day", day).await.is_empty(), "{condition}");
        assert_eq!(passing(condition, "end_of_day", &next).await, ["1"], "{condition}");
    }
}

#[tokio::test]
async fn the_newest_time_is_the_end_of_the_last_day() {
    for (known, newest) in [("start_of_day", "2020-01-12"), ("end_of_day", "2020-01-13")] {
        let plan = counting("orders.*, 0, 2", known);
        let found = plan.newest_time(&dated_session(), None).await.unwrap();
        assert_eq!(found, Some(at(newest)), "{known}");
    }
}

#[tokio::test]
async fn an_entity_is_seen_once_the_day_of_its_first_row_is_over() {
    for (known, seen) in [("start_of_day", 1), ("end_of_day", 0)] {
        let options = format!(
            "val_timestamp = 2020-01-07, test_timestamp = 2020-01-09, date_known = '{known}'"
        );
        let sql = format!("PREDICT COUNT(orders.*, 0, 2) FOR EACH customers.id WITH ({options})");
        let plan = plan(&sql, &dated());
        let told = plan.explain_labels(&dated_session(), &dated()).await.unwrap();
        let first = &told.splits[0].cutoffs[0];
        assert_eq!((first.cutoff.as_str(), first.seen), ("2020-01-05", seen), "{known}");
    }
}

#[tokio::test]
async fn the_windows_of_a_task_in_sql_follow() {
    let task = TaskManifest {
        name: "orders".to_owned(),
        task_type: "regression".to_owned(),
        entity_table: "customers".to_owned(),
        entity_col: "id".to_owned(),
        time_col: "timestamp".to_owned(),
        target_col: "n".to_owned(),
        timedelta: Some("2 days".to_owned()),
        sql: Some(
            "SELECT t.timestamp, c.id, COUNT(o.id) AS n FROM timestamps t CROSS JOIN customers c \
             LEFT JOIN orders o ON o.customer_id = c.id AND o.placed > t.timestamp AND \
             o.placed <= t.timestamp + INTERVAL '{timedelta}' GROUP BY t.timestamp, c.id"
                .to_owned(),
        ),
        ..TaskManifest::default()
    };
    for (known, counts) in [("start_of_day", ["1", "0"]), ("end_of_day", ["0", "1"])] {
        let set = [("date_known".to_owned(), known.to_owned())];
        let plan = LabelPlan::from_task_with(&task, &dated(), &set).unwrap();
        assert_eq!(label(&plan, "2020-01-10").await, counts[0], "{known}");
        assert_eq!(label(&plan, "2020-01-12").await, counts[1], "{known}");
    }
}

#[test]
fn options_that_are_set_over_a_query_decide_too() {
    let query = parse("PREDICT COUNT(orders.*, 0, 2) FOR EACH customers.id").unwrap();
    let set = [("date_known".to_owned(), "end_of_day".to_owned())];
    let bound = bind_with(&query, &dated(), &set).unwrap();
    let set = LabelPlan::from_query(&bound, &dated()).unwrap();
    let written =
        "PREDICT COUNT(orders.*, 0, 2) FOR EACH customers.id WITH (date_known = 'end_of_day')";
    assert_eq!(set.sql(), plan(written, &dated()).sql());
}

#[test]
fn without_a_date_there_is_nothing_to_be_known_later() {
    let sql =
        "PREDICT COUNT(orders.*, 0, 2) FOR EACH customers.id WITH (date_known = 'end_of_day')";
    let message = bound(sql, &shop()).unwrap_err().to_string();
    assert!(
        message.starts_with(
            "line 1, column 59: option \"date_known\" changes nothing: no table has a column of dates; "
        ),
        "{message}"
    );
}
