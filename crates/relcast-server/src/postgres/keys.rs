//! Primary and foreign keys as the catalog of Postgres tells them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int16Array, Int32Array, RecordBatch, StringArray};
use arrow::error::ArrowError;
use relcast_catalog::{Schema, Table, TableId};

/// Keys and their indexes have oids from here on, far beyond those that tables get, which are
/// counted from 16384.
const FIRST_OID: u32 = 1_000_000_000;

/// Texts by the oid of what they define, and the number of a column of it; 0 is the whole.
pub(super) type Texts = BTreeMap<(i64, i64), String>;

/// One key.
struct Key<'a> {
    oid: i32,
    /// The oid of the index of this primary key, or of the one pointed to.
    index_oid: i32,
    name: String,
    table: &'a Table,
    columns: &'a [String],
    /// The table pointed to; none for a primary key.
    parent: Option<&'a Table>,
}

/// All keys of a schema.
pub(super) struct Keys<'a>(Vec<Key<'a>>);

impl<'a> Keys<'a> {
    pub(super) fn of(schema: &'a Schema) -> Self {
        let oid = |number: u32| (FIRST_OID + number).cast_signed();
        // Each table has two, its key's and its index's; links have the odd ones between.
        let index_oid = |id: TableId| oid(4 * id.0 + 2);
        let tables = (0u32..).map(TableId).zip(&schema.tables);
        let primary = tables.filter(|(_, table)| !table.primary_key.is_empty());
        let primary = primary.map(|(id, table)| Key {
            oid: oid(4 * id.0),
            index_oid: index_oid(id),
            name: primary_name(table),
            table,
            columns: &table.primary_key,
            parent: None,
        });
        let foreign = schema.link_ids().map(|(id, link)| {
            let table = schema.table(link.child);
            Key {
                oid: oid(2 * id.0 + 1),
                index_oid: index_oid(link.parent),
                name: format!("{}_{}_fkey", table.name, link.columns.join("_")),
                table,
                columns: &link.columns,
                parent: Some(schema.table(link.parent)),
            }
        });
        Self(primary.chain(foreign).collect())
    }

    /// One row for each column of each key.
    pub(super) fn columns(&self) -> Result<RecordBatch, ArrowError> {
        let rows: Vec<Row<'_>> = self.0.iter().flat_map(Row::all).collect();
        let text = |of: fn(&Row<'_>) -> Option<String>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<StringArray>())
        };
        let oids = |of: fn(&Row<'_>) -> i32| -> ArrayRef {
            Arc::new(Int32Array::from_iter_values(rows.iter().map(of)))
        };
        let numbers = |of: fn(&Row<'_>) -> Option<i16>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<Int16Array>())
        };
        RecordBatch::try_from_iter_with_nullable([
            ("oid", oids(|row| row.key.oid), false),
            ("name", text(|row| Some(row.key.name.clone())), false),
            ("kind", text(|row| Some(row.key.kind().to_owned())), false),
            ("table_name", text(|row| Some(row.key.table.name.clone())), false),
            ("index_oid", oids(|row| row.key.index_oid), false),
            ("column_name", text(|row| Some(row.column().clone())), false),
            ("attnum", numbers(|row| number(row.key.table, row.column())), true),
            ("position", numbers(|row| i16::try_from(row.position + 1).ok()), true),
            ("parent", text(|row| Some(row.key.parent?.name.clone())), true),
            ("parent_key", text(|row| row.key.parent.map(primary_name)), true),
            ("parent_column", text(|row| row.parent_column().cloned()), true),
            ("parent_attnum", numbers(|row| number(row.key.parent?, row.parent_column()?)), true),
        ])
    }

