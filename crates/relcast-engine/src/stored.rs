//! A model read back from its artefact.

use std::collections::BTreeMap;

use relcast_catalog::{Column, Schema, Table, source_column};
use relcast_connect::Database;
use relcast_query::ast::Name;
use relcast_query::{Cutoffs, LabelPlan, OptionValue, Options, QueryError, option_place};
use relcast_train::checkpoint::Weights;
use relcast_train::conformal::{Band, Residuals, fewest_rows};
use relcast_train::model::ModelPlan;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::artefact::Artefact;
use crate::error::EngineError;
use crate::work::Question;

/// The format of an artefact's documents. Whoever changes what they hold or mean counts it up.
const FORMAT: u64 = 3;

/// A trained model with all that is needed to use it.
#[derive(Debug)]
pub struct StoredModel {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// What it predicts.
    pub question: Question,
    /// Options that were set beside the question.
    pub set: Vec<(String, String)>,
    /// Where its splits lie.
    pub cutoffs: Cutoffs,
    /// The label rows of each split, by its name.
    pub rows: BTreeMap<String, u64>,
    /// Sizes, features, sampling.
    pub plan: ModelPlan,
    /// The weights.
    pub weights: Weights,
    /// How far off it was on validation, where it predicts numbers.
    pub residuals: Option<Residuals>,
    /// The schema as it was at training.
    pub schema: Schema,
    /// Changes with anything that the model is made of.
    pub checksum: String,
}

#[derive(Deserialize)]
struct StoredQuestion {
    question: Question,
    set: Vec<(String, String)>,
    cutoffs: Cutoffs,
}

#[derive(Deserialize)]
struct StoredFigures {
    rows: BTreeMap<String, u64>,
}

impl StoredModel {
    /// Reads a model from its `artefact`.
    ///
    /// # Errors
    /// [`EngineError::Format`] if another version of relcast wrote it in another format,
    /// [`EngineError::Corrupt`] if a document is missing or not what it should be.
    pub fn read(name: &str, version: i64, artefact: Artefact) -> Result<Self, EngineError> {
        check_format(name, version, &artefact)?;
        let asked: StoredQuestion = document(&artefact, "question")?;
        let mut schema: Schema = document(&artefact, "schema")?;
        // An earlier relcast may have let rows inherit their times over other links.
        schema.resolve_known_from();
        Ok(Self {
            name: name.to_owned(),
            version,
            question: asked.question,
            set: asked.set,
            cutoffs: asked.cutoffs,
            rows: document::<StoredFigures>(&artefact, "metrics")?.rows,
            plan: document(&artefact, "model")?,
            residuals: document(&artefact, "residuals")?,
            schema,
            checksum: artefact.checksum()?,
            weights: Weights(artefact.weights),
        })
    }

    /// What the model is asked by a prediction with the `written` options over those of training.
    ///
    /// # Errors
    /// For an option that is unknown, has no such value, is decided in training, or would do nothing.
    pub fn plan_with(&self, written: &[(Name, OptionValue)]) -> Result<LabelPlan, EngineError> {
        let plan = self.question.plan(&self.schema, &self.set_with(written)?)?;
        plan.refuse_ignored(written)?;
        Ok(plan)
    }

    /// The options that were set beside the question, then those `written` for a prediction.
    pub(crate) fn set_with(
        &self,
        written: &[(Name, OptionValue)],
    ) -> Result<Vec<(String, String)>, EngineError> {
        let written = Options::of_prediction(written)?;
        Ok(self.set.iter().cloned().chain(written).collect())
    }

    /// The bounds around a prediction, where `options` ask for any, among those `written`.
    ///
    /// # Errors
    /// If the model predicts no numbers, or was validated on too few rows.
    pub(crate) fn band(
        &self,
        options: &Options,
        written: &[(Name, OptionValue)],
    ) -> Result<Option<Band>, EngineError> {
        let Some(quantiles) = options.band() else { return Ok(None) };
        let rows = self.residuals.as_ref().map_or(0, Residuals::rows);
        check_validation(options, written, rows)?;
        Ok(self.residuals.as_ref().and_then(|residuals| residuals.band(quantiles)))
    }

