//! Declared tasks: the manifest's DuckDB SQL in DataFusion's words, its horizon and options.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Distinct, ExactNumberInfo, Expr, Ident, ObjectName,
    ObjectNamePart, SetExpr, Statement, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::DuckDbDialect;
use datafusion::sql::sqlparser::parser::Parser;
use relcast_catalog::{
    KnownFrom, Schema, TableId, TaskManifest, quoted, rows_relation, source_column,
};

use super::entities::{fill_in_from, times_sql};
use super::label_plan::{When, fill_in_when};
use super::select::times_read;
use crate::bind::{FillIn, Item, TaskType};
use crate::error::{QueryError, did_you_mean};
use crate::options::Options;
use crate::time::{Horizon, Span};

/// What a manifest says, looked up in the schema.
pub(super) struct TaskParts {
    pub(super) task_type: TaskType,
    pub(super) entity: TableId,
    pub(super) horizon: Horizon,
    pub(super) item: Option<Item>,
    pub(super) options: Options,
    pub(super) labels: String,
    pub(super) when: When,
}

pub(super) fn error(manifest: &TaskManifest, message: impl Into<String>) -> QueryError {
    QueryError::Task { task: manifest.name.clone(), message: message.into() }
}

pub(super) fn read(manifest: &TaskManifest, schema: &Schema) -> Result<TaskParts, QueryError> {
    let entity = find_table(manifest, schema, &manifest.entity_table)?;
    check_names(manifest, schema, entity)?;
    let options = Options {
        train_start: manifest.train_start,
        num_eval_timestamps: Some(manifest.num_eval_timestamps.map_or(1, |n| n as usize)),
        ..Options::default()
    };
    let task_type = task_type(manifest)?;
    let Some(sql) = &manifest.sql else {
        return fill_in(manifest, schema, entity, task_type, options);
    };
    let horizon = horizon(manifest)?;
    let sql = translated(manifest, sql, horizon)?;
    let read = times_read(&sql, schema, Some("timestamps"));
    let sql = with_known_dates(schema, sql);
    let labels = label_sql(manifest, task_type, &sql);
    let item = match (&manifest.dst_entity_table, &manifest.dst_entity_col) {
        (Some(table), Some(column)) => {
            Some(Item { table: Some(find_table(manifest, schema, table)?), column: column.clone() })
        }
        _ => None,
    };
    let when = When::ByTask { read, whole: all_times(schema) };
    Ok(TaskParts { task_type, entity, horizon, item, options, labels, when })
}

/// Refuses names that would give other labels than the manifest means, without a word.
fn check_names(
    manifest: &TaskManifest,
    schema: &Schema,
    entity: TableId,
) -> Result<(), QueryError> {
    if let Some(table) = schema.tables.iter().find(|t| t.name.eq_ignore_ascii_case("timestamps")) {
        return Err(error(
            manifest,
            format!(
                "the database has a table \"{}\", which is the name of the cutoffs in the sql of tasks; give it another name",
                table.name
            ),
        ));
    }
    let table = schema.table(entity);
    match table.primary_key.as_slice() {
        [key] if *key != manifest.entity_col => Err(error(
            manifest,
            format!(
                "entity_col \"{}\" is not the primary key of table \"{}\", which is \"{key}\"; name the key, and let sql give it",
                manifest.entity_col, table.name
            ),
        )),
        _ => Ok(()),
    }
}

/// The times of every table with a time column, a SELECT each.
pub(super) fn all_times(schema: &Schema) -> Vec<String> {
    let timed = (0u32..).map(TableId).zip(&schema.tables);
    let timed = timed.filter(|(_, t)| matches!(t.known_from, KnownFrom::TimeColumn(_)));
    timed.filter_map(|(id, _)| times_sql(schema, id)).collect()
}

