//! What every sample keeps, over random databases: against a slow twin that reads the raw rows.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use relcast_catalog::{Column, KnownFrom, Link, Schema, SemanticType, Table, TableId};
use relcast_graph::TemporalGraph;
use relcast_sampler::{
    Direction, SamplePlan, Seeds, Strategy as Draw, Subgraph, UNKNOWN_ROW, sample, stream,
};
use tempfile::TempDir;

const KINDS: TableId = TableId(0);
const OWNERS: TableId = TableId(1);
const NOTES: TableId = TableId(2);
const TAGS: TableId = TableId(3);

/// Time, owner, peer (also an owner) and the note replied to.
type Note = (Option<i64>, Option<i64>, Option<i64>, Option<i64>);

/// Rows as written: keys and times may be NULL, keys may point nowhere.
#[derive(Debug, Clone)]
struct World {
    /// Time and kind of each owner; the key is the position.
    owners: Vec<(Option<i64>, Option<i64>)>,
    notes: Vec<Note>,
    /// Note and word; no key, no time: known with the note.
    tags: Vec<(Option<i64>, i64)>,
}

fn world() -> impl Strategy<Value = World> {
    let time = || prop::option::weighted(0.9, 0i64..40);
    let key = |n: i64| prop::option::weighted(0.9, 0..n);
    (
        prop::collection::vec((time(), key(4)), 1..8),
        prop::collection::vec((time(), key(9), key(9), key(40)), 0..40),
        prop::collection::vec((key(42), 0i64..3), 0..40),
    )
        .prop_map(|(owners, notes, tags)| World { owners, notes, tags })
}

fn column(name: &str, time: bool) -> Column {
    let data_type =
        if time { DataType::Timestamp(TimeUnit::Microsecond, None) } else { DataType::Int64 };
    let semantic = if time { SemanticType::Timestamp } else { SemanticType::Key };
    Column { name: name.to_owned(), data_type, semantic, planned: false, known_from: None }
}

fn schema() -> Schema {
    let table = |name: &str, columns: &[&str], key: &[&str]| Table {
        name: name.to_owned(),
        columns: columns.iter().map(|c| column(c, *c == "at")).collect(),
        primary_key: key.iter().map(|k| (*k).to_owned()).collect(),
        time_column: columns.contains(&"at").then(|| "at".to_owned()),
        end_time_column: None,
        known_from: KnownFrom::Static,
    };
    let link =
        |child, column: &str, parent| Link { child, columns: vec![column.to_owned()], parent };
    let mut schema = Schema {
        tables: vec![
            table("kinds", &["id"], &["id"]),
            table("owners", &["id", "at", "kind"], &["id"]),
            table("notes", &["id", "at", "owner", "peer", "reply_to"], &["id"]),
            table("tags", &["note", "word"], &[]),
        ],
        links: vec![
            link(OWNERS, "kind", KINDS),
            link(NOTES, "owner", OWNERS),
            link(NOTES, "peer", OWNERS),
            link(NOTES, "reply_to", NOTES),
            link(TAGS, "note", NOTES),
        ],
        ..Schema::default()
    };
    schema.resolve_known_from();
    schema
}

/// The tables with their rows in the order that `turn` gives.
fn tables(world: &World, turn: usize) -> SessionContext {
    fn turned<T: Clone>(rows: &[T], turn: usize) -> Vec<(i64, T)> {
        let mut rows: Vec<(i64, T)> = (0i64..).zip(rows.iter().cloned()).collect();
        if turn > 0 {
            rows.reverse();
            let middle = turn % rows.len().max(1);
            rows.rotate_left(middle);
        }
        rows
    }
    let context = SessionContext::new();
    let add = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, values)| (name, values, true)),
        );
        context.register_batch(name, batch.unwrap()).unwrap();
    };
    let ints = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let times =
        |values: Vec<Option<i64>>| Arc::new(TimestampMicrosecondArray::from(values)) as ArrayRef;
    add("kinds", vec![("id", ints((0..3).map(Some).collect()))]);
    let rows = turned(&world.owners, turn);
    add(
        "owners",
        vec![
            ("id", ints(rows.iter().map(|r| Some(r.0)).collect())),
            ("at", times(rows.iter().map(|r| r.1.0).collect())),
            ("kind", ints(rows.iter().map(|r| r.1.1).collect())),
        ],
    );
    let rows = turned(&world.notes, turn);
    add(
        "notes",
        vec![
            ("id", ints(rows.iter().map(|r| Some(r.0)).collect())),
            ("at", times(rows.iter().map(|r| r.1.0).collect())),
            ("owner", ints(rows.iter().map(|r| r.1.1).collect())),
            ("peer", ints(rows.iter().map(|r| r.1.2).collect())),
            ("reply_to", ints(rows.iter().map(|r| r.1.3).collect())),
        ],
    );
    let rows = turned(&world.tags, turn);
    add(
        "tags",
        vec![
            ("note", ints(rows.iter().map(|r| r.1.0).collect())),
            ("word", ints(rows.iter().map(|r| Some(r.1.1)).collect())),
        ],
    );
    context
}

