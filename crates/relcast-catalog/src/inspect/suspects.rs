//! From counts and names to findings.

use relcast_connect::Database;

use super::{Finding, FindingKind, LinkReport, TableReport, known_from_text};
use crate::catalog::Catalog;
use crate::infer::TimeLike;
use crate::names::has_word;
use crate::schema::{KnownFrom, SemanticType, Table};
use crate::times::format_time;

/// Words of columns that are often overwritten later.
const OVERWRITTEN: [&str; 31] = [
    "status",
    "state",
    "stage",
    "updated",
    "modified",
    "changed",
    "edited",
    "last",
    "latest",
    "current",
    "total",
    "totals",
    "count",
    "counts",
    "balance",
    "score",
    "reputation",
    "views",
    "viewcount",
    "likes",
    "active",
    "enabled",
    "deleted",
    "stock",
    "inventory",
    "remaining",
    "cumulative",
    "lifetime",
    "rank",
    "closed",
    "final",
];
/// Words of columns that look like times, whatever their type.
const TIME_WORDS: [&str; 12] = [
    "date",
    "time",
    "timestamp",
    "datetime",
    "at",
    "year",
    "month",
    "week",
    "day",
    "season",
    "created",
    "updated",
];

/// All findings over the counts, sorted by table, kind and column.
pub(super) fn findings(
    database: &Database,
    catalog: &Catalog,
    tables: &[TableReport],
    links: &[LinkReport],
) -> Vec<Finding> {
    let schema = &catalog.schema;
    let mut findings = Vec::new();
    for (table, report) in schema.tables.iter().zip(tables) {
        table_findings(report, &mut findings);
        column_findings(table, report, &mut findings);
        time_findings(catalog, table, report, &mut findings);
    }
    findings.extend(database.odd_cells.iter().map(|odd| Finding {
        kind: FindingKind::OddCells,
        table: odd.table.clone(),
        column: Some(odd.column.clone()),
        count: None,
        text: match odd.is_typed {
            true => format!("{}; until they are corrected, they are read as NULL", odd.text),
            false => format!("{}; until they are corrected, the column is read as text", odd.text),
        },
    }));
    findings.extend(database.left_out.iter().map(|(name, what)| Finding {
        kind: FindingKind::LeftOut,
        table: name.clone(),
        column: None,
        count: None,
        text: format!("is not read: {what}"),
    }));
    for (link, report) in schema.links.iter().zip(links) {
        link_findings(&schema.table(link.child).name, report, &mut findings);
    }
    findings.sort_by(|a, b| (&a.table, a.kind, &a.column).cmp(&(&b.table, b.kind, &b.column)));
    findings
}

fn table_findings(report: &TableReport, findings: &mut Vec<Finding>) {
    let mut add = |kind, count, text: &str| {
        findings.push(Finding {
            kind,
            table: report.table.clone(),
            column: None,
            count: Some(count),
            text: text.to_owned(),
        });
    };
    if report.rows == 0 {
        add(FindingKind::EmptyTable, 0, "the table has no rows");
    }
    if report.duplicate_keys > 0 {
        add(
            FindingKind::DuplicateKey,
            report.duplicate_keys,
            "rows repeat a primary key; remove them or declare another key",
        );
    }
    if report.null_keys > 0 {
        add(
            FindingKind::NullKey,
            report.null_keys,
            "rows have NULL in their primary key; nothing can point to them",
        );
    }
    if report.null_times > 0 {
        add(
            FindingKind::NullTime,
            report.null_times,
            "rows have no time from which they are known; they are left out",
        );
    }
    if let Some(latest) = report.last_known.filter(|_| report.future_rows > 0) {
        let latest = format_time(latest);
        add(
            FindingKind::FutureTime,
            report.future_rows,
            &format!(
                "rows are later than now (the latest: {latest}); the default cutoff follows the \
                 newest row that is not far from all others: correct them, or name the cutoff with AS OF"
            ),
        );
    }
}