    /// The cutoff of predictions over `database` that name none: microseconds, UTC.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub async fn default_cutoff(&self, database: &Database) -> Result<i64, EngineError> {
        let plan = self.question.plan(&self.schema, &self.set)?;
        let found = plan.default_cutoff(&database.context).await?;
        Ok(found.unwrap_or(self.cutoffs.data_end))
    }

    /// Refuses a database whose tables, columns, types, keys, times or links are not those of
    /// training.
    ///
    /// # Errors
    /// [`EngineError::SchemaChanged`] naming what differs first.
    pub fn check_schema(&self, schema: &Schema) -> Result<(), EngineError> {
        let known = self.question.known_schema(schema, &self.set)?;
        let schema = self.question.schema_of_inputs(known)?;
        match first_difference(&self.schema, &schema) {
            None => Ok(()),
            Some(difference) => {
                Err(EngineError::SchemaChanged { model: self.name.clone(), difference })
            }
        }
    }
}

/// Refuses bounds that so many `rows` of validation cannot tell.
///
/// # Errors
/// [`QueryError::Option`] with its place, where the option is among those `written`.
pub(crate) fn check_validation(
    options: &Options,
    written: &[(Name, OptionValue)],
    rows: usize,
) -> Result<(), QueryError> {
    let Some(quantiles) = options.band() else { return Ok(()) };
    let fewest = fewest_rows(quantiles);
    if rows >= fewest {
        return Ok(());
    }
    let (name, asked) = match options.interval {
        Some(share) => ("interval", share.to_string()),
        None => ("quantiles", format!("({}, {})", quantiles[0], quantiles[1])),
    };
    Err(QueryError::Option {
        at: option_place(written, name),
        message: format!(
            "{name} = {asked} takes at least {fewest} label rows of validation, there are {rows}"
        ),
        hint: Some(
            "ask for less, or train with more validation: an earlier val_timestamp, or more num_eval_timestamps"
                .to_owned(),
        ),
    })
}

/// What `versions.json` says: which relcast wrote the artefact, and in which format.
pub(crate) fn versions() -> Value {
    json!({ "relcast": env!("CARGO_PKG_VERSION"), "format": FORMAT })
}

/// Refuses an artefact of another format, before anything else in it is read.
fn check_format(model: &str, version: i64, artefact: &Artefact) -> Result<(), EngineError> {
    let versions = artefact.documents.get("versions");
    let found = versions.and_then(|v| v.get("format")).and_then(Value::as_u64);
    if found == Some(FORMAT) {
        return Ok(());
    }
    let writer = versions.and_then(|v| v.get("relcast")).and_then(Value::as_str);
    Err(EngineError::Format {
        model: model.to_owned(),
        version,
        found,
        expected: FORMAT,
        writer: writer.unwrap_or("unknown").to_owned(),
    })
}

fn document<T: DeserializeOwned>(artefact: &Artefact, name: &str) -> Result<T, EngineError> {
    let value = artefact.documents.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|error| EngineError::Corrupt {
        path: format!("{name}.json").into(),
        message: error.to_string(),
    })
}

/// What differs first between the schema of training and today's.
fn first_difference(then: &Schema, now: &Schema) -> Option<String> {
    for table in &then.tables {
        match now.tables.iter().find(|t| t.name == table.name) {
            None => return Some(format!("table {:?} is gone", table.name)),
            Some(other) => {
                if let Some(difference) = table_difference((then, table), (now, other)) {
                    return Some(difference);
                }
            }
        }
    }
    let known = |table: &&Table| then.tables.iter().any(|t| t.name == table.name);
    if let Some(table) = now.tables.iter().find(|table| !known(table)) {
        return Some(format!("table {:?} is new", table.name));
    }
    link_difference(then, now)
}

