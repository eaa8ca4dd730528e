//! RelBench's manifests: the one of a database and those of its tasks.
//!
//! A key that isn't known is passed over with a warning, since the format grows; one that looks
//! like a mistyped known key is an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::error::CatalogError;
use crate::names::nearest;
use crate::schema::{Schema, SemanticType};
use crate::times::parse_time;

/// One name or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Names {
    One(String),
    Many(Vec<String>),
}

impl Names {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Names::One(name) => vec![name],
            Names::Many(names) => names,
        }
    }
}

/// `manifest.yaml` of a database.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) name: Option<String>,
    pub(crate) val_timestamp: Option<String>,
    pub(crate) test_timestamp: Option<String>,
    #[serde(default)]
    pub(crate) tables: BTreeMap<String, ManifestTable>,
    #[serde(flatten)]
    other: BTreeMap<String, IgnoredAny>,
}

/// One table in `manifest.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestTable {
    pub(crate) pkey: Option<Names>,
    pub(crate) time_col: Option<String>,
    pub(crate) fkeys: Option<BTreeMap<String, String>>,
}

/// A task of a database: `tasks/<name>/manifest.yaml`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskManifest {
    /// The task's name; the name of its folder where the manifest has none.
    pub name: String,
    /// `forecast`, `autocomplete`, …
    pub kind: String,
    /// `binary_classification`, `regression`, `recommendation`, …
    pub task_type: String,
    /// What is predicted, in words.
    pub description: String,
    /// The table of the entity; for a recommendation the source table.
    pub entity_table: String,
    /// The entity's key in the label files; for a recommendation the source key.
    pub entity_col: String,
    /// The label's column in the label files; for a recommendation the list of destination keys.
    pub target_col: String,
    /// The cutoff's column in the label files.
    pub time_col: String,
    /// The horizon as a duration, such as `30 days`.
    pub timedelta: Option<String>,
    /// The horizon as a calendar step, such as `1 year`; goes before `timedelta`.
    pub horizon: Option<String>,
    /// The number of evaluation cutoffs in each of validation and test.
    pub num_eval_timestamps: Option<u32>,
    /// The earliest training cutoff, microseconds UTC.
    pub train_start: Option<i64>,
    /// The label query over `timestamps(timestamp)`, in DuckDB's dialect.
    pub sql: Option<String>,
    /// The table of the entity, of a recommendation.
    pub src_entity_table: Option<String>,
    /// The entity's key, of a recommendation.
    pub src_entity_col: Option<String>,
    /// The table of the items, of a recommendation.
    pub dst_entity_table: Option<String>,
    /// The items' key, of a recommendation.
    pub dst_entity_col: Option<String>,
    /// The number of items that are ranked, of a recommendation.
    pub eval_k: Option<u32>,
    /// Columns that models must not read, by table name; the label query may.
    pub remove_columns: BTreeMap<String, Vec<String>>,
    /// The folder that holds the manifest and `train|val|test.parquet`.
    pub directory: PathBuf,
}

impl TaskManifest {
    /// `schema` as models of the task read it: the columns to leave out are ignored. Those of a
    /// primary key are never read as values and stay what they are.
    ///
    /// # Errors
    /// [`CatalogError::RemovedLink`] for a foreign key, which is read through its link.
    pub fn schema_of_inputs(&self, mut schema: Schema) -> Result<Schema, CatalogError> {
        for (name, columns) in &self.remove_columns {
            let Some(id) = schema.find_table(name) else { continue };
            if let Some((_, link)) =
                schema.links_from(id).find(|(_, l)| l.columns.iter().any(|c| columns.contains(c)))
            {
                return Err(CatalogError::RemovedLink {
                    task: self.name.clone(),
                    link: schema.link_name(link),
                });
            }
            let Some(table) = schema.tables.get_mut(id.index()) else { continue };
            let keys = &table.primary_key;
            let removed = |column: &str| {
                columns.iter().any(|c| c == column) && !keys.iter().any(|k| k == column)
            };
            for column in table.columns.iter_mut().filter(|c| removed(&c.name)) {
                column.semantic = SemanticType::Ignored;
            }
        }
        Ok(schema)
    }
}

/// A task manifest as it stands in the file.
#[derive(Debug, Deserialize)]
struct RawTask {
    name: Option<String>,
    kind: Option<String>,
    task_type: Option<String>,
    description: Option<String>,
    entity_table: Option<String>,
    entity_col: Option<String>,
    target_col: Option<String>,
    time_col: Option<String>,
    timedelta: Option<String>,
    horizon: Option<String>,
    num_eval_timestamps: Option<u32>,
    train_start: Option<String>,
    sql: Option<String>,
    src_entity_table: Option<String>,
    src_entity_col: Option<String>,
    dst_entity_table: Option<String>,
    dst_entity_col: Option<String>,
    eval_k: Option<u32>,
    remove_columns: Option<RemoveColumns>,
    #[serde(flatten)]
    other: BTreeMap<String, IgnoredAny>,
}

/// Columns to leave out: of the entity table, by table, or as pairs of table and column.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RemoveColumns {
    OfEntity(Vec<String>),
    ByTable(BTreeMap<String, Names>),
    Pairs(Vec<(String, String)>),
}

const MANIFEST_KEYS: [&str; 6] =
    ["name", "manifest_version", "description", "val_timestamp", "test_timestamp", "tables"];

