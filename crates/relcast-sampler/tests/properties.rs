//! What every sample keeps, over random schemas and rows: against a slow twin that reads the raw
//! rows, and against the same database with another future.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use relcast_catalog::{KnownFrom, TableId};
use relcast_graph::TemporalGraph;
use relcast_sampler::{
    Direction, SamplePlan, Seeds, Strategy as Draw, Subgraph, UNKNOWN_ROW, sample, stream,
};
use relcast_testkit::{Random, RandomDatabase, RandomRow, RandomTable};
use tempfile::TempDir;

/// The seeds are rows of the first table.
const ENTITY: TableId = TableId(0);
const STRATEGIES: [Draw; 2] = [Draw::MostRecent, Draw::Uniform];

/// The graph, and the folder that its columns are read from.
fn graph(database: &RandomDatabase, turn: usize) -> (Arc<TemporalGraph>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("graph");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let session = database.session(turn).unwrap();
    runtime.block_on(relcast_graph::build(&session, &database.schema(), &path)).unwrap();
    (TemporalGraph::open(&path).unwrap(), directory)
}

/// The keys of a table's rows, in the order of the graph.
fn keys(graph: &TemporalGraph, table: TableId) -> Vec<i64> {
    let rows = graph.table_columns(table).unwrap();
    rows.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn all_keys(graph: &TemporalGraph) -> Vec<Vec<i64>> {
    graph.tables().map(|table| keys(graph, table)).collect()
}

/// Rows of the first table by turns, each at its cutoff; nothing after 35 is visible.
fn seeds(graph: &TemporalGraph, rows: usize, cutoffs: &[i64]) -> Seeds {
    let ids: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..cutoffs.len()).map(|i| (i % rows) as i64)));
    let rows = graph.find_rows(ENTITY, std::slice::from_ref(&ids)).unwrap();
    let rows = rows.into_iter().map(|r| r.unwrap_or(UNKNOWN_ROW)).collect();
    let keys = relcast_graph::key_hashes(&[ids]).unwrap();
    Seeds::new(graph, ENTITY, rows, cutoffs.to_vec(), keys, 35)
}

/// Everything about a sample but row numbers.
fn signature(graph: &TemporalGraph, plan: &SamplePlan, drawn: &Subgraph) -> Vec<String> {
    let keys = all_keys(graph);
    let blocks = plan.blocks.iter().zip(&drawn.blocks);
    blocks
        .map(|(step, block)| {
            let key = |row: &u32| keys[step.table.index()].get(*row as usize).copied();
            let rows: Vec<Option<i64>> = block.rows().iter().map(key).collect();
            let ages: Vec<Option<i64>> = (0..rows.len()).map(|i| block.ages().get(i)).collect();
            let (seeds, offsets, known) = (block.seeds(), block.offsets(), block.known());
            format!("{rows:?} {seeds:?} {ages:?} {offsets:?} {known:?}")
        })
        .collect()
}

/// The slow twin: what is seen of the raw rows.
struct Twin<'a> {
    database: &'a RandomDatabase,
    known: Vec<Vec<Option<i64>>>,
    window: Option<i64>,
}

