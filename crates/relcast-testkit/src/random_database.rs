//! Random small databases in memory, with a slow and obvious account of what is known when.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;
use datafusion::prelude::SessionContext;
use relcast_catalog::{Column, KnownFrom, Link, Schema, SemanticType, Table, TableId};

use crate::random::Random;

/// Times lie below this; those that are made up later may lie a little above.
const TIMES: usize = 40;
/// Keys of rows that are added later: no row pointed to them before.
const NEW_KEYS: i64 = 1_000;

/// A key, a time or a value; `None` is NULL.
type Cell = Option<i64>;

/// Two to five tables with random links, some to their own table, some twice between two tables.
///
/// A table `t2` has the columns `id`, its primary key; `at`, its time column, if it is timed;
/// `until`, its end time column, if its rows end; `to_3` for the link at position 3 of the schema;
/// `number`, known from `revealed`; `kind`; the timestamps `revealed` and `seen`; `due`, planned.
#[derive(Debug, Clone)]
pub struct RandomDatabase {
    /// The tables, in the order of the schema; the first has rows.
    pub tables: Vec<RandomTable>,
    /// Child and parent of each link, as positions of tables; in the order of the schema.
    pub links: Vec<(usize, usize)>,
}

/// One table.
#[derive(Debug, Clone)]
pub struct RandomTable {
    /// Whether it has a time column.
    pub timed: bool,
    /// Whether it has an end time column.
    pub ends: bool,
    /// Its rows.
    pub rows: Vec<RandomRow>,
}

/// One row, with all columns that a table may have.
#[derive(Debug, Clone)]
pub struct RandomRow {
    /// Its key.
    pub id: i64,
    /// Its own time.
    pub at: Cell,
    /// From when it is no longer seen.
    pub until: Cell,
    /// Its key to the parent of each link of the database; some point nowhere.
    pub keys: Vec<Cell>,
    /// A value that is known from `revealed`.
    pub number: Cell,
    /// A value that is known with the row.
    pub kind: Cell,
    /// A time, known when it has passed.
    pub revealed: Cell,
    /// Another.
    pub seen: Cell,
    /// A time that is known with the row.
    pub due: Cell,
}

impl RandomDatabase {
    /// A database of `random`'s choice.
    #[must_use]
    pub fn new(random: &mut Random) -> Self {
        let count = 2 + random.below(4);
        let mut links: Vec<(usize, usize)> =
            (0..1 + random.below(4)).map(|_| (random.below(count), random.below(count))).collect();
        if random.chance(0.5) {
            links.push(links[0]);
        }
        if random.chance(0.5) {
            let own = random.below(count);
            links.push((own, own));
        }
        links.sort_by_key(|(child, _)| *child);
        let sizes: Vec<usize> =
            (0..count).map(|t| random.below(12).max(usize::from(t == 0))).collect();
        let mut tables: Vec<RandomTable> = (0..count)
            .map(|_| RandomTable {
                timed: random.chance(0.6),
                ends: random.chance(0.3),
                rows: Vec::new(),
            })
            .collect();
        for (table, size) in tables.iter_mut().zip(&sizes) {
            table.rows = (0..*size as i64)
                .map(|id| {
                    let keys = links.iter().map(|(_, parent)| {
                        random.chance(0.9).then(|| random.below(sizes[*parent] + 1) as i64)
                    });
                    RandomRow { keys: keys.collect(), ..RandomRow::new(id, random) }
                })
                .collect();
        }
        Self { tables, links }
    }

    /// Tables, columns, keys, links and times.
    #[must_use]
    pub fn schema(&self) -> Schema {
        let tables = self.tables.iter().enumerate().map(|(t, table)| {
            let columns = self.columns(t).into_iter().map(|(name, is_time)| Column {
                semantic: match name.as_str() {
                    "number" => SemanticType::Numerical,
                    "kind" => SemanticType::Categorical,
                    _ if is_time => SemanticType::Timestamp,
                    _ => SemanticType::Key,
                },
                data_type: match is_time {
                    true => DataType::Timestamp(TimeUnit::Microsecond, None),
                    false => DataType::Int64,
                },
                planned: name == "due",
                known_from: (name == "number").then(|| "revealed".to_owned()),
                name,
            });
            Table {
                name: name(t),
                columns: columns.collect(),
                primary_key: vec!["id".to_owned()],
                time_column: table.timed.then(|| "at".to_owned()),
                end_time_column: table.ends.then(|| "until".to_owned()),
                known_from: KnownFrom::Static,
            }
        });
        let link = |(position, (child, parent)): (usize, &(usize, usize))| Link {
            child: TableId(*child as u32),
            columns: vec![format!("to_{position}")],
            parent: TableId(*parent as u32),
        };
        let mut schema = Schema {
            tables: tables.collect(),
            links: self.links.iter().enumerate().map(link).collect(),
            ..Schema::default()
        };
        schema.resolve_known_from();
        schema
    }

