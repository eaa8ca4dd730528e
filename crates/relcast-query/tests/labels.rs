//! Labels of small tables made by hand: every aggregate, empty windows, NULLs, and windows against a
//! naive loop over rows.
#![allow(clippy::unwrap_used)]

mod common;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use common::{
    DAY, at, bound, days, floats, generate, ints, keys, plan, register, session, shop,
    shop_session, table_mut,
};
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use relcast_catalog::Schema;
use relcast_query::{LabelPlan, Split};

/// Labels at 2020-01-10 as `key:label`, over the shop's rows.
async fn labels(sql: &str) -> Vec<String> {
    labels_with(sql, &shop()).await
}

async fn labels_with(sql: &str, schema: &Schema) -> Vec<String> {
    rows(&plan(sql, schema), &["2020-01-10"]).await
}

async fn rows(plan: &LabelPlan, cutoffs: &[&str]) -> Vec<String> {
    let cutoffs: Vec<i64> = cutoffs.iter().map(|c| at(c)).collect();
    let batch = plan
        .label_rows(&shop_session(), &cutoffs)
        .await
        .unwrap_or_else(|e| panic!("{e}\n{}", plan.sql()));
    assert_eq!(batch.schema().field(0).name(), &plan.cutoff_column);
    text(&batch, 1)
}

/// Rows as `a:b:c` from column `first` on.
fn text(batch: &RecordBatch, first: usize) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch.columns()[first..]
        .iter()
        .map(|c| ArrayFormatter::try_new(c, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|r| columns.iter().map(|c| c.value(r).to_string()).collect::<Vec<_>>().join(":"))
        .collect()
}

/// All four customers take part; in the ten days after the 10th, customer 1 has orders 11 and 12, 2 has 13.
async fn each(target: &str) -> Vec<String> {
    labels(&format!("PREDICT {target} FOR EACH customers.id WITH (entities = 'all')")).await
}

#[tokio::test]
async fn counts_and_sums_are_zero_over_an_empty_window() {
    assert_eq!(each("COUNT(orders.*, 0, 10)").await, ["1:2", "2:1", "3:0", "4:0"]);
    assert_eq!(each("COUNT(orders.amount, 0, 10)").await, ["1:1", "2:1", "3:0", "4:0"]);
    assert_eq!(each("COUNT_DISTINCT(orders.status, 0, 10)").await, ["1:2", "2:1", "3:0", "4:0"]);
    assert_eq!(each("SUM(orders.amount, 0, 10)").await, ["1:10.5", "2:2.0", "3:0.0", "4:0.0"]);
    assert_eq!(each("SUM(orders.gift, 0, 10)").await, ["1:1", "2:0", "3:0", "4:0"]);
    assert_eq!(each("EXISTS(orders.*, 0, 10)").await, ["1:true", "2:true", "3:false", "4:false"]);
    assert_eq!(
        each("EXISTS(orders.gift, 0, 10)").await,
        ["1:true", "2:false", "3:false", "4:false"]
    );
}

#[tokio::test]
async fn other_aggregates_give_no_label_over_an_empty_window() {
    assert_eq!(each("AVG(orders.amount, 0, 10)").await, ["1:10.5", "2:2.0"]);
    assert_eq!(each("AVG(orders.gift, 0, 10)").await, ["1:0.5"]);
    assert_eq!(each("MIN(orders.status, 0, 10)").await, ["1:done", "2:lost"]);
    assert_eq!(each("MAX(orders.gift, 0, 10)").await, ["1:1"]);
    assert_eq!(each("FIRST(orders.status, 0, 10)").await, ["1:open", "2:lost"]);
    assert_eq!(each("LAST(orders.status, 0, 10)").await, ["1:done", "2:lost"]);
    assert_eq!(each("MIN(orders.amount, 0, 10) > 5").await, ["1:true", "2:false"]);
}

#[tokio::test]
async fn lists_are_sorted_and_empty_only_for_classes() {
    let list = "LIST_DISTINCT(items.product_id, 0, 10)";
    assert_eq!(each(&format!("{list} RANK TOP 3")).await, ["1:[7, 8]", "2:[8]"]);
    assert_eq!(each(&format!("{list} CLASSIFY")).await, ["1:[7, 8]", "2:[8]", "3:[]", "4:[]"]);
    assert_eq!(
        each("LIST_DISTINCT(orders.status, 0, 10) CLASSIFY").await,
        ["1:[done, open]", "2:[lost]", "3:[]", "4:[]"]
    );
}

#[tokio::test]
async fn windows_are_open_at_their_start_and_closed_at_their_end() {
    assert_eq!(each("COUNT(orders.*, 2, 5)").await, ["1:1", "2:1", "3:0", "4:0"]);
    assert_eq!(each("COUNT(orders.*, 1, 2)").await, ["1:1", "2:0", "3:0", "4:0"]);
    assert_eq!(each("COUNT(orders.*, 5, 9)").await, ["1:0", "2:0", "3:0", "4:0"]);
    assert_eq!(each("COUNT(orders.*, 0, 48, hours)").await, ["1:1", "2:0", "3:0", "4:0"]);
    assert_eq!(each("COUNT(orders.*, 0, 1, month)").await, ["1:2", "2:1", "3:0", "4:0"]);
}

