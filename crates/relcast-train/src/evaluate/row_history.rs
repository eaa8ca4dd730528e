//! The rows that the target reads, by entity: what "the mean of the last rows" is taken over.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};

use crate::baselines::{LAST_ROWS, last_k_rows_mean};
use crate::error::TrainError;
use crate::examples::Task;

/// (time, label of the row by itself) per entity, ascending by time.
#[derive(Debug, Clone, Default)]
pub struct RowHistory(BTreeMap<u64, Vec<(i64, f64)>>);

impl RowHistory {
    /// From `rows`: key columns, time, value, as [`relcast_query::LabelPlan::row_values`] gives them.
    ///
    /// # Errors
    /// If keys cannot be hashed or values are not what `task` learns.
    pub fn read(rows: &RecordBatch, task: &Task) -> Result<Self, TrainError> {
        let columns = rows.columns();
        let [keys @ .., times, values] = columns else {
            return Err(TrainError::Labels("rows of the target without time and value".into()));
        };
        let values: Vec<f64> = match task {
            Task::Multiclass { classes } => {
                let texts = cast(values, &DataType::Utf8)?;
                let position = |text: &str| classes.binary_search_by(|c| c.as_str().cmp(text)).ok();
                let number =
                    |text: Option<&str>| text.and_then(position).map_or(f64::NAN, |p| p as f64);
                texts.as_string::<i32>().iter().map(number).collect()
            }
            Task::Binary | Task::Regression { .. } => {
                let numbers = cast(values, &DataType::Float64)?;
                numbers
                    .as_primitive::<Float64Type>()
                    .iter()
                    .map(|v| v.unwrap_or(f64::NAN))
                    .collect()
            }
        };
        let times = cast(times, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let mut histories: BTreeMap<u64, Vec<(i64, f64)>> = BTreeMap::new();
        for (row, key) in relcast_graph::key_hashes(keys)?.into_iter().enumerate() {
            if times.is_valid(row) {
                histories.entry(key).or_default().push((times.value(row), values[row]));
            }
        }
        for history in histories.values_mut() {
            history.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        }
        Ok(Self(histories))
    }

    /// The mean of the entity's last rows known at `view`; `None` if it has none.
    #[must_use]
    pub fn last_mean(&self, entity: u64, view: i64) -> Option<f64> {
        last_k_rows_mean(self.0.get(&entity)?, view, LAST_ROWS)
    }

    /// The same rows with one for those of `class` and zero for the others.
    #[must_use]
    pub fn indicating(&self, class: usize) -> Self {
        let indicate = |v: f64| if v.is_nan() { v } else { f64::from(u8::from(v == class as f64)) };
        let rows = |rows: &Vec<(i64, f64)>| rows.iter().map(|(t, v)| (*t, indicate(*v))).collect();
        Self(self.0.iter().map(|(entity, history)| (*entity, rows(history))).collect())
    }
}
