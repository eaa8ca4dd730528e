//! The session that a label plan runs in: the cutoffs are one more table.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::float_sum;

/// The session of `context` with `timestamps(timestamp)` beside its tables.
///
/// It runs on one partition: what a declared task computes may depend on the order of its rows, and
/// labels must not depend on the number of threads. Sums and means depend on no order at all.
pub(super) async fn with_timestamps(
    context: &SessionContext,
    relation: &str,
    cutoffs: &[i64],
) -> Result<SessionContext> {
    let table = Arc::new(timestamps_table(cutoffs)?);
    let session = relcast_connect::with_table(context, relation, table).await?;
    let state = session.state();
    let mut config = state.config().clone().with_target_partitions(1);
    let options = config.options_mut();
    options.sql_parser.enable_ident_normalization = false;
    // Our parser bounds the depth of expressions; each of its levels takes a few of SQL's.
    options.set("datafusion.sql_parser.recursion_limit", "2000")?;
    let state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
    let session = SessionContext::new_with_state(state);
    for function in float_sum::functions() {
        session.register_udaf(function);
    }
    Ok(session)
}

/// The cutoffs as a table with the one column `timestamp`.
fn timestamps_table(cutoffs: &[i64]) -> Result<MemTable> {
    let field = Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None), false);
    let schema = Arc::new(ArrowSchema::new(vec![field]));
    let mut cutoffs = cutoffs.to_vec();
    cutoffs.sort_unstable();
    cutoffs.dedup();
    let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(cutoffs));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column])?;
    MemTable::try_new(schema, vec![vec![batch]])
}

/// All rows of a query as one batch with plain column types: texts are Utf8, times microseconds.
pub(super) async fn collect(context: &SessionContext, sql: &str) -> Result<RecordBatch> {
    let frame = context.sql(sql).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    plain(&concat_batches(&schema, &batches)?)
}

fn plain(batch: &RecordBatch) -> Result<RecordBatch> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let data_type = plain_type(field.data_type());
        columns.push(cast(column, &data_type)?);
        fields.push(Field::new(field.name(), data_type, true));
    }
    Ok(RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns)?)
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(Field::new("item", plain_type(item.data_type()), true)))
        }
        other => other.clone(),
    }
}