/// Two customers with orders at these days of January 2020, which may run into February.
fn orders_at(orders: &[(i64, Option<i64>)], amounts: &[Option<f64>]) -> SessionContext {
    let context = session();
    register(&context, "customers", vec![("id", keys(&[1, 2]))]);
    let column =
        |f: fn(&(i64, Option<i64>)) -> Option<i64>| orders.iter().map(f).collect::<Vec<_>>();
    let ids = (0..).take(orders.len()).collect::<Vec<_>>();
    register(
        &context,
        "orders",
        vec![
            ("id", keys(&ids)),
            ("customer_id", ints(&column(|o| Some(o.0)))),
            ("placed", days(&column(|o| o.1))),
            ("amount", floats(amounts)),
        ],
    );
    context
}

#[tokio::test]
async fn months_are_steps_of_the_calendar_clamped_to_its_end() {
    // The 60th day is 29 February, the 61st 1 March.
    let context = orders_at(&[(1, Some(60)), (1, Some(61)), (2, Some(92))], &[None; 3]);
    let labels = async |window: &str| {
        let sql = format!(
            "PREDICT COUNT(orders.*, {window}) FOR EACH customers.id WITH (entities = 'all')"
        );
        let plan = plan(&sql, &shop());
        text(&plan.label_rows(&context, &[at("2020-01-31")]).await.unwrap(), 1)
    };
    assert_eq!(labels("0, 1, month").await, ["1:1", "2:0"]);
    assert_eq!(labels("1, 2, months").await, ["1:1", "2:0"]);
    assert_eq!(labels("0, 1, year").await, ["1:2", "2:1"]);
    assert_eq!(labels("0, 4, weeks").await, ["1:0", "2:0"]);
    assert_eq!(labels("0, 29, days").await, ["1:1", "2:0"]);
}

#[tokio::test]
async fn sums_and_means_of_floats_do_not_depend_on_the_order_of_rows() {
    let amounts = |shift: usize, backwards: bool| -> Vec<Option<f64>> {
        let small = (0..40).map(|n| 0.1 * f64::from(n) - 1.7);
        let mut all: Vec<f64> = small.chain([1e12, -1e12, 1e-9]).collect();
        all.rotate_left(shift);
        if backwards {
            all.reverse();
        }
        all.into_iter().map(Some).collect()
    };
    let arrivals = [(0, false), (0, true), (17, false), (29, true), (41, false)];
    let added: Vec<u64> = arrivals
        .iter()
        .map(|(shift, backwards)| amounts(*shift, *backwards))
        .map(|all| all.into_iter().flatten().sum::<f64>().to_bits())
        .collect();
    assert!(added.iter().any(|bits| *bits != added[0]), "the order of these terms counts");
    for target in ["SUM(orders.amount, 0, 30)", "AVG(orders.amount, 0, 30)"] {
        let sql = format!("PREDICT {target} FOR EACH customers.id WITH (entities = 'all')");
        let plan = plan(&sql, &shop());
        let mut labels = Vec::new();
        for (shift, backwards) in arrivals {
            let amounts = amounts(shift, backwards);
            let orders = vec![(1, Some(12)); amounts.len()];
            let context = orders_at(&orders, &amounts);
            let batch = plan.label_rows(&context, &[at("2020-01-10")]).await.unwrap();
            let label = batch.column(2).as_primitive::<Float64Type>().value(0);
            assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(0), 1);
            labels.push(label.to_bits());
        }
        assert_eq!(labels, vec![labels[0]; arrivals.len()], "{target}");
    }
}

#[tokio::test]
async fn first_and_last_break_ties_by_primary_key() {
    let orders = [(1, Some(12)), (1, Some(12)), (1, Some(12)), (2, Some(12))];
    let context = orders_at(&orders, &[Some(3.0), Some(1.0), Some(2.0), Some(9.0)]);
    for (function, expected) in [("FIRST", ["1:3.0", "2:9.0"]), ("LAST", ["1:2.0", "2:9.0"])] {
        let sql = format!(
            "PREDICT {function}(orders.amount, 0, 10) FOR EACH customers.id WITH (entities = 'all')"
        );
        let rows = plan(&sql, &shop()).label_rows(&context, &[at("2020-01-10")]).await.unwrap();
        assert_eq!(text(&rows, 1), expected);
    }
}

#[tokio::test]
async fn rows_without_a_time_and_links_to_nothing_count_nowhere() {
    let orders = [(1, None), (2, Some(12)), (7, Some(12))];
    let context = orders_at(&orders, &[Some(1.0), None, Some(1.0)]);
    let sql =
        "PREDICT COUNT(orders.*, 0, 100, years) FOR EACH customers.id WITH (entities = 'all')";
    let all = plan(sql, &shop());
    let rows = all.label_rows(&context, &[at("2020-01-10"), at("1990-01-01")]).await.unwrap();
    assert_eq!(text(&rows, 1), ["1:0", "2:1", "1:0", "2:1"]);
    let mut schema = shop();
    schema.links.retain(|l| schema.tables[l.child.index()].name == "orders");
    let seen = plan("PREDICT COUNT(orders.*, 0, 5) FOR EACH customers.id", &schema);
    let rows = seen.label_rows(&context, &[at("2020-01-20")]).await.unwrap();
    assert_eq!(text(&rows, 1), ["2:0"]);
}

#[tokio::test]
async fn an_entity_with_a_time_takes_part_from_it_on() {
    let sql = |rest: &str| format!("PREDICT COUNT(reviews.*, 0, 10) FOR EACH orders.id {rest}");
    assert_eq!(labels(&sql("")).await, ["10:2"]);
    // A joined row is as young as the youngest of its tables: order 12 is of the 15th.
    let late = rows(&plan(&sql("WITH (entities = 'all')"), &shop()), &["2020-01-13"]).await;
    assert_eq!(late, ["10:1", "11:1", "12:2", "13:0", "14:0", "15:0"]);
}