fn find_table(manifest: &TaskManifest, schema: &Schema, name: &str) -> Result<TableId, QueryError> {
    schema.find_table(name).ok_or_else(|| {
        let hint = did_you_mean(name, schema.tables.iter().map(|t| t.name.as_str()));
        let hint = hint.map(|h| format!("; {h}")).unwrap_or_default();
        error(manifest, format!("no table \"{name}\"{hint}"))
    })
}

fn task_type(manifest: &TaskManifest) -> Result<TaskType, QueryError> {
    const KNOWN: [&str; 6] = [
        "binary_classification",
        "regression",
        "multiclass_classification",
        "multilabel_classification",
        "recommendation",
        "link_prediction",
    ];
    match manifest.task_type.as_str() {
        "binary_classification" => Ok(TaskType::Binary),
        "regression" => Ok(TaskType::Regression),
        "multiclass_classification" => Ok(TaskType::Multiclass),
        "multilabel_classification" => Ok(TaskType::Multilabel),
        "recommendation" | "link_prediction" => {
            Ok(TaskType::Ranking { k: manifest.eval_k.map_or(10, |k| k as usize) })
        }
        other => {
            let hint = did_you_mean(other, KNOWN)
                .unwrap_or_else(|| format!("known are {}", KNOWN.join(", ")));
            Err(error(manifest, format!("no task type \"{other}\"; {hint}")))
        }
    }
}

fn horizon(manifest: &TaskManifest) -> Result<Horizon, QueryError> {
    let text = manifest.horizon.as_ref().or(manifest.timedelta.as_ref());
    let text = text.ok_or_else(|| {
        error(manifest, "it has neither timedelta nor horizon; add one, such as 30 days")
    })?;
    match Span::parse(text) {
        Some(span) if span.comparable() > 0 => Ok(span),
        _ => Err(error(
            manifest,
            format!("\"{text}\" is no horizon; write one such as 30 days or 1 year"),
        )),
    }
}

/// A cell of the entity's own row as label, at the row's own time.
fn fill_in(
    manifest: &TaskManifest,
    schema: &Schema,
    entity: TableId,
    task_type: TaskType,
    options: Options,
) -> Result<TaskParts, QueryError> {
    let kind = match task_type {
        TaskType::Binary => FillIn::Binary,
        TaskType::Regression => FillIn::Regression,
        TaskType::Multiclass => FillIn::Multiclass,
        _ => {
            return Err(error(
                manifest,
                "a task without sql fills in one cell: a class or a number",
            ));
        }
    };
    let table = schema.table(entity);
    let target = &manifest.target_col;
    if table.find_column(target).is_none() {
        let hint = did_you_mean(target, table.columns.iter().map(|c| c.name.as_str()));
        let hint = hint.map(|h| format!("; {h}")).unwrap_or_default();
        return Err(error(
            manifest,
            format!("no column \"{target}\" in table \"{}\"{hint}", table.name),
        ));
    }
    let key = table.primary_key.first().map_or("", String::as_str);
    let rows = format!(
        "SELECT t.\"timestamp\" AS {}, e.{} AS {}, e.{} AS {} {}",
        quoted(&manifest.time_col),
        quoted(key),
        quoted(&manifest.entity_col),
        quoted(target),
        quoted(target),
        fill_in_from(schema, entity, "timestamps")
    );
    let task_type = TaskType::FillIn(kind);
    let labels = label_sql(manifest, task_type, &rows);
    let when = fill_in_when(schema, entity);
    Ok(TaskParts { task_type, entity, horizon: Span::ZERO, item: None, options, labels, when })
}

