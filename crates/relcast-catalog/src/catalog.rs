//! The catalog of a database: declarations checked against its tables, the rest inferred.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use relcast_connect::{Database, OddCells};
use serde::{Deserialize, Serialize};

use crate::declared::{self, Declared, DeclaredTable};
use crate::error::CatalogError;
use crate::infer::{self, Inferred, TimeLike};
use crate::inspect::known_from_text;
use crate::known::known_at;
use crate::manifest::{TaskManifest, read_tasks};
use crate::names::nearest;
use crate::schema::{Column, KnownFrom, Link, Schema, SemanticType, Table, TableId};
use crate::sql::quoted;
use crate::statistics::{self, TableStatistics};

/// Something that isn't declared and was inferred, for a person to confirm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The table.
    pub table: String,
    /// What is proposed, such as `primary key order_id`.
    pub what: String,
    /// What speaks for it.
    pub evidence: String,
}

/// What is known about a database without reading its rows again.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Catalog {
    /// The database's name, where its manifest has one.
    pub name: Option<String>,
    /// Tables, keys, links, times and semantic types.
    pub schema: Schema,
    /// The tasks that lie beside the tables, sorted by name.
    pub tasks: Vec<TaskManifest>,
    /// Everything that was inferred, sorted by table.
    pub proposals: Vec<Proposal>,
    /// Columns that look like times in tables for which no time column is declared or was found.
    pub time_like: Vec<TimeLike>,
    /// Tables of which `relcast.yaml` says that they have no time column.
    #[serde(skip)]
    pub(crate) untimed: BTreeSet<String>,
    /// Tables and positions of the columns whose semantic type nothing declares.
    #[serde(skip)]
    undeclared: Vec<(TableId, usize)>,
}

impl Catalog {
    /// The schema with the semantic types that nothing declares inferred anew from what is known at
    /// `until`, microseconds UTC: rows and cells that are younger can't change it.
    ///
    /// # Errors
    /// When a query over a table fails.
    pub async fn schema_known_at(
        &self,
        database: &Database,
        until: i64,
    ) -> Result<Schema, CatalogError> {
        let mut schema = self.schema.clone();
        for of_table in self.undeclared.chunk_by(|a, b| a.0 == b.0) {
            let Some((id, _)) = of_table.first() else { continue };
            let types = infer_types(database, &self.schema, *id, Some(until)).await?;
            let columns = schema.tables.get_mut(id.index()).map(|t| t.columns.as_mut_slice());
            let columns = columns.unwrap_or_default();
            for (_, position) in of_table {
                if let (Some(column), Some(inferred)) =
                    (columns.get_mut(*position), types.get(*position))
                {
                    column.semantic = inferred.value;
                }
            }
        }
        Ok(schema)
    }

    /// What may leak into a model of `entity`: a sentence for each table that is linked to it, over
    /// others or not, and holds what looks like a time while none was found.
    #[must_use]
    pub fn time_doubts(&self, entity: TableId) -> Vec<String> {
        let schema = &self.schema;
        let mut reached = vec![false; schema.tables.len()];
        let mut open = vec![entity];
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut reached[id.index()], true) {
                open.extend(schema.links_from(id).map(|(_, link)| link.parent));
                open.extend(schema.links_to(id).map(|(_, link)| link.child));
            }
        }
        let linked = schema.tables.iter().zip(reached).filter(|(_, reached)| *reached);
        let doubt = |(table, _): (&Table, bool)| {
            let of_table = self.time_like.iter().filter(|t| t.table == table.name);
            let columns: Vec<String> =
                of_table.map(|t| format!("\"{}\" ({})", t.column, t.evidence)).collect();
            let known = match &table.known_from {
                KnownFrom::Static => "count as always known".to_owned(),
                known_from => format!("are known {}", known_from_text(schema, known_from)),
            };
            (!columns.is_empty()).then(|| {
                format!(
                    "table \"{}\" has no time column, its rows {known}, but this looks like a time: {}; declare time_column in relcast.yaml (a date or timestamp; convert others in the source), or time_column: null if that is right",
                    table.name,
                    columns.join(", ")
                )
            })
        };
        linked.filter_map(doubt).collect()
    }

    /// The task of this name.
    ///
    /// # Errors
    /// [`CatalogError::UnknownTask`] with the nearest name.
    pub fn find_task(&self, name: &str) -> Result<&TaskManifest, CatalogError> {
        self.tasks.iter().find(|t| t.name == name).ok_or_else(|| {
            let known: Vec<String> = self.tasks.iter().map(|t| t.name.clone()).collect();
            CatalogError::UnknownTask {
                name: name.to_owned(),
                nearest: nearest(name, known.iter().map(String::as_str)).map(str::to_owned),
                known,
            }
        })
    }
}