#[tokio::test]
async fn an_entity_that_nothing_points_to_is_always_there() {
    let mut schema = shop();
    schema.links.retain(|l| schema.tables[l.child.index()].name != "stockings");
    let plan = plan("PREDICT shelves.width FOR EACH shelves.(shop, shelf)", &schema);
    let entities = plan.entities(&shop_session(), at("1900-01-01")).await.unwrap();
    assert_eq!(text(&entities, 0), ["1:1", "1:2", "2:1"]);
}

/// What comes of a statement: its labels, or the error with its place.
async fn outcome(sql: &str) -> String {
    let plan = match bound(sql, &shop()) {
        Ok(query) => LabelPlan::from_query(&query, &shop()).unwrap(),
        Err(error) => {
            assert!(error.place().is_some(), "{sql}: {error}");
            return error.to_string();
        }
    };
    match plan.label_rows(&shop_session(), &[at("2020-01-10")]).await {
        Ok(rows) => text(&rows, 1).join(" "),
        Err(error) => format!("fails: {error}"),
    }
}

#[tokio::test]
async fn odd_values_in_conditions_are_what_sql_says() {
    let mut outcomes = Vec::new();
    for condition in [
        "status LIKE NULL",
        "NULL CONTAINS 'x'",
        "status STARTS WITH NULL",
        "- NULL > 1",
        "NOT NULL",
        "NULL AND gift",
        "amount IN (NULL)",
        "amount IN (1, NULL, TRUE)",
        "NULL IN (1)",
        "amount BETWEEN NULL AND 3",
        "gift + 1 > 1",
        "- gift < 0",
        "gift = TRUE",
        "gift IN (0, 1)",
        "gift BETWEEN 0 AND 1",
        "amount % 0 = 1",
        "amount / 0 = 1",
        "amount > 99999999999999999999",
        "amount = 1e300",
        "id = 2.5",
        "id > 18446744073709551615",
        "status > 'a'",
        "status IN ('a', NULL)",
        "'2020-01-12' < placed",
        "placed IN ('2020-01-12', 2020-01-13)",
        "'2020-01-31' BETWEEN placed AND 2020-02-01",
        "placed = NULL",
        "placed IS NOT NULL",
        "CASE WHEN gift THEN NULL ELSE 1 END = 1",
        "CASE NULL WHEN 1 THEN TRUE END",
        "CASE placed WHEN '2020-01-12' THEN TRUE END",
        "CASE gift WHEN 1 THEN TRUE ELSE NULL END",
        "(gift OR NULL) IS NULL",
        "placed > 1700-01-01",
        "placed > '0001-01-01' AND placed < '9999-12-31'",
        "TRUE",
        "1 = 1",
        "'a' = 'a'",
        "status LIKE '%\\%'",
        "status = 'it''s; -- no comment'",
    ] {
        let sql = format!("PREDICT COUNT(orders.* WHERE {condition}, 0, 10) FOR EACH customers.id");
        outcomes.push(format!("{condition}\n    {}", outcome(&sql).await));
    }
    insta::assert_snapshot!(outcomes.join("\n"));
}

#[tokio::test]
async fn odd_targets_and_far_windows_run_or_are_refused() {
    let mut outcomes = Vec::new();
    for sql in [
        "PREDICT COUNT(orders.*, 0, 2000000000, days) FOR EACH customers.id",
        "PREDICT COUNT(orders.*, 0, 200000000, years) FOR EACH customers.id",
        "PREDICT COUNT(orders.*, 0, 9000, years) FOR EACH customers.id",
        "PREDICT COUNT(orders.*, 0, 300000, years) FOR EACH customers.id",
        "PREDICT COUNT(orders.*, 0, 9223372036854, seconds) FOR EACH customers.id",
        "PREDICT COUNT(orders.*, 0, 10) FOR EACH customers.id WHERE COUNT(orders.*, -9223372036854, 0, seconds) > 0",
        "PREDICT COUNT(orders.*, 0, 10) FOR EACH customers.id WHERE COUNT(orders.*, -300000, 0, years) > 0",
        "PREDICT COUNT(orders.*, 0, 10) * 9223372036854775807 FOR EACH customers.id",
        "PREDICT SUM(orders.gift, 0, 10) % 2 FOR EACH customers.id",
        "PREDICT COUNT(orders.*, 0, 10) > 1 = TRUE FOR EACH customers.id",
        "PREDICT MIN(orders.placed, 0, 10) > 2020-01-14 FOR EACH customers.id",
        "PREDICT CASE WHEN COUNT(orders.*, 0, 10) > 1 THEN 1 ELSE 2.5 END FOR EACH customers.id",
        "PREDICT NULL FOR EACH customers.id",
        "PREDICT EXISTS(orders.*, 0, 10) + 1 FOR EACH customers.id",
        "PREDICT LIST_DISTINCT(orders.gift, 0, 10) CLASSIFY FOR EACH customers.id",
        "PREDICT LIST_DISTINCT(orders.placed, 0, 10) CLASSIFY FOR EACH customers.id",
        "PREDICT LIST_DISTINCT(orders.amount, 0, 10) RANK TOP 99999999999 FOR EACH customers.id",
        "PREDICT COUNT(orders.*, 0, 10) FORECAST 100000 TIMEFRAMES FOR EACH customers.id",
        "PREDICT COUNT(orders.*, 0, 10) FORECAST 99999999999999 TIMEFRAMES FOR EACH customers.id",
    ] {
        outcomes.push(format!("{sql}\n    {}", outcome(sql).await));
    }
    insta::assert_snapshot!(outcomes.join("\n"));
}