impl Twin<'_> {
    fn sees(&self, table: usize, row: usize, view: i64) -> bool {
        let time = self.known[table][row];
        let recent = self.window.is_none_or(|window| time.is_some_and(|t| t >= view - window));
        recent && self.database.is_seen(&self.known, table, row, view)
    }

    /// Keys of the rows that lie over `link` from the row with `key`, seen at `view`.
    fn neighbours(&self, link: usize, direction: Direction, key: i64, view: i64) -> Vec<i64> {
        let (child, parent) = self.database.links[link];
        let found = match direction {
            Direction::ToParent => {
                let row = self.database.find(child, Some(key)).unwrap();
                let key = self.database.tables[child].rows[row].keys[link];
                (parent, self.database.find(parent, key).into_iter().collect::<Vec<_>>())
            }
            Direction::ToChildren => {
                let rows = self.database.tables[child].rows.iter().enumerate();
                (child, rows.filter(|(_, r)| r.keys[link] == Some(key)).map(|(i, _)| i).collect())
            }
        };
        let (table, rows) = found;
        let seen = rows.into_iter().filter(|row| self.sees(table, *row, view));
        seen.map(|row| self.database.tables[table].rows[row].id).collect()
    }

    /// Checks every row, age, degree and fan-out of a sample.
    fn check(&self, graph: &TemporalGraph, plan: &SamplePlan, seeds: &Seeds, drawn: &Subgraph) {
        drawn.check(graph, plan, seeds).unwrap();
        let keys = all_keys(graph);
        for (step, block) in plan.blocks.iter().zip(&drawn.blocks) {
            let table = step.table.index();
            for (i, (row, seed)) in block.rows().iter().zip(block.seeds()).enumerate() {
                if *row == UNKNOWN_ROW {
                    assert_eq!(step.hop, 0);
                    continue;
                }
                let view = seeds.views[*seed as usize];
                let row = self.database.find(table, Some(keys[table][*row as usize])).unwrap();
                assert!(self.database.is_seen(&self.known, table, row, view));
                let time = self.known[table][row].unwrap();
                assert_eq!(block.ages().get(i), (time != i64::MIN).then_some(view - time));
            }
            let (Some(parent), Some(edge)) = (step.parent, step.edge) else { continue };
            let (before, from) = (&drawn.blocks[parent], plan.blocks[parent].table.index());
            assert_eq!(block.offsets().len(), before.rows().len() + 1);
            for (p, row) in before.rows().iter().enumerate() {
                let picked =
                    &block.rows()[block.offsets()[p] as usize..block.offsets()[p + 1] as usize];
                if *row == UNKNOWN_ROW {
                    assert!(picked.is_empty());
                    continue;
                }
                let view = seeds.views[before.seeds()[p] as usize];
                let key = keys[from][*row as usize];
                let near = self.neighbours(edge.link.index(), edge.direction, key, view);
                assert_eq!(block.known()[p] as usize, near.len());
                assert_eq!(picked.len(), near.len().min(step.fanout));
                let mut found: Vec<i64> = picked.iter().map(|r| keys[table][*r as usize]).collect();
                assert!(found.iter().all(|key| near.contains(key)), "{found:?} of {near:?}");
                found.sort_unstable();
                found.dedup();
                assert_eq!(found.len(), picked.len(), "drawn with replacement");
                if plan.strategy == Draw::MostRecent {
                    let time = |key: &i64| {
                        self.known[table][self.database.find(table, Some(*key)).unwrap()]
                    };
                    let times = picked.iter().map(|r| time(&keys[table][*r as usize]));
                    let times: Vec<Option<i64>> = times.collect();
                    assert!(times.is_sorted_by(|a, b| a >= b), "the latest come first");
                    let latest_left =
                        near.iter().filter(|key| !found.contains(key)).map(time).max();
                    assert!(latest_left.is_none_or(|t| times.last().is_none_or(|last| t <= *last)));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn samples_hold_what_was_known_and_nothing_depends_on_threads_or_row_order(
        seed in any::<u64>(),
        cutoffs in prop::collection::vec(0i64..45, 1..9),
        fanouts in prop::collection::vec(1usize..4, 1..4),
        window in prop::option::of(0i64..30),
        turn in 1usize..50,
    ) {
        let database = RandomDatabase::new(&mut Random::new(seed));
        let ((one, _kept), (other, _kept_too)) = (graph(&database, 0), graph(&database, turn));
        let twin = Twin { database: &database, known: database.known(), window };
        let rows = database.tables[0].rows.len();
        for table in one.tables() {
            let there = twin.known[table.index()].iter().flatten().count();
            prop_assert_eq!(one.rows(table), there, "a row without a time is in the graph");
        }
        for strategy in STRATEGIES {
            let plan = SamplePlan::new(&database.schema(), ENTITY, &fanouts, strategy, window).unwrap();
            let asked = seeds(&one, rows, &cutoffs);
            let drawn = sample(&one, &plan, &asked, 9).unwrap();
            twin.check(&one, &plan, &asked, &drawn);

            let expected = signature(&one, &plan, &drawn);
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let again = pool.install(|| sample(&one, &plan, &asked, 9)).unwrap();
                prop_assert_eq!(&expected, &signature(&one, &plan, &again));
            }
            let turned = sample(&other, &plan, &seeds(&other, rows, &cutoffs), 9).unwrap();
            prop_assert_eq!(&expected, &signature(&other, &plan, &turned));

            let batches = drawn.to_record_batches();
            for batch in &batches {
                for column in batch.columns() {
                    column.to_data().validate_full().unwrap();
                }
            }
            let back = Subgraph::from_record_batches(&batches).unwrap();
            prop_assert_eq!(&expected, &signature(&one, &plan, &back));
            prop_assert!(Subgraph::from_record_batches(&batches[1..]).is_err());
        }
    }

    #[test]
    fn samples_do_not_move_when_the_future_does(
        seed in any::<u64>(),
        moment in 5i64..35,
        gone in any::<bool>(),
        fanouts in prop::collection::vec(1usize..4, 1..4),
    ) {
        let mut random = Random::new(seed);
        let database = RandomDatabase::new(&mut random);
        let changed = database.with_another_future(moment, gone, &mut random);
        let ((one, _kept), (other, _kept_too)) = (graph(&database, 0), graph(&changed, 3));
        let cutoffs: Vec<i64> = (0..8).map(|i| moment - i * moment / 8).collect();
        let rows = database.tables[0].rows.len();
        for strategy in STRATEGIES {
            let plan = SamplePlan::new(&database.schema(), ENTITY, &fanouts, strategy, None).unwrap();
            let before = sample(&one, &plan, &seeds(&one, rows, &cutoffs), 9).unwrap();
            let after = sample(&other, &plan, &seeds(&other, rows, &cutoffs), 9).unwrap();
            // Rows known by then are the first ones of either graph, so their numbers are equal too.
            prop_assert_eq!(&before, &after);
        }
    }
}

#[test]
fn random_databases_have_links_of_every_kind() {
    let databases: Vec<RandomDatabase> =
        (0..200).map(|seed| RandomDatabase::new(&mut Random::new(seed))).collect();
    let any = |test: &dyn Fn(&RandomDatabase) -> bool| databases.iter().any(test);
    assert!(any(&|d| d.links.iter().any(|(child, parent)| child == parent)));
    assert!(any(&|d| d.links.windows(2).any(|pair| pair[0] == pair[1] && pair[0].0 != pair[0].1)));
    let schemas: Vec<_> = databases.iter().map(RandomDatabase::schema).collect();
    let inherits = |k: &KnownFrom| matches!(k, KnownFrom::Parents(_));
    assert!(schemas.iter().any(|s| s.tables.iter().any(|t| inherits(&t.known_from))));
    assert!(schemas.iter().any(|s| s.tables.iter().any(|t| t.known_from == KnownFrom::Static)));
    let left_out = |d: &RandomDatabase| {
        let untimed = d.tables.iter().zip(d.known()).filter(|(table, _)| !table.timed);
        untimed.into_iter().any(|(_, known)| known.contains(&None))
    };
    assert!(any(&left_out), "rows whose parents all lack a time");
}

/// One row with forty that point to it.
fn busy() -> RandomDatabase {
    let row = |id, at, key| RandomRow {
        id,
        at: Some(at),
        until: None,
        keys: vec![key],
        number: None,
        kind: None,
        revealed: None,
        seen: None,
        due: None,
    };
    let table = |rows| RandomTable { timed: true, ends: false, rows };
    RandomDatabase {
        tables: vec![
            table(vec![row(0, 0, None)]),
            table((0..40).map(|i| row(i, i % 30, Some(0))).collect()),
        ],
        links: vec![(1, 0)],
    }
}

#[test]
fn uniform_sampling_gives_every_neighbour_the_same_chance() {
    let database = busy();
    let (graph, _kept) = graph(&database, 0);
    let plan = SamplePlan::new(&database.schema(), ENTITY, &[4], Draw::Uniform, None).unwrap();
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    let draws = 4000u32;
    for run in 0..u64::from(draws) {
        let drawn = sample(&graph, &plan, &seeds(&graph, 1, &[34]), run).unwrap();
        drawn.blocks[1].rows().iter().for_each(|row| *counts.entry(*row).or_default() += 1);
    }
    let expected = f64::from(draws) * 4.0 / 40.0;
    let chi_square: f64 =
        counts.values().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
    assert_eq!(counts.len(), 40);
    // 39 degrees of freedom: 72.1 is exceeded once in a thousand (less, without replacement).
    assert!(chi_square < 72.1, "{chi_square}");
}

#[test]
fn a_stream_keeps_the_order_and_ends_when_nobody_listens() {
    let database = busy();
    let (graph, _kept) = graph(&database, 0);
    let schema = database.schema();
    let plan = Arc::new(SamplePlan::new(&schema, ENTITY, &[4, 2], Draw::MostRecent, None).unwrap());
    let batches: Vec<Seeds> = (0..20).map(|cutoff| seeds(&graph, 1, &[cutoff])).collect();
    let drawn: Vec<Seeds> = stream(graph.clone(), plan.clone(), batches.clone(), 1, 2)
        .map(|item| item.unwrap().0)
        .collect();
    assert_eq!(drawn, batches);
    // Dropped after one batch: the thread that draws holds the graph until it has ended.
    let mut some = stream(graph.clone(), plan, batches, 1, 1);
    assert!(some.next().is_some());
    drop(some);
    for _ in 0..500 {
        if Arc::strong_count(&graph) == 1 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the thread that draws goes on though nobody listens");
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("graph");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (session, schema) = (busy().session(0).unwrap(), busy().schema());
    runtime.block_on(relcast_graph::build(&session, &schema, &path)).unwrap();
    let report = TemporalGraph::open(&path).unwrap().report().clone();
    assert_eq!((report.tables[1].rows, report.edges()), (40, 40));
    for file in std::fs::read_dir(&path).unwrap() {
        let file = file.unwrap().path();
        let whole = std::fs::read(&file).unwrap();
        if whole.is_empty() {
            continue;
        }
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        // Columns are checked when they are read.
        let read = TemporalGraph::open(&path)
            .and_then(|graph| graph.tables().try_for_each(|t| graph.table_columns(t).map(drop)));
        assert!(read.is_err(), "{} was cut", file.display());
        std::fs::write(&file, &whole).unwrap();
    }
    TemporalGraph::open(&path).unwrap();
}
