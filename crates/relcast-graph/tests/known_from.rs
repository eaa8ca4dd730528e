//! From when a row is known is one answer, whoever is asked: SQL or the graph.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use relcast_catalog::{KnownFrom, Schema, TableId, known_relation};
use relcast_graph::TemporalGraph;
use relcast_testkit::{Random, RandomDatabase, RandomRow, RandomTable};

/// When each row is known, by key, as the graph has it.
async fn by_graph(database: &RandomDatabase, schema: &Schema) -> Vec<BTreeMap<i64, i64>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("graph");
    relcast_graph::build(&database.session(0).unwrap(), schema, &path).await.unwrap();
    let graph = TemporalGraph::open(&path).unwrap();
    let of_table = |table: TableId| {
        let columns = graph.table_columns(table).unwrap();
        let ids = columns.column_by_name("id").unwrap().as_primitive::<Int64Type>().values();
        ids.iter().copied().zip(graph.times(table).iter().copied()).collect()
    };
    graph.tables().map(of_table).collect()
}

/// The same as SQL has it; rows of static tables are known at [`relcast_graph::STATIC_TIME`].
async fn by_sql(database: &RandomDatabase, schema: &Schema) -> Vec<BTreeMap<i64, i64>> {
    let context = database.session(0).unwrap();
    let mut known = Vec::new();
    for (id, table) in (0u32..).map(TableId).zip(&schema.tables) {
        let relation = known_relation(schema, id);
        let sql = format!("SELECT id, relcast_known_at FROM ({relation})");
        let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let is_static = table.known_from == KnownFrom::Static;
        let of_batch = |batch: &RecordBatch| {
            let ids = batch.column(0).as_primitive::<Int64Type>().clone();
            let times = cast(batch.column(1), &DataType::Int64).unwrap();
            let times = times.as_primitive::<Int64Type>().clone();
            let rows = ids.iter().zip(times.iter()).filter_map(|(id, time)| {
                let always = is_static.then_some(relcast_graph::STATIC_TIME);
                id.zip(time.or(always))
            });
            rows.collect::<Vec<_>>()
        };
        known.push(batches.iter().flat_map(of_batch).collect());
    }
    known
}

/// A database whose first table alone is timed, with so many links that there are circles.
fn tangled(random: &mut Random) -> RandomDatabase {
    let mut database = RandomDatabase::new(random);
    let count = database.tables.len();
    let sizes: Vec<usize> = database.tables.iter().map(|table| table.rows.len()).collect();
    database.links = (0..6).map(|_| (1 + random.below(count - 1), random.below(count))).collect();
    database.links.sort_unstable();
    for (position, table) in database.tables.iter_mut().enumerate() {
        table.timed = position == 0;
        for row in &mut table.rows {
            let key = |(_, parent): &(usize, usize)| {
                random.chance(0.9).then(|| random.below(sizes[*parent] + 1) as i64)
            };
            row.keys = database.links.iter().map(key).collect();
        }
    }
    database
}

/// Links of untimed tables over which no times are inherited although they reach a time.
fn cut_links(schema: &Schema) -> usize {
    let inherits = |table: TableId| matches!(schema.table(table).known_from, KnownFrom::Parents(_));
    let cut = |(id, link): &(relcast_catalog::LinkId, &relcast_catalog::Link)| {
        let KnownFrom::Parents(links) = &schema.table(link.child).known_from else { return false };
        link.child != link.parent && inherits(link.parent) && !links.contains(id)
    };
    schema.link_ids().filter(cut).count()
}

#[tokio::test]
async fn sql_and_graph_agree_in_random_circles_of_untimed_tables() {
    let mut circles = 0;
    for seed in 0..150 {
        let database = tangled(&mut Random::new(seed));
        let schema = database.schema();
        circles += usize::from(cut_links(&schema) > 0);
        let graph = by_graph(&database, &schema).await;
        assert_eq!(by_sql(&database, &schema).await, graph, "seed {seed}: {schema:?}");
    }
    assert!(circles >= 10, "only {circles} databases had a circle that reaches a time");
}

/// `events` are timed; `a` points to them and to `b`, `b` to `a`.
#[tokio::test]
async fn a_row_of_a_circle_is_known_with_what_is_nearer_to_a_time() {
    let row = |id: i64, at: Option<i64>, keys: Vec<Option<i64>>| {
        let (until, number, kind, revealed, seen, due) = (None, None, None, None, None, None);
        RandomRow { id, at, until, keys, number, kind, revealed, seen, due }
    };
    let table = |timed: bool, rows| RandomTable { timed, ends: false, rows };
    let none = None;
    let database = RandomDatabase {
        tables: vec![
            table(true, vec![row(1, Some(10), vec![none; 3]), row(5, Some(50), vec![none; 3])]),
            // a1 → b1 → a2; a1's event is the earlier one.
            table(
                false,
                vec![
                    row(1, none, vec![Some(1), Some(1), none]),
                    row(2, none, vec![Some(5), none, none]),
                ],
            ),
            table(false, vec![row(1, none, vec![none, none, Some(2)])]),
        ],
        links: vec![(1, 0), (1, 2), (2, 1)],
    };
    let schema = database.schema();
    assert_eq!(cut_links(&schema), 1);
    let expected = [
        BTreeMap::from([(1, 10), (5, 50)]),
        BTreeMap::from([(1, 10), (2, 50)]),
        BTreeMap::from([(1, 50)]),
    ];
    assert_eq!(by_sql(&database, &schema).await, expected);
    assert_eq!(by_graph(&database, &schema).await, expected);
}
