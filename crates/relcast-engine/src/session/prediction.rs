//! A predictive query as a relation: DataFusion pushes keys, columns and limits into it.

use std::sync::{Arc, Weak};

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session as PlanningSession, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use relcast_query::LabelPlan;

use super::resolve::{Asked, Resolved};
use super::scan::PredictionScan;
use super::watch::Watcher;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::work::{prediction_fields, refuse_untrained};

/// What to predict, for whom and when; nothing runs until it is scanned.
pub(super) struct Prediction {
    /// Not held: the catalog of the engine has views, and these have predictions.
    pub(super) engine: Weak<Engine>,
    pub(super) watcher: Arc<dyn Watcher>,
    pub(super) resolved: Resolved,
    pub(super) schema: SchemaRef,
}

impl Prediction {
    /// The relation of a resolved query. Where its rows are `written` to a table they say which
    /// model and run they come from.
    pub(super) fn new(
        engine: &Arc<Engine>,
        watcher: Arc<dyn Watcher>,
        resolved: Resolved,
        written: bool,
    ) -> Result<Self, EngineError> {
        refuse_untrained(&resolved.plan.task_type)?;
        let schema = Arc::new(schema(engine, &resolved, written));
        Ok(Self { engine: Arc::downgrade(engine), watcher, resolved, schema })
    }

    /// Whether the rows go into a table or a file.
    pub(super) fn is_written(&self) -> bool {
        self.schema.field_with_name("run_id").is_ok()
    }

    /// Whether a model is trained to answer, since none is named.
    pub(super) fn trains(&self) -> bool {
        matches!(self.resolved.asked, Asked::Quick(_))
    }

    /// How many of the first columns are the entity's key.
    pub(super) fn keys(&self) -> usize {
        self.resolved.plan.entity_columns.len()
    }
}

fn schema(engine: &Engine, resolved: &Resolved, written: bool) -> ArrowSchema {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let mut fields = key_fields(engine, &resolved.plan);
    fields.push(Field::new("cutoff", time.clone(), false));
    fields.extend(prediction_fields(resolved.plan.task_type, &resolved.plan.options));
    fields.push(Field::new("in_sample", DataType::Boolean, false));
    if resolved.names_entities {
        fields.push(Field::new("eligible", DataType::Boolean, false));
        fields.push(Field::new("reason", DataType::Utf8, true));
    }
    if written {
        fields.push(Field::new("model", DataType::Utf8, false));
        fields.push(Field::new("model_version", DataType::Int64, false));
        fields.push(Field::new("run_id", DataType::Int64, false));
        fields.push(Field::new("predicted_at", time.clone(), false));
    }
    fields.push(Field::new("data_until", time, false));
    ArrowSchema::new(fields)
}

/// The key's columns under their names in results, with the types of the entity table.
fn key_fields(engine: &Engine, plan: &LabelPlan) -> Vec<Field> {
    let table = engine.catalog.schema.table(plan.entity);
    let of = |(name, key): (&String, &String)| {
        let column = table.find_column(name).or_else(|| table.find_column(key));
        let data_type = column.map_or(DataType::Utf8, |c| c.data_type.clone());
        Field::new(name, data_type, true)
    };
    plan.entity_columns.iter().zip(&table.primary_key).map(of).collect()
}

impl std::fmt::Debug for Prediction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prediction").field("resolved", &self.resolved).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for Prediction {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// What is asked of the key alone chooses whom to predict for.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let keys = &self.resolved.plan.entity_columns;
        let of_keys = |filter: &&Expr| {
            !filter.is_volatile() && filter.column_refs().iter().all(|c| keys.contains(&c.name))
        };
        let pushed = filters.iter().map(|filter| match of_keys(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        });
        Ok(pushed.collect())
    }

    async fn scan(
        &self,
        state: &dyn PlanningSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let keys = Arc::new(self.schema.project(&(0..self.keys()).collect::<Vec<_>>())?);
        let of_keys = DFSchema::try_from(keys)?;
        let filters = filters
            .iter()
            .map(|filter| state.create_physical_expr(filter.clone(), &of_keys))
            .collect::<Result<Vec<_>>>()?;
        let engine = self.engine.upgrade().ok_or(EngineError::Stopped)?;
        let scan = PredictionScan::new(engine, self, projection, filters, limit)?;
        Ok(Arc::new(scan))
    }
}
