//! What can be wrong with the declarations of a database.

use std::path::PathBuf;

use datafusion::error::DataFusionError;

use crate::schema::Table;

/// Declarations that can't be read or don't fit the tables, or a query over them that failed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A declaration file can't be opened.
    #[error("can't read {}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A declaration file isn't YAML of the expected form.
    #[error("{} isn't as expected: {reason}", .file.display())]
    Yaml {
        /// The file.
        file: PathBuf,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// A key that looks like a mistyped known one.
    #[error("{}: unknown key {name:?}; did you mean {nearest:?}?", .file.display())]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The key in the file.
        name: String,
        /// The known key it resembles.
        nearest: String,
    },
    /// A table that the database doesn't have.
    #[error("{}: no table {name:?} in the database; {}", .file.display(), missing_table(.name, .nearest.as_ref()))]
    UnknownTable {
        /// The file that names it.
        file: PathBuf,
        /// The name.
        name: String,
        /// The most similar table, if one is similar.
        nearest: Option<String>,
    },
    /// A column that its table doesn't have.
    #[error("{}: table {table:?} has no column {name:?}{}", .file.display(), did_you_mean(.nearest.as_ref()))]
    UnknownColumn {
        /// The file that names it.
        file: PathBuf,
        /// The table.
        table: String,
        /// The name.
        name: String,
        /// The most similar column, if one is similar.
        nearest: Option<String>,
    },
    /// A column whose type doesn't allow what is declared.
    #[error("{}: column {table}.{column} is {data_type} and can't be {role}; {hint}", .file.display())]
    WrongType {
        /// The file that declares it.
        file: PathBuf,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
        /// What it is declared as.
        role: String,
        /// What to do.
        hint: &'static str,
    },
    /// `known_from` on a column that is read as soon as its row is known.
    #[error(
        "{}: column {table}.{column} is {role}, read as soon as its row is known, so known_from \
         can't hold it back; {hint}",
        .file.display()
    )]
    KnownFromOnKey {
        /// The file that declares it.
        file: PathBuf,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What it is to its row.
        role: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A link to a table without a primary key.
    #[error("{}: {table}.{columns} points to {parent:?}, which has no primary key; declare one", .file.display())]
    NoPrimaryKey {
        /// The file that declares the link.
        file: PathBuf,
        /// The child table.
        table: String,
        /// The foreign key.
        columns: String,
        /// The parent table.
        parent: String,
    },
    /// A link with more or fewer columns than the key it points to.
    #[error(
        "{}: {table}.({columns}) has {given} column(s), but the primary key of {parent:?} has {needed}; \
         name one per key column, as \"a, b\"",
        .file.display()
    )]
    LinkWidth {
        /// The file that declares the link.
        file: PathBuf,
        /// The child table.
        table: String,
        /// The foreign key.
        columns: String,
        /// Its number of columns.
        given: usize,
        /// The parent table.
        parent: String,
        /// The number of columns of the parent's primary key.
        needed: usize,
    },
    /// A text that should be a time.
    #[error("{}: {field} is {text:?}, which is no time; write 2020-01-31 or 2020-01-31 12:00:00", .file.display())]
    BadTime {
        /// The file.
        file: PathBuf,
        /// The field.
        field: String,
        /// Its text.
        text: String,
    },
    /// A field that a task of this kind needs.
    #[error("{}: the field {field:?} is missing", .file.display())]
    MissingField {
        /// The file.
        file: PathBuf,
        /// The field.
        field: &'static str,
    },
    /// A task that the database doesn't have.
    #[error("no task {name:?} beside the database{}", known_tasks(.nearest.as_ref(), .known))]
    UnknownTask {
        /// The name.
        name: String,
        /// The most similar task, if one is similar.
        nearest: Option<String>,
        /// All tasks.
        known: Vec<String>,
    },
    /// A task whose models must not read a column that the graph's links are made of.
    #[error(
        "task {task:?} removes {link}, a foreign key, which models read through its link; take it out \
         of remove_columns, or declare foreign_keys without it in relcast.yaml"
    )]
    RemovedLink {
        /// The task.
        task: String,
        /// The link, as people write it.
        link: String,
    },
    /// A primary key names more than one row, so links and labels would be ambiguous.
    #[error(
        "{count} rows of table {table:?} repeat a primary key ({key}); remove them, or declare another key in relcast.yaml"
    )]
    DuplicateKeys {
        /// The table.
        table: String,
        /// Its primary key.
        key: String,
        /// Rows beyond the first of each key.
        count: u64,
    },
    /// A query over a table failed.
    #[error("reading table {table:?} failed: {source}")]
    Query {
        /// The table.
        table: String,
        /// What DataFusion says.
        source: DataFusionError,
    },
}

impl CatalogError {
    /// That `count` rows of `table` repeat a primary key.
    #[must_use]
    pub fn duplicate_keys(table: &Table, count: u64) -> Self {
        let key = table.primary_key.join(", ");
        Self::DuplicateKeys { table: table.name.clone(), key, count }
    }

    /// For `map_err` on a query over `table`.
    pub(crate) fn query(table: &str) -> impl Fn(DataFusionError) -> CatalogError {
        let table = table.to_owned();
        move |source| CatalogError::Query { table: table.clone(), source }
    }
}

fn did_you_mean(nearest: Option<&String>) -> String {
    nearest.map(|n| format!("; did you mean {n:?}?")).unwrap_or_default()
}

fn missing_table(name: &str, nearest: Option<&String>) -> String {
    let file = format!("put {name}.parquet or {name}.csv beside the others");
    match nearest {
        Some(nearest) => format!("did you mean {nearest:?}? If not, {file}"),
        None => format!("{file}, or take the table out"),
    }
}

fn known_tasks(nearest: Option<&String>, known: &[String]) -> String {
    match (nearest, known) {
        (_, []) => "; it has no tasks".to_owned(),
        (Some(nearest), _) => format!("; did you mean {nearest:?}? It has {}", known.join(", ")),
        (None, _) => format!("; it has {}", known.join(", ")),
    }
}