    /// The definition of each key.
    pub(super) fn constraints(&self) -> Texts {
        let definition = |key: &Key<'_>| {
            let columns = names(key.columns);
            let text = match key.parent {
                None => format!("PRIMARY KEY ({columns})"),
                Some(parent) => {
                    let (table, referred) = (quoted(&parent.name), names(&parent.primary_key));
                    format!("FOREIGN KEY ({columns}) REFERENCES {table}({referred})")
                }
            };
            ((i64::from(key.oid), 0), text)
        };
        self.0.iter().map(definition).collect()
    }

    /// The definition of each index, and its columns.
    pub(super) fn indexes(&self) -> Texts {
        let definitions = |key: &Key<'_>| {
            let (name, table) = (quoted(&key.name), quoted(&key.table.name));
            let columns = names(key.columns);
            let whole =
                format!("CREATE UNIQUE INDEX {name} ON public.{table} USING btree ({columns})");
            let oid = i64::from(key.index_oid);
            let all = std::iter::once(whole).chain(key.columns.iter().map(|name| quoted(name)));
            (0i64..).zip(all).map(|(n, text)| ((oid, n), text)).collect::<Vec<_>>()
        };
        self.0.iter().filter(|key| key.parent.is_none()).flat_map(definitions).collect()
    }
}

impl Key<'_> {
    fn kind(&self) -> &'static str {
        if self.parent.is_some() { "f" } else { "p" }
    }
}

/// One column of a key.
struct Row<'a> {
    key: &'a Key<'a>,
    position: usize,
}

impl<'a> Row<'a> {
    fn all(key: &'a Key<'a>) -> impl Iterator<Item = Self> {
        (0..key.columns.len()).map(move |position| Self { key, position })
    }

    fn column(&self) -> &String {
        &self.key.columns[self.position]
    }

    fn parent_column(&self) -> Option<&String> {
        self.key.parent?.primary_key.get(self.position)
    }
}

fn primary_name(table: &Table) -> String {
    format!("{}_pkey", table.name)
}

/// The number of a column in its table, from 1 on.
fn number(table: &Table, column: &str) -> Option<i16> {
    let position = table.columns.iter().position(|c| c.name == column)?;
    i16::try_from(position + 1).ok()
}

fn names(columns: &[String]) -> String {
    columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// A name as it is written in SQL.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use relcast_catalog::{Column, KnownFrom, Link, SemanticType};

    use super::*;

    fn table(name: &str, columns: &[&str], primary_key: &[&str]) -> Table {
        let column = |name: &&str| Column {
            name: (*name).to_owned(),
            data_type: arrow::datatypes::DataType::Int64,
            semantic: SemanticType::Key,
            planned: false,
            known_from: None,
        };
        Table {
            name: name.to_owned(),
            columns: columns.iter().map(column).collect(),
            primary_key: primary_key.iter().map(|name| (*name).to_owned()).collect(),
            time_column: None,
            end_time_column: None,
            known_from: KnownFrom::Static,
        }
    }

    #[test]
    fn keys_and_indexes_are_defined_as_postgres_defines_them() {
        let link = Link {
            child: TableId(0),
            columns: vec!["of_a".to_owned(), "B".to_owned()],
            parent: TableId(1),
        };
        let schema = Schema {
            tables: vec![
                table("Items", &["B", "of_a"], &[]),
                table("parts", &["a", "x", "b"], &["a", "b"]),
            ],
            links: vec![link],
            ..Schema::default()
        };
        let keys = Keys::of(&schema);
        let constraints: Vec<String> = keys.constraints().into_values().collect();
        let foreign = "FOREIGN KEY (of_a, \"B\") REFERENCES parts(a, b)";
        assert_eq!(constraints, [foreign, "PRIMARY KEY (a, b)"]);
        let indexes: Vec<String> = keys.indexes().into_values().collect();
        let whole = "CREATE UNIQUE INDEX parts_pkey ON public.parts USING btree (a, b)";
        assert_eq!(indexes, [whole, "a", "b"]);
        let columns = keys.columns().map(|batch| batch.num_rows());
        assert!(matches!(columns, Ok(4)), "{columns:?}");
    }
}
