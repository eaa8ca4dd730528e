//! The snapshot's files: what they are called, and what the graph is made of.

use std::path::{Path, PathBuf};

use relcast_catalog::{LinkId, Schema, TableId};
use serde::{Deserialize, Serialize};

/// The format of the files; another version is not read.
pub const FORMAT: u32 = 1;

/// What was read into the graph, and what was left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GraphReport {
    /// Per table, in the order of the schema.
    pub tables: Vec<TableReport>,
    /// Per link, in the order of the schema.
    pub links: Vec<LinkReport>,
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableReport {
    /// Rows in the graph.
    pub rows: usize,
    /// Rows left out because their time is NULL.
    pub without_time: usize,
    /// Rows whose primary key another row has too.
    pub duplicate_keys: usize,
}

/// The edges of one link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkReport {
    /// Child rows that point to a row.
    pub edges: usize,
    /// Child rows whose foreign key is NULL.
    pub null: usize,
    /// Child rows whose foreign key points nowhere.
    pub dangling: usize,
}

/// The first file of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub struct Meta {
    /// [`FORMAT`].
    pub format: u32,
    /// The schema that was read.
    pub schema: Schema,
    /// What was read.
    pub report: GraphReport,
    /// Which tables have a file of end times.
    pub ends: Vec<bool>,
}

/// Where each part of a snapshot lies.
pub struct Files<'a>(pub &'a Path);

impl Files<'_> {
    pub fn meta(&self) -> PathBuf {
        self.0.join("meta.json")
    }
    pub fn times(&self, table: TableId) -> PathBuf {
        self.0.join(format!("table-{}.times", table.0))
    }
    pub fn ends(&self, table: TableId) -> PathBuf {
        self.0.join(format!("table-{}.ends", table.0))
    }
    pub fn hashes(&self, table: TableId) -> PathBuf {
        self.0.join(format!("table-{}.hashes", table.0))
    }
    pub fn columns(&self, table: TableId) -> PathBuf {
        self.0.join(format!("table-{}.arrow", table.0))
    }
    pub fn parents(&self, link: LinkId) -> PathBuf {
        self.0.join(format!("link-{}.parents", link.0))
    }
    pub fn offsets(&self, link: LinkId) -> PathBuf {
        self.0.join(format!("link-{}.offsets", link.0))
    }
    pub fn children(&self, link: LinkId) -> PathBuf {
        self.0.join(format!("link-{}.children", link.0))
    }
}
