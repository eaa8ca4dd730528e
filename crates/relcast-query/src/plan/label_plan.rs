//! [`LabelPlan`]: all that is needed to compute labels, as data.

use relcast_catalog::{Schema, TableId, TaskManifest};
use serde::{Deserialize, Serialize};

use super::entities::{KeyColumn, entities_from, keys_sql, times_sql};
use super::named::Named;
use super::query::{Ahead, QueryWriter};
use super::select::{LabelSelect, TIMESTAMPS, times_read};
use super::task;
use crate::ast::Selection;
use crate::bind::{BoundQuery, Item, TaskType};
use crate::dates::known_schema;
use crate::error::QueryError;
use crate::options::Options;
use crate::time::Horizon;

/// How a training table is computed: the SQL of its labels and of its entities over a relation of
/// cutoffs, and what decides where the cutoffs lie.
///
/// `options` may be changed before [`LabelPlan::cutoffs`]; `options.entities` has done its work
/// when the plan is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabelPlan {
    /// What is predicted.
    pub task_type: TaskType,
    /// The table predicted for.
    pub entity: TableId,
    /// The names of the entity's key columns in results.
    pub entity_columns: Vec<String>,
    /// The name of the cutoff's column in results.
    pub cutoff_column: String,
    /// The name of the label's column in results.
    pub label_column: String,
    /// The columns of the entity's row that are filled in, and so are no input; none otherwise.
    pub filled_in: Vec<String>,
    /// How far labels look ahead; zero for filling in.
    pub horizon: Horizon,
    /// What lists of labels are made of.
    pub item: Option<Item>,
    /// The cutoff to predict at, where the query says it: microseconds, UTC.
    pub as_of: Option<i64>,
    /// Where splits lie and how a model is made.
    pub options: Options,
    /// The types of the entity's key columns, as Arrow writes them.
    pub(super) key_types: Vec<String>,
    /// The relation of cutoffs that the SQL reads: one column `timestamp`.
    pub(super) timestamps: String,
    pub(super) labels: String,
    /// The same where cells may become known after the window has closed.
    pub(super) closed: Option<String>,
    pub(super) eligible: String,
    pub(super) existing: String,
    pub(super) all: String,
    pub(super) row_values: Option<String>,
    /// Whether each label row ends with a weight.
    pub(super) weighted: bool,
    pub(super) when: When,
    pub(super) named: Named,
}

/// When labels are taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum When {
    /// At cutoffs laid out between the first and last time that the SELECTs of `read` give. Training
    /// goes back to the first window with such a time in it, but not beyond the first time of the
    /// `whole` data.
    InWindows { read: Vec<String>, whole: Vec<String> },
    /// At cutoffs laid out between the first and last time of the `whole` data, whatever the SQL of a
    /// task reads; that is what `read` gives the times of.
    ByTask { read: Vec<String>, whole: Vec<String> },
    /// At the cutoffs that the label rows bring, which `cutoffs` gives. Their windows have closed by
    /// the last time that the SELECTs of `read` give.
    AtRows { cutoffs: String, read: Vec<String> },
    /// At each row's own time, which this SQL gives.
    AtOwnTime { times: String },
    /// Once, when everything is known: the last time that these SELECTs give. Splits go by a hash of
    /// the key.
    Once { read: Vec<String> },
}