/// Reads the catalog of a database: `manifest.yaml`, then `schema_file` or else `relcast.yaml`
/// beside the tables, then inference for what neither declares.
///
/// Keys, links and times are inferred only where there is no manifest. Semantic types are
/// inferred from what is known before the validation split where one is declared, so that nothing
/// later can change them; [`Catalog::schema_known_at`] infers them at any other moment.
///
/// # Errors
/// When a declaration can't be read or names what the database doesn't have, when a type doesn't
/// fit, or when a query over a table fails.
pub async fn load(
    database: &Database,
    schema_file: Option<&Path>,
) -> Result<Catalog, CatalogError> {
    let declared = declared::read(&database.directory, schema_file)?;
    let (mut proposals, mut time_like) = (Vec::new(), Vec::new());
    let mut schema = Schema {
        tables: read_tables(database).await?,
        val_timestamp: declared.val_timestamp,
        test_timestamp: declared.test_timestamp,
        dates: database.dates.clone(),
        ..Schema::default()
    };
    check_table_names(&declared, &schema)?;
    set_keys_and_times(database, &declared, &mut schema, &mut proposals, &mut time_like).await?;
    set_links(database, &declared, &mut schema, &mut proposals).await?;
    schema.resolve_known_from();
    set_declared_columns(&declared, &mut schema)?;
    let undeclared = set_semantic_types(database, &declared, &mut schema, &mut proposals).await?;
    let tasks = read_tasks(&database.directory)?;
    for task in &tasks {
        check_task(task, &schema)?;
    }
    proposals.sort_by(|a, b| a.table.cmp(&b.table));
    let Declared { name, untimed, .. } = declared;
    Ok(Catalog { name, schema, tasks, proposals, time_like, untimed, undeclared })
}

async fn read_tables(database: &Database) -> Result<Vec<Table>, CatalogError> {
    let mut tables = Vec::with_capacity(database.tables.len());
    for name in &database.tables {
        let reference = datafusion::common::TableReference::bare(name.as_str());
        let frame = database.context.table(reference).await.map_err(CatalogError::query(name))?;
        let columns = frame.schema().fields().iter().map(|field| Column {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            semantic: SemanticType::Ignored,
            planned: false,
            known_from: None,
        });
        tables.push(Table {
            name: name.clone(),
            columns: columns.collect(),
            primary_key: Vec::new(),
            time_column: None,
            end_time_column: None,
            known_from: KnownFrom::Static,
        });
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

fn check_table_names(declared: &Declared, schema: &Schema) -> Result<(), CatalogError> {
    for (name, table) in &declared.tables {
        if !schema.tables.iter().any(|t| &t.name == name) {
            return Err(unknown_table(&table.file, name, schema));
        }
    }
    Ok(())
}

fn unknown_table(file: &Path, name: &str, schema: &Schema) -> CatalogError {
    CatalogError::UnknownTable {
        file: file.to_owned(),
        name: name.to_owned(),
        nearest: nearest(name, schema.tables.iter().map(|t| t.name.as_str())).map(str::to_owned),
    }
}

/// The column of exactly this name, or an error with the nearest one.
fn column<'a>(file: &Path, table: &'a Table, name: &str) -> Result<&'a Column, CatalogError> {
    table.find_column(name).ok_or_else(|| CatalogError::UnknownColumn {
        file: file.to_owned(),
        table: table.name.clone(),
        name: name.to_owned(),
        nearest: nearest(name, table.columns.iter().map(|c| c.name.as_str())).map(str::to_owned),
    })
}

