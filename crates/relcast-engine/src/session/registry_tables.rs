//! The registry as tables: `relcast.models`, `relcast.metrics`, `relcast.runs`,
//! `relcast.predictions`, `relcast.sources`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, MemorySchemaProvider, SchemaProvider, Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use relcast_connect::redacted;
use relcast_query::parse;
use serde_json::Value;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::registry::{ModelVersion, Origin, Registry};
use crate::runs::Run;
use crate::sources::SourceRecord;

/// Puts the registry's tables into the schema `relcast` of the database's catalog.
pub(super) fn register(engine: &Engine) -> Result<(), EngineError> {
    let context = &engine.database.context;
    let catalog = context.state().config_options().catalog.default_catalog.clone();
    let Some(catalog) = context.catalog(&catalog) else { return Ok(()) };
    if catalog.schema("relcast").is_some() {
        return Ok(());
    }
    let schema = MemorySchemaProvider::new();
    for (name, content) in [
        ("models", Content::Models),
        ("metrics", Content::Metrics),
        ("runs", Content::Runs),
        ("predictions", Content::Predictions),
        ("sources", Content::Sources),
    ] {
        let table = RegistryTable { registry: engine.registry.clone(), content };
        schema.register_table(name.to_owned(), Arc::new(table))?;
    }
    catalog.register_schema("relcast", Arc::new(schema))?;
    Ok(())
}

/// What a table of the registry holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    Models,
    Metrics,
    Runs,
    Predictions,
    Sources,
}

/// A table of the registry, read anew by each scan.
#[derive(Debug)]
struct RegistryTable {
    registry: Registry,
    content: Content,
}

#[async_trait]
impl TableProvider for RegistryTable {
    fn schema(&self) -> SchemaRef {
        let empty = match self.content {
            Content::Models => models(&[]),
            Content::Metrics => metrics(&[]),
            Content::Runs => runs(&[]),
            Content::Predictions => predictions(&[], &[]),
            Content::Sources => sources(&[]),
        };
        // The columns are ours: only their values come from outside.
        empty.map_or_else(|_| Arc::new(arrow::datatypes::Schema::empty()), |batch| batch.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = rows(&self.registry, self.content).await?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        table.scan(state, projection, filters, limit).await
    }
}

/// Everything that the registry holds of one kind.
pub(super) async fn rows(
    registry: &Registry,
    content: Content,
) -> Result<RecordBatch, EngineError> {
    Ok(match content {
        Content::Models | Content::Metrics => {
            let mut versions = registry.versions().await?;
            versions.retain(|version| !version.is_quick());
            match content {
                Content::Models => models(&versions)?,
                _ => metrics(&versions)?,
            }
        }
        Content::Runs => runs(&registry.all_runs().await?)?,
        Content::Predictions => {
            let mut all = registry.all_runs().await?;
            all.retain(|run| run.kind == "predict");
            predictions(&all, &registry.versions().await?)?
        }
        Content::Sources => sources(&registry.sources().await?)?,
    })
}

fn models(versions: &[ModelVersion]) -> Result<RecordBatch, EngineError> {
    let text = |of: &dyn Fn(&ModelVersion) -> String| -> ArrayRef {
        Arc::new(versions.iter().map(|v| Some(of(v))).collect::<StringArray>())
    };
    let defaults: BooleanArray = versions.iter().map(|v| Some(v.is_default)).collect();
    let numbers = Int64Array::from_iter_values(versions.iter().map(|v| v.version));
    let seeds = Int64Array::from_iter_values(versions.iter().map(|v| v.seed.cast_signed()));
    let codes: StringArray = versions.iter().map(|v| v.code_version.as_deref()).collect();
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("model", text(&|v| v.model.clone()), false),
        ("version", Arc::new(numbers) as ArrayRef, false),
        ("is_default", Arc::new(defaults), false),
        ("created_at", times(versions.iter().map(|v| Some(v.created_at))), false),
        ("trained_from", text(&trained_from), false),
        ("data_until", times(versions.iter().map(|v| v.data_until)), true),
        ("seed", Arc::new(seeds), false),
        ("schema_fingerprint", text(&|v| v.schema_fingerprint.clone()), false),
        ("data_fingerprint", text(&|v| v.data_fingerprint.clone()), false),
        ("plan", text(&|v| v.options.to_string()), false),
        ("code_version", Arc::new(codes), true),
        ("checksum", text(&|v| v.checksum.clone()), false),
    ])?)
}

/// What a version was trained from, on one line.
fn trained_from(version: &ModelVersion) -> String {
    match &version.origin {
        Origin::Query(query) => query.split_whitespace().collect::<Vec<_>>().join(" "),
        Origin::Task(task) => format!("task {task}"),
    }
}

