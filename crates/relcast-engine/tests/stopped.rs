//! Work that nobody waits for any more ends, and leaves nothing.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;

use common::Bench;
use relcast_engine::work::{self, Question};
use relcast_engine::{Engine, EngineError};
use relcast_graph::Stop;
use relcast_testkit::{Permute, warehouse_churn};
use relcast_train::TrainError;
use relcast_train::fit::{EpochReport, Progress};
use tokio_util::sync::CancellationToken;

/// Waits no longer once a training has begun.
struct Leaves(CancellationToken);

impl Progress for Leaves {
    fn step(&mut self, _: usize, _: usize, _: usize, _: f64) -> ControlFlow<()> {
        assert!(!self.0.is_cancelled(), "no step is made for nobody");
        self.0.cancel();
        ControlFlow::Continue(())
    }
    fn epoch(&mut self, _: &EpochReport) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_worked_at_ends() {
    let (source, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let database = warehouse_churn(source.path(), 1, Permute::No).unwrap();
    let question = Question::Query(database.query_with_splits());
    let bench = Bench::open(source.path(), home.path(), 2).await;
    bench.train(&question, &[("epochs", "1"), ("max_train_rows", "500")]).await;
    let stored = bench.stored().await;
    let Bench { registry, database, catalog } = bench;
    let engine = Engine::new(registry, database, catalog);
    let newest = engine.newest_time(&stored).await.unwrap();
    let scorer = engine.scorer(&stored, newest).await.unwrap();
    let (registry, database, catalog) = (&engine.registry, &engine.database, &engine.catalog);

    let lock = work::lock_to_train(registry, "x").unwrap();
    let token = CancellationToken::new();
    let entered = Stop::on(&token).enter();
    let mut leaves = Leaves(token);
    let trained =
        work::train(registry, database, catalog, &question, &[], &lock, &mut leaves).await;
    assert!(matches!(trained, Err(EngineError::Stopped)), "{trained:?}");
    assert!(!registry.home().artefacts().join("x").exists());

    let graph = scorer.prepared.graph.clone();
    let inputs = stored.plan.inputs(graph).map(drop);
    assert!(matches!(inputs, Err(TrainError::Stopped(_))), "{inputs:?}");
    let seeds = &scorer.prepared.examples.validation;
    let scored = scorer.score(seeds, i64::MAX);
    assert!(matches!(scored, Err(EngineError::Stopped)), "{scored:?}");
    let important = scorer.importance();
    assert!(matches!(important, Err(EngineError::Stopped)), "{important:?}");
    let checked = work::check(&engine, &stored).await;
    assert!(matches!(checked, Err(EngineError::Stopped)), "{checked:?}");
    let evaluated = work::evaluate(registry, database, catalog, &stored, None, None, None).await;
    assert!(matches!(evaluated, Err(EngineError::Stopped)), "{evaluated:?}");
    let runs = registry.runs("m").await.unwrap();
    let last = runs.last().unwrap();
    assert_eq!((last.kind.as_str(), last.status.as_str()), ("evaluate", "failed"));

    drop(entered);
    let evaluated = work::evaluate(registry, database, catalog, &stored, None, None, None).await;
    assert!(evaluated.is_ok(), "{evaluated:?}");
}