fn column_findings(table: &Table, report: &TableReport, findings: &mut Vec<Finding>) {
    for (column, counts) in table.columns.iter().zip(&report.columns) {
        let mut add = |kind, count, text: &str| {
            findings.push(Finding {
                kind,
                table: table.name.clone(),
                column: Some(column.name.clone()),
                count,
                text: text.to_owned(),
            });
        };
        if column.semantic == SemanticType::Key {
            continue;
        }
        let is_time_column = table.time_column.as_ref() == Some(&column.name);
        if counts.constant && report.rows > 1 {
            let text = if counts.nulls == report.rows {
                "every value is NULL"
            } else {
                "every row has the same value"
            };
            add(FindingKind::Constant, None, text);
            continue;
        }
        let may_be_unique = matches!(
            column.semantic,
            SemanticType::Timestamp | SemanticType::Numerical | SemanticType::Text
        );
        if counts.near_unique && !may_be_unique {
            add(
                FindingKind::NearUnique,
                counts.distinct,
                "distinct values, nearly one per row; an identifier says nothing about other rows",
            );
        }
        let is_declared = column.planned || column.known_from.is_some();
        if counts.younger_cells > 0 && !is_declared {
            add(
                FindingKind::YoungerCells,
                Some(counts.younger_cells),
                "cells are later than their row; they read as NULL until then, unless declared planned",
            );
        }
        if !is_declared && !is_time_column && has_word(&column.name, &OVERWRITTEN) {
            add(
                FindingKind::Overwritten,
                None,
                "named like a column that is overwritten in place; if it is, declare known_from or ignored",
            );
        }
    }
}

/// Columns that look like times in a table without a time column, unless a person said that it has none.
fn time_findings(
    catalog: &Catalog,
    table: &Table,
    report: &TableReport,
    findings: &mut Vec<Finding>,
) {
    if table.time_column.is_some() || catalog.untimed.contains(&table.name) {
        return;
    }
    let known = known_from_text(&catalog.schema, &table.known_from);
    let (kind, known) = match table.known_from {
        KnownFrom::Static => (FindingKind::StaticWithTimes, "counts as always known".to_owned()),
        _ => (FindingKind::InheritsWithTimes, format!("is known {known}")),
    };
    for (column, counts) in table.columns.iter().zip(&report.columns) {
        if counts.constant && report.rows > 1 {
            continue;
        }
        let is_like = |t: &&TimeLike| t.table == table.name && t.column == column.name;
        let like = catalog.time_like.iter().find(is_like);
        let is_named = column.semantic == SemanticType::Timestamp
            || (column.semantic != SemanticType::Key && has_word(&column.name, &TIME_WORDS));
        if like.is_none() && !(kind == FindingKind::StaticWithTimes && is_named) {
            continue;
        }
        let why = like.map(|like| format!(" ({})", like.evidence)).unwrap_or_default();
        findings.push(Finding {
            kind,
            table: table.name.clone(),
            column: Some(column.name.clone()),
            count: None,
            text: format!(
                "looks like a time{why}, but the table {known}; declare time_column if its rows arrive over time"
            ),
        });
    }
}

fn link_findings(child: &str, report: &LinkReport, findings: &mut Vec<Finding>) {
    let column = report.link.split_once('.').map(|(_, column)| column.to_owned());
    if report.nulls > 0 {
        findings.push(Finding {
            kind: FindingKind::NullLink,
            table: child.to_owned(),
            column: column.clone(),
            count: Some(report.nulls),
            text: format!(
                "rows point to no row of {}: their key is NULL; they make no edge",
                report.parent
            ),
        });
    }
    if report.dangling > 0 {
        findings.push(Finding {
            kind: FindingKind::DanglingLink,
            table: child.to_owned(),
            column: column.clone(),
            count: Some(report.dangling),
            text: format!(
                "rows point to rows that {} doesn't have; they make no edge",
                report.parent
            ),
        });
    }
    if report.edges == 0 && report.nulls + report.dangling > 0 {
        findings.push(Finding {
            kind: FindingKind::EmptyLink,
            table: child.to_owned(),
            column: column.clone(),
            count: None,
            text: format!("no row points to a row of {}; the link says nothing", report.parent),
        });
    }
    if let Some(types) = &report.types_differ {
        findings.push(Finding {
            kind: FindingKind::KeyTypesDiffer,
            table: child.to_owned(),
            column,
            count: None,
            text: format!("the keys are {types}; they are compared as text"),
        });
    }
}
