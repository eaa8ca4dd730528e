//! Batches over random databases: another future changes no number that a model reads.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use burn::tensor::Device;
use proptest::prelude::*;
use relcast_catalog::{KnownFrom, TableId};
use relcast_graph::TemporalGraph;
use relcast_sampler::{SamplePlan, Seeds, Strategy as Draw, UNKNOWN_ROW, sample};
use relcast_testkit::{Random, RandomDatabase};
use relcast_train::batch::HostBatch;
use relcast_train::features::{TableFeatures, TablePlan};

const ENTITY: TableId = TableId(0);

/// What is learnt at `until` and what a batch of seeds at `views` holds, as numbers.
fn read(database: &RandomDatabase, until: i64, views: &[i64]) -> (Vec<TablePlan>, Vec<Vec<f32>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("graph");
    let (session, schema) = (database.session(0).unwrap(), database.schema());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(relcast_graph::build(&session, &schema, &path)).unwrap();
    let graph = TemporalGraph::open(&path).unwrap();

    let (mut plans, mut features) = (Vec::new(), Vec::new());
    for (id, table) in graph.tables().zip(&schema.tables) {
        let rows = graph.table_columns(id).unwrap();
        let (known, timed) = (graph.known_rows(id, until), table.known_from != KnownFrom::Static);
        let plan = TablePlan::learn(table, &rows, known as usize, until, timed).unwrap();
        features.push(TableFeatures::encode(table, &plan, 7, &rows, graph.times(id)).unwrap());
        plans.push(plan);
    }
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..views.len() as i64));
    let rows = graph.find_rows(ENTITY, std::slice::from_ref(&ids)).unwrap();
    let rows = rows.into_iter().map(|row| row.unwrap_or(UNKNOWN_ROW)).collect();
    let keys = relcast_graph::key_hashes(&[ids]).unwrap();
    let seeds = Seeds::new(&graph, ENTITY, rows, views.to_vec(), keys, i64::MAX);
    let plan = SamplePlan::new(&schema, ENTITY, &[3, 2], Draw::MostRecent, None).unwrap();
    let subgraph = sample(&graph, &plan, &seeds, 1).unwrap();
    let batch = HostBatch::assemble(&features, &plan, &subgraph, &seeds, None);
    let batch = batch.into_tensors(&features, &plan, &Device::flex());

    let floats =
        |tensor: burn::tensor::Tensor<2>| tensor.into_data().iter::<f32>().collect::<Vec<f32>>();
    let mut numbers = vec![floats(batch.seeds)];
    for table in batch.tables {
        numbers.extend(table.dense.map(floats));
        numbers.extend(table.entries.map(|e| e.into_data().iter::<f32>().collect::<Vec<f32>>()));
    }
    for block in batch.blocks {
        numbers.push(block.rows.into_data().iter::<f32>().collect());
        numbers.push(floats(block.time));
        numbers.extend(block.log_known.map(floats));
    }
    (plans, numbers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn batches_and_what_is_learnt_do_not_move_when_the_future_does(
        seed in any::<u64>(),
        moment in 5i64..35,
        gone in any::<bool>(),
    ) {
        let mut random = Random::new(seed);
        let database = RandomDatabase::new(&mut random);
        let changed = database.with_another_future(moment, gone, &mut random);
        let views: Vec<i64> = (0..8).map(|i| moment - i * moment / 8).collect();
        let (plans, numbers) = read(&database, moment, &views);
        let (plans_after, numbers_after) = read(&changed, moment, &views);
        prop_assert_eq!(plans, plans_after);
        prop_assert_eq!(numbers, numbers_after);
    }
}

#[test]
fn another_future_is_seen_from_there() {
    let moved = (0..20).filter(|seed| {
        let mut random = Random::new(*seed);
        let database = RandomDatabase::new(&mut random);
        let changed = database.with_another_future(10, false, &mut random);
        read(&database, 10, &[45; 8]).1 != read(&changed, 10, &[45; 8]).1
    });
    assert!(moved.count() >= 15);
}
