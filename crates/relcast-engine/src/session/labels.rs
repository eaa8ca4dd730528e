//! `CREATE MODEL … FOR … AS (SELECT …)`: from the SELECT as written to a question.

use relcast_query::statement::{LabelledRows, Labels, Statement};
use relcast_query::{CheckedSelect, LabelPlan, LabelSelect, Place, QueryError, bind, statements};

use super::Session;
use crate::error::EngineError;
use crate::work::Question;

impl Session {
    /// The question that CREATE MODEL asks; what is wrong with it is said with its place.
    pub(super) async fn question(&self, labels: &Labels) -> Result<Question, EngineError> {
        let schema = &self.engine.catalog.schema;
        match labels {
            Labels::Query { query, text } => {
                // Bound here first, so that an error says its place in the whole statement.
                let bound = bind(query, schema)?;
                if bound.names_entities() {
                    return Err(EngineError::NamesEntities);
                }
                LabelPlan::from_query(&bound, schema)?.refuse_ignored(&query.options)?;
                Ok(Question::Query(text.clone()))
            }
            Labels::Select(written) => {
                self.plan_select(written).await.map_err(|error| within(error, written.at))?;
                let context = &self.engine.database.context;
                let checked = LabelSelect::check(context, schema, written).await?;
                let plan = LabelPlan::from_select(&checked.select, schema, &[])?;
                plan.refuse_ignored(&written.options)?;
                Ok(self.told(checked))
            }
        }
    }

    /// The question of a model that is trained anew: a SELECT is checked against today's data.
    pub(super) async fn asked_again(&self, question: Question) -> Result<Question, EngineError> {
        let Question::Select(select) = question else { return Ok(question) };
        let (context, schema) = (&self.engine.database.context, &self.engine.catalog.schema);
        Ok(self.told(select.check_again(context, schema).await?))
    }

    fn told(&self, checked: CheckedSelect) -> Question {
        checked.notes.iter().for_each(|note| self.watcher.notice(note));
        Question::Select(Box::new(checked.select))
    }

    /// Plans the SELECT alone, so that its errors name tables, columns and their places.
    async fn plan_select(&self, written: &LabelledRows) -> Result<(), EngineError> {
        let statement = statements(&written.sql)?.next().transpose()?;
        match statement {
            Some(Statement::Sql(sql)) if sql.predictions.is_empty() => {
                self.plan(&sql).await.map(drop)
            }
            _ => Err(EngineError::Sql {
                at: Some(Place { line: 1, column: 1 }),
                message: "expected a SELECT without predictive queries".to_owned(),
                hint: Some(
                    "write predictions to a table with CREATE TABLE, and select from it".to_owned(),
                ),
            }),
        }
    }
}

/// The error of a part of a statement that starts at `start`, with its place in the whole.
fn within(error: EngineError, start: Place) -> EngineError {
    let moved = |at: Place| match at.line {
        0 | 1 => Place { line: start.line, column: start.column + at.column.saturating_sub(1) },
        line => Place { line: start.line + line - 1, column: at.column },
    };
    match error {
        EngineError::Sql { at, message, hint } => {
            EngineError::Sql { at: Some(at.map_or(start, moved)), message, hint }
        }
        EngineError::Failed { state, at, message, hint } => {
            EngineError::Failed { state, at: Some(at.map_or(start, moved)), message, hint }
        }
        EngineError::Query(QueryError::Syntax { at, expected, found, hint }) => {
            EngineError::Query(QueryError::Syntax { at: moved(at), expected, found, hint })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_part_is_one_in_the_whole() {
        let error = |line, column| EngineError::Sql {
            at: Some(Place { line, column }),
            message: "no".to_owned(),
            hint: None,
        };
        let start = Place { line: 3, column: 10 };
        assert_eq!(within(error(1, 5), start).place(), Some(Place { line: 3, column: 14 }));
        assert_eq!(within(error(2, 5), start).place(), Some(Place { line: 4, column: 5 }));
    }
}