impl LabelPlan {
    /// The plan of a predictive query; its results have the columns `cutoff`, the key and `label`.
    ///
    /// # Errors
    /// When a key column is itself named `cutoff` or `label`.
    pub fn from_query(query: &BoundQuery, schema: &Schema) -> Result<Self, QueryError> {
        let (cutoff_column, label_column) = ("cutoff", "label");
        if let Some(name) =
            query.entity_columns.iter().find(|c| *c == cutoff_column || *c == label_column)
        {
            return Err(QueryError::Split {
                message: format!(
                    "the key column \"{name}\" has the name of a result column; give it another name in the source"
                ),
            });
        }
        let schema = known_schema(schema, &query.options, &[])?;
        let schema = &*schema;
        let timestamps = free_name(schema);
        let writer = QueryWriter {
            query,
            schema,
            timestamps: &timestamps,
            cutoff_column,
            label_column,
            ahead: Ahead::Everything,
        };
        let keys: Vec<KeyColumn> = query
            .entity_columns
            .iter()
            .map(|c| KeyColumn { column: c.clone(), name: c.clone() })
            .collect();
        let when = match query.task_type {
            TaskType::FillIn(_) => fill_in_when(schema, query.entity),
            _ => When::InWindows { read: writer.times_sql(), whole: task::all_times(schema) },
        };
        let from = entities_from(schema, query.entity, query.options.entities, &timestamps);
        Ok(Self {
            task_type: query.task_type,
            entity: query.entity,
            entity_columns: query.entity_columns.clone(),
            key_types: key_types(schema, query.entity),
            cutoff_column: cutoff_column.to_owned(),
            label_column: label_column.to_owned(),
            filled_in: query.filled_in(),
            horizon: query.horizon,
            item: query.item.clone(),
            as_of: query.as_of,
            options: query.options.clone(),
            labels: writer.label_sql(),
            closed: writer.closed_sql(),
            eligible: writer.eligible_sql(),
            existing: keys_sql(cutoff_column, &keys, &from),
            all: count_sql(schema, query.entity),
            row_values: writer.row_values_sql(),
            weighted: false,
            when,
            named: Named::of(&query.selection, &query.written_columns),
            timestamps,
        })
    }

    /// The plan of a declared task; its results have the manifest's column names.
    ///
    /// # Errors
    /// When the manifest names an unknown table or task type, lacks a horizon, or its SQL cannot be read.
    pub fn from_task(manifest: &TaskManifest, schema: &Schema) -> Result<Self, QueryError> {
        Self::from_task_with(manifest, schema, &[])
    }

    /// The same with options, by name and value, over those of the manifest.
    ///
    /// # Errors
    /// As [`LabelPlan::from_task`], and for an option that is unknown or has no such value.
    pub fn from_task_with(
        manifest: &TaskManifest,
        schema: &Schema,
        set: &[(String, String)],
    ) -> Result<Self, QueryError> {
        let mut options = Options::default();
        for (name, value) in set {
            options.set(name, value)?;
        }
        let schema = known_schema(schema, &options, &[])?;
        let schema = &*schema;
        let mut parts = task::read(manifest, schema)?;
        for (name, value) in set {
            parts.options.set(name, value)?;
        }
        let key = schema.table(parts.entity).primary_key.clone();
        let [column] = key.as_slice() else {
            return Err(task::error(
                manifest,
                format!("table \"{}\" needs a primary key of one column", manifest.entity_table),
            ));
        };
        let keys = [KeyColumn { column: column.clone(), name: manifest.entity_col.clone() }];
        let timestamps = "timestamps".to_owned();
        let from = entities_from(schema, parts.entity, parts.options.entities, &timestamps);
        let existing = keys_sql(&manifest.time_col, &keys, &from);
        Ok(Self {
            task_type: parts.task_type,
            entity: parts.entity,
            entity_columns: vec![manifest.entity_col.clone()],
            key_types: key_types(schema, parts.entity),
            cutoff_column: manifest.time_col.clone(),
            label_column: manifest.target_col.clone(),
            filled_in: match parts.task_type {
                TaskType::FillIn(_) => vec![manifest.target_col.clone()],
                _ => Vec::new(),
            },
            horizon: parts.horizon,
            item: parts.item,
            as_of: None,
            options: parts.options,
            labels: parts.labels,
            closed: None,
            eligible: existing.clone(),
            existing,
            all: count_sql(schema, parts.entity),
            row_values: None,
            weighted: false,
            when: parts.when,
            named: Named::Each,
            timestamps,
        })
    }