/// Checks that a column can be read as `semantic`, which is declared as its `role`.
fn check_type(
    file: &Path,
    table: &Table,
    name: &str,
    semantic: SemanticType,
    role: &str,
) -> Result<(), CatalogError> {
    let column = column(file, table, name)?;
    infer::fits(semantic, &column.data_type).map_err(|hint| CatalogError::WrongType {
        file: file.to_owned(),
        table: table.name.clone(),
        column: name.to_owned(),
        data_type: column.data_type.to_string(),
        role: role.to_owned(),
        hint,
    })
}

async fn set_keys_and_times(
    database: &Database,
    declared: &Declared,
    schema: &mut Schema,
    proposals: &mut Vec<Proposal>,
    time_like: &mut Vec<TimeLike>,
) -> Result<(), CatalogError> {
    for table in &mut schema.tables {
        let says = declared.tables.get(&table.name).cloned().unwrap_or_default();
        set_declared_key_and_times(table, &says)?;
        let infers =
            !declared.is_complete && (says.primary_key.is_none() || says.time_column.is_none());
        if !infers {
            continue;
        }
        let counts = count_all(database, table).await?;
        if says.primary_key.is_none()
            && let Some(key) = infer::primary_key(&database.context, table, &counts).await?
        {
            proposals.push(proposal(table, format!("primary key {}", key.value), key.evidence));
            table.primary_key = vec![key.value];
        }
        if says.time_column.is_some() {
            continue;
        }
        match infer::time_column(table, &counts) {
            Some(time) => {
                let what = format!("time column {}", time.value);
                proposals.push(proposal(table, what, time.evidence));
                table.time_column = Some(time.value);
            }
            None => {
                let mut found = infer::time_like(&database.context, table, &counts).await?;
                // Which cell keeps a column from being a time says more.
                for like in &mut found {
                    let is_odd = |odd: &&OddCells| {
                        !odd.is_typed && odd.table == like.table && odd.column == like.column
                    };
                    if let Some(odd) = database.odd_cells.iter().find(is_odd) {
                        like.evidence.clone_from(&odd.text);
                    }
                }
                time_like.extend(found);
            }
        }
    }
    Ok(())
}

fn set_declared_key_and_times(table: &mut Table, says: &DeclaredTable) -> Result<(), CatalogError> {
    for name in says.primary_key.iter().flatten() {
        column(&says.file, table, name)?;
    }
    let time = says.time_column.clone().flatten();
    for (name, role) in [(&time, "a time column"), (&says.end_time_column, "an end time column")] {
        if let Some(name) = name {
            check_type(&says.file, table, name, SemanticType::Timestamp, role)?;
        }
    }
    table.primary_key = says.primary_key.clone().unwrap_or_default();
    table.time_column = time;
    table.end_time_column = says.end_time_column.clone();
    Ok(())
}

async fn count_all(database: &Database, table: &Table) -> Result<TableStatistics, CatalogError> {
    let relation = format!("SELECT * FROM {}", quoted(&table.name));
    statistics::of_relation(&database.context, &table.name, &relation, &table.columns).await
}

fn proposal(table: &Table, what: String, evidence: String) -> Proposal {
    Proposal { table: table.name.clone(), what, evidence }
}

async fn set_links(
    database: &Database,
    declared: &Declared,
    schema: &mut Schema,
    proposals: &mut Vec<Proposal>,
) -> Result<(), CatalogError> {
    let mut links = Vec::new();
    for (child, table) in (0u32..).map(TableId).zip(&schema.tables) {
        let says = declared.tables.get(&table.name);
        match says.and_then(|s| s.links.as_ref().map(|links| (s, links))) {
            Some((says, written)) => {
                for (columns, parent) in written {
                    links.push(declared_link(&says.file, schema, child, columns, parent)?);
                }
            }
            None if !declared.is_complete => {
                let inferred = infer::links(&database.context, table, &schema.tables).await?;
                for link in inferred.doubtful {
                    let (column, parent) = link.value;
                    let what = format!("perhaps link {column} → {parent} (not used)");
                    proposals.push(proposal(table, what, link.evidence));
                }
                for link in inferred.found {
                    let (column, parent) = link.value;
                    let Some(parent_id) = schema.find_table(&parent) else { continue };
                    let what = format!("link {column} → {parent}");
                    proposals.push(proposal(table, what, link.evidence));
                    links.push(Link { child, columns: vec![column], parent: parent_id });
                }
            }
            None => {}
        }
    }
    links.sort_by(|a, b| (a.child, &a.columns, a.parent).cmp(&(b.child, &b.columns, b.parent)));
    schema.links = links;
    Ok(())
}