const TASK_KEYS: [&str; 20] = [
    "name",
    "kind",
    "task_type",
    "description",
    "entity_table",
    "entity_col",
    "target_col",
    "time_col",
    "timedelta",
    "horizon",
    "num_eval_timestamps",
    "train_start",
    "sql",
    "src_entity_table",
    "src_entity_col",
    "dst_entity_table",
    "dst_entity_col",
    "eval_k",
    "remove_columns",
    "manifest_version",
];

/// Reads a YAML file.
pub(crate) fn read_yaml<T: DeserializeOwned>(file: &Path) -> Result<T, CatalogError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| CatalogError::Io { file: file.to_owned(), source })?;
    serde_norway::from_str(&text)
        .map_err(|e| CatalogError::Yaml { file: file.to_owned(), reason: e.to_string() })
}

/// Reads a time field, if it is there.
pub(crate) fn read_time(
    file: &Path,
    field: &str,
    text: Option<&str>,
) -> Result<Option<i64>, CatalogError> {
    let bad = |text: &str| CatalogError::BadTime {
        file: file.to_owned(),
        field: field.to_owned(),
        text: text.to_owned(),
    };
    text.map(|t| parse_time(t).ok_or_else(|| bad(t))).transpose()
}

/// The manifest of the database in `directory`, if it has one, with the file's path.
pub(crate) fn find_manifest(directory: &Path) -> Result<Option<(PathBuf, Manifest)>, CatalogError> {
    let file = directory.join("manifest.yaml");
    if !file.exists() {
        return Ok(None);
    }
    let manifest: Manifest = read_yaml(&file)?;
    check_keys(&file, &manifest.other, &MANIFEST_KEYS)?;
    Ok(Some((file, manifest)))
}

/// All tasks below `directory`, sorted by name.
pub(crate) fn read_tasks(directory: &Path) -> Result<Vec<TaskManifest>, CatalogError> {
    let folder = directory.join("tasks");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let io = |source| CatalogError::Io { file: folder.clone(), source };
    let mut tasks = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(io)? {
        let task = entry.map_err(io)?.path();
        let file = task.join("manifest.yaml");
        if file.is_file() {
            tasks.push(read_task(&task, &file)?);
        }
    }
    tasks.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tasks)
}

fn read_task(directory: &Path, file: &Path) -> Result<TaskManifest, CatalogError> {
    let raw: RawTask = read_yaml(file)?;
    check_keys(file, &raw.other, &TASK_KEYS)?;
    let missing = |field| CatalogError::MissingField { file: file.to_owned(), field };
    let folder = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let train_start = read_time(file, "train_start", raw.train_start.as_deref())?;
    let entity_table = raw
        .entity_table
        .or_else(|| raw.src_entity_table.clone())
        .ok_or_else(|| missing("entity_table"))?;
    let entity_col = raw
        .entity_col
        .or_else(|| raw.src_entity_col.clone())
        .ok_or_else(|| missing("entity_col"))?;
    let target_col = raw
        .target_col
        .or_else(|| raw.dst_entity_col.clone())
        .ok_or_else(|| missing("target_col"))?;
    let remove_columns = by_table(&entity_table, raw.remove_columns);
    Ok(TaskManifest {
        name: raw.name.unwrap_or(folder),
        kind: raw.kind.unwrap_or_else(|| "forecast".to_owned()),
        task_type: raw.task_type.ok_or_else(|| missing("task_type"))?,
        description: raw.description.unwrap_or_default(),
        entity_table,
        entity_col,
        target_col,
        time_col: raw.time_col.ok_or_else(|| missing("time_col"))?,
        timedelta: raw.timedelta,
        horizon: raw.horizon,
        num_eval_timestamps: raw.num_eval_timestamps,
        train_start,
        sql: raw.sql,
        src_entity_table: raw.src_entity_table,
        src_entity_col: raw.src_entity_col,
        dst_entity_table: raw.dst_entity_table,
        dst_entity_col: raw.dst_entity_col,
        eval_k: raw.eval_k,
        remove_columns,
        directory: directory.to_owned(),
    })
}

fn by_table(entity_table: &str, columns: Option<RemoveColumns>) -> BTreeMap<String, Vec<String>> {
    match columns {
        None => BTreeMap::new(),
        Some(RemoveColumns::OfEntity(names)) if names.is_empty() => BTreeMap::new(),
        Some(RemoveColumns::OfEntity(names)) => BTreeMap::from([(entity_table.to_owned(), names)]),
        Some(RemoveColumns::ByTable(tables)) => {
            tables.into_iter().map(|(table, names)| (table, names.into_vec())).collect()
        }
        Some(RemoveColumns::Pairs(pairs)) => {
            let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (table, column) in pairs {
                tables.entry(table).or_default().push(column);
            }
            tables
        }
    }
}

/// Refuses keys that look mistyped, warns about the others.
fn check_keys(
    file: &Path,
    other: &BTreeMap<String, IgnoredAny>,
    known: &[&str],
) -> Result<(), CatalogError> {
    for name in other.keys().filter(|name| !known.contains(&name.as_str())) {
        let similar = nearest(name, known.iter().copied())
            .filter(|n| strsim::damerau_levenshtein(n, name) <= 2);
        if let Some(similar) = similar {
            return Err(CatalogError::UnknownKey {
                file: file.to_owned(),
                name: name.clone(),
                nearest: similar.to_owned(),
            });
        }
        tracing::warn!(file = %file.display(), key = %name, "unknown key passed over");
    }
    Ok(())
}
