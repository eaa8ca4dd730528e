//! The statements about models.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use relcast_query::ast::{ModelName, Name};
use relcast_query::statement::{CreateModel, Existing};
use relcast_query::{History, OptionValue, Options, QueryError, Span, option_place};
use relcast_train::evaluate::Evaluation;
use serde_json::Value;

use super::apart::apart;
use super::registry_tables::{self, Content};
use super::watch::Watch;
use super::{Answer, Session};
use crate::error::EngineError;
use crate::registry::{ModelVersion, Origin, QUICK};
use crate::work::{self, EvaluationReport, Question, ResolvedBudget};

/// How long DROP waits for whoever writes the model.
const PATIENCE: Duration = Duration::from_secs(10);

impl Session {
    pub(super) async fn create_model(&self, create: &CreateModel) -> Result<Answer, EngineError> {
        let name = &create.name.text;
        if name.starts_with(QUICK) {
            return Err(EngineError::ModelName { name: name.clone() });
        }
        let trained = async {
            if create.existing != Existing::Replace {
                self.engine.registry.refuse_existing(name).await?;
            }
            let question = self.question(&create.labels).await?;
            self.train(name, question, Vec::new(), create.existing).await
        };
        match trained.await {
            Err(EngineError::ModelExists { .. }) if create.existing == Existing::Keep => {
                self.watcher.notice(&format!("model \"{name}\" exists already: nothing is done"));
                Ok(Answer::done("CREATE MODEL"))
            }
            trained => self.figures("CREATE MODEL", &trained?),
        }
    }

    pub(super) async fn refresh_model(&self, name: &Name) -> Result<Answer, EngineError> {
        let model = self.engine.registry.find_version(&name.text, None).await?;
        let artefact = self.engine.registry.load_artefact(&model)?;
        let stored = crate::StoredModel::read(&name.text, model.version, artefact)?;
        let question = self.asked_again(stored.question).await?;
        let report = self.train(&name.text, question, stored.set, Existing::Replace).await?;
        self.figures("REFRESH MODEL", &report)
    }

    async fn train(
        &self,
        name: &str,
        question: Question,
        set: Vec<(String, String)>,
        existing: Existing,
    ) -> Result<EvaluationReport, EngineError> {
        let (engine, watcher, name) = (self.engine.clone(), self.watcher.clone(), name.to_owned());
        let report = apart(async move || {
            let mut watch = Watch(watcher);
            let (registry, database, catalog) =
                (&engine.registry, &engine.database, &engine.catalog);
            let lock = work::lock_to_train(registry, &name)?;
            // Somebody else may have created it meanwhile.
            if existing != Existing::Replace {
                registry.refuse_existing(&name).await?;
            }
            work::train(registry, database, catalog, &question, &set, &lock, &mut watch).await
        })
        .await?;
        report.notes.iter().for_each(|note| self.watcher.notice(note));
        Ok(report)
    }

    pub(super) async fn evaluate_model(
        &self,
        model: &ModelName,
        as_of: Option<i64>,
        options: &[(Name, OptionValue)],
    ) -> Result<Answer, EngineError> {
        let written = Options::from_statement(options)?;
        if let Some((other, _)) =
            options.iter().find(|(name, _)| !name.text.eq_ignore_ascii_case("history"))
        {
            let refused = QueryError::Option {
                at: option_place(options, &other.text),
                message: format!("EVALUATE MODEL takes no option \"{}\"", other.text),
                hint: Some("it takes history alone; others are decided in training".to_owned()),
            };
            return Err(refused.into());
        }
        let said = options.iter().any(|(name, _)| name.text.eq_ignore_ascii_case("history"));
        let history: Option<History> = said.then_some(written.history);
        let stored = self.engine.stored(&model.name.text, version_of(model)).await?;
        let engine = self.engine.clone();
        let report = apart(async move || {
            let (registry, database, catalog) =
                (&engine.registry, &engine.database, &engine.catalog);
            work::evaluate(registry, database, catalog, &stored, None, history, as_of).await
        })
        .await?;
        report.notes.iter().for_each(|note| self.watcher.notice(note));
        self.figures("EVALUATE MODEL", &report)
    }