/// The graph, and the folder that its columns are read from.
fn graph(world: &World, turn: usize) -> (Arc<TemporalGraph>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let path = directory.path().join("graph");
    runtime.block_on(relcast_graph::build(&tables(world, turn), &schema(), &path)).unwrap();
    (TemporalGraph::open(&path).unwrap(), directory)
}

/// A row as its values, whatever its number.
type Values = Vec<Option<i64>>;

fn values(graph: &TemporalGraph, table: TableId) -> Vec<Values> {
    let rows = graph.table_columns(table).unwrap();
    let names = schema().table(table).columns.clone();
    let columns: Vec<Int64Array> = names
        .iter()
        .map(|c| {
            let cells =
                arrow::compute::cast(rows.column_by_name(&c.name).unwrap(), &DataType::Int64);
            cells.unwrap().as_primitive::<Int64Type>().clone()
        })
        .collect();
    let cell = |c: &Int64Array, row| c.is_valid(row).then(|| c.value(row));
    (0..rows.num_rows()).map(|row| columns.iter().map(|c| cell(c, row)).collect()).collect()
}

/// When a row is known, from the raw rows; `None` for one that is left out.
fn known_at(world: &World, table: TableId, row: &Values) -> Option<i64> {
    match table {
        KINDS => Some(i64::MIN),
        TAGS => world.notes.get(usize::try_from(row[0]?).ok()?)?.0,
        _ => row[1],
    }
}

/// Children of `parent` over a link, known at `view`, from the raw rows.
fn children(world: &World, link: usize, parent: i64, view: i64) -> usize {
    let is = |key: Option<i64>| key == Some(parent);
    let seen = |time: Option<i64>| time.is_some_and(|t| t <= view);
    match link {
        0 => world.owners.iter().filter(|o| is(o.1) && seen(o.0)).count(),
        1 => world.notes.iter().filter(|n| is(n.1) && seen(n.0)).count(),
        2 => world.notes.iter().filter(|n| is(n.2) && seen(n.0)).count(),
        3 => world.notes.iter().filter(|n| is(n.3) && seen(n.0)).count(),
        _ => {
            let time = world.notes.get(parent as usize).and_then(|n| n.0);
            world.tags.iter().filter(|t| is(t.0) && seen(time)).count()
        }
    }
}

fn seeds(graph: &TemporalGraph, world: &World, cutoffs: &[i64]) -> Seeds {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(
        cutoffs.iter().enumerate().map(|(i, _)| (i % world.owners.len()) as i64),
    ));
    let rows = graph.find_rows(OWNERS, std::slice::from_ref(&ids)).unwrap();
    let rows = rows.into_iter().map(|r| r.unwrap_or(UNKNOWN_ROW)).collect();
    let keys = relcast_graph::key_hashes(&[ids]).unwrap();
    Seeds::new(graph, OWNERS, rows, cutoffs.to_vec(), keys, 35)
}

/// Everything about a sample but row numbers.
fn signature(graph: &TemporalGraph, plan: &SamplePlan, drawn: &Subgraph) -> Vec<String> {
    let tables: Vec<Vec<Values>> = (0..4).map(|t| values(graph, TableId(t))).collect();
    let blocks = plan.blocks.iter().zip(&drawn.blocks);
    blocks
        .map(|(step, block)| {
            let row = |row: &u32| tables[step.table.index()].get(*row as usize).cloned();
            let rows: Vec<Option<Values>> = block.rows().iter().map(row).collect();
            let ages: Vec<Option<i64>> = (0..rows.len()).map(|i| block.ages().get(i)).collect();
            format!(
                "{rows:?} {:?} {ages:?} {:?} {:?}",
                block.seeds(),
                block.offsets(),
                block.known()
            )
        })
        .collect()
}

