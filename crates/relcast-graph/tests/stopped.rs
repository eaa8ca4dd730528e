//! A graph that nobody waits for any more is not built to its end.
#![allow(clippy::unwrap_used)]

use relcast_graph::{GraphError, Stop};
use relcast_testkit::{Random, RandomDatabase};
use tokio_util::sync::CancellationToken;

#[test]
fn a_build_that_is_stopped_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("graph");
    let database = RandomDatabase::new(&mut Random::new(7));
    let (session, schema) = (database.session(0).unwrap(), database.schema());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let build = || runtime.block_on(relcast_graph::build(&session, &schema, &path));

    let token = CancellationToken::new();
    token.cancel();
    let entered = Stop::on(&token).enter();
    assert!(matches!(build(), Err(GraphError::Stopped(_))));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    drop(entered);
    build().unwrap();
}
