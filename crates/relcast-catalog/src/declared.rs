//! What `manifest.yaml` and `relcast.yaml` declare, in one form.
//!
//! In `relcast.yaml` a composite key is a list under `primary_key`, and a composite foreign key
//! is its columns in one string: `"a, b": parent`. What `relcast.yaml` says about a table goes
//! before the manifest; `foreign_keys` replaces the manifest's of that table as a whole. A key
//! that is there but null or empty declares "none", so nothing is inferred for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use relcast_connect::{ReadAs, ReadColumns};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::CatalogError;
use crate::manifest::{Names, find_manifest, read_time, read_yaml};
use crate::schema::SemanticType;

/// Everything declared about a database.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    /// By table name.
    pub(crate) tables: BTreeMap<String, DeclaredTable>,
    /// Tables of which `relcast.yaml` says that they have no time column.
    pub(crate) untimed: BTreeSet<String>,
    /// Whether a manifest declares all keys, links and times, so that none is inferred.
    pub(crate) is_complete: bool,
    /// The database's name in its manifest.
    pub(crate) name: Option<String>,
    pub(crate) val_timestamp: Option<i64>,
    pub(crate) test_timestamp: Option<i64>,
}

/// What is declared about one table; the outer `None` stands for "nothing said".
#[derive(Debug, Default, Clone)]
pub(crate) struct DeclaredTable {
    /// The file to name in errors.
    pub(crate) file: PathBuf,
    pub(crate) primary_key: Option<Vec<String>>,
    pub(crate) time_column: Option<Option<String>>,
    pub(crate) end_time_column: Option<String>,
    /// Foreign key as written → parent table.
    pub(crate) links: Option<BTreeMap<String, String>>,
    pub(crate) columns: BTreeMap<String, DeclaredColumn>,
}

/// One column in `relcast.yaml`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeclaredColumn {
    /// What the column means.
    #[serde(rename = "type")]
    pub(crate) semantic: Option<SemanticType>,
    pub(crate) ignored: bool,
    pub(crate) planned: bool,
    pub(crate) known_from: Option<String>,
}

/// `relcast.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SchemaFile {
    val_timestamp: Option<String>,
    test_timestamp: Option<String>,
    tables: Unique<Option<SchemaFileTable>>,
}

/// One table in `relcast.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SchemaFileTable {
    #[serde(deserialize_with = "present")]
    primary_key: Option<Option<Names>>,
    #[serde(deserialize_with = "present")]
    time_column: Option<Option<String>>,
    end_time_column: Option<String>,
    #[serde(deserialize_with = "present")]
    foreign_keys: Option<Option<Unique<String>>>,
    columns: Option<Unique<Option<DeclaredColumn>>>,
}

/// A map in which no key may stand twice: YAML's reader would take the last one without a word.
#[derive(Debug)]
struct Unique<V>(BTreeMap<String, V>);

impl<V> Default for Unique<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Pairs(PhantomData))
    }
}

/// Reads the pairs of a [`Unique`].
struct Pairs<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
    type Value = Unique<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let mut found = BTreeMap::new();
        while let Some(key) = pairs.next_key::<String>()? {
            if found.contains_key(&key) {
                return Err(A::Error::custom(format!("{key:?} is given twice; keep one")));
            }
            found.insert(key, pairs.next_value()?);
        }
        Ok(Unique(found))
    }
}

/// Tells a key that is null from one that isn't there.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Reads what is declared for the database in `directory`: its manifest, then `schema_file` or
/// else `relcast.yaml` beside it.
pub(crate) fn read(directory: &Path, schema_file: Option<&Path>) -> Result<Declared, CatalogError> {
    let mut declared = Declared::default();
    if let Some((file, manifest)) = find_manifest(directory)? {
        declared.is_complete = true;
        declared.name = manifest.name;
        declared.val_timestamp =
            read_time(&file, "val_timestamp", manifest.val_timestamp.as_deref())?;
        declared.test_timestamp =
            read_time(&file, "test_timestamp", manifest.test_timestamp.as_deref())?;
        for (name, table) in manifest.tables {
            let table = DeclaredTable {
                file: file.clone(),
                primary_key: Some(table.pkey.map(Names::into_vec).unwrap_or_default()),
                time_column: Some(table.time_col),
                links: Some(table.fkeys.unwrap_or_default()),
                ..DeclaredTable::default()
            };
            declared.tables.insert(name, table);
        }
    }
    let beside = directory.join("relcast.yaml");
    let file = match schema_file {
        Some(file) => Some(file.to_owned()),
        None => Some(beside).filter(|f| f.exists()),
    };
    if let Some(file) = file {
        add_schema_file(&mut declared, &file)?;
    }
    Ok(declared)
}

/// As what `manifest.yaml` and `schema_file`, or else `relcast.yaml`, say that columns of the database in
/// `directory` are to be read: numbers and times as such, keys and what is declared otherwise whole.
///
/// # Errors
/// When one of the files can't be read.
pub fn column_types(
    directory: &Path,
    schema_file: Option<&Path>,
) -> Result<ReadColumns, CatalogError> {
    let declared = read(directory, schema_file)?;
    let tables = declared.tables.into_iter();
    Ok(tables.map(|(name, table)| (name, types_of(table))).collect())
}

fn types_of(table: DeclaredTable) -> BTreeMap<String, ReadAs> {
    let mut types = BTreeMap::new();
    let links = table.links.unwrap_or_default().into_keys();
    let linked = links
        .flat_map(|columns| columns.split(',').map(|c| c.trim().to_owned()).collect::<Vec<_>>());
    let keys = linked.chain(table.primary_key.unwrap_or_default());
    types.extend(keys.map(|column| (column, ReadAs::Whole)));
    let mut times: Vec<String> =
        table.time_column.flatten().into_iter().chain(table.end_time_column).collect();
    for (column, says) in table.columns {
        times.extend(says.known_from);
        let read_as = match says.semantic {
            _ if says.ignored => continue,
            _ if says.planned => ReadAs::Times,
            Some(SemanticType::Numerical) => ReadAs::Numbers,
            Some(SemanticType::Timestamp) => ReadAs::Times,
            Some(_) => ReadAs::Whole,
            None => continue,
        };
        types.insert(column, read_as);
    }
    types.extend(times.into_iter().map(|column| (column, ReadAs::Times)));
    types
}

fn add_schema_file(declared: &mut Declared, file: &Path) -> Result<(), CatalogError> {
    let schema: SchemaFile = read_yaml(file)?;
    let val = read_time(file, "val_timestamp", schema.val_timestamp.as_deref())?;
    let test = read_time(file, "test_timestamp", schema.test_timestamp.as_deref())?;
    declared.val_timestamp = val.or(declared.val_timestamp);
    declared.test_timestamp = test.or(declared.test_timestamp);
    for (name, table) in schema.tables.0 {
        let Some(table) = table else { continue };
        if table.time_column == Some(None) {
            declared.untimed.insert(name.clone());
        }
        let into = declared.tables.entry(name).or_default();
        into.file = file.to_owned();
        if let Some(key) = table.primary_key {
            into.primary_key = Some(key.map(Names::into_vec).unwrap_or_default());
        }
        if let Some(time) = table.time_column {
            into.time_column = Some(time);
        }
        if let Some(links) = table.foreign_keys {
            into.links = Some(links.unwrap_or_default().0);
        }
        into.end_time_column = table.end_time_column.or(into.end_time_column.take());
        for (column, says) in table.columns.unwrap_or_default().0 {
            into.columns.insert(column, says.unwrap_or_default());
        }
    }
    Ok(())
}
