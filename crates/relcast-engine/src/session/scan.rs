//! Scanning a prediction: entities are found, chosen by key, and scored chunk by chunk.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, Time,
};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use relcast_query::OnError;
use relcast_train::conformal::Band;
use tokio::sync::mpsc::Sender;

use super::prediction::Prediction;
use super::quick::quick_model;
use super::resolve::{Asked, Resolved};
use super::watch::Watcher;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::registry::now;
use crate::runs::RunKind;
use crate::stored::StoredModel;
use crate::work::{
    EMBEDDING, Scorer, Scores, Shown, prediction_column, prediction_fields, staleness,
};

/// Entities scored at once: whoever wants few rows waits for no more.
const CHUNK: usize = 4096;

/// The physical plan of a prediction.
#[derive(Clone)]
pub(super) struct PredictionScan {
    engine: Arc<Engine>,
    watcher: Arc<dyn Watcher>,
    resolved: Resolved,
    /// Whether the rows are written, and the run goes on record, whatever columns of them are kept.
    recorded: bool,
    /// Conditions over the key's columns.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    limit: Option<usize>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PredictionScan {
    pub(super) fn new(
        engine: Arc<Engine>,
        prediction: &Prediction,
        projection: Option<&Vec<usize>>,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        limit: Option<usize>,
    ) -> Result<Self> {
        let schema = match projection {
            Some(columns) => Arc::new(prediction.schema.project(columns)?),
            None => prediction.schema.clone(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            engine,
            watcher: prediction.watcher.clone(),
            resolved: prediction.resolved.clone(),
            recorded: prediction.is_written(),
            filters,
            limit,
            schema,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn wants(&self, column: &str) -> bool {
        self.schema.field_with_name(column).is_ok()
    }

    async fn run(self, figures: Figures, output: Sender<Result<RecordBatch>>) -> Result<()> {
        let model = match &self.resolved.asked {
            Asked::Model(model) => model.clone(),
            Asked::Quick(question) => {
                quick_model(&self.engine, question, &self.resolved.plan.options, &self.watcher)
                    .await?
            }
        };
        if !self.recorded {
            return self.send_all(&model, 0, &figures, &output).await.map_err(Into::into);
        }
        let registry = self.engine.registry.clone();
        let work = async |run: crate::runs::RunId| {
            self.send_all(&model, run.0, &figures, &output).await?;
            Ok((model.version, ()))
        };
        Ok(registry.record(RunKind::Predict, &model.name, work).await?)
    }

    /// Predicts for everybody who is asked for, until nobody wants more.
    async fn send_all(
        &self,
        model: &Arc<StoredModel>,
        run: i64,
        figures: &Figures,
        output: &Sender<Result<RecordBatch>>,
    ) -> Result<(), EngineError> {
        let plan = &self.resolved.plan;
        let band = model.band(&plan.options, &[])?;
        if plan.options.on_error == OnError::Skip
            && let Some(found) = plan.unreadable(&self.engine.database.context).await?
        {
            self.watcher.notice(&format!("rows of FOR … IN (SELECT …) that are left out: {found}"));
        }
        let newest = self.engine.newest_time(model).await?;
        let started = Instant::now();
        let seeds = self.seeds(self.resolved.plan.as_of.unwrap_or(newest)).await?;
        figures.finding.add_elapsed(started);
        if let Some(cutoff) = last_time_of(&seeds) {
            staleness(model, newest, cutoff).iter().for_each(|told| self.watcher.notice(told));
        }
        let mut left = self.limit.unwrap_or(usize::MAX).min(seeds.num_rows());
        let mut start = 0;
        while left > 0 {
            let chunk = chunk_at_one_cutoff(&seeds, start, left.min(CHUNK));
            let cutoff = time_of(&chunk);
            let scorer = self.engine.scorer(model, cutoff).await?;
            let started = Instant::now();
            let rows = Rows {
                scan: self.clone(),
                scorer,
                band,
                chunk: chunk.clone(),
                cutoff,
                run,
                newest,
            };
            let scored = figures.scored.clone();
            let batch = tokio::task::spawn_blocking(move || rows.predict(&scored)).await;
            let batch = batch.unwrap_or_else(|ended| {
                if ended.is_panic() {
                    std::panic::resume_unwind(ended.into_panic());
                }
                Err(EngineError::Stopped)
            })?;
            figures.scoring.add_elapsed(started);
            figures.output.add(batch.num_rows());
            if output.send(Ok(batch)).await.is_err() {
                return Ok(());
            }
            start += chunk.num_rows();
            left -= chunk.num_rows();
        }
        Ok(())
    }

    /// Whom to predict for. Where they are named by their keys, those are looked up among who was
    /// found at this cutoff before.
    async fn seeds(&self, cutoff: i64) -> Result<RecordBatch, EngineError> {
        let plan = &self.resolved.plan;
        let chosen = match &self.resolved.keys {
            Some(keys) => self.engine.population(plan, cutoff).await?.seeds(keys)?,
            None if self.filters.is_empty() || self.resolved.names_entities => {
                plan.seeds(&self.engine.database.context, cutoff).await?
            }
            None => self.engine.population(plan, cutoff).await?.everybody.clone(),
        };
        self.chosen(chosen)
    }

    /// The entities whose keys pass the filters.
    fn chosen(&self, seeds: RecordBatch) -> Result<RecordBatch, EngineError> {
        let width = self.resolved.plan.entity_columns.len();
        let mut seeds = seeds;
        for filter in &self.filters {
            let keys = seeds.project(&(1..=width).collect::<Vec<_>>())?;
            let passed = filter.evaluate(&keys)?.into_array(keys.num_rows())?;
            let passed = passed.as_boolean();
            let passed: BooleanArray = passed.iter().map(|p| Some(p == Some(true))).collect();
            seeds = filter_record_batch(&seeds, &passed)?;
        }
        Ok(seeds)
    }
}

/// Entities at one cutoff, to be predicted for.
struct Rows {
    scan: PredictionScan,
    scorer: Arc<Scorer>,
    band: Option<Band>,
    /// Cutoff, key columns, `eligible`, `known`.
    chunk: RecordBatch,
    cutoff: i64,
    run: i64,
    newest: i64,
}

impl Rows {
    fn predict(&self, scored: &Count) -> Result<RecordBatch, EngineError> {
        let plan = &self.scan.resolved.plan;
        let count = self.chunk.num_rows();
        let keys = &self.chunk.columns()[1..=plan.entity_columns.len()];
        let task = &self.scorer.model.plan.fit.task;
        let of_task = prediction_fields(plan.task_type, &plan.options);
        // Keys that exist are found with the predictions; where those are not wanted neither is why.
        let needed = of_task.iter().any(|f| self.scan.wants(f.name())) || self.scan.wants("reason");
        let scores = match needed {
            true => {
                scored.add(count);
                self.scorer.scores(keys, self.cutoff, self.scan.wants(EMBEDDING))?
            }
            false => Scores::default(),
        };
        let known = self.chunk.column(self.chunk.num_columns() - 1).as_boolean().clone();
        let has_row = scores.there;
        let there = has_row.iter().zip(known.values()).map(|(row, known)| *row && known).collect();
        let scores = Scores { there, ..scores };
        let moment =
            |at: i64| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from_value(at, count)) };
        let (trained_until, model) = (self.scorer.model.cutoffs.data_end, &self.scorer.model);
        let column = |name: &str| -> Result<ArrayRef, EngineError> {
            if let Some(key) = plan.entity_columns.iter().position(|c| c == name) {
                return Ok(keys[key].clone());
            }
            Ok(match name {
                "cutoff" => moment(self.cutoff),
                "in_sample" => {
                    Arc::new(BooleanArray::from(vec![self.cutoff < trained_until; count]))
                }
                "eligible" => self.chunk.column(self.chunk.num_columns() - 2).clone(),
                "reason" => Arc::new(reasons(&has_row, &known)),
                "model" => Arc::new(StringArray::from(vec![model.name.as_str(); count])),
                "model_version" => Arc::new(Int64Array::from_value(model.version, count)),
                "run_id" => Arc::new(Int64Array::from_value(self.run, count)),
                "predicted_at" => moment(now()),
                "data_until" => moment(self.newest),
                _ => {
                    let shown = Shown::from(&plan.options);
                    prediction_column(name, task, &scores, shown, self.band)?
                }
            })
        };
        let mut columns = Vec::with_capacity(self.scan.schema.fields().len());
        for field in self.scan.schema.fields() {
            columns.push(cast(&column(field.name())?, field.data_type())?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(self.scan.schema.clone(), columns, &options)?)
    }
}

/// Why there is no prediction for a key that was named.
pub(super) const NO_ROW: &str = "no row has this key";
pub(super) const NOT_KNOWN: &str = "no such entity is known at the cutoff";

/// The reason for each key; NULL where there is a prediction.
fn reasons(has_row: &[bool], known: &BooleanArray) -> StringArray {
    let reason = |(has_row, known): (&bool, bool)| match (has_row, known) {
        (true, true) => None,
        (true, false) => Some(NOT_KNOWN),
        (false, _) => Some(NO_ROW),
    };
    has_row.iter().zip(known.values()).map(reason).collect()
}

/// At most `most` rows from `start` on that have the same cutoff.
fn chunk_at_one_cutoff(seeds: &RecordBatch, start: usize, most: usize) -> RecordBatch {
    let chunk = seeds.slice(start, most);
    let times = chunk.column(0).as_primitive::<TimestampMicrosecondType>();
    let first = times.values().first().copied();
    let same = times.values().iter().take_while(|t| Some(**t) == first).count();
    chunk.slice(0, same)
}

fn time_of(chunk: &RecordBatch) -> i64 {
    let times = chunk.column(0).as_primitive::<TimestampMicrosecondType>();
    times.values().first().copied().unwrap_or_default()
}

fn last_time_of(seeds: &RecordBatch) -> Option<i64> {
    let times = seeds.column(0).as_primitive::<TimestampMicrosecondType>();
    times.values().iter().max().copied()
}

/// What EXPLAIN ANALYZE shows of a scan.
struct Figures {
    scored: Count,
    output: Count,
    finding: Time,
    scoring: Time,
}

impl fmt::Debug for PredictionScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PredictionScan").field("resolved", &self.resolved).finish_non_exhaustive()
    }
}