#[tokio::test]
async fn a_deep_or_long_expression_runs() {
    let long = vec!["status = 'done'"; 2_000].join(" OR ");
    assert_eq!(
        each(&format!("COUNT(orders.* WHERE {long}, 0, 10)")).await,
        ["1:1", "2:0", "3:0", "4:0"]
    );
    let sum = vec!["COUNT(orders.*, 0, 10)"; 201].join(" + ");
    assert_eq!(each(&sum).await, ["1:402", "2:201", "3:0", "4:0"]);
    let deep = format!("{}COUNT(orders.*, 0, 10) > 0", "NOT ".repeat(90));
    assert_eq!(each(&deep).await, ["1:true", "2:true", "3:false", "4:false"]);
}

#[tokio::test]
async fn forecasts_hold_one_number_per_step() {
    assert_eq!(
        each("COUNT(orders.*, 0, 3) FORECAST 2 TIMEFRAMES").await,
        ["1:[1.0, 1.0]", "2:[0.0, 1.0]", "3:[0.0, 0.0]", "4:[0.0, 0.0]"]
    );
    assert_eq!(
        each("AVG(orders.amount, 0, 3) FORECAST 2 TIMEFRAMES").await,
        ["1:[10.5, NULL]", "2:[NULL, 2.0]"]
    );
}

#[tokio::test]
async fn arithmetic_is_real_and_never_divides_by_zero() {
    assert_eq!(
        each("COUNT(orders.gift, 0, 10) / COUNT(orders.*, 0, 10)").await,
        ["1:1.0", "2:0.0"]
    );
    assert_eq!(each("COUNT(orders.*, 0, 10) / 4").await, ["1:0.5", "2:0.25", "3:0.0", "4:0.0"]);
    assert_eq!(
        each("CASE WHEN COUNT(orders.*, 0, 10) > 1 THEN 'many' WHEN COUNT(orders.*, 0, 10) = 1 THEN 'one' END").await,
        ["1:many", "2:one"]
    );
    assert_eq!(
        each("COUNT(orders.*, 0, 10) BETWEEN 1 AND 1 OR COUNT(orders.*, 0, 10) IN (0)").await,
        ["1:false", "2:true", "3:true", "4:true"]
    );
    assert_eq!(each("-COUNT(orders.*, 0, 10) + 1").await, ["1:-1", "2:0", "3:1", "4:1"]);
}

#[tokio::test]
async fn between_takes_any_operand() {
    let count = |condition: &str| format!("COUNT(orders.* WHERE {condition}, 0, 10)");
    let all = each("COUNT(orders.*, 0, 10)").await;
    let case = "CASE WHEN status = 'done' AND gift = 0 THEN 5 ELSE 1 END";
    assert_eq!(
        each(&count(&format!("{case} BETWEEN 4 AND 6"))).await,
        ["1:1", "2:0", "3:0", "4:0"]
    );
    assert_eq!(
        each(&count(&format!("{case} NOT BETWEEN 4 AND 6"))).await,
        ["1:1", "2:1", "3:0", "4:0"]
    );
    assert_eq!(each(&count("'a AND b' BETWEEN 'a' AND 'b AND c'")).await, all);
    assert_eq!(
        each(&count("status BETWEEN 'a AND b' AND 'm AND n'")).await,
        ["1:1", "2:1", "3:0", "4:0"]
    );
}

#[tokio::test]
async fn conditions_choose_rows_by_their_cells_and_their_parents() {
    let count = |condition: &str| format!("COUNT(items.* WHERE {condition}, 0, 10)");
    assert_eq!(each(&count("quantity > 1")).await, ["1:2", "2:1", "3:0", "4:0"]);
    assert_eq!(each(&count("products.name CONTAINS 'hat'")).await, ["1:2", "2:0", "3:0", "4:0"]);
    assert_eq!(
        each(&count("products.name STARTS WITH 'blue'")).await,
        ["1:1", "2:1", "3:0", "4:0"]
    );
    assert_eq!(
        each(&count("products.name NOT ENDS WITH 'hat'")).await,
        ["1:1", "2:1", "3:0", "4:0"]
    );
    assert_eq!(each(&count("products.name ILIKE 'RED%'")).await, ["1:2", "2:0", "3:0", "4:0"]);
    assert_eq!(each(&count("orders.status = 'done'")).await, ["1:1", "2:0", "3:0", "4:0"]);
    assert_eq!(each(&count("orders.placed >= 2020-01-15")).await, ["1:1", "2:1", "3:0", "4:0"]);
    assert_eq!(each(&count("orders.gift = 1")).await, ["1:2", "2:0", "3:0", "4:0"]);
    assert_eq!(each(&count("customers.age > 40")).await, ["1:0", "2:1", "3:0", "4:0"]);
    assert_eq!(
        each("COUNT(orders.* WHERE gift IS NULL, 0, 10)").await,
        ["1:0", "2:1", "3:0", "4:0"]
    );
}

