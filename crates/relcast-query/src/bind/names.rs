//! Names of tables and columns: exactly, else case-insensitively where that is unambiguous.

use relcast_catalog::{Column, Schema, Table, TableId};

use crate::ast::Name;
use crate::error::{QueryError, did_you_mean};

pub(super) fn table(schema: &Schema, name: &Name) -> Result<TableId, QueryError> {
    schema.find_table(&name.text).ok_or_else(|| {
        QueryError::meaning_with_hint(
            name.at,
            format!("no table \"{}\"", name.text),
            did_you_mean(&name.text, schema.tables.iter().map(|t| t.name.as_str())),
        )
    })
}

pub(super) fn column<'a>(table: &'a Table, name: &Name) -> Result<&'a Column, QueryError> {
    find_column(table, &name.text).ok_or_else(|| {
        QueryError::meaning_with_hint(
            name.at,
            format!("no column \"{}\" in table \"{}\"", name.text, table.name),
            did_you_mean(&name.text, table.columns.iter().map(|c| c.name.as_str())),
        )
    })
}

/// The column of this name, else the only one that matches case-insensitively.
pub(super) fn find_column<'a>(table: &'a Table, name: &str) -> Option<&'a Column> {
    if let Some(column) = table.find_column(name) {
        return Some(column);
    }
    let mut matches = table.columns.iter().filter(|c| c.name.eq_ignore_ascii_case(name));
    match (matches.next(), matches.next()) {
        (Some(column), None) => Some(column),
        _ => None,
    }
}
