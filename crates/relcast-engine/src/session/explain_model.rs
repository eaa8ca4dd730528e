//! `EXPLAIN MODEL`: what a model's predictions rest on, over all entities or for one.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use relcast_query::ast::{ModelName, PredictiveQuery};
use relcast_train::explain::{Contribution, Contributions, Importance};

use super::apart::apart;
use super::models::version_of;
use super::resolve::{Asked, Resolved};
use super::scan::{NO_ROW, NOT_KNOWN};
use super::{Answer, Session};
use crate::error::EngineError;

impl Session {
    pub(super) async fn explain_model(
        &self,
        model: &ModelName,
        prediction: Option<&PredictiveQuery>,
    ) -> Result<Answer, EngineError> {
        let batch = match prediction {
            None => importance_rows(&self.importance(model).await?)?,
            Some(query) => contribution_rows(&self.contributions(query).await?)?,
        };
        self.rows("EXPLAIN", batch)
    }

    async fn importance(&self, model: &ModelName) -> Result<Importance, EngineError> {
        let stored = self.engine.stored(&model.name.text, version_of(model)).await?;
        let engine = self.engine.clone();
        let importance = apart(async move || {
            let cutoff = engine.newest_time(&stored).await?;
            let scorer = engine.scorer(&stored, cutoff).await?;
            scorer.importance()
        })
        .await?;
        self.watcher.notice(&format!(
            "worsening of {} on {} validation rows; shares overlap and need not add up to one",
            importance.metric, importance.rows
        ));
        Ok(importance)
    }

    /// What PREDICT says for one entity, taken apart.
    async fn contributions(&self, query: &PredictiveQuery) -> Result<Contributions, EngineError> {
        let at = query.at;
        let Resolved { asked, plan, .. } = Resolved::new(&self.engine, query).await?;
        let Asked::Model(stored) = asked else { return Err(EngineError::NamesEntities) };
        let engine = self.engine.clone();
        let (found, eligible) = apart(async move || {
            let default = engine.newest_time(&stored).await?;
            let cutoff = plan.as_of.unwrap_or(default);
            let seeds = plan.seeds(&engine.database.context, cutoff).await?;
            let scorer = engine.scorer(&stored, cutoff).await?;
            let width = seeds.num_columns();
            let said = |column: usize| {
                let flags = seeds.column(column).as_boolean();
                flags.iter().next() == Some(Some(true))
            };
            let (eligible, known) = (said(width - 2), said(width - 1));
            let keys = &seeds.columns()[1..=plan.entity_columns.len()];
            let refused = |reason: &str| EngineError::Sql {
                at: Some(at),
                message: reason.to_owned(),
                hint: None,
            };
            let found = scorer.contributions(keys, cutoff)?;
            let found = found.ok_or_else(|| refused(NO_ROW))?;
            if known { Ok((found, eligible)) } else { Err(refused(NOT_KNOWN)) }
        })
        .await?;
        if !eligible {
            self.watcher.notice("the entity does not pass the WHERE of the model's query");
        }
        self.watcher.notice(&format!("the contributions add up to the score {}", found.score));
        Ok(found)
    }
}

/// The columns of a model's importance.
pub(super) fn importance_fields() -> Vec<Field> {
    let field = Field::new;
    vec![
        field("kind", DataType::Utf8, false),
        field("table", DataType::Utf8, false),
        field("column", DataType::Utf8, true),
        field("hop", DataType::Int64, false),
        field("share", DataType::Float64, true),
        field("worsening", DataType::Float64, true),
        field("range", DataType::Utf8, true),
        field("mean_prediction", DataType::Float64, true),
        field("rows", DataType::Int64, false),
    ]
}

/// The columns of what one score is made of.
pub(super) fn contribution_fields() -> Vec<Field> {
    let field = Field::new;
    vec![
        field("kind", DataType::Utf8, false),
        field("table", DataType::Utf8, true),
        field("row_key", DataType::Utf8, true),
        field("column", DataType::Utf8, true),
        field("hop", DataType::Int64, true),
        field("value", DataType::Utf8, true),
        field("contribution", DataType::Float64, false),
    ]
}

fn importance_rows(importance: &Importance) -> Result<RecordBatch, EngineError> {
    let (lines, cohorts) = (&importance.lines, &importance.cohorts);
    let (many, more) = (lines.len(), cohorts.len());
    let kinds = std::iter::repeat_n("importance", many).chain(std::iter::repeat_n("cohort", more));
    let tables = lines.iter().map(|l| &l.table).chain(cohorts.iter().map(|c| &c.table));
    let named = lines.iter().map(|l| l.column.as_ref());
    let columns = named.chain(cohorts.iter().map(|c| Some(&c.column)));
    let hops = lines.iter().map(|l| l.hop).chain(cohorts.iter().map(|c| c.hop));
    let no_number = std::iter::repeat_n(None, more);
    let shares = lines.iter().map(|l| l.share).chain(no_number.clone());
    let worse = lines.iter().map(|l| l.worsening).chain(no_number);
    let ranges = std::iter::repeat_n(None, many).chain(cohorts.iter().map(|c| Some(&c.range)));
    let means = cohorts.iter().map(|c| Some(c.mean_prediction));
    let means = std::iter::repeat_n(None, many).chain(means);
    let rows = lines.iter().map(|l| l.rows).chain(cohorts.iter().map(|c| c.rows));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(kinds)),
        Arc::new(StringArray::from_iter_values(tables)),
        Arc::new(columns.collect::<StringArray>()),
        Arc::new(Int64Array::from_iter_values(hops.map(|hop| hop as i64))),
        Arc::new(shares.collect::<Float64Array>()),
        Arc::new(worse.collect::<Float64Array>()),
        Arc::new(ranges.collect::<StringArray>()),
        Arc::new(means.collect::<Float64Array>()),
        Arc::new(Int64Array::from_iter_values(rows.map(|rows| rows as i64))),
    ];
    Ok(RecordBatch::try_new(Arc::new(Schema::new(importance_fields())), arrays)?)
}

fn contribution_rows(found: &Contributions) -> Result<RecordBatch, EngineError> {
    let parts = &found.parts;
    // The base comes first, and is of no table.
    let text = |of: &dyn Fn(&Contribution) -> Option<String>| -> ArrayRef {
        let texts = std::iter::once(None).chain(parts.iter().map(of));
        Arc::new(texts.collect::<StringArray>())
    };
    let kind = |part: &Contribution| if part.column.is_some() { "cell" } else { "row" };
    let kinds = std::iter::once("base").chain(parts.iter().map(kind));
    let hops = std::iter::once(None).chain(parts.iter().map(|part| Some(part.hop as i64)));
    let amounts = std::iter::once(found.base).chain(parts.iter().map(|part| part.contribution));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(kinds)),
        text(&|part| Some(part.table.clone())),
        text(&|part| part.row_key.clone()),
        text(&|part| part.column.clone()),
        Arc::new(hops.collect::<Int64Array>()),
        text(&|part| part.value.clone()),
        Arc::new(Float64Array::from_iter_values(amounts)),
    ];
    Ok(RecordBatch::try_new(Arc::new(Schema::new(contribution_fields())), arrays)?)
}