#[tokio::test]
async fn joined_rows_count_once_per_way_and_at_their_latest_time() {
    assert_eq!(
        each("SUM(products.price VIA (reviews.customer_id, reviews.product_id), 0, 10)").await,
        ["1:21.5", "2:0.0", "3:1.5", "4:0.0"]
    );
    assert_eq!(
        each("SUM(products.price VIA (orders, items), 0, 10)").await,
        ["1:23.0", "2:20.0", "3:0.0", "4:0.0"]
    );
    assert_eq!(each("SUM(items.quantity, 3, 10)").await, ["1:4", "2:3", "3:0", "4:0"]);
    assert_eq!(
        each("COUNT(referrals.* VIA referrals.to_id, 0, 10)").await,
        ["1:0", "2:1", "3:1", "4:0"]
    );
    let answers = labels("PREDICT COUNT(posts.*, 0, 10) FOR EACH posts.id").await;
    assert_eq!(answers, ["1:2"]);
}

#[tokio::test]
async fn composite_keys_are_keys() {
    let sql = "PREDICT SUM(stockings.pieces, 0, 10) FOR EACH shelves.(shop, shelf) WITH (entities = 'all')";
    assert_eq!(labels(sql).await, ["1:1:3", "1:2:4", "2:1:0"]);
    let swapped = "PREDICT SUM(stockings.pieces, 0, 10) FOR EACH shelves.(shelf, shop) WITH (entities = 'all')";
    assert_eq!(labels(swapped).await, labels(sql).await);
}

#[tokio::test]
async fn the_order_of_a_composite_key_in_for_says_only_how_its_keys_are_written() {
    let seeds = async |entity: &str| {
        let sql =
            format!("PREDICT SUM(stockings.pieces, 0, 10) FOR {entity} WITH (entities = 'all')");
        let plan = plan(&sql, &shop());
        assert_eq!(plan.entity_columns, ["shop", "shelf"]);
        let seeds = plan.seeds(&shop_session(), at("2020-01-10")).await.unwrap();
        let entities = plan.entities(&shop_session(), at("2020-01-10")).await.unwrap();
        (text(&seeds, 0), text(&entities, 0))
    };
    let (rows, entities) = seeds("shelves.(shelf, shop) IN ((2, 1))").await;
    assert_eq!(rows, ["2020-01-10T00:00:00:1:2:true:true"]);
    assert_eq!(entities, ["1:2"]);
    let select = "SELECT shelf, shop FROM shelves WHERE width > 10";
    let (rows, entities) = seeds(&format!("shelves.(shelf, shop) IN ({select})")).await;
    let expected = ["1:2", "2:1"].map(|key| format!("2020-01-10T00:00:00:{key}:true:true"));
    assert_eq!(rows, expected);
    assert_eq!(entities, ["1:2", "2:1"]);
    let select = "SELECT shelf, shop, '2020-01-20' FROM shelves WHERE shop = 2";
    let (rows, _) = seeds(&format!("shelves.(shelf, shop) IN ({select})")).await;
    assert_eq!(rows, ["2020-01-20T00:00:00:2:1:true:true"]);
}

#[tokio::test]
async fn entities_take_part_from_their_first_linked_row() {
    let sql = "PREDICT COUNT(orders.*, 0, 10) FOR EACH customers.id";
    assert_eq!(labels(sql).await, ["1:2"]);
    assert_eq!(rows(&plan(sql, &shop()), &["2020-01-13"]).await, ["1:1", "2:1"]);
    assert_eq!(rows(&plan(sql, &shop()), &["2020-01-15"]).await, ["1:0", "2:0", "3:0"]);
}

#[tokio::test]
async fn where_looks_back_and_assuming_looks_ahead() {
    let sql = |rest: &str| {
        format!(
            "PREDICT COUNT(orders.*, 0, 10) FOR EACH customers.id {rest} WITH (entities = 'all')"
        )
    };
    assert_eq!(labels(&sql("WHERE COUNT(orders.*, -5, 0) > 0")).await, Vec::<String>::new());
    assert_eq!(labels(&sql("WHERE COUNT(orders.*, -6, 0) > 0")).await, ["1:2"]);
    assert_eq!(labels(&sql("WHERE COUNT(orders.*, -INF, 0) = 0")).await, ["2:1", "3:0", "4:0"]);
    assert_eq!(labels(&sql("WHERE age > 25 AND vip")).await, ["1:2"]);
    assert_eq!(labels(&sql("ASSUMING COUNT(reviews.*, 0, 10) > 0")).await, ["1:2", "3:0"]);
    let plan = plan(&sql("WHERE segment = 'home' ASSUMING COUNT(reviews.*, 0, 10) > 0"), &shop());
    let entities = plan.entities(&shop_session(), at("2020-01-10")).await.unwrap();
    assert_eq!(text(&entities, 0), ["1", "4"]);
}