    /// A session with the tables; `turn` says in which order their rows stand.
    ///
    /// # Errors
    /// DataFusion's, if a table cannot be registered.
    pub fn session(&self, turn: usize) -> datafusion::error::Result<SessionContext> {
        let context = SessionContext::new();
        for t in 0..self.tables.len() {
            context.register_batch(name(t), self.batch(t, turn)?)?;
        }
        Ok(context)
    }

    fn batch(&self, t: usize, turn: usize) -> Result<RecordBatch, ArrowError> {
        let mut rows: Vec<&RandomRow> = self.tables[t].rows.iter().collect();
        if turn > 0 {
            rows.reverse();
            let middle = turn % rows.len().max(1);
            rows.rotate_left(middle);
        }
        let columns = self.columns(t).into_iter().map(|(name, is_time)| {
            let cells: Vec<Cell> = rows.iter().map(|row| row.cell(&name)).collect();
            let values: ArrayRef = match is_time {
                true => Arc::new(TimestampMicrosecondArray::from(cells)),
                false => Arc::new(Int64Array::from(cells)),
            };
            (name, values, true)
        });
        RecordBatch::try_from_iter_with_nullable(columns)
    }

    /// The columns of a table, and whether they are times.
    fn columns(&self, t: usize) -> Vec<(String, bool)> {
        let table = &self.tables[t];
        let keys = self.links.iter().enumerate().filter(|(_, (child, _))| *child == t);
        let mut columns = vec![("id".to_owned(), false)];
        columns.extend(keys.map(|(link, _)| (format!("to_{link}"), false)));
        columns.extend(table.timed.then(|| ("at".to_owned(), true)));
        columns.extend(table.ends.then(|| ("until".to_owned(), true)));
        let rest = [("number", false), ("kind", false), ("revealed", true), ("seen", true)];
        columns
            .extend(rest.into_iter().chain([("due", true)]).map(|(n, time)| (n.to_owned(), time)));
        columns
    }

    /// The position of the row of `table` with this key.
    #[must_use]
    pub fn find(&self, table: usize, key: Cell) -> Option<usize> {
        self.tables[table].rows.iter().position(|row| Some(row.id) == key)
    }

    /// From when each row of each table is known: `i64::MIN` for always, `None` for a row that is
    /// left out because nothing says when it was there.
    #[must_use]
    pub fn known(&self) -> Vec<Vec<Cell>> {
        let schema = self.schema();
        let of_table = |(table, declared): (&RandomTable, &Table)| {
            let of_row = |row: &RandomRow| match declared.known_from {
                KnownFrom::TimeColumn(_) => row.at,
                KnownFrom::Parents(_) => None,
                KnownFrom::Static => Some(i64::MIN),
            };
            table.rows.iter().map(of_row).collect()
        };
        let mut known: Vec<Vec<Cell>> =
            self.tables.iter().zip(&schema.tables).map(of_table).collect();
        for _ in &self.tables {
            for (child, table) in schema.tables.iter().enumerate() {
                let KnownFrom::Parents(links) = &table.known_from else { continue };
                for link in links {
                    let (_, parent) = self.links[link.index()];
                    for (r, row) in self.tables[child].rows.iter().enumerate() {
                        let found = self.find(parent, row.keys[link.index()]);
                        let time = found.and_then(|p| known[parent][p]);
                        known[child][r] = known[child][r].max(time.filter(|t| *t != i64::MIN));
                    }
                }
            }
        }
        known
    }

    /// Whether the row at this position is seen at `view`, given what [`RandomDatabase::known`] says.
    #[must_use]
    pub fn is_seen(&self, known: &[Vec<Cell>], table: usize, row: usize, view: i64) -> bool {
        let ends = self.tables[table].ends;
        let ended = ends && self.tables[table].rows[row].until.is_some_and(|end| end <= view);
        known[table][row].is_some_and(|time| time <= view) && !ended
    }