    /// The plan of labels that a SELECT yields, with options by name and value over its own; its
    /// results have the columns `cutoff`, the key and `label`.
    ///
    /// # Errors
    /// When the entity table is gone, and for an option that is unknown or has no such value.
    pub fn from_select(
        select: &LabelSelect,
        schema: &Schema,
        set: &[(String, String)],
    ) -> Result<Self, QueryError> {
        let entity = select.entity(schema)?;
        let mut options = Options { horizon: None, ..select.options.clone() };
        for (name, value) in set {
            options.set(name, value)?;
        }
        let schema = known_schema(schema, &options, &[])?;
        let schema = &*schema;
        let key = schema.table(entity).primary_key.clone();
        let keys: Vec<KeyColumn> =
            key.iter().map(|c| KeyColumn { column: c.clone(), name: c.clone() }).collect();
        let timestamps = TIMESTAMPS.to_owned();
        let from = entities_from(schema, entity, options.entities, &timestamps);
        let existing = keys_sql("cutoff", &keys, &from);
        let read = times_read(&select.sql, schema, None);
        Ok(Self {
            task_type: select.task_type,
            entity,
            labels: select.labels_sql(&key, &timestamps),
            closed: None,
            entity_columns: key,
            key_types: key_types(schema, entity),
            cutoff_column: "cutoff".to_owned(),
            label_column: "label".to_owned(),
            filled_in: Vec::new(),
            horizon: select.horizon,
            item: None,
            as_of: None,
            options,
            eligible: existing.clone(),
            existing,
            all: count_sql(schema, entity),
            row_values: None,
            weighted: select.weighted,
            when: When::AtRows { cutoffs: select.cutoffs_sql(), read },
            named: Named::Each,
            timestamps,
        })
    }

    /// Predicts for `selection` alone, whose keys are values of `columns`; labels stay those of all
    /// entities.
    pub fn select(&mut self, selection: &Selection, columns: &[String]) {
        self.named = Named::of(selection, columns);
    }

    /// The same plan predicting for FOR EACH, whomever FOR names.
    #[must_use]
    pub fn of_everybody(&self) -> Self {
        Self { named: Named::Each, ..self.clone() }
    }

    /// A text that two plans share if the same entities exist and pass WHERE at every cutoff.
    #[must_use]
    pub fn population(&self) -> String {
        format!("{}\n{}", self.eligible, self.existing)
    }

    /// Whether labels may come from elsewhere than the tables of the schema, so that they can change
    /// while those stay.
    #[must_use]
    pub fn reads_beyond_tables(&self) -> bool {
        matches!(self.when, When::AtRows { .. })
    }

    /// The SQL of the label rows over the relation `timestamps(timestamp)`: cutoff, key, label and,
    /// where a SELECT brings it, weight, in the order of cutoff and key, without NULL labels.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.labels
    }
}

/// When the cells of a table are filled in.
pub(super) fn fill_in_when(schema: &Schema, entity: TableId) -> When {
    match times_sql(schema, entity) {
        Some(times) => When::AtOwnTime { times },
        None => When::Once { read: task::all_times(schema) },
    }
}

/// The types of a table's primary key, column by column.
fn key_types(schema: &Schema, entity: TableId) -> Vec<String> {
    let table = schema.table(entity);
    let columns = table.primary_key.iter().filter_map(|key| table.find_column(key));
    columns.map(|column| column.data_type.to_string()).collect()
}

fn count_sql(schema: &Schema, entity: TableId) -> String {
    format!(
        "SELECT COUNT(*) AS \"count\" FROM {}",
        relcast_catalog::quoted(&schema.table(entity).name)
    )
}

/// A name for the relation of cutoffs that no table has.
fn free_name(schema: &Schema) -> String {
    let mut name = "timestamps".to_owned();
    while schema.find_table(&name).is_some() {
        name.push('_');
    }
    name
}
