//! The schema of a database as relcast reads it: tables, columns, keys, links and times.
//!
//! The types here hold names and types only; they know no I/O. Row values are read through
//! DataFusion from tables registered under the same names.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use petgraph::graph::DiGraph;
use serde::{Deserialize, Serialize};

/// The position of a table in [`Schema::tables`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableId(pub u32);

/// The position of a link in [`Schema::links`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkId(pub u32);

impl TableId {
    /// The id as an index into a slice with one item per table.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl LinkId {
    /// The id as an index into a slice with one item per link.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a column means to a model, beyond how it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SemanticType {
    /// A quantity: order and distance mean something.
    Numerical,
    /// One of a limited set of values.
    Categorical,
    /// A set of values of a limited vocabulary.
    Multicategorical,
    /// A moment in microseconds, UTC.
    Timestamp,
    /// Free text.
    Text,
    /// True or false.
    Boolean,
    /// A vector of floats of one length.
    Embedding,
    /// Part of a primary or foreign key: read through links, never as a value.
    Key,
    /// Left out of the model.
    Ignored,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The column's name as the source spells it.
    pub name: String,
    /// The Arrow type after normalisation: timestamps are `Timestamp(Microsecond, None)` in UTC,
    /// strings are `Utf8`.
    #[serde(with = "data_type_text")]
    pub data_type: DataType,
    /// How the model reads it.
    pub semantic: SemanticType,
    /// A timestamp of the future that was known when the row was written, such as a due date.
    pub planned: bool,
    /// Another timestamp column of the table before which this column's cells read as NULL.
    pub known_from: Option<String>,
}

/// From when on the rows of a table are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KnownFrom {
    /// From the value of the table's own time column.
    TimeColumn(String),
    /// From the latest time among the parents that these links point to, transitively. The links of
    /// all tables together make no circle.
    Parents(Vec<LinkId>),
    /// Always.
    Static,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The table's name as the source spells it, and as it is registered in the session.
    pub name: String,
    /// Columns in the order of the source.
    pub columns: Vec<Column>,
    /// The columns of the primary key; empty for a table without one.
    pub primary_key: Vec<String>,
    /// The column that says when a row became known.
    pub time_column: Option<String>,
    /// The column from whose value on the row is no longer seen.
    pub end_time_column: Option<String>,
    /// From when on rows are known: follows from `time_column` and the links.
    pub known_from: KnownFrom,
}

impl Table {
    /// The column of exactly this name.
    #[must_use]
    pub fn find_column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }
}

/// One foreign key: rows of `child` point to rows of `parent`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The table that holds the foreign key.
    pub child: TableId,
    /// The foreign key's columns, in the order of the parent's primary key.
    pub columns: Vec<String>,
    /// The table pointed to, by its primary key.
    pub parent: TableId,
}

/// All tables and links of a database, with the times that split it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Schema {
    /// Tables, sorted by name.
    pub tables: Vec<Table>,
    /// Links, sorted by (child table, columns).
    pub links: Vec<Link>,
    /// Start of the validation split, microseconds UTC, where the source declares it.
    pub val_timestamp: Option<i64>,
    /// Start of the test split, microseconds UTC, where the source declares it.
    pub test_timestamp: Option<i64>,
    /// Tables and columns whose semantic type is declared, not inferred.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub declared_types: BTreeSet<(String, String)>,
    /// Tables and columns that the source holds as dates: days without a time of the day.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dates: BTreeSet<(String, String)>,
}

impl Schema {
    /// The table with this id.
    #[must_use]
    pub fn table(&self, id: TableId) -> &Table {
        &self.tables[id.index()]
    }

    /// The link with this id.
    #[must_use]
    pub fn link(&self, id: LinkId) -> &Link {
        &self.links[id.index()]
    }

    /// The table of exactly this name, else the only one that matches case-insensitively.
    #[must_use]
    pub fn find_table(&self, name: &str) -> Option<TableId> {
        let ids = || (0u32..).map(TableId).zip(&self.tables);
        if let Some((id, _)) = ids().find(|(_, t)| t.name == name) {
            return Some(id);
        }
        let mut matches = ids().filter(|(_, t)| t.name.eq_ignore_ascii_case(name));
        match (matches.next(), matches.next()) {
            (Some((id, _)), None) => Some(id),
            _ => None,
        }
    }

    /// Links that start at `child`, with their ids.
    pub fn links_from(&self, child: TableId) -> impl Iterator<Item = (LinkId, &Link)> {
        self.link_ids().filter(move |(_, l)| l.child == child)
    }

    /// Links that end at `parent`, with their ids.
    pub fn links_to(&self, parent: TableId) -> impl Iterator<Item = (LinkId, &Link)> {
        self.link_ids().filter(move |(_, l)| l.parent == parent)
    }

    /// Every link with its id.
    pub fn link_ids(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        (0u32..).map(LinkId).zip(&self.links)
    }

    /// A link as people write it: `child.column`, or `child.(a, b)` for a composite key.
    #[must_use]
    pub fn link_name(&self, link: &Link) -> String {
        let child = &self.table(link.child).name;
        match link.columns.as_slice() {
            [column] => format!("{child}.{column}"),
            columns => format!("{child}.({})", columns.join(", ")),
        }
    }