/// A link as declared: `columns` is a column, or several with commas between.
fn declared_link(
    file: &Path,
    schema: &Schema,
    child: TableId,
    columns: &str,
    parent: &str,
) -> Result<Link, CatalogError> {
    let table = schema.table(child);
    let names: Vec<String> = if table.find_column(columns).is_some() {
        vec![columns.to_owned()]
    } else {
        columns.split(',').map(|c| c.trim().to_owned()).collect()
    };
    for name in &names {
        column(file, table, name)?;
    }
    let parent_id = schema.find_table(parent).ok_or_else(|| unknown_table(file, parent, schema))?;
    let parent = schema.table(parent_id);
    if parent.primary_key.is_empty() {
        return Err(CatalogError::NoPrimaryKey {
            file: file.to_owned(),
            table: table.name.clone(),
            columns: columns.to_owned(),
            parent: parent.name.clone(),
        });
    }
    if parent.primary_key.len() != names.len() {
        return Err(CatalogError::LinkWidth {
            file: file.to_owned(),
            table: table.name.clone(),
            columns: columns.to_owned(),
            given: names.len(),
            parent: parent.name.clone(),
            needed: parent.primary_key.len(),
        });
    }
    Ok(Link { child, columns: names, parent: parent_id })
}

/// From when cells are known, as declared.
fn set_declared_columns(declared: &Declared, schema: &mut Schema) -> Result<(), CatalogError> {
    for id in (0u32..).map(TableId).take(schema.tables.len()) {
        let table = schema.table(id);
        let Some(says) = declared.tables.get(&table.name) else { continue };
        check_declared_columns(table, says)?;
        for (name, column) in &says.columns {
            if column.known_from.is_some() {
                check_known_from(&says.file, schema, id, name)?;
            }
        }
        let Some(table) = schema.tables.get_mut(id.index()) else { continue };
        for column in &mut table.columns {
            let Some(says) = says.columns.get(&column.name) else { continue };
            column.planned = says.planned;
            column.known_from = says.known_from.clone();
        }
    }
    Ok(())
}

/// Keys and times are read as soon as their row is known, so `known_from` could not hold them back.
fn check_known_from(
    file: &Path,
    schema: &Schema,
    id: TableId,
    name: &String,
) -> Result<(), CatalogError> {
    let table = schema.table(id);
    let (role, hint) = if table.primary_key.contains(name) {
        ("its primary key", "name that column as the table's time_column instead")
    } else if table.time_column.as_ref() == Some(name) {
        ("its time column", "name the later of the two as time_column instead")
    } else if table.end_time_column.as_ref() == Some(name) {
        ("its end time column", "leave one of the two out")
    } else if schema.links_from(id).any(|(_, link)| link.columns.contains(name)) {
        (
            "a foreign key",
            "name that column as the table's time_column, or declare foreign_keys without this one",
        )
    } else {
        return Ok(());
    };
    Err(CatalogError::KnownFromOnKey {
        file: file.to_owned(),
        table: table.name.clone(),
        column: name.clone(),
        role,
        hint,
    })
}

