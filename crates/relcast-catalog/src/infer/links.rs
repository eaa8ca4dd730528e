//! Links: a column named after another table's key, whose values are found there.

use arrow::datatypes::DataType;
use datafusion::prelude::SessionContext;

use super::Inferred;
use crate::error::CatalogError;
use crate::names::{key_stem, singular, words};
use crate::schema::{Column, Table};
use crate::sql::{AggregateRow, KeyKind, key_equality, key_kind, quoted};

/// The share of distinct values that the parent must have.
const MIN_INCLUDED: f64 = 0.99;
/// From this share on, a column that is no link is worth showing to a person.
const MIN_SHOWN: f64 = 0.5;
/// From this evidence on, a name that fits is worth showing whatever the values.
const SURE_NAME: u32 = 90;

/// Names of a row of the same table.
const SELF_WORDS: [&str; 12] = [
    "parent",
    "manager",
    "supervisor",
    "boss",
    "previous",
    "prev",
    "next",
    "root",
    "original",
    "referrer",
    "reply",
    "ancestor",
];

/// The links of one table, as (column, parent table), in the order of the columns.
#[derive(Debug, Default)]
pub(crate) struct InferredLinks {
    /// Names and values speak for them.
    pub(crate) found: Vec<Inferred<(String, String)>>,
    /// The name speaks for them, but too many values, or all, aren't in the parent: for a person to
    /// decide.
    pub(crate) doubtful: Vec<Inferred<(String, String)>>,
}

/// The likely links of `child`.
///
/// `tables` have their primary keys; only tables with a key of one column can be parents.
pub(crate) async fn links(
    context: &SessionContext,
    child: &Table,
    tables: &[Table],
) -> Result<InferredLinks, CatalogError> {
    let mut links = InferredLinks::default();
    for column in &child.columns {
        let mut candidates: Vec<(u32, &Table, &Column)> = Vec::new();
        for parent in tables {
            let [key] = parent.primary_key.as_slice() else { continue };
            let Some(key) = parent.find_column(key) else { continue };
            if parent.name == child.name && key.name == column.name {
                continue;
            }
            if !comparable(&column.data_type, &key.data_type) {
                continue;
            }
            if let Some(score) = name_evidence(child, column, parent, key) {
                candidates.push((score, parent, key));
            }
        }
        candidates.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
        let mut by_name = None;
        for (score, parent, key) in candidates {
            let (included, distinct) = inclusion(context, child, column, parent, key).await?;
            let share = if distinct == 0 { 0.0 } else { included as f64 / distinct as f64 };
            let evidence = evidence(column, parent, key, included, distinct);
            let link = Inferred { value: (column.name.clone(), parent.name.clone()), evidence };
            if share >= MIN_INCLUDED {
                links.found.push(link);
            } else if share >= MIN_SHOWN {
                links.doubtful.push(link);
            } else {
                // Another table may yet have the values.
                if score >= SURE_NAME && distinct > 0 && by_name.is_none() {
                    by_name = Some(link);
                }
                continue;
            }
            by_name = None;
            break;
        }
        links.doubtful.extend(by_name);
    }
    Ok(links)
}

fn evidence(column: &Column, parent: &Table, key: &Column, included: u64, distinct: u64) -> String {
    let mut text = format!(
        "its name fits {}.{}; {included} of {distinct} distinct values are found there",
        parent.name, key.name
    );
    if key_kind(&column.data_type) != key_kind(&key.data_type) {
        text.push_str(&format!(
            " ({} against {}, compared as text)",
            column.data_type, key.data_type
        ));
    }
    text
}

fn comparable(foreign: &DataType, primary: &DataType) -> bool {
    let known = |t| matches!(key_kind(t), KeyKind::Integer | KeyKind::Float | KeyKind::Text);
    known(foreign) && known(primary)
}

/// How much a column's name speaks for a link to `parent`.
fn name_evidence(child: &Table, column: &Column, parent: &Table, key: &Column) -> Option<u32> {
    let one = singular(&parent.name);
    let all = words(&parent.name).concat();
    let column_words = words(&column.name);
    let name = column_words.concat();
    let stem_words = key_stem(&column.name);
    let stem = stem_words.as_ref().map(|w| w.concat());
    let names_parent = |text: &str| text == one || text == all;

    let is_own_key = child.primary_key == [column.name.clone()];
    if stem.as_deref().is_some_and(names_parent) || names_parent(&name) {
        return Some(100);
    }
    // A table's own key points elsewhere only if it is named after that table.
    if is_own_key {
        return None;
    }
    let key_is_generic = key_stem(&key.name).is_some_and(|s| s.is_empty());
    if !key_is_generic && words(&key.name).concat() == name {
        return Some(90);
    }
    if stem.as_deref().is_some_and(|s| s.len() > one.len() && one.len() >= 3 && s.ends_with(&one)) {
        return Some(80);
    }
    let says_self = column_words.iter().any(|w| SELF_WORDS.contains(&w.as_str()));
    if parent.name == child.name && says_self && stem.is_some() {
        return Some(70);
    }
    None
}

/// How many of the distinct values of the column the parent's key has, and how many there are.
async fn inclusion(
    context: &SessionContext,
    child: &Table,
    column: &Column,
    parent: &Table,
    key: &Column,
) -> Result<(u64, u64), CatalogError> {
    let on = key_equality(("c.v", &column.data_type), ("p.k", &key.data_type));
    let sql = format!(
        "SELECT count(*) AS n, count(p.k) AS hits \
         FROM (SELECT DISTINCT {} AS v FROM {} WHERE {} IS NOT NULL) AS c \
         LEFT JOIN (SELECT DISTINCT {} AS k FROM {}) AS p ON {on}",
        quoted(&column.name),
        quoted(&child.name),
        quoted(&column.name),
        quoted(&key.name),
        quoted(&parent.name),
    );
    let row = AggregateRow::query(context, &sql).await.map_err(CatalogError::query(&child.name))?;
    Ok((row.count("hits"), row.count("n")))
}