    /// The same database as far as it is known at `moment`; all that is younger is another: rows
    /// are gone, changed and new (gone alone if `gone`), and so are cells of rows that stay.
    #[must_use]
    pub fn with_another_future(&self, moment: i64, gone: bool, random: &mut Random) -> Self {
        let known = self.known();
        let is_future = |t: usize, r: usize| known[t][r].is_some_and(|time| time > moment);
        let mut deleted: Vec<Vec<bool>> = self
            .tables
            .iter()
            .enumerate()
            .map(|(t, table)| {
                let delete = |r| is_future(t, r) && (gone || (table.timed && random.chance(0.5)));
                (0..table.rows.len()).map(delete).collect()
            })
            .collect();
        // A row that was known with a deleted one would be known from another moment without it.
        let all: usize = self.tables.iter().map(|t| t.rows.len()).sum();
        for _ in 0..all {
            for (link, (child, parent)) in self.links.iter().enumerate() {
                for (r, row) in self.tables[*child].rows.iter().enumerate() {
                    let found = self.find(*parent, row.keys[link]);
                    let orphan = found.is_some_and(|p| deleted[*parent][p]);
                    deleted[*child][r] |=
                        orphan && is_future(*child, r) && !self.tables[*child].timed;
                }
            }
        }
        let mut other = self.clone();
        for (t, table) in other.tables.iter_mut().enumerate() {
            for (r, row) in table.rows.iter_mut().enumerate() {
                match is_future(t, r) {
                    true => row.become_another(table.timed, moment, random),
                    false => row.change_later_cells(moment, random),
                }
            }
            let mut gone_rows = deleted[t].iter();
            table.rows.retain(|_| gone_rows.next() == Some(&false));
            let new = if table.timed && !gone { random.below(4) as i64 } else { 0 };
            for id in NEW_KEYS..NEW_KEYS + new {
                let mut row = RandomRow::new(id, random);
                row.keys = self.links.iter().map(|_| Some(random.below(12) as i64)).collect();
                row.at = later(moment, random);
                table.rows.push(row);
            }
        }
        other
    }
}

impl RandomRow {
    /// A row without keys to others.
    fn new(id: i64, random: &mut Random) -> Self {
        let mut time = |present| random.chance(present).then(|| random.below(TIMES) as i64);
        let (at, until, revealed) = (time(0.9), time(0.5), time(0.7));
        let (seen, due) = (time(0.7), time(0.7));
        let number = random.chance(0.9).then(|| random.below(9) as i64);
        let kind = random.chance(0.9).then(|| random.below(3) as i64);
        Self { id, at, until, keys: Vec::new(), number, kind, revealed, seen, due }
    }

    fn cell(&self, column: &str) -> Cell {
        match column {
            "id" => Some(self.id),
            "at" => self.at,
            "until" => self.until,
            "number" => self.number,
            "kind" => self.kind,
            "revealed" => self.revealed,
            "seen" => self.seen,
            "due" => self.due,
            link => link.strip_prefix("to_").and_then(|l| self.keys[l.parse::<usize>().ok()?]),
        }
    }

    /// Another row with the same key, known later than `moment` too.
    fn become_another(&mut self, timed: bool, moment: i64, random: &mut Random) {
        let mut other = Self::new(self.id, random);
        other.keys = std::mem::take(&mut self.keys);
        if timed {
            other.at = later(moment, random);
            random.shuffle(&mut other.keys);
        }
        *self = other;
    }

    fn change_later_cells(&mut self, moment: i64, random: &mut Random) {
        let is_open = |cell: Cell| cell.is_none_or(|time| time > moment);
        if is_open(self.revealed) {
            self.number = random.chance(0.8).then(|| random.below(9) as i64);
        }
        for cell in [&mut self.until, &mut self.revealed, &mut self.seen] {
            if is_open(*cell) {
                *cell = random.chance(0.7).then(|| later(moment, random)).flatten();
            }
        }
    }
}

fn later(moment: i64, random: &mut Random) -> Cell {
    Some(moment + 1 + random.below(TIMES) as i64)
}

fn name(table: usize) -> String {
    format!("t{table}")
}