    /// The schema graph: a node per table, an edge per link from child to parent.
    #[must_use]
    pub fn graph(&self) -> DiGraph<TableId, LinkId> {
        let mut graph = DiGraph::with_capacity(self.tables.len(), self.links.len());
        let nodes: Vec<_> =
            (0u32..).take(self.tables.len()).map(|i| graph.add_node(TableId(i))).collect();
        for (id, link) in self.link_ids() {
            graph.add_edge(nodes[link.child.index()], nodes[link.parent.index()], id);
        }
        graph
    }

    /// Sets each table's [`KnownFrom`] from time columns and links.
    ///
    /// A table without a time column is known from its timed ancestors; links to static tables add
    /// nothing. Rows in a circle of untimed tables cannot all have been there before each other:
    /// some link of it was filled in later. So of the links within a circle only those count that
    /// lead nearer to a time column; the others are known, as all links, when both their ends are.
    pub fn resolve_known_from(&mut self) {
        let steps = self.steps_to_a_time();
        let counts = |link: &Link| {
            let (child, parent) = (steps[link.child.index()], steps[link.parent.index()]);
            parent.is_some() && (parent < child || !self.leads_back(link))
        };
        let known_from = |(id, table): (TableId, &Table)| match &table.time_column {
            Some(column) => KnownFrom::TimeColumn(column.clone()),
            None => {
                let links = self.links_from(id).filter(|(_, link)| counts(link));
                let links: Vec<LinkId> = links.map(|(id, _)| id).collect();
                if links.is_empty() { KnownFrom::Static } else { KnownFrom::Parents(links) }
            }
        };
        let tables = (0u32..).map(TableId).zip(&self.tables);
        let known_from: Vec<KnownFrom> = tables.map(known_from).collect();
        for (table, known_from) in self.tables.iter_mut().zip(known_from) {
            table.known_from = known_from;
        }
    }

    /// For each table the fewest links to one with a time column; none where there is no way.
    fn steps_to_a_time(&self) -> Vec<Option<usize>> {
        let mut steps: Vec<Option<usize>> =
            self.tables.iter().map(|table| table.time_column.as_ref().map(|_| 0)).collect();
        for step in 0..self.tables.len() {
            for link in &self.links {
                if steps[link.parent.index()] == Some(step) {
                    steps[link.child.index()].get_or_insert(step + 1);
                }
            }
        }
        steps
    }

    /// Whether links of untimed tables lead from the link's parent back to its child.
    fn leads_back(&self, link: &Link) -> bool {
        let mut seen = vec![false; self.tables.len()];
        let mut open = vec![link.parent];
        while let Some(table) = open.pop() {
            if table == link.child {
                return true;
            }
            let again = std::mem::replace(&mut seen[table.index()], true);
            if !again && self.table(table).time_column.is_none() {
                open.extend(self.links_from(table).map(|(_, l)| l.parent));
            }
        }
        false
    }
}

/// Arrow types in JSON as Arrow prints and parses them.
mod data_type_text {
    use arrow::datatypes::DataType;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(data_type: &DataType, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(data_type)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DataType, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables named by letters, those in capitals timed, and links such as `ab`; the links over
    /// which times are inherited.
    fn inherited(tables: &str, links: &[&str]) -> Vec<String> {
        let table = |name: char| Table {
            name: name.to_string(),
            columns: Vec::new(),
            primary_key: vec!["id".to_owned()],
            time_column: name.is_uppercase().then(|| "at".to_owned()),
            end_time_column: None,
            known_from: KnownFrom::Static,
        };
        let id = |name: Option<char>| {
            let position = tables.chars().position(|t| Some(t) == name);
            TableId(position.map_or(0, |p| p as u32))
        };
        let link = |ends: &&str| {
            let (child, parent) = (id(ends.chars().next()), id(ends.chars().nth(1)));
            Link { child, columns: vec![(*ends).to_owned()], parent }
        };
        let mut schema = Schema {
            tables: tables.chars().map(table).collect(),
            links: links.iter().map(link).collect(),
            ..Schema::default()
        };
        schema.resolve_known_from();
        let over = |table: &Table| match &table.known_from {
            KnownFrom::Parents(links) => links.clone(),
            _ => Vec::new(),
        };
        let over = schema.tables.iter().flat_map(over);
        over.map(|id| schema.link(id).columns.concat()).collect()
    }

    #[test]
    fn without_circles_every_link_that_reaches_a_time_counts() {
        assert_eq!(inherited("abcE", &["ab", "ac", "bE", "cb"]), ["ab", "ac", "bE", "cb"]);
        assert_eq!(inherited("abs", &["ab", "as"]), [""; 0]);
        // A timed table ends the way: it is known from its own column.
        assert_eq!(inherited("aE", &["aE", "Ea"]), ["aE"]);
    }

    #[test]
    fn within_a_circle_the_links_that_lead_nearer_to_a_time_count() {
        assert_eq!(inherited("abE", &["aE", "ab", "ba"]), ["aE", "ba"]);
        assert_eq!(inherited("abcE", &["aE", "ab", "bc", "ca"]), ["aE", "bc", "ca"]);
        // Both are as near: neither says when the other was there.
        assert_eq!(inherited("abE", &["aE", "ab", "ba", "bE"]), ["aE", "bE"]);
        assert_eq!(inherited("aE", &["aE", "aa"]), ["aE"]);
        // A circle does not take away what hangs from it.
        assert_eq!(inherited("abcE", &["aE", "ab", "ba", "ca", "cb"]), ["aE", "ba", "ca", "cb"]);
    }
}