/// The task's own query reading dates that are times of rows as the moments from which they are known:
/// its windows are about when rows are known.
fn with_known_dates(schema: &Schema, sql: String) -> String {
    let mut tables = Vec::new();
    for (id, table) in (0u32..).map(TableId).zip(&schema.tables) {
        let times = [table.time_column.as_ref(), table.end_time_column.as_ref()];
        let known = |date: &str| {
            let mut ends = times.iter().flatten().filter(|time| source_column(time) != **time);
            ends.find(|end| source_column(end) == date)
        };
        let own = table.columns.iter().filter(|c| source_column(&c.name) == c.name);
        if own.clone().any(|c| known(&c.name).is_some()) {
            let items = own.map(|c| match known(&c.name) {
                Some(end) => format!("{} AS {}", quoted(end), quoted(&c.name)),
                None => quoted(&c.name),
            });
            let items = items.collect::<Vec<_>>().join(", ");
            let rows = rows_relation(schema, id);
            tables.push(format!("{} AS (SELECT {items} FROM {rows})", quoted(&table.name)));
        }
    }
    if tables.is_empty() {
        return sql;
    }
    format!("WITH {} SELECT * FROM (\n{sql}\n) AS relcast_rows", tables.join(", "))
}

/// The label rows of a task's own query: named columns in a fixed order, without NULL keys and labels.
fn label_sql(manifest: &TaskManifest, task_type: TaskType, sql: &str) -> String {
    let (cutoff, key, label) =
        (quoted(&manifest.time_col), quoted(&manifest.entity_col), quoted(&manifest.target_col));
    let value = match task_type {
        TaskType::Ranking { .. } | TaskType::Multilabel => format!("array_sort(r.{label})"),
        _ => format!("r.{label}"),
    };
    format!(
        "SELECT r.{cutoff}, r.{key}, {value} AS {label} FROM (\n{sql}\n) AS r\nWHERE r.{key} IS NOT NULL AND r.{label} IS NOT NULL\nORDER BY r.{cutoff}, r.{key}"
    )
}

/// DuckDB's SQL as DataFusion understands it, with the horizon filled in.
fn translated(manifest: &TaskManifest, sql: &str, horizon: Horizon) -> Result<String, QueryError> {
    let sql = sql.replace("{timedelta}", &horizon.to_string());
    let unreadable = |reason: String| error(manifest, format!("its sql cannot be read: {reason}"));
    let mut statements =
        Parser::parse_sql(&DuckDbDialect {}, &sql).map_err(|e| unreadable(e.to_string()))?;
    let (Some(mut statement), true) = (statements.pop(), statements.is_empty()) else {
        return Err(unreadable("expected one SELECT".to_owned()));
    };
    if !matches!(statement, Statement::Query(_)) {
        return Err(unreadable("expected a SELECT".to_owned()));
    }
    let _: ControlFlow<()> = visit_expressions_mut(&mut statement, |expr| {
        translate(expr);
        ControlFlow::Continue(())
    });
    Ok(statement.to_string())
}