fn table_difference(
    (then, table): (&Schema, &Table),
    (now, other): (&Schema, &Table),
) -> Option<String> {
    let name = &table.name;
    // That a date is none any more comes before what follows from it.
    let mut columns: Vec<&Column> = table.columns.iter().collect();
    columns.sort_by_key(|column| source_column(&column.name) == column.name);
    for column in columns {
        let Some(found) = other.find_column(&column.name) else {
            let source = source_column(&column.name);
            return Some(match other.find_column(source) {
                None => format!("column {source:?} of table {name:?} is gone"),
                Some(_) => format!("column {source:?} of table {name:?} holds no dates any more"),
            });
        };
        let declared = [then, now]
            .iter()
            .any(|schema| schema.declared_types.contains(&(name.clone(), column.name.clone())));
        if let Some(difference) = column_difference(column, found, declared) {
            return Some(format!("column {:?} of table {name:?} {difference}", column.name));
        }
    }
    let new = other.columns.iter().find(|column| table.find_column(&column.name).is_none());
    if let Some(column) = new {
        return Some(match source_column(&column.name) {
            date if date == column.name => format!("column {date:?} of table {name:?} is new"),
            date => format!("column {date:?} of table {name:?} holds dates now"),
        });
    }
    let keys = (table.primary_key.join(", "), other.primary_key.join(", "));
    let parts = [
        ("primary key", (table.primary_key != other.primary_key).then_some(keys)),
        ("time column", changed(&table.time_column, &other.time_column)),
        ("end time column", changed(&table.end_time_column, &other.end_time_column)),
    ];
    parts.into_iter().find_map(|(part, changed)| {
        let (was, is) = changed?;
        let text = |name: String| if name.is_empty() { "none".to_owned() } else { name };
        Some(format!("the {part} of table {name:?} was {} and is {}", text(was), text(is)))
    })
}

/// Types that are inferred may change with the rows: a model keeps those of its training.
fn column_difference(then: &Column, now: &Column, declared: bool) -> Option<String> {
    let planned = |column: &Column| if column.planned { "planned" } else { "not planned" };
    if then.data_type != now.data_type {
        Some(format!("was {} and is {}", then.data_type, now.data_type))
    } else if declared && then.semantic != now.semantic {
        let text = |semantic| format!("{semantic:?}").to_lowercase();
        Some(format!("was {} and is declared {}", text(then.semantic), text(now.semantic)))
    } else if then.planned != now.planned {
        Some(format!("was {} and is {}", planned(then), planned(now)))
    } else {
        let (was, is) = changed(&then.known_from, &now.known_from)?;
        let text = |from: String| match source_column(&from) {
            "" => "its row".to_owned(),
            date if date != from => format!("the end of {date}"),
            _ => from,
        };
        Some(format!("was known from {} on and is from {}", text(was), text(is)))
    }
}

/// Both values where they differ; none is the empty text.
fn changed(then: &Option<String>, now: &Option<String>) -> Option<(String, String)> {
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    (then != now).then(|| (text(then), text(now)))
}