    /// The figures of a training or an evaluation: split, history, by whom, metric, value.
    fn figures(&self, tag: &str, report: &EvaluationReport) -> Result<Answer, EngineError> {
        let mut rows: Vec<([String; 4], Option<f64>)> = Vec::new();
        for Evaluation { split, history, metrics, baselines, .. } in &report.results {
            let name = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
            let own = std::iter::once(("model", metrics));
            for (by, metrics) in own.chain(baselines.iter().map(|(n, m)| (n.as_str(), m))) {
                for (metric, value) in metrics.iter() {
                    let key = [name(split), name(history), by.to_owned(), metric.to_owned()];
                    rows.push((key, value));
                }
            }
        }
        let text = |i: usize| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| &key[i])))
        };
        let model = StringArray::from(vec![report.model.as_str(); rows.len()]);
        let versions = arrow::array::Int64Array::from(vec![report.version; rows.len()]);
        let values: Float64Array = rows.iter().map(|(_, value)| *value).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(model),
            Arc::new(versions),
            text(0),
            text(1),
            text(2),
            text(3),
            Arc::new(values),
        ];
        let batch = RecordBatch::try_new(Arc::new(Schema::new(figure_fields())), columns)?;
        self.rows(tag, batch)
    }

    pub(super) async fn show_models(&self) -> Result<Answer, EngineError> {
        let all = registry_tables::rows(&self.engine.registry, Content::Models).await?;
        self.rows("SHOW", all.project(&[0, 1, 2, 3, 4])?)
    }

    pub(super) async fn describe_model(&self, model: &ModelName) -> Result<Answer, EngineError> {
        let found = self.engine.registry.find_version(&model.name.text, version_of(model)).await?;
        let artefact = self.engine.registry.load_artefact(&found)?;
        let document = |name: &str, key: &str| {
            artefact.documents.get(name).map_or(Value::Null, |d| d[key].clone())
        };
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let rows = [
            ("model", found.model.clone()),
            ("version", found.version.to_string()),
            ("is_default", found.is_default.to_string()),
            ("created_at", relcast_catalog::format_time(found.created_at)),
            ("trained_from", trained_from(&found)),
            ("task_type", text(document("metrics", "task_type"))),
            ("metric", text(document("metrics", "metric"))),
            ("data_until", text(document("metrics", "data_until"))),
            ("label_rows", text(document("metrics", "rows"))),
            ("horizon", horizon(&document("question", "cutoffs"))),
            ("budget", budget(document("question", "budget"))),
            ("set", set(&document("question", "set"))),
            ("seed", found.seed.to_string()),
            ("schema_fingerprint", found.schema_fingerprint.clone()),
            ("data_fingerprint", found.data_fingerprint.clone()),
            ("code_version", text(document("versions", "relcast"))),
            ("best_epoch", text(document("epochs", "best"))),
            ("plan", found.options.to_string()),
            ("artefact", found.artefact.display().to_string()),
            ("checksum", found.checksum.clone()),
        ];
        self.pairs("DESCRIBE", ("property", "value"), rows)
    }

    /// Rows of a name and a text.
    pub(super) fn pairs<'a>(
        &self,
        tag: &str,
        columns: (&str, &str),
        rows: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Answer, EngineError> {
        let (names, values): (Vec<&str>, Vec<String>) = rows.into_iter().unzip();
        let batch = RecordBatch::try_from_iter([
            (columns.0, Arc::new(StringArray::from(names)) as ArrayRef),
            (columns.1, Arc::new(StringArray::from(values))),
        ])?;
        self.rows(tag, batch)
    }

    pub(super) async fn drop_model(
        &self,
        model: &ModelName,
        if_exists: bool,
    ) -> Result<Answer, EngineError> {
        let (name, version) = (model.name.text.clone(), version_of(model));
        match self.engine.registry.find_version(&name, version).await {
            Err(EngineError::NoModel { .. } | EngineError::NoVersion { .. }) if if_exists => {
                self.watcher.notice(&format!("there is no model \"{name}\": nothing is done"));
                return Ok(Answer::done("DROP MODEL"));
            }
            found => found.map(drop)?,
        }
        let (engine, model) = (self.engine.clone(), name.clone());
        apart(async move || {
            let lock = engine.registry.home().lock_model(&model, PATIENCE)?;
            engine.registry.drop_versions(&lock, version).await
        })
        .await?;
        self.tell_dependants(&name).await?;
        Ok(Answer::done("DROP MODEL"))
    }

    pub(super) async fn set_default(
        &self,
        name: &Name,
        version: u64,
    ) -> Result<Answer, EngineError> {
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        self.engine.registry.set_default_version(&name.text, version).await?;
        Ok(Answer::done("ALTER MODEL"))
    }
}

/// The columns of figures.
pub(super) fn figure_fields() -> Vec<Field> {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    vec![
        text("model"),
        Field::new("version", DataType::Int64, false),
        text("split"),
        text("history"),
        text("by"),
        text("metric"),
        Field::new("value", DataType::Float64, true),
    ]
}

pub(super) fn version_of(model: &ModelName) -> Option<i64> {
    model.version.map(|version| i64::try_from(version).unwrap_or(i64::MAX))
}

fn horizon(cutoffs: &Value) -> String {
    let horizon = serde_json::from_value::<Span>(cutoffs["horizon"].clone());
    horizon.map_or_else(|_| "unknown".to_owned(), |horizon| horizon.to_string())
}

fn budget(resolved: Value) -> String {
    let resolved = serde_json::from_value::<Option<ResolvedBudget>>(resolved).ok().flatten();
    resolved.map_or_else(|| "none".to_owned(), |resolved| resolved.to_string())
}

/// The options that were set beside the question.
fn set(options: &Value) -> String {
    let text = |option: &Value| match (option[0].as_str(), option[1].as_str()) {
        (Some(name), Some(value)) => Some(format!("{name} = {value}")),
        _ => None,
    };
    options.as_array().into_iter().flatten().filter_map(text).collect::<Vec<_>>().join(", ")
}

fn trained_from(version: &ModelVersion) -> String {
    match &version.origin {
        Origin::Query(query) => query.clone(),
        Origin::Task(task) => format!("task {task}"),
    }
}
