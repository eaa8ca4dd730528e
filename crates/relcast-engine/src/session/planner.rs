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
        // The library would pass over it without a word; a prediction stands in a subquery.
        if let TableFactor::Table { sample: Some(_), .. }
        | TableFactor::Derived { sample: Some(_), .. } = &relation
        {
            let what = "TABLESAMPLE; ORDER BY random() LIMIT n takes some of the rows".to_owned();
            return Err(EngineError::NotYet { what }.into());
        }
        let TableFactor::Table { name, alias, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let written = context.object_name_to_table_reference(name.clone())?;
        let mut numbered = self.predictions.iter().enumerate();
        let found = numbered.find(|(number, _)| written.table() == prediction_name(*number));
        let Some((_, prediction)) = found else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let source = provider_as_source(prediction.clone() as Arc<dyn TableProvider>);
        let plan = LogicalPlanBuilder::scan(written, source, None)?.build()?;
        let planned = PlannedRelation::new(plan, alias.clone());
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}
