//! A remote database as a source, and its tables as DataFusion sees them.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;

use super::driver::{Driver, Select};
use super::filter::pushed;
use super::scan::RemoteScan;
use super::shape::{RemoteColumn, Shape};
use crate::error::ConnectError;
use crate::source::Source;

/// A database that a driver reads, as a source.
pub(crate) struct Remote<D>(pub(crate) Arc<D>);

impl<D: Driver> fmt::Debug for Remote<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.0.place()).finish()
    }
}

#[async_trait]
impl<D: Driver + 'static> Source for Remote<D> {
    async fn table_names(&self) -> Result<Vec<String>, ConnectError> {
        self.0.table_names().await
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, ConnectError> {
        let Some(shape) = self.0.shape(name).await? else { return Ok(None) };
        Ok(Some(Arc::new(RemoteTable::new(self.0.clone(), shape))))
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// A table that is read where it is, with the columns that it had when it was looked up.
struct RemoteTable {
    driver: Arc<dyn Driver>,
    shape: Shape,
    schema: SchemaRef,
}

impl RemoteTable {
    fn new(driver: Arc<dyn Driver>, shape: Shape) -> Self {
        let fields: Vec<_> = shape.columns.iter().map(RemoteColumn::field).collect();
        Self { driver, shape, schema: Arc::new(Schema::new(fields)) }
    }

    fn pushed(&self, filter: &Expr, parameters: &mut Vec<String>) -> Option<String> {
        pushed(filter, &self.shape.columns, self.driver.dialect(), parameters)
    }
}

impl fmt::Debug for RemoteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTable")
            .field("place", &self.driver.place())
            .field("table", &self.shape.name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for RemoteTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let pushes = |filter: &&Expr| match self.pushed(filter, &mut Vec::new()) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(pushes).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (schema, columns) = match projection {
            Some(chosen) => {
                let column = |index: &usize| self.shape.columns.get(*index).cloned();
                let columns = chosen.iter().filter_map(column).collect();
                (Arc::new(self.schema.project(chosen)?), columns)
            }
            None => (self.schema.clone(), self.shape.columns.clone()),
        };
        let mut parameters = Vec::new();
        let conditions = filters.iter().map(|filter| {
            self.pushed(filter, &mut parameters).ok_or_else(|| {
                DataFusionError::Internal(format!("a filter that is not pushed: {filter}"))
            })
        });
        let conditions = conditions.collect::<Result<_>>()?;
        let select = Select {
            table: self.shape.clone(),
            columns,
            filters: conditions,
            parameters,
            limit,
            schema,
            batch_rows: state.config().batch_size().max(1),
        };
        Ok(Arc::new(RemoteScan::new(self.driver.clone(), select)))
    }
}
