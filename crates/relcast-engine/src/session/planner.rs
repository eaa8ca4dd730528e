//! Puts the predictive queries of a statement where its tokens say they stand.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::sql::sqlparser::ast::TableFactor;
use relcast_query::statement::prediction_name;

use super::prediction::Prediction;
use crate::error::EngineError;

/// The predictive queries of one statement, by number.
#[derive(Debug)]
pub(super) struct PredictionPlanner {
    pub(super) predictions: Vec<Arc<Prediction>>,
}

impl RelationPlanner for PredictionPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } = &relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let written = context.object_name_to_table_reference(name.clone())?;
        let mut numbered = self.predictions.iter().enumerate();
        let found = numbered.find(|(number, _)| written.table() == prediction_name(*number));
        let Some((_, prediction)) = found else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let alone = args.is_none()
            && with_hints.is_empty()
            && version.is_none()
            && !with_ordinality
            && partitions.is_empty()
            && json_path.is_none()
            && sample.is_none()
            && index_hints.is_empty();
        if !alone {
            return Err(no_modifier().into());
        }
        let source = provider_as_source(prediction.clone() as Arc<dyn TableProvider>);
        let plan = LogicalPlanBuilder::scan(written, source, None)?.build()?;
        let planned = PlannedRelation::new(plan, alias.clone());
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

/// What the library would pass over without a word.
fn no_modifier() -> EngineError {
    EngineError::Sql {
        at: None,
        message: "a predictive query in FROM takes no TABLESAMPLE, nor anything but an alias"
            .to_owned(),
        hint: Some("ORDER BY random() LIMIT n takes some of its rows".to_owned()),
    }
}
