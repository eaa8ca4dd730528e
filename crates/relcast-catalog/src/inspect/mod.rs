//! What is in a database and what may go wrong with it, in counts.
//!
//! [`inspect()`] reads every table once or twice and changes nothing. It names suspects, such as
//! columns that look overwritten in place; whether they leak, a person decides.

mod count;
mod suspects;
mod text;
mod yaml;

use serde::Serialize;

use crate::catalog::{Catalog, Proposal};
use crate::error::CatalogError;
use crate::schema::{KnownFrom, Schema, SemanticType};
use relcast_connect::Database;

pub use text::to_dot;
pub use yaml::propose_yaml;

/// The result of looking at a database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The schema that was inspected.
    pub schema: Schema,
    /// Rows of all tables.
    pub rows: u64,
    /// Edges of all links.
    pub edges: u64,
    /// The earliest time at which a row became known, microseconds UTC.
    pub first_known: Option<i64>,
    /// The latest time at which a row became known, microseconds UTC.
    pub last_known: Option<i64>,
    /// One report per table, in the order of the schema.
    pub tables: Vec<TableReport>,
    /// One report per link, in the order of the schema.
    pub links: Vec<LinkReport>,
    /// What may be wrong, sorted by table.
    pub findings: Vec<Finding>,
    /// What was inferred.
    pub proposals: Vec<Proposal>,
}

/// What is in one table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableReport {
    /// The table's name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// From when its rows are known, in words: `date`, `static` or `with orders (via order_id)`.
    pub known_from: String,
    /// The earliest time at which a row became known, microseconds UTC.
    pub first_known: Option<i64>,
    /// The latest time at which a row became known, microseconds UTC.
    pub last_known: Option<i64>,
    /// Rows without such a time, in a table that isn't static.
    pub null_times: u64,
    /// Rows whose own time is later than the moment of the inspection.
    pub future_rows: u64,
    /// Rows whose primary key another, earlier counted row has.
    pub duplicate_keys: u64,
    /// Rows with NULL in their primary key.
    pub null_keys: u64,
    /// Whether distinct values are counted exactly.
    pub exact: bool,
    /// One report per column.
    pub columns: Vec<ColumnReport>,
}

/// What is in one column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnReport {
    /// The column's name.
    pub column: String,
    /// Its Arrow type.
    pub data_type: String,
    /// How the model reads it.
    pub semantic: SemanticType,
    /// Cells that are NULL.
    pub nulls: u64,
    /// Distinct values, where they are counted.
    pub distinct: Option<u64>,
    /// Whether every row has the same value, or none has one.
    pub constant: bool,
    /// Whether nearly every row has a value of its own.
    pub near_unique: bool,
    /// Cells that are later than the time their row became known; timestamps only.
    pub younger_cells: u64,
}

/// What is in one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkReport {
    /// The link, as `child.column`.
    pub link: String,
    /// The parent table.
    pub parent: String,
    /// Rows that point to an existing row.
    pub edges: u64,
    /// Rows whose foreign key is NULL.
    pub nulls: u64,
    /// Rows whose foreign key points nowhere.
    pub dangling: u64,
    /// The two types, where the keys are compared as text because they differ.
    pub types_differ: Option<String>,
}

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A table without rows.
    EmptyTable,
    /// Rows that share a primary key.
    DuplicateKey,
    /// Rows with NULL in their primary key.
    NullKey,
    /// Rows without a time: they are left out.
    NullTime,
    /// Rows later than now: the default cutoff follows the newest row.
    FutureTime,
    /// Foreign keys that are NULL: they make no edge.
    NullLink,
    /// Foreign keys that point nowhere: they make no edge.
    DanglingLink,
    /// A link in which no row points to any row.
    EmptyLink,
    /// Keys of different types, compared as text.
    KeyTypesDiffer,
    /// A column with one value or none.
    Constant,
    /// A column with a value of its own in nearly every row.
    NearUnique,
    /// Timestamps later than their row.
    YoungerCells,
    /// A column that looks overwritten in place.
    Overwritten,
    /// A static table with columns that look like times.
    StaticWithTimes,
    /// A table that is known with its parents, with columns that look like times.
    InheritsWithTimes,
    /// A column of times or numbers, but for a few cells.
    OddCells,
    /// A file or folder among the tables that is not read.
    LeftOut,
}

/// Something that may be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of problem it is.
    pub kind: FindingKind,
    /// The table.
    pub table: String,
    /// The column or link, where the problem lies in one.
    pub column: Option<String>,
    /// The number of rows or cells, where it counts any.
    pub count: Option<u64>,
    /// The problem in words, with what to do about it.
    pub text: String,
}

/// Counts rows, edges and problems of all tables.
///
/// # Errors
/// When a query over a table fails.
pub async fn inspect(database: &Database, catalog: &Catalog) -> Result<Inspection, CatalogError> {
    inspect_at(database, catalog, chrono::Utc::now().timestamp_micros()).await
}

/// The same as if it were `now`, microseconds UTC.
///
/// # Errors
/// As [`inspect()`].
pub async fn inspect_at(
    database: &Database,
    catalog: &Catalog,
    now: i64,
) -> Result<Inspection, CatalogError> {
    let schema = &catalog.schema;
    let mut tables = Vec::with_capacity(schema.tables.len());
    for (index, _) in schema.tables.iter().enumerate() {
        tables.push(count::table(database, schema, index, now).await?);
    }
    let mut links = Vec::with_capacity(schema.links.len());
    for link in &schema.links {
        links.push(count::link(database, schema, link).await?);
    }
    let findings = suspects::findings(database, catalog, &tables, &links);
    Ok(Inspection {
        schema: schema.clone(),
        rows: tables.iter().map(|t| t.rows).sum(),
        edges: links.iter().map(|l| l.edges).sum(),
        first_known: tables.iter().filter_map(|t| t.first_known).min(),
        last_known: tables.iter().filter_map(|t| t.last_known).max(),
        tables,
        links,
        findings,
        proposals: catalog.proposals.clone(),
    })
}

/// From when the rows of the table at `index` are known, in words.
pub(crate) fn known_from_text(schema: &Schema, known_from: &KnownFrom) -> String {
    match known_from {
        KnownFrom::TimeColumn(column) => column.clone(),
        KnownFrom::Static => "static".to_owned(),
        KnownFrom::Parents(links) => {
            let parents: Vec<String> = links
                .iter()
                .map(|l| schema.link(*l))
                .map(|l| format!("{} (via {})", schema.table(l.parent).name, l.columns.join(", ")))
                .collect();
            format!("with {}", parents.join(" and "))
        }
    }
}