/// Sets what each column means; gives the columns for which nothing declares it.
async fn set_semantic_types(
    database: &Database,
    declared: &Declared,
    schema: &mut Schema,
    proposals: &mut Vec<Proposal>,
) -> Result<Vec<(TableId, usize)>, CatalogError> {
    let mut undeclared = Vec::new();
    let until = schema.val_timestamp.map(|split| split - 1);
    for id in (0u32..).map(TableId).take(schema.tables.len()) {
        let types = infer_types(database, schema, id, until).await?;
        let keys: Vec<String> = schema
            .links_from(id)
            .flat_map(|(_, link)| link.columns.clone())
            .chain(schema.table(id).primary_key.clone())
            .collect();
        let Some(table) = schema.tables.get_mut(id.index()) else { continue };
        let says = declared.tables.get(&table.name);
        let name = table.name.clone();
        for (position, (column, inferred)) in table.columns.iter_mut().zip(types).enumerate() {
            let says = says.and_then(|s| s.columns.get(&column.name));
            let declared = says.and_then(|s| match s.ignored {
                true => Some(SemanticType::Ignored),
                false => s.semantic,
            });
            if let Some(semantic) = declared {
                column.semantic = semantic;
                schema.declared_types.insert((name.clone(), column.name.clone()));
            } else if keys.contains(&column.name) {
                column.semantic = SemanticType::Key;
            } else {
                column.semantic = inferred.value;
                undeclared.push((id, position));
                proposals.push(Proposal {
                    table: name.clone(),
                    what: format!("{} is {}", column.name, semantic_name(inferred.value)),
                    evidence: inferred.evidence,
                });
            }
        }
    }
    Ok(undeclared)
}

/// What each column of a table means if it is no key, by what is known at `until`; by all rows
/// where no moment is given.
async fn infer_types(
    database: &Database,
    schema: &Schema,
    id: TableId,
    until: Option<i64>,
) -> Result<Vec<Inferred<SemanticType>>, CatalogError> {
    let table = schema.table(id);
    let relation = match until {
        Some(until) => known_at(schema, id, until),
        None => format!("SELECT * FROM {}", quoted(&table.name)),
    };
    let counts =
        statistics::of_relation(&database.context, &table.name, &relation, &table.columns).await?;
    let columns = table.columns.iter().zip(&counts.columns);
    Ok(columns.map(|(c, of_column)| infer::semantic_type(c, counts.rows, of_column)).collect())
}

fn check_declared_columns(table: &Table, says: &DeclaredTable) -> Result<(), CatalogError> {
    for (name, column_says) in &says.columns {
        column(&says.file, table, name)?;
        if let Some(semantic) = column_says.semantic {
            check_type(&says.file, table, name, semantic, semantic_name(semantic))?;
        }
        if column_says.planned {
            check_type(&says.file, table, name, SemanticType::Timestamp, "planned")?;
        }
        if let Some(from) = &column_says.known_from {
            check_type(&says.file, table, from, SemanticType::Timestamp, "a known_from")?;
        }
    }
    Ok(())
}

/// A semantic type as it is written in `relcast.yaml`.
pub(crate) fn semantic_name(semantic: SemanticType) -> &'static str {
    match semantic {
        SemanticType::Numerical => "numerical",
        SemanticType::Categorical => "categorical",
        SemanticType::Multicategorical => "multicategorical",
        SemanticType::Timestamp => "timestamp",
        SemanticType::Text => "text",
        SemanticType::Boolean => "boolean",
        SemanticType::Embedding => "embedding",
        SemanticType::Key => "key",
        SemanticType::Ignored => "ignored",
    }
}

/// Checks the tables and keys that a task names. The label's column is the task's own, but for
/// filling in, where it is a column of the entity table.
fn check_task(task: &TaskManifest, schema: &Schema) -> Result<(), CatalogError> {
    let file: PathBuf = task.directory.join("manifest.yaml");
    let table_of = |name: &str| {
        schema
            .find_table(name)
            .map(|id| schema.table(id))
            .ok_or_else(|| unknown_table(&file, name, schema))
    };
    column(&file, table_of(&task.entity_table)?, &task.entity_col)?;
    if let (Some(table), Some(name)) = (&task.dst_entity_table, &task.dst_entity_col) {
        column(&file, table_of(table)?, name)?;
    }
    if task.kind == "autocomplete" {
        column(&file, table_of(&task.entity_table)?, &task.target_col)?;
    }
    for (table, names) in &task.remove_columns {
        for name in names {
            column(&file, table_of(table)?, name)?;
        }
    }
    Ok(())
}
