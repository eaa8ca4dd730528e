//! The scan of a remote table: one SELECT, whose rows come as they are wanted.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::{StreamExt, stream};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;

use super::driver::{Driver, Select};
use crate::error::ConnectError;

/// The physical plan of a scan.
pub(super) struct RemoteScan {
    driver: Arc<dyn Driver>,
    select: Arc<Select>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RemoteScan {
    pub(super) fn new(driver: Arc<dyn Driver>, select: Select) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(select.schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            driver,
            select: Arc::new(select),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

/// A SELECT that runs as a task of its own: when its rows are no longer wanted, it still has to tell
/// the database.
struct Reading {
    rows: Receiver<RecordBatch>,
    task: Option<JoinHandle<Result<(), ConnectError>>>,
}

impl Reading {
    fn start(driver: Arc<dyn Driver>, select: Arc<Select>) -> Self {
        let (output, rows) = channel(1);
        let task = tokio::spawn(async move { driver.read(&select, &output).await });
        Self { rows, task: Some(task) }
    }

    async fn next(mut self) -> Option<(Result<RecordBatch>, Self)> {
        if let Some(batch) = self.rows.recv().await {
            return Some((Ok(batch), self));
        }
        let error = match self.task.take()?.await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => DataFusionError::External(Box::new(error)),
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(ended) => DataFusionError::External(Box::new(ended)),
        };
        Some((Err(error), self))
    }
}

impl fmt::Debug for RemoteScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteScan").field("select", &self.select).finish_non_exhaustive()
    }
}

impl DisplayAs for RemoteScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteScan: {}, sql={}", self.driver.place(), self.select.sql())?;
        for (number, text) in self.select.parameters.iter().enumerate() {
            write!(f, ", ${}={text:?}", number + 1)?;
        }
        Ok(())
    }
}

impl ExecutionPlan for RemoteScan {
    fn name(&self) -> &'static str {
        "RemoteScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
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
        let read = MetricBuilder::new(&self.metrics).output_rows(partition);
        let (driver, select) = (self.driver.clone(), self.select.clone());
        // Started when its first row is wanted: a scan that waits for another one holds nothing.
        let rows = stream::once(async move { Reading::start(driver, select) })
            .flat_map(|reading| stream::unfold(reading, Reading::next))
            .inspect(move |batch| {
                if let Ok(batch) = batch {
                    read.add(batch.num_rows());
                }
            });
        let rows = RecordBatchStreamAdapter::new(self.select.schema.clone(), rows);
        Ok(Box::pin(rows))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