/// One expression of DuckDB as DataFusion understands it.
fn translate(expr: &mut Expr) {
    match expr {
        // LIST is array_agg.
        Expr::Function(function) => {
            if let [ObjectNamePart::Identifier(name)] = function.name.0.as_slice()
                && name.value.eq_ignore_ascii_case("list")
            {
                function.name =
                    ObjectName(vec![ObjectNamePart::Identifier(Ident::new("array_agg"))]);
            }
        }
        // DISTINCT adds nothing to membership, and hinders turning it into a semi join; but where
        // rows are counted off, or DISTINCT ON chooses them, it decides which there are.
        Expr::InSubquery { subquery, .. } => {
            let all_rows = subquery.limit_clause.is_none() && subquery.fetch.is_none();
            if let SetExpr::Select(select) = subquery.body.as_mut()
                && matches!(select.distinct, Some(Distinct::Distinct))
                && all_rows
                && select.top.is_none()
            {
                select.distinct = None;
            }
        }
        // Division is real division.
        Expr::BinaryOp { left, op: BinaryOperator::Divide, .. } => {
            let dividend = std::mem::replace(left, Box::new(Expr::Identifier(Ident::new("NULL"))));
            **left = Expr::Cast {
                kind: CastKind::Cast,
                expr: dividend,
                data_type: DataType::Double(ExactNumberInfo::None),
                array: false,
                format: None,
            };
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use relcast_catalog::Table;

    use super::*;

    fn users(tables: &[&str]) -> Schema {
        let table = |name: &&str| Table {
            name: (*name).to_owned(),
            columns: Vec::new(),
            primary_key: vec!["id".to_owned()],
            time_column: None,
            end_time_column: None,
            known_from: KnownFrom::Static,
        };
        Schema { tables: tables.iter().map(table).collect(), ..Schema::default() }
    }

    fn error_of(entity_col: &str, tables: &[&str]) -> Option<String> {
        let manifest = TaskManifest {
            name: "spend".to_owned(),
            task_type: "regression".to_owned(),
            entity_table: "users".to_owned(),
            entity_col: entity_col.to_owned(),
            timedelta: Some("30 days".to_owned()),
            sql: Some("SELECT 1".to_owned()),
            ..TaskManifest::default()
        };
        read(&manifest, &users(tables)).err().as_ref().map(ToString::to_string)
    }

    #[test]
    fn names_that_would_give_other_labels_are_refused() {
        assert_eq!(error_of("id", &["orders", "users"]), None);
        assert_eq!(
            error_of("email", &["orders", "users"]).unwrap(),
            "task \"spend\": entity_col \"email\" is not the primary key of table \"users\", which is \"id\"; name the key, and let sql give it"
        );
        let message = error_of("id", &["Timestamps", "users"]).unwrap();
        assert!(
            message.contains("a table \"Timestamps\", which is the name of the cutoffs"),
            "{message}"
        );
    }

    #[test]
    fn predictions_are_at_the_newest_time_of_what_the_sql_reads_and_cutoffs_lie_in_the_whole() {
        let mut schema = users(&["orders", "users", "visits"]);
        for table in [0, 2] {
            schema.tables[table].known_from = KnownFrom::TimeColumn("at".to_owned());
        }
        let manifest = |sql: &str| TaskManifest {
            task_type: "regression".to_owned(),
            entity_table: "users".to_owned(),
            entity_col: "id".to_owned(),
            timedelta: Some("30 days".to_owned()),
            sql: Some(sql.to_owned()),
            ..TaskManifest::default()
        };
        let times = |sql: &str| match read(&manifest(sql), &schema).unwrap().when {
            When::ByTask { read, whole } => (read, whole),
            other => panic!("{other:?}"),
        };
        let of = |table: &str| format!("SELECT x.\"at\" AS \"time\" FROM \"{table}\" AS x");
        let both = vec![of("orders"), of("visits")];
        let joined = "SELECT 1 FROM timestamps t JOIN visits v ON v.at > t.timestamp JOIN users u ON u.id = v.id";
        assert_eq!(times(joined), (vec![of("visits")], both.clone()));
        assert_eq!(times("SELECT 1 FROM timestamps, users"), (both.clone(), both));
    }

    fn translated_sql(sql: &str) -> String {
        translated(&TaskManifest::default(), sql, Span::parse("30 days").unwrap()).unwrap()
    }

    #[test]
    fn distinct_goes_from_a_membership_unless_it_decides_which_rows_there_are() {
        let sql = |inner: &str| format!("SELECT a FROM t WHERE a IN ({inner})");
        let plain = translated_sql(&sql("SELECT DISTINCT b FROM u"));
        assert_eq!(plain, sql("SELECT b FROM u"));
        for kept in [
            "SELECT DISTINCT b FROM u ORDER BY b LIMIT 3",
            "SELECT DISTINCT b FROM u ORDER BY b OFFSET 3",
            "SELECT DISTINCT b FROM u FETCH FIRST 3 ROWS ONLY",
            "SELECT DISTINCT ON (c) b FROM u ORDER BY c, d",
        ] {
            assert_eq!(translated_sql(&sql(kept)), sql(kept));
        }
    }
}