#[tokio::test]
async fn cells_younger_than_the_cutoff_are_null_in_where() {
    let mut schema = shop();
    let status =
        table_mut(&mut schema, "orders").columns.iter_mut().find(|c| c.name == "status").unwrap();
    status.known_from = Some("delivered".to_owned());
    let mut delivered = table_mut(&mut schema, "orders").columns[2].clone();
    delivered.name = "delivered".to_owned();
    let mut invoiced = delivered.clone();
    invoiced.name = "invoiced".to_owned();
    invoiced.known_from = Some("delivered".to_owned());
    table_mut(&mut schema, "orders").columns.extend([delivered, invoiced]);
    let context = shop_session();
    for table in ["customers", "orders"] {
        context.deregister_table(table).unwrap();
    }
    register(&context, "customers", vec![("id", keys(&[1, 2]))]);
    register(
        &context,
        "orders",
        vec![
            ("id", keys(&[10, 11])),
            ("customer_id", keys(&[1, 2])),
            ("placed", days(&[Some(5), Some(6)])),
            ("status", common::texts(&[Some("done"), Some("done")])),
            ("delivered", days(&[Some(9), Some(20)])),
            ("invoiced", days(&[Some(7), Some(7)])),
        ],
    );
    let labels = |condition: &str, schema: &Schema| {
        let sql = format!(
            "PREDICT COUNT(orders.*, 0, 30) FOR EACH customers.id WHERE COUNT(orders.* WHERE {condition}, -30, 0) > 0"
        );
        (plan(&sql, schema), context.clone())
    };
    for (condition, expected) in [
        ("status = 'done'", vec!["1:0"]),
        ("delivered IS NOT NULL", vec!["1:0"]),
        ("status IS NULL", vec!["2:0"]),
        ("invoiced BETWEEN 2020-01-01 AND 2020-02-01", vec!["1:0"]),
    ] {
        let (plan, context) = labels(condition, &schema);
        assert_eq!(
            text(&plan.label_rows(&context, &[at("2020-01-10")]).await.unwrap(), 1),
            expected,
            "{condition}"
        );
    }
    let planned = table_mut(&mut schema, "orders")
        .columns
        .iter_mut()
        .find(|c| c.name == "delivered")
        .unwrap();
    planned.planned = true;
    let (plan, context) = labels("delivered IS NOT NULL", &schema);
    assert_eq!(
        text(&plan.label_rows(&context, &[at("2020-01-10")]).await.unwrap(), 1),
        ["1:0", "2:0"]
    );
}

#[tokio::test]
async fn a_row_that_has_ended_is_no_longer_seen() {
    let mut schema = shop();
    table_mut(&mut schema, "posts").end_time_column = Some("gone".to_owned());
    let mut gone = table_mut(&mut schema, "posts").columns[2].clone();
    gone.name = "gone".to_owned();
    table_mut(&mut schema, "posts").columns.push(gone);
    let context = session();
    register(
        &context,
        "posts",
        vec![
            ("id", keys(&[1, 2, 3])),
            ("parent_id", ints(&[None, Some(1), Some(1)])),
            ("at", days(&[Some(1), Some(2), Some(12)])),
            ("gone", days(&[None, Some(10), Some(13)])),
        ],
    );
    let plan = plan("PREDICT COUNT(posts.*, 0, 30) FOR EACH posts.id", &schema);
    assert_eq!(
        text(&plan.label_rows(&context, &[at("2020-01-09")]).await.unwrap(), 1),
        ["1:1", "2:0"]
    );
    assert_eq!(text(&plan.label_rows(&context, &[at("2020-01-10")]).await.unwrap(), 1), ["1:1"]);
}

#[tokio::test]
async fn filling_in_stands_at_each_rows_own_time() {
    let schema = shop();
    let timed = plan(
        "PREDICT orders.amount FOR EACH orders.id WITH (val_timestamp = 2020-01-12, test_timestamp = 2020-01-15)",
        &schema,
    );
    let context = shop_session();
    let cutoffs = timed.cutoffs(&context, &schema).await.unwrap();
    assert_eq!(
        text(&timed.split_rows(&context, &cutoffs, Split::Train).await.unwrap(), 1),
        ["10:5.0"]
    );
    assert_eq!(
        text(&timed.split_rows(&context, &cutoffs, Split::Val).await.unwrap(), 1),
        ["11:10.5"]
    );
    assert_eq!(
        text(&timed.split_rows(&context, &cutoffs, Split::Test).await.unwrap(), 1),
        ["13:2.0", "14:100.0"]
    );
    let untimed = plan("PREDICT products.price > 2 FOR EACH products.id", &schema);
    let cutoffs = untimed.cutoffs(&context, &schema).await.unwrap();
    let mut all = Vec::new();
    for split in Split::ALL {
        all.extend(text(&untimed.split_rows(&context, &cutoffs, split).await.unwrap(), 1));
    }
    all.sort();
    assert_eq!(all, ["7:false", "8:true", "9:true"]);
}

#[tokio::test]
async fn named_keys_are_all_seeds_and_say_what_they_are() {
    let seeds = async |rest: &str| {
        let sql = format!("PREDICT COUNT(orders.*, 0, 10) FOR customers.id {rest}");
        let plan = plan(&sql, &shop());
        let seeds = plan.seeds(&shop_session(), at("2020-01-13")).await.unwrap();
        (text(&seeds, 1), text(&plan.entities(&shop_session(), at("2020-01-13")).await.unwrap(), 0))
    };
    let (rows, entities) = seeds("IN (1, 2, 4, 77) WHERE age < 40").await;
    assert_eq!(rows, ["1:true:true", "2:false:true", "4:false:false", "77:false:false"]);
    assert_eq!(entities, ["1"]);
    let (rows, _) = seeds("= 2").await;
    assert_eq!(rows, ["2:true:true"]);
    let (rows, entities) = seeds("IN (SELECT id FROM customers WHERE id > 1)").await;
    assert_eq!(rows, ["2:true:true", "3:false:false", "4:false:false"]);
    assert_eq!(entities, ["2"]);
    let (rows, _) = seeds("").await;
    assert_eq!(rows, ["1:true:true", "2:true:true"]);
    let sql = "PREDICT COUNT(orders.*, 0, 10) FOR customers.id IN (SELECT id, CASE WHEN id = 3 THEN '2020-01-20' ELSE '2020-01-10' END FROM customers)";
    let seeds = plan(sql, &shop()).seeds(&shop_session(), at("2020-01-13")).await.unwrap();
    assert_eq!(text(&seeds, 0)[3], "2020-01-20T00:00:00:3:true:true");
    assert_eq!(text(&seeds, 1), ["1:true:true", "2:false:false", "4:false:false", "3:true:true"]);
}