impl DisplayAs for PredictionScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.resolved.plan;
        let table = &self.engine.catalog.schema.table(plan.entity).name;
        match &self.resolved.asked {
            Asked::Model(model) => {
                write!(f, "PredictionScan: model={} version {}", model.name, model.version)?;
            }
            Asked::Quick(_) => write!(f, "PredictionScan: model=quick")?,
        }
        write!(f, ", entity={table}")?;
        if let Some(cutoff) = plan.as_of {
            write!(f, ", as_of={}", relcast_catalog::format_time(cutoff))?;
        }
        let columns = self.schema.fields().iter().map(|c| c.name().as_str()).collect::<Vec<_>>();
        write!(f, ", columns=[{}]", columns.join(", "))?;
        let filters = self.filters.iter().map(ToString::to_string).collect::<Vec<_>>();
        if !filters.is_empty() {
            write!(f, ", keys=[{}]", filters.join(" AND "))?;
        }
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for PredictionScan {
    fn name(&self) -> &'static str {
        "PredictionScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for filter in &self.filters {
            if f(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metric = || MetricBuilder::new(&self.metrics);
        let figures = Figures {
            scored: metric().counter("seeds_scored", partition),
            output: metric().output_rows(partition),
            finding: metric().subset_time("finding_entities", partition),
            scoring: metric().subset_time("scoring", partition),
        };
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), 1);
        let (output, scan) = (builder.tx(), self.clone());
        builder.spawn(async move { scan.run(figures, output).await });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

impl From<EngineError> for DataFusionError {
    fn from(error: EngineError) -> Self {
        Self::External(Box::new(error))
    }
}