fn link_difference(then: &Schema, now: &Schema) -> Option<String> {
    let links = |schema: &Schema| -> Vec<String> {
        let text =
            |link| format!("{} → {}", schema.link_name(link), schema.table(link.parent).name);
        schema.links.iter().map(text).collect()
    };
    let (then, now) = (links(then), links(now));
    let gone = then.iter().find(|link| !now.contains(link));
    let new = now.iter().find(|link| !then.contains(link));
    match (gone, new) {
        (Some(link), _) => Some(format!("link {link} is gone")),
        (None, Some(link)) => Some(format!("link {link} is new")),
        (None, None) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::datatypes::{DataType, TimeUnit};
    use relcast_catalog::{KnownFrom, Link, SemanticType, TableId};

    use super::*;

    fn column(name: &str, data_type: DataType, semantic: SemanticType) -> Column {
        Column { name: name.to_owned(), data_type, semantic, planned: false, known_from: None }
    }

    fn schema() -> Schema {
        let stamp = || DataType::Timestamp(TimeUnit::Microsecond, None);
        let table = |name: &str, columns| Table {
            name: name.to_owned(),
            columns,
            primary_key: vec!["id".to_owned()],
            time_column: None,
            end_time_column: None,
            known_from: KnownFrom::Static,
        };
        let id = || column("id", DataType::Int64, SemanticType::Key);
        let orders = vec![
            id(),
            column("customer", DataType::Int64, SemanticType::Key),
            column("status", DataType::Utf8, SemanticType::Categorical),
            column("at", stamp(), SemanticType::Timestamp),
            column("until", stamp(), SemanticType::Timestamp),
        ];
        Schema {
            tables: vec![table("customers", vec![id()]), table("orders", orders)],
            links: vec![Link {
                child: TableId(1),
                columns: vec!["customer".to_owned()],
                parent: TableId(0),
            }],
            ..Schema::default()
        }
    }

    #[test]
    fn what_changed_in_the_schema_is_said_precisely() {
        type Change = fn(&mut Schema);
        let declare = |schema: &mut Schema| {
            schema.declared_types.insert(("orders".to_owned(), "status".to_owned()));
        };
        let cases: [(Change, Option<&str>); 14] = [
            (|_| {}, None),
            (|s| s.val_timestamp = Some(7), None),
            (|s| s.tables[1].columns[2].semantic = SemanticType::Text, None),
            (
                |s| {
                    s.declared_types.insert(("orders".to_owned(), "status".to_owned()));
                    s.tables[1].columns[2].semantic = SemanticType::Text;
                },
                Some("column \"status\" of table \"orders\" was categorical and is declared text"),
            ),
            (
                |s| s.tables[1].columns[2].data_type = DataType::Int64,
                Some("column \"status\" of table \"orders\" was Utf8 and is Int64"),
            ),
            (
                |s| s.tables[1].columns[2].name = "state".to_owned(),
                Some("column \"status\" of table \"orders\" is gone"),
            ),
            (
                |s| {
                    let new = column("note", DataType::Utf8, SemanticType::Text);
                    s.tables[1].columns.push(new);
                },
                Some("column \"note\" of table \"orders\" is new"),
            ),
            (
                |s| s.tables[1].columns[4].planned = true,
                Some("column \"until\" of table \"orders\" was not planned and is planned"),
            ),
            (
                |s| s.tables[1].columns[2].known_from = Some("at".to_owned()),
                Some(
                    "column \"status\" of table \"orders\" was known from its row on and is from at",
                ),
            ),
            (
                |s| s.tables[1].primary_key.clear(),
                Some("the primary key of table \"orders\" was id and is none"),
            ),
            (
                |s| s.tables[1].time_column = Some("at".to_owned()),
                Some("the time column of table \"orders\" was none and is at"),
            ),
            (
                |s| s.tables[1].end_time_column = Some("until".to_owned()),
                Some("the end time column of table \"orders\" was none and is until"),
            ),
            (|s| s.links.clear(), Some("link orders.customer → customers is gone")),
            (
                |s| {
                    let table = s.tables[0].clone();
                    s.tables.push(Table { name: "shops".to_owned(), ..table });
                },
                Some("table \"shops\" is new"),
            ),
        ];
        for (change, expected) in cases {
            let mut now = schema();
            change(&mut now);
            assert_eq!(first_difference(&schema(), &now).as_deref(), expected);
        }
        // A type that was declared and now is inferred may have changed too.
        let mut then = schema();
        declare(&mut then);
        let mut now = schema();
        now.tables[1].columns[2].semantic = SemanticType::Text;
        assert!(first_difference(&then, &now).is_some());
        now.tables.remove(0);
        assert_eq!(first_difference(&then, &now).unwrap(), "table \"customers\" is gone");
    }

    #[test]
    fn a_date_that_is_none_any_more_is_said_by_its_own_name() {
        let with_dates = |dates: &[&str]| {
            let dates = dates.iter().map(|d| ("orders".to_owned(), (*d).to_owned())).collect();
            Schema { dates, ..schema() }.with_dates_known_at_end()
        };
        let difference =
            |then: &[&str], now: &[&str]| first_difference(&with_dates(then), &with_dates(now));
        assert_eq!(difference(&["at"], &["at"]), None);
        assert_eq!(
            difference(&["at", "until"], &["at"]).unwrap(),
            "column \"until\" of table \"orders\" holds no dates any more"
        );
        assert_eq!(
            difference(&[], &["at"]).unwrap(),
            "column \"at\" of table \"orders\" was known from its row on and is from the end of at"
        );
    }

    #[test]
    fn an_artefact_of_another_format_is_refused_before_it_is_read() {
        let mut artefact = Artefact::default();
        artefact.documents.insert("versions".to_owned(), json!({ "relcast": "0.0.9" }));
        let error = StoredModel::read("churn", 3, artefact.clone()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "version 3 of model \"churn\" was written by relcast 0.0.9 in a format without a number; this relcast reads format {FORMAT}"
            )
        );
        assert!(error.hint().unwrap().contains("train the model again"));
        artefact.documents.insert("versions".to_owned(), json!({ "format": FORMAT + 1 }));
        let error = StoredModel::read("churn", 3, artefact.clone()).unwrap_err();
        assert!(error.to_string().contains(&format!("in format {};", FORMAT + 1)), "{error}");
        // Of the right format, but not what it should be: the document is named.
        artefact.documents.insert("versions".to_owned(), versions());
        let error = StoredModel::read("churn", 3, artefact).unwrap_err();
        assert!(error.to_string().starts_with("artefact question.json: "), "{error}");
    }
}