#[tokio::test]
async fn cutoffs_end_with_what_the_target_reads_and_with_as_of() {
    let schema = shop();
    let context = shop_session();
    let sql =
        |rest: &str| format!("PREDICT COUNT(orders.*, 0, 2) > 0 FOR EACH customers.id {rest}");
    let cutoffs = plan(&sql(""), &schema).cutoffs(&context, &schema).await.unwrap();
    assert_eq!((cutoffs.data_end, cutoffs.test_timestamp), (at("2020-01-15"), at("2020-01-13")));
    // Training goes back to the first time in the data.
    assert_eq!(cutoffs.train, ["05", "07", "09"].map(|day| at(&format!("2020-01-{day}"))));
    // No order is of the 13th: the data end as they would if nothing had come after it.
    let cutoffs = plan(&sql("AS OF 2020-01-13"), &schema).cutoffs(&context, &schema).await.unwrap();
    assert_eq!(cutoffs.data_end, at("2020-01-12"));
    let error =
        plan(&sql("AS OF 2020-01-01"), &schema).cutoffs(&context, &schema).await.unwrap_err();
    assert!(error.to_string().contains("is known by AS OF 2020-01-01"), "{error}");
    let error =
        plan(&sql("AS OF 2020-01-08"), &schema).cutoffs(&context, &schema).await.unwrap_err();
    assert!(error.to_string().contains("need at least 3 cutoffs"), "{error}");
}

#[tokio::test]
async fn a_far_time_in_a_table_that_the_target_does_not_read_moves_no_split() {
    let (schema, context) = (shop(), shop_session());
    let query = plan("PREDICT COUNT(orders.*, 0, 2) FOR EACH customers.id", &schema);
    let before = query.cutoffs(&context, &schema).await.unwrap();
    context.deregister_table("referrals").unwrap();
    register(
        &context,
        "referrals",
        vec![
            ("id", keys(&[1])),
            ("from_id", keys(&[1])),
            ("to_id", keys(&[2])),
            ("at", days(&[Some(2_900_000)])),
        ],
    );
    assert_eq!(query.cutoffs(&context, &schema).await.unwrap(), before);
}

#[tokio::test]
async fn options_decide_where_the_splits_lie() {
    let schema = shop();
    let cutoffs = async |options: &str| {
        let sql = format!(
            "PREDICT COUNT(orders.*, 0, 1) FOR EACH customers.id WITH (val_timestamp = 2020-01-09, test_timestamp = 2020-01-12{options})"
        );
        let found = plan(&sql, &schema).cutoffs(&shop_session(), &schema).await.unwrap();
        let day = |c: &i64| (c - at("2020-01-01")) / DAY + 1;
        Split::ALL.map(|split| found.of(split).iter().map(day).collect::<Vec<_>>())
    };
    // The first order is of the 5th; no window ends after the next split's start or the 15th.
    assert_eq!(cutoffs("").await, [vec![5, 6, 7, 8], vec![9, 10, 11], vec![12, 13, 14]]);
    let few = cutoffs(", num_eval_timestamps = 2, train_start = 2020-01-07").await;
    assert_eq!(few, [vec![7, 8], vec![9, 10], vec![12, 13]]);
    let stepped = cutoffs(", cutoff_step = '2 days'").await;
    assert_eq!(stepped, [vec![6, 8], vec![9, 10, 11], vec![12, 13, 14]]);
}

#[tokio::test]
async fn a_select_of_entities_needs_the_columns_of_the_key() {
    let sql =
        "PREDICT COUNT(orders.*, 0, 2) FOR customers.id IN (SELECT id, age, vip FROM customers)";
    let error = plan(sql, &shop()).seeds(&shop_session(), at("2020-01-10")).await.unwrap_err();
    assert!(error.to_string().contains("yields 3 columns; expected 1 key columns"), "{error}");
}

#[tokio::test]
async fn rows_of_a_select_that_cannot_be_read_are_an_error_or_left_out() {
    let named = |options: &str| {
        let values = "('1', '2020-01-10'), ('x', '2020-01-10'), ('2', NULL), ('3', 'soon')";
        let sql = format!(
            "PREDICT COUNT(orders.*, 0, 10) FOR customers.id IN (SELECT a, b FROM (VALUES {values}) AS v(a, b)) {options}"
        );
        plan(&sql, &shop())
    };
    let lack = "1 row with a key that is none, 1 row without a cutoff, 1 row with a cutoff that is no time";
    let context = shop_session();
    let error = named("").seeds(&context, at("2020-01-13")).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("FOR … IN (SELECT …) yields {lack}; ")), "{error}");
    let skipping = named("WITH (on_error = 'skip')");
    let seeds = skipping.seeds(&context, at("2020-01-13")).await.unwrap();
    assert_eq!(text(&seeds, 0), ["2020-01-10T00:00:00:1:true:true"]);
    assert_eq!(skipping.unreadable(&context).await.unwrap().as_deref(), Some(lack));
    let all = "PREDICT COUNT(orders.*, 0, 10) FOR customers.id IN (SELECT id FROM customers)";
    assert_eq!(plan(all, &shop()).unreadable(&context).await.unwrap(), None);
}

