//! `SUM` and `AVG` of floats that do not depend on the order of the rows.
//!
//! A sum of floats depends on the order of its terms in the last bits, and the order in which rows
//! arrive means nothing. So the terms of a group are put in their own order before they are added.
//! All other types are left to DataFusion.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
};

/// The functions, to stand in the place of DataFusion's of the same names.
pub(super) fn functions() -> [AggregateUDF; 2] {
    let function = |standard, of| AggregateUDF::from(FloatSum { standard, of });
    [function(sum_udaf(), Of::Sum), function(avg_udaf(), Of::Mean)]
}

/// What is computed of the terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    Sum,
    Mean,
}

/// DataFusion's function but for floats.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FloatSum {
    standard: Arc<AggregateUDF>,
    of: Of,
}

fn adds_floats(arguments: &[FieldRef]) -> bool {
    arguments.first().is_some_and(|field| *field.data_type() == DataType::Float64)
}

impl AggregateUDFImpl for FloatSum {
    fn name(&self) -> &str {
        self.standard.name()
    }

    fn aliases(&self) -> &[String] {
        self.standard.aliases()
    }

    fn signature(&self) -> &Signature {
        self.standard.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.standard.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !adds_floats(args.expr_fields) {
            return self.standard.accumulator(args);
        }
        Ok(Box::new(Terms { values: Vec::new(), of: self.of, distinct: args.is_distinct }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !adds_floats(args.input_fields) {
            return self.standard.state_fields(args);
        }
        let terms = Field::new_list_field(DataType::Float64, true);
        Ok(vec![Arc::new(Field::new_list(format_state_name(args.name, "terms"), terms, true))])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !adds_floats(args.expr_fields) && self.standard.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.standard.create_groups_accumulator(args)
    }

    // The rows of a window frame have an order of their own.
    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.standard.create_sliding_accumulator(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.standard.reverse_udf()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.standard.order_sensitivity()
    }
}

/// The terms of one group.
#[derive(Debug)]
struct Terms {
    values: Vec<f64>,
    of: Of,
    distinct: bool,
}

impl Accumulator for Terms {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = values.iter().filter_map(|v| v.as_primitive_opt::<Float64Type>());
        self.values.extend(columns.flat_map(|column| column.iter().flatten()));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.values.sort_unstable_by(f64::total_cmp);
        if self.distinct {
            self.values.dedup_by(|a, b| a.total_cmp(b).is_eq());
        }
        let sum = self.values.iter().copied().reduce(|sum, value| sum + value);
        let result = match self.of {
            Of::Sum => sum,
            Of::Mean => sum.map(|sum| sum / self.values.len() as f64),
        };
        Ok(ScalarValue::Float64(result))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let terms: Vec<ScalarValue> =
            self.values.drain(..).map(|value| ScalarValue::Float64(Some(value))).collect();
        let terms = ScalarValue::new_list_from_iter(terms.into_iter(), &DataType::Float64, true);
        Ok(vec![ScalarValue::List(terms)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states.iter().filter_map(|state| state.as_list_opt::<i32>());
        for terms in lists.flat_map(|list| list.iter().flatten()) {
            self.update_batch(&[terms])?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::arrow::array::{Float64Array, Int64Array, RecordBatch};
    use datafusion::arrow::compute::concat_batches;
    use datafusion::datasource::MemTable;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// What `sql` gives over the column `x` of `t`, given in partitions.
    async fn asked(sql: &str, partitions: &[ArrayRef]) -> Vec<ScalarValue> {
        let config = SessionConfig::new().with_target_partitions(partitions.len());
        let context = SessionContext::new_with_config(config);
        for function in functions() {
            context.register_udaf(function);
        }
        let batch = |x: &ArrayRef| {
            RecordBatch::try_from_iter_with_nullable([("x", x.clone(), true)]).unwrap()
        };
        let batches: Vec<Vec<RecordBatch>> = partitions.iter().map(|x| vec![batch(x)]).collect();
        let table = MemTable::try_new(batches[0][0].schema(), batches).unwrap();
        context.register_table("t", Arc::new(table)).unwrap();
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        let rows = concat_batches(&rows[0].schema(), &rows).unwrap();
        let cell = |column: &ArrayRef| ScalarValue::try_from_array(column, 0).unwrap();
        rows.columns().iter().map(cell).collect()
    }

    fn floats(values: &[Option<f64>]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    #[tokio::test]
    async fn partitions_and_order_do_not_count() {
        let values = [1e16, 1.0, -1e16, 0.1, 0.2, 0.3, 1e-9].map(Some);
        let sql = "SELECT sum(x), avg(x), mean(x), sum(DISTINCT x) FROM t";
        let whole = asked(sql, &[floats(&values)]).await;
        let mut reversed = values;
        reversed.reverse();
        let (head, tail) = reversed.split_at(3);
        assert_eq!(asked(sql, &[floats(head), floats(tail), floats(&[None])]).await, whole);
        assert!(!whole.contains(&ScalarValue::Float64(None)));
    }

    #[tokio::test]
    async fn null_whole_numbers_and_no_rows_are_as_ever() {
        let sql = "SELECT sum(x), avg(x), sum(DISTINCT x), count(*) FROM t";
        let none = ScalarValue::Float64(None);
        for nothing in [floats(&[]), floats(&[None, None])] {
            assert_eq!(
                asked(sql, &[nothing]).await[..3],
                [none.clone(), none.clone(), none.clone()]
            );
        }
        let float = |value| ScalarValue::Float64(Some(value));
        let found = asked(sql, &[floats(&[Some(0.5), None, Some(0.5), Some(2.0)])]).await;
        assert_eq!(found[..3], [float(3.0), float(1.0), float(2.5)]);
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(4)]));
        let int = |value| ScalarValue::Int64(Some(value));
        assert_eq!(asked(sql, &[whole]).await, [int(7), float(3.5), int(7), int(3)]);
    }

    #[tokio::test]
    async fn a_sum_over_a_window_grows_row_by_row() {
        let sql = "SELECT sum(x) OVER (ORDER BY x DESC), avg(x) OVER (ORDER BY x DESC) FROM t \
                   ORDER BY x LIMIT 1";
        let float = |value| ScalarValue::Float64(Some(value));
        let found = asked(sql, &[floats(&[Some(1.0), Some(2.0), Some(4.0)])]).await;
        assert_eq!(found, [float(7.0), float(7.0 / 3.0)]);
    }
}
