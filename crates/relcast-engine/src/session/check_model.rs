//! `CHECK MODEL`: drift and skew of what a model reads and says.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use relcast_query::ast::ModelName;
use relcast_train::drift::Verdict;

use super::apart::apart;
use super::models::version_of;
use super::{Answer, Session};
use crate::error::EngineError;
use crate::work::{self, CheckLine};

impl Session {
    pub(super) async fn check_model(&self, model: &ModelName) -> Result<Answer, EngineError> {
        let stored = self.engine.stored(&model.name.text, version_of(model)).await?;
        let engine = self.engine.clone();
        let lines = apart(async move || work::check(&engine, &stored).await).await?;
        self.rows("CHECK", rows(&lines)?)
    }
}

/// The columns of a check.
pub(super) fn check_fields() -> Vec<Field> {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let count = |name: &str| Field::new(name, DataType::Int64, true);
    vec![
        text("kind", false),
        text("table", false),
        text("column", false),
        number("psi"),
        text("verdict", true),
        number("training_mean"),
        number("current_mean"),
        number("training_null_share"),
        number("current_null_share"),
        number("unknown_share"),
        count("training_rows"),
        count("current_rows"),
    ]
}

fn rows(lines: &[CheckLine]) -> Result<RecordBatch, EngineError> {
    let number = |of: &dyn Fn(&CheckLine) -> Option<f64>| -> ArrayRef {
        Arc::new(lines.iter().map(of).collect::<Float64Array>())
    };
    let count = |of: &dyn Fn(&CheckLine) -> Option<u64>| -> ArrayRef {
        let counts = lines.iter().map(of);
        let counts = counts.map(|n| n.map(|n| i64::try_from(n).unwrap_or(i64::MAX)));
        Arc::new(counts.collect::<Int64Array>())
    };
    let verdicts = lines.iter().map(|line| line.verdict.map(Verdict::name));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(lines.iter().map(|line| line.kind.name()))),
        Arc::new(StringArray::from_iter_values(lines.iter().map(|line| &line.table))),
        Arc::new(StringArray::from_iter_values(lines.iter().map(|line| &line.column))),
        number(&|line| line.psi),
        Arc::new(verdicts.collect::<StringArray>()),
        number(&|line| line.training.mean),
        number(&|line| line.current.mean),
        number(&|line| line.training.null_share),
        number(&|line| line.current.null_share),
        number(&|line| line.unknown_share),
        count(&|line| line.training.rows),
        count(&|line| line.current.rows),
    ];
    Ok(RecordBatch::try_new(Arc::new(Schema::new(check_fields())), arrays)?)
}
