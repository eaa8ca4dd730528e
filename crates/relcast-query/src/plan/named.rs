//! The entities that FOR names, as a relation beside the cutoffs.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::prelude::SessionContext;
use relcast_catalog::quoted;
use serde::{Deserialize, Serialize};

use super::expression::literal_sql;
use crate::ast::Selection;
use crate::error::QueryError;

/// Which entities FOR names, as SQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Named {
    /// None in particular.
    Each,
    /// The rows of this relation: keys.
    Keys(String),
    /// The rows of this SELECT: keys, in columns of these names, with a cutoff where it has one
    /// column more.
    Select { sql: String, columns: Vec<String> },
}

/// Keys, with a cutoff of its own for each or without.
pub(super) struct NamedRows {
    /// A relation for FROM with the key columns, and `relcast_cutoff` if `has_cutoffs`, of the rows
    /// that can be read.
    pub(super) sql: String,
    /// Whether each row brings its cutoff.
    pub(super) has_cutoffs: bool,
    /// One row of SQL with the numbers of those that cannot: with a key that is none, without a
    /// cutoff, with a cutoff that is none. Nothing where all can.
    pub(super) unreadable: Option<String>,
}

impl Named {
    /// What `selection` names; `columns` are the key's columns in the order of its rows.
    pub(super) fn of(selection: &Selection, columns: &[String]) -> Self {
        match selection {
            Selection::Each => Self::Each,
            Selection::Select(sql) => Self::Select { sql: sql.clone(), columns: columns.to_vec() },
            Selection::Keys(keys) => {
                let rows = keys.iter().map(|key| {
                    let values = key.iter().map(literal_sql).collect::<Vec<_>>();
                    format!("({})", values.join(", "))
                });
                let rows = rows.collect::<Vec<_>>().join(", ");
                Self::Keys(format!("(VALUES {rows}) AS v({})", name_list(columns)))
            }
        }
    }

    /// The named rows, once the columns of a SELECT are known; None for FOR EACH alone. `type_of` are
    /// the types of the entity's key columns.
    pub(super) async fn rows(
        &self,
        context: &SessionContext,
        type_of: impl Fn(&str) -> Option<DataType>,
    ) -> Result<Option<NamedRows>, QueryError> {
        let (sql, keys) = match self {
            Self::Each => return Ok(None),
            Self::Keys(sql) => {
                let sql = sql.clone();
                return Ok(Some(NamedRows { sql, has_cutoffs: false, unreadable: None }));
            }
            Self::Select { sql, columns } => (sql, columns),
        };
        let doing = "reading the entities of FOR … IN (SELECT …)";
        let frame = context.sql(sql).await.map_err(QueryError::run(doing))?;
        let fields = frame.schema().fields();
        let has_cutoffs = match fields.len().checked_sub(keys.len()) {
            Some(0) => false,
            Some(1) => true,
            _ => {
                return Err(QueryError::Named {
                    message: format!(
                        "yields {} columns; expected {} key columns, and at most one more for the cutoff",
                        fields.len(),
                        keys.len()
                    ),
                    hint: None,
                });
            }
        };
        let (mut names, mut read, mut no_key) = (Vec::new(), Vec::new(), Vec::new());
        for (key, field) in keys.iter().zip(fields) {
            let name = quoted(key);
            let written = format!("u.{name}");
            let text = matches!(
                field.data_type(),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
            );
            let value = match type_of(key).filter(|key| text && *key != DataType::Utf8) {
                // A text may hold no key of another type.
                Some(key) => {
                    let value = format!("arrow_try_cast({written}, '{key}')");
                    no_key.push(format!("({written} IS NOT NULL AND {value} IS NULL)"));
                    value
                }
                None => written,
            };
            read.push(format!("{value} AS {name}"));
            names.push(name);
        }
        let (mut no_cutoff, mut wrong_cutoff) = (None, None);
        if has_cutoffs {
            let written = "u.\"relcast_cutoff\"";
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            let value = match fields.last().map(|field| field.data_type()) {
                Some(found) if *found == micros => written.to_owned(),
                _ => format!("arrow_try_cast({written}, 'Timestamp(Microsecond, None)')"),
            };
            no_cutoff = Some(format!("{written} IS NULL"));
            wrong_cutoff = Some(format!("({written} IS NOT NULL AND {value} IS NULL)"));
            read.push(format!("{value} AS \"relcast_cutoff\""));
            names.push("\"relcast_cutoff\"".to_owned());
        }
        let rows = format!("FROM ({sql}) AS u({})", names.join(", "));
        let no_key = (!no_key.is_empty()).then(|| format!("({})", no_key.join(" OR ")));
        let lacks = [no_key, no_cutoff, wrong_cutoff];
        let any: Vec<&str> = lacks.iter().flatten().map(String::as_str).collect();
        let readable = match any.is_empty() {
            true => String::new(),
            false => format!(" WHERE NOT ({})", any.join(" OR ")),
        };
        let unreadable = (!any.is_empty()).then(|| {
            let count = |lack: &Option<String>| {
                let lack = lack.as_deref().unwrap_or("FALSE");
                format!("COUNT(CASE WHEN {lack} THEN 1 END)")
            };
            let [keys, none, wrong] = lacks.each_ref().map(count);
            format!("SELECT {keys} AS a, {none} AS b, {wrong} AS c {rows}")
        });
        let sql = format!("(SELECT {} {rows}{readable}) AS v", read.join(", "));
        Ok(Some(NamedRows { sql, has_cutoffs, unreadable }))
    }
}

fn name_list(columns: &[String]) -> String {
    columns.iter().map(|k| quoted(k)).collect::<Vec<_>>().join(", ")
}
