//! A budget resolves once, to a plan that can be replayed.
#![allow(clippy::unwrap_used)]

mod common;

use common::session::Asked;
use relcast_testkit::{Permute, warehouse_churn};

#[tokio::test]
async fn what_a_budget_resolved_to_is_told_recorded_and_replayed_bit_by_bit() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("shop");
    let database = warehouse_churn(&source, 2, Permute::No).unwrap();
    let asked = Asked::open(&source, &directory.path().join("home")).await;
    let query = database.query_with_splits();
    let with = |more: &str| format!("{}, {more})", query.trim_end_matches(')'));

    asked.run(&format!("CREATE MODEL b AS {}", with("budget = '1s'"))).await;
    let told = asked.told.take();
    let said = told.iter().find(|t| t.starts_with("the budget of 1 second resolved to")).unwrap();
    let described = asked.property("b", "budget").await;
    assert_eq!(*said, format!("the budget of {described}"));
    let first = asked.stored("b").await;
    let fit = &first.plan.fit;
    assert!(fit.epochs < 8 || fit.max_train_rows < 20_000, "{described}");
    let set =
        format!("epochs = {}, max_train_rows = {}, budget = none", fit.epochs, fit.max_train_rows);
    assert_eq!(asked.property("b", "set").await, set);

    asked.run("REFRESH MODEL b").await;
    assert!(asked.told.take().iter().all(|t| !t.contains("budget")));
    let again = asked.stored("b").await;
    assert_eq!((again.version, &again.plan), (2, &first.plan));
    assert!(again.weights == first.weights, "the replay differs");

    // The same plan written out, without a budget.
    let plan = format!("epochs = {}, max_train_rows = {}", fit.epochs, fit.max_train_rows);
    asked.run(&format!("CREATE MODEL p AS {}", with(&plan))).await;
    let written = asked.stored("p").await;
    assert!(written.weights == first.weights, "the plan written out differs");
}

#[tokio::test]
async fn a_budget_that_is_not_needed_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("shop");
    let database = warehouse_churn(&source, 2, Permute::No).unwrap();
    let asked = Asked::open(&source, &directory.path().join("home")).await;
    let query = database.query_with_splits();
    let small = format!("{}, epochs = 1, max_train_rows = 300", query.trim_end_matches(')'));
    asked.run(&format!("CREATE MODEL a AS {small})")).await;
    asked.run(&format!("CREATE MODEL b AS {small}, budget = '1 hour')")).await;
    let (a, b) = (asked.stored("a").await, asked.stored("b").await);
    assert_eq!(a.plan, b.plan);
    assert!(a.weights == b.weights);
}