#[tokio::test]
async fn explain_labels_counts_rows_and_entities() {
    let schema = shop();
    let plan = plan("PREDICT COUNT(orders.*, 0, 2) > 0 FOR EACH customers.id", &schema);
    let explanation = plan.explain_labels(&shop_session(), &schema).await.unwrap();
    let test = &explanation.splits[2].cutoffs[0];
    assert_eq!(
        (test.cutoff.as_str(), test.rows, test.total, test.seen, test.all),
        ("2020-01-13", 2, Some(2.0), 2, 4)
    );
    let all = common::plan(
        "PREDICT COUNT(orders.*, 0, 2) > 0 FOR EACH customers.id WITH (entities = 'all')",
        &schema,
    );
    let all = all.explain_labels(&shop_session(), &schema).await.unwrap();
    let test = &all.splits[2].cutoffs[0];
    assert_eq!((test.rows, test.seen, test.all), (4, 2, 4));
    assert!(
        explanation.to_text().contains("test: 2 label rows at 1 cutoff\n"),
        "{}",
        explanation.to_text()
    );
}

#[tokio::test]
async fn explain_labels_splits_an_untimed_table_as_its_rows_are() {
    let (schema, context) = (shop(), shop_session());
    context.deregister_table("products").unwrap();
    let ids: Vec<i64> = (0..200).collect();
    let price = ids.iter().map(|i| Some(*i as f64)).collect::<Vec<_>>();
    register(&context, "products", vec![("id", keys(&ids)), ("price", floats(&price))]);
    let plan = plan("PREDICT products.price > 99 FOR EACH products.id", &schema);
    let explanation = plan.explain_labels(&context, &schema).await.unwrap();
    let cutoffs = plan.cutoffs(&context, &schema).await.unwrap();
    let (mut rows, mut positives) = (0, 0.0);
    for split in &explanation.splits {
        let found = plan.split_rows(&context, &cutoffs, split.split).await.unwrap();
        assert_eq!(split.rows, found.num_rows() as u64);
        let once = &split.cutoffs[0];
        let trues = found.column(2).as_boolean().true_count() as f64;
        assert_eq!((once.rows, once.total), (split.rows, Some(trues)));
        assert_eq!(once.mean, Some(trues / split.rows as f64));
        (rows, positives) = (rows + split.rows, positives + trues);
    }
    assert_eq!((rows, positives), (200, 100.0));
}

#[test]
fn a_table_named_like_the_relation_of_cutoffs_is_not_hidden() {
    let mut schema = shop();
    table_mut(&mut schema, "posts").name = "timestamps".to_owned();
    assert!(
        plan("PREDICT COUNT(timestamps.*, 0, 2) FOR EACH timestamps.id", &schema)
            .sql()
            .contains("FROM \"timestamps_\"")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_query_that_binds_runs(sql in generate::query()) {
        let plan = plan(&sql, &shop());
        let cutoffs = [at("2020-01-10"), at("2020-01-13")];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let context = shop_session();
            let rows = plan.label_rows(&context, &cutoffs).await;
            prop_assert!(rows.is_ok(), "{:?}\n{}", rows, plan.sql());
            let seeds = plan.seeds(&context, cutoffs[0]).await;
            prop_assert!(seeds.is_ok(), "{:?}", seeds);
            Ok(())
        })?;
    }

    #[test]
    fn windows_hold_what_a_loop_over_rows_finds(
        orders in prop::collection::vec((1i64..5, 0i64..60), 0..40),
        cutoffs in prop::collection::btree_set(5i64..50, 1..5),
        back in 1i64..20,
        ahead in (0i64..5, 1i64..20),
    ) {
        let (start, end) = (ahead.0, ahead.0 + ahead.1);
        let context = session();
        register(&context, "customers", vec![("id", keys(&[1, 2, 3, 4]))]);
        let column = |f: fn(&(i64, i64)) -> i64| orders.iter().map(f).collect::<Vec<_>>();
        register(&context, "orders", vec![
            ("id", keys(&(0..).take(orders.len()).collect::<Vec<_>>())),
            ("customer_id", keys(&column(|o| o.0))),
            ("placed", days(&orders.iter().map(|o| Some(o.1)).collect::<Vec<_>>())),
        ]);
        let sql = format!(
            "PREDICT COUNT(orders.*, {start}, {end}) FOR EACH customers.id WHERE COUNT(orders.*, -{back}, 0) > 0 WITH (entities = 'all')"
        );
        let plan = plan(&sql, &shop());
        let day = |d: i64| at("2020-01-01") + (d - 1) * DAY;
        let mut expected = Vec::new();
        for cutoff in &cutoffs {
            for customer in 1..5 {
                let count = |from: i64, to: i64| {
                    orders.iter().filter(|(c, d)| *c == customer && *d > cutoff + from && *d <= cutoff + to).count()
                };
                if count(-back, 0) > 0 {
                    expected.push((day(*cutoff), customer, count(start, end)));
                }
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let cutoffs: Vec<i64> = cutoffs.iter().rev().map(|c| day(*c)).collect();
        let batch = runtime.block_on(plan.label_rows(&context, &cutoffs)).unwrap();
        let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        let customers = batch.column(1).as_primitive::<Int64Type>();
        let labels = batch.column(2).as_primitive::<Int64Type>();
        let found: Vec<_> = (0..batch.num_rows())
            .map(|r| (times.value(r), customers.value(r), usize::try_from(labels.value(r)).unwrap()))
            .collect();
        prop_assert_eq!(found, expected);
    }
}