/// Checks every row, age, degree and fan-out of a sample against the raw rows.
fn check(world: &World, graph: &TemporalGraph, plan: &SamplePlan, seeds: &Seeds, drawn: &Subgraph) {
    drawn.check(graph, plan, seeds).unwrap();
    let tables: Vec<Vec<Values>> = (0..4).map(|t| values(graph, TableId(t))).collect();
    for (step, block) in plan.blocks.iter().zip(&drawn.blocks) {
        for (i, (row, seed)) in block.rows().iter().zip(block.seeds()).enumerate() {
            if *row == UNKNOWN_ROW {
                assert_eq!(step.hop, 0);
                continue;
            }
            let view = seeds.views[*seed as usize];
            let known = known_at(world, step.table, &tables[step.table.index()][*row as usize]);
            assert!(known.unwrap() <= view, "a row younger than its seed's view");
            if step.table != KINDS {
                assert_eq!(block.ages().get(i), Some(view - known.unwrap()));
            }
        }
        let (Some(parent), Some(edge)) = (step.parent, step.edge) else { continue };
        let before = &drawn.blocks[parent];
        assert_eq!(block.offsets().len(), before.rows().len() + 1);
        for (p, row) in before.rows().iter().enumerate() {
            let picked =
                &block.rows()[block.offsets()[p] as usize..block.offsets()[p + 1] as usize];
            let mut distinct = picked.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), picked.len(), "drawn with replacement");
            if *row == UNKNOWN_ROW || edge.direction == Direction::ToParent {
                assert!(picked.len() <= 1);
                continue;
            }
            let view = seeds.views[before.seeds()[p] as usize];
            let key = tables[plan.blocks[parent].table.index()][*row as usize][0].unwrap();
            let degree = children(world, edge.link.index(), key, view);
            assert_eq!(block.known()[p] as usize, degree);
            assert_eq!(picked.len(), degree.min(step.fanout));
            if plan.strategy == Draw::MostRecent {
                let times: Vec<i64> =
                    picked.iter().map(|r| graph.times(step.table)[*r as usize]).collect();
                assert!(times.is_sorted_by(|a, b| a >= b), "the latest come first");
                let all = graph.children_known(edge.link, *row, view);
                let older = all.iter().filter(|c| !picked.contains(c));
                let latest_left = older.map(|c| graph.times(step.table)[*c as usize]).max();
                assert!(latest_left.is_none_or(|t| times.last().is_none_or(|last| t <= *last)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn samples_hold_what_was_known_and_nothing_depends_on_threads_or_row_order(
        world in world(),
        cutoffs in prop::collection::vec(0i64..45, 1..9),
        fanouts in prop::collection::vec(1usize..4, 1..4),
        turn in 1usize..50,
    ) {
        let ((one, _kept), (other, _kept_too)) = (graph(&world, 0), graph(&world, turn));
        for strategy in [Draw::MostRecent, Draw::Uniform] {
            let plan = SamplePlan::new(&schema(), OWNERS, &fanouts, strategy, None);
            let asked = seeds(&one, &world, &cutoffs);
            let drawn = sample(&one, &plan, &asked, 9).unwrap();
            check(&world, &one, &plan, &asked, &drawn);

            let expected = signature(&one, &plan, &drawn);
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let again = pool.install(|| sample(&one, &plan, &asked, 9)).unwrap();
                prop_assert_eq!(&expected, &signature(&one, &plan, &again));
            }
            let turned = sample(&other, &plan, &seeds(&other, &world, &cutoffs), 9).unwrap();
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
}

/// One owner with forty notes.
fn busy() -> World {
    World {
        owners: vec![(Some(0), None)],
        notes: (0..40).map(|i| (Some(i % 30), Some(0), None, None)).collect(),
        tags: Vec::new(),
    }
}

#[test]
fn uniform_sampling_gives_every_neighbour_the_same_chance() {
    let world = busy();
    let (graph, _kept) = graph(&world, 0);
    let plan = SamplePlan::new(&schema(), OWNERS, &[4], Draw::Uniform, None);
    let notes = plan.blocks.iter().position(|b| b.table == NOTES).unwrap();
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    let draws = 4000u32;
    for run in 0..u64::from(draws) {
        let asked = seeds(&graph, &world, &[34]);
        let drawn = sample(&graph, &plan, &asked, run).unwrap();
        drawn.blocks[notes].rows().iter().for_each(|row| *counts.entry(*row).or_default() += 1);
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
    let world = busy();
    let (graph, _kept) = graph(&world, 0);
    let plan = Arc::new(SamplePlan::new(&schema(), OWNERS, &[4, 2], Draw::MostRecent, None));
    let batches: Vec<Seeds> = (0..20).map(|cutoff| seeds(&graph, &world, &[cutoff])).collect();
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
    runtime.block_on(relcast_graph::build(&tables(&busy(), 0), &schema(), &path)).unwrap();
    let report = TemporalGraph::open(&path).unwrap().report().clone();
    assert_eq!((report.tables[NOTES.index()].rows, report.edges()), (40, 40));
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
