//! From a written predictive query to what predicts it, and when.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use relcast_catalog::Schema;
use relcast_query::ast::{ForClause, Literal, PredictiveQuery, Selection};
use relcast_query::{BoundQuery, LabelPlan, Options, bind, bind_with, parse};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::stored::StoredModel;
use crate::work::{Question, refuse_result_columns};

/// A predictive query with everything looked up.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) asked: Asked,
    /// Whom to predict for.
    pub(super) plan: LabelPlan,
    /// Whether FOR names keys.
    pub(super) names_entities: bool,
    /// The keys that FOR names, distinct and in order, where they can be looked up as written.
    pub(super) keys: Option<ArrayRef>,
}

/// Who predicts.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    /// A registered model.
    Model(Arc<StoredModel>),
    /// A quick model, trained for this query where there is none yet.
    Quick(Question),
}

impl Resolved {
    pub(super) async fn new(engine: &Engine, query: &PredictiveQuery) -> Result<Self, EngineError> {
        let Some(name) = &query.model else { return Self::quick(engine, query) };
        let version = name.version.and_then(|v| i64::try_from(v).ok());
        let model = engine.stored(&name.name.text, version).await?;
        let of_model = |query: &PredictiveQuery| match &model.question {
            Question::Query(text) => of_query(query, &parse(text)?, &model),
            Question::Task(_) => of_labels(query, &model, "a declared task"),
            Question::Select(_) => of_labels(query, &model, "a SELECT"),
        };
        let selection = query.entity.as_ref().map_or(&Selection::Each, |e| &e.selection);
        let everybody = of_everybody(query);
        let plan = engine.plan_of(&model, &everybody, || of_model(&everybody)).await?;
        let keys = plain_keys(query, &model.schema, &plan);
        let plan = if keys.is_some() || *selection == Selection::Each {
            let mut plan = plan.as_ref().clone();
            plan.as_of = query.as_of;
            let columns = plan.entity_columns.clone();
            plan.select(selection, &columns);
            plan
        } else {
            of_model(query)?
        };
        plan.refuse_ignored(&query.options)?;
        // What cannot be told is said before anybody is looked for.
        model.band(&plan.options, &query.options)?;
        let names_entities = *selection != Selection::Each;
        Ok(Self { asked: Asked::Model(model), plan, names_entities, keys })
    }

    fn quick(engine: &Engine, query: &PredictiveQuery) -> Result<Self, EngineError> {
        let schema = &engine.catalog.schema;
        let bound = bind(query, schema)?;
        let plan = LabelPlan::from_query(&bound, schema)?;
        refuse_result_columns(&plan)?;
        plan.refuse_ignored(&query.options)?;
        Ok(Self {
            asked: Asked::Quick(quick_question(query)),
            names_entities: bound.names_entities(),
            keys: plain_keys(query, schema, &plan),
            plan,
        })
    }
}

/// The question that a query without a model asks: of all entities, at any time, however predictions
/// are shown.
fn quick_question(query: &PredictiveQuery) -> Question {
    let options = Options::of_training(&query.options);
    Question::Query(PredictiveQuery { options, ..of_everybody(query) }.to_string())
}

/// The same of all entities, at any time.
fn of_everybody(query: &PredictiveQuery) -> PredictiveQuery {
    let entity = query.entity.clone();
    let entity = entity.map(|entity| ForClause { selection: Selection::Each, ..entity });
    PredictiveQuery { as_of: None, as_of_parameter: None, entity, ..query.clone() }
}

/// The keys of `FOR … = v` and `FOR … IN (v, …)` where SQL would compare them with the column as
/// they are: whole numbers with integers, texts with texts.
fn plain_keys(query: &PredictiveQuery, schema: &Schema, plan: &LabelPlan) -> Option<ArrayRef> {
    let [column] = schema.table(plan.entity).primary_key.as_slice() else { return None };
    let data_type = &schema.table(plan.entity).find_column(column)?.data_type;
    let Selection::Keys(keys) = &query.entity.as_ref()?.selection else { return None };
    let literals = keys.iter().map(|key| key.first());
    if data_type.is_integer() {
        let number = |literal: Option<&Literal>| match literal? {
            Literal::Number(text) => text.parse::<i64>().ok(),
            _ => None,
        };
        let mut numbers = literals.map(number).collect::<Option<Vec<i64>>>()?;
        numbers.sort_unstable();
        numbers.dedup();
        return Some(Arc::new(Int64Array::from(numbers)));
    }
    if !matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) {
        return None;
    }
    let text = |literal: Option<&Literal>| match literal? {
        Literal::Text(text) => Some(text.clone()),
        _ => None,
    };
    let mut texts = literals.map(text).collect::<Option<Vec<String>>>()?;
    texts.sort_unstable();
    texts.dedup();
    Some(Arc::new(StringArray::from(texts)))
}

fn of_query(
    query: &PredictiveQuery,
    trained: &PredictiveQuery,
    model: &StoredModel,
) -> Result<LabelPlan, EngineError> {
    let schema = &model.schema;
    // Options of training come from there; those of predictions are set over them.
    let set = model.set_with(&query.options)?;
    let completed = PredictiveQuery { options: Vec::new(), ..query.clone() }.completed_by(trained);
    let bound = bind_with(&completed, schema, &set)?;
    if query.target.is_some() && target_of(query, schema)? != target_of(trained, schema)? {
        return Err(EngineError::OtherTarget {
            model: model.name.clone(),
            target: trained.to_string(),
        });
    }
    let trained = bind(trained, schema)?;
    if bound.entity() != trained.entity() {
        return Err(EngineError::OtherTarget {
            model: model.name.clone(),
            target: format!("FOR EACH {}", schema.table(trained.entity()).name),
        });
    }
    Ok(LabelPlan::from_query(&bound, schema)?)
}

/// The labels of a query's target, whoever they are asked for.
fn target_of(query: &PredictiveQuery, schema: &Schema) -> Result<String, EngineError> {
    let entity = query.entity.clone();
    let entity = entity.map(|entity| ForClause { selection: Selection::Each, ..entity });
    let alone = PredictiveQuery { condition: None, assuming: None, entity, ..query.clone() };
    let bound: BoundQuery = bind(&alone, schema)?;
    Ok(LabelPlan::from_query(&bound, schema)?.sql().to_owned())
}

/// A model of a declared task or of a SELECT knows its entities; a query may choose among them by
/// key.
fn of_labels(
    query: &PredictiveQuery,
    model: &StoredModel,
    origin: &'static str,
) -> Result<LabelPlan, EngineError> {
    let schema = &model.schema;
    let mut plan = model.plan_with(&query.options)?;
    if query.target.is_some() || query.condition.is_some() || query.assuming.is_some() {
        return Err(EngineError::TaskModel { model: model.name.clone(), origin });
    }
    plan.as_of = query.as_of;
    if let Some(entity) = &query.entity {
        let table = schema.table(plan.entity);
        let columns: Vec<&str> = entity.columns.iter().map(|c| c.text.as_str()).collect();
        if entity.table.text != table.name || columns != table.primary_key {
            return Err(EngineError::OtherTarget {
                model: model.name.clone(),
                target: format!("FOR EACH {}.{}", table.name, table.primary_key.join(", ")),
            });
        }
        let columns = plan.entity_columns.clone();
        plan.select(&entity.selection, &columns);
    }
    Ok(plan)
}
