//! Sessions that write at the same time.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use common::Bench;
use common::session::Asked;
use relcast_engine::{Engine, EngineError};
use relcast_testkit::{Permute, warehouse_churn};

/// What each statement came to, each run by a session of its own, all at once.
async fn at_once(engine: &Arc<Engine>, statements: Vec<String>) -> Vec<Result<(), EngineError>> {
    let running = statements.into_iter().map(|sql| {
        let engine = engine.clone();
        tokio::spawn(async move { Asked::over(engine).await.try_run(&sql).await.map(drop) })
    });
    let mut outcomes = Vec::new();
    for running in running.collect::<Vec<_>>() {
        outcomes.push(running.await.unwrap());
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_that_are_inserted_at_once_all_stand() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("shop");
    warehouse_churn(&source, 2, Permute::No).unwrap();
    let bench = Bench::open(&source, &directory.path().join("home"), 2).await;
    let engine = Arc::new(Engine::new(bench.registry, bench.database, bench.catalog));
    let asked = Asked::over(engine.clone()).await;
    asked.run("CREATE TABLE counted AS SELECT 0 AS n").await;

    // Names are found in any case.
    let inserts = (1..=12).map(|n| match n % 2 {
        0 => format!("INSERT INTO counted VALUES ({n})"),
        _ => format!("INSERT INTO Counted VALUES ({n})"),
    });
    for outcome in at_once(&engine, inserts.collect()).await {
        outcome.unwrap();
    }
    let rows = asked.run("SELECT count(*), sum(n) FROM counted").await;
    let value = |column: usize| rows[0].column(column).as_primitive::<Int64Type>().value(0);
    assert_eq!((value(0), value(1)), (13, 78));

    let creates = vec!["CREATE TABLE one AS SELECT 1 AS n".to_owned(); 4];
    let outcomes = at_once(&engine, creates).await;
    let refused =
        outcomes.iter().filter(|o| matches!(o, Err(EngineError::TableExists { .. }))).count();
    assert_eq!(refused, 3, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_create_one_model_one_is_refused_and_quick_models_are_shared() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("shop");
    let database = warehouse_churn(&source, 2, Permute::No).unwrap();
    let bench = Bench::open(&source, &directory.path().join("home"), 2).await;
    let engine = Arc::new(Engine::new(bench.registry, bench.database, bench.catalog));
    let query = database.query_with_splits();
    let small = format!("{}, epochs = 1, max_train_rows = 200)", query.trim_end_matches(')'));

    let outcomes = at_once(&engine, vec![format!("CREATE MODEL m AS {small}"); 2]).await;
    let refused = outcomes.iter().filter(|o| match o {
        Err(EngineError::ModelExists { .. } | EngineError::Locked { .. }) => true,
        Err(error) => panic!("{error}"),
        Ok(()) => false,
    });
    assert_eq!(refused.count(), 1);
    assert_eq!(engine.registry.find_version("m", None).await.unwrap().version, 1);

    let outcomes = at_once(&engine, vec![small; 3]).await;
    for outcome in outcomes {
        outcome.unwrap();
    }
    let names: Vec<String> =
        engine.registry.versions().await.unwrap().into_iter().map(|v| v.model).collect();
    assert_eq!(names.len(), 2, "{names:?}");

    // How predictions are shown makes no other model.
    let shown = query.trim_end_matches(')');
    let shown = format!("{shown}, epochs = 1, max_train_rows = 200, threshold = 0.9)");
    at_once(&engine, vec![shown]).await.pop().unwrap().unwrap();
    assert_eq!(engine.registry.versions().await.unwrap().len(), 2);
}
