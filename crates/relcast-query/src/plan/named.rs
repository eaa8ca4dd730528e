//! The entities that FOR names, as a relation beside the cutoffs.

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

/// A SELECT of keys, with a cutoff of its own for each row or without.
pub(super) struct NamedRows {
    /// A relation for FROM with the key columns, and `relcast_cutoff` if `has_cutoffs`.
    pub(super) sql: String,
    /// Whether each row brings its cutoff.
    pub(super) has_cutoffs: bool,
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

    /// The named rows, once the columns of a SELECT are known; None for FOR EACH alone.
    pub(super) async fn rows(
        &self,
        context: &SessionContext,
    ) -> Result<Option<NamedRows>, QueryError> {
        let (sql, keys) = match self {
            Self::Each => return Ok(None),
            Self::Keys(sql) => {
                return Ok(Some(NamedRows { sql: sql.clone(), has_cutoffs: false }));
            }
            Self::Select { sql, columns } => (sql, columns),
        };
        let names = name_list(keys);
        let doing = "reading the entities of FOR … IN (SELECT …)";
        let frame = context.sql(sql).await.map_err(QueryError::run(doing))?;
        let columns = frame.schema().fields().len();
        let extra = columns.checked_sub(keys.len());
        match extra {
            Some(0) => {
                Ok(Some(NamedRows { sql: format!("({sql}) AS v({names})"), has_cutoffs: false }))
            }
            Some(1) => {
                let sql = format!(
                    "(SELECT {names}, arrow_cast(\"relcast_cutoff\", 'Timestamp(Microsecond, None)') AS \"relcast_cutoff\" FROM ({sql}) AS u({names}, \"relcast_cutoff\")) AS v"
                );
                Ok(Some(NamedRows { sql, has_cutoffs: true }))
            }
            _ => Err(QueryError::Split {
                message: format!(
                    "FOR … IN (SELECT …) yields {columns} columns; expected {} key columns, and at most one more for the cutoff",
                    keys.len()
                ),
            }),
        }
    }
}

fn name_list(columns: &[String]) -> String {
    columns.iter().map(|k| quoted(k)).collect::<Vec<_>>().join(", ")
}