/// A metric of one version: by whom, on which split, under which history.
struct Metric<'a> {
    version: &'a ModelVersion,
    split: String,
    history: String,
    by: String,
    name: String,
    value: Option<f64>,
}

fn metrics(versions: &[ModelVersion]) -> Result<RecordBatch, EngineError> {
    let found: Vec<Metric<'_>> = versions.iter().flat_map(metrics_of).collect();
    let text = |of: &dyn Fn(&Metric<'_>) -> String| -> ArrayRef {
        Arc::new(found.iter().map(|m| Some(of(m))).collect::<StringArray>())
    };
    let numbers = Int64Array::from_iter_values(found.iter().map(|m| m.version.version));
    let values: Float64Array = found.iter().map(|m| m.value).collect();
    Ok(RecordBatch::try_from_iter([
        ("model", text(&|m| m.version.model.clone())),
        ("version", Arc::new(numbers) as ArrayRef),
        ("split", text(&|m| m.split.clone())),
        ("history", text(&|m| m.history.clone())),
        ("by", text(&|m| m.by.clone())),
        ("metric", text(&|m| m.name.clone())),
        ("value", Arc::new(values)),
    ])?)
}

fn metrics_of(version: &ModelVersion) -> Vec<Metric<'_>> {
    let mut found = Vec::new();
    for result in version.metrics.as_array().into_iter().flatten() {
        let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
        let own = [("model".to_owned(), &result["metrics"])];
        let baselines = result["baselines"].as_object().into_iter().flatten();
        let all = own.into_iter().chain(baselines.map(|(name, values)| (name.clone(), values)));
        for (by, values) in all {
            for (name, value) in values.as_object().into_iter().flatten() {
                found.push(Metric {
                    version,
                    split: text("split"),
                    history: text("history"),
                    by: by.clone(),
                    name: name.clone(),
                    value: Value::as_f64(value),
                });
            }
        }
    }
    found
}

fn runs(all: &[Run]) -> Result<RecordBatch, EngineError> {
    Ok(RecordBatch::try_from_iter_with_nullable(run_columns(all))?)
}

/// Runs that predicted, with what was predicted; it is not known of versions that were dropped since.
fn predictions(all: &[Run], versions: &[ModelVersion]) -> Result<RecordBatch, EngineError> {
    let targets: BTreeMap<(&str, i64), String> =
        versions.iter().map(|v| ((v.model.as_str(), v.version), target(v))).collect();
    let target = |run: &Run| targets.get(&(run.model.as_str(), run.version?)).cloned();
    let target: StringArray = all.iter().map(target).collect();
    let mut columns = run_columns(all);
    columns.push(("target", Arc::new(target), true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// What a version predicts: the target of its query, or where its labels come from.
fn target(version: &ModelVersion) -> String {
    let written = match &version.origin {
        Origin::Query(text) => parse(text).ok().and_then(|query| query.target_text()),
        Origin::Task(_) => None,
    };
    written.unwrap_or_else(|| trained_from(version))
}

/// A column of a table: its name, its values, and whether it may have NULLs.
type Column = (&'static str, ArrayRef, bool);

fn run_columns(all: &[Run]) -> Vec<Column> {
    let text = |of: &dyn Fn(&Run) -> Option<String>| -> ArrayRef {
        Arc::new(all.iter().map(of).collect::<StringArray>())
    };
    let ids = Int64Array::from_iter_values(all.iter().map(|r| r.run_id.0));
    let versions: Int64Array = all.iter().map(|r| r.version).collect();
    vec![
        ("run_id", Arc::new(ids) as ArrayRef, false),
        ("kind", text(&|r| Some(r.kind.clone())), false),
        ("model", text(&|r| Some(r.model.clone())), false),
        ("version", Arc::new(versions), true),
        ("started_at", times(all.iter().map(|r| Some(r.started_at))), false),
        ("finished_at", times(all.iter().map(|r| r.finished_at)), true),
        ("status", text(&|r| Some(r.status.clone())), false),
        ("error", text(&|r| r.error.clone()), true),
    ]
}

fn sources(all: &[SourceRecord]) -> Result<RecordBatch, EngineError> {
    let text = |of: &dyn Fn(&SourceRecord) -> String| -> ArrayRef {
        Arc::new(all.iter().map(|source| Some(of(source))).collect::<StringArray>())
    };
    let options = |source: &SourceRecord| {
        let options = source.options.iter().map(|(name, value)| format!("{name} '{value}'"));
        redacted(&options.collect::<Vec<_>>().join(", "))
    };
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("source", text(&|s| s.name.clone()), false),
        ("type", text(&|s| s.kind.clone()), false),
        ("options", text(&options), false),
        ("created_at", times(all.iter().map(|s| Some(s.created_at))), false),
    ])?)
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>())
}
