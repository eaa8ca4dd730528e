//! The types of parameters, as far as a statement tells them.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr as PlanExpr, ExprSchemable, LogicalPlan};
use relcast_catalog::{Schema, Table};
use relcast_query::PredictiveQuery;
use relcast_query::ast::{Expr, Function, Leaf, Literal, Name, Node, Selection};
use relcast_query::statement::{Labels, Statement};

use super::Session;
use super::resolve::Resolved;
use crate::error::EngineError;

/// The type of a cutoff.
pub(super) const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Types by the numbers of the parameters; none where it cannot be told.
type Types = BTreeMap<usize, Option<DataType>>;

impl Session {
    /// The parameters of a statement of relcast's own.
    pub(super) async fn parameters_of_own(
        &self,
        statement: &Statement,
    ) -> Result<Types, EngineError> {
        let mut found = Types::new();
        match statement {
            Statement::ExplainPredict { query, .. }
            | Statement::ExplainModel { prediction: Some(query), .. } => {
                found = self.parameters_of(query).await?;
            }
            Statement::CreateModel(create) | Statement::ExplainCreateModel(create) => {
                if let Labels::Query { query, .. } = &create.labels {
                    found = self.parameters_of(query).await?;
                }
            }
            Statement::EvaluateModel { as_of_parameter: Some(number), .. } => {
                found.insert(*number, Some(TIME));
            }
            _ => {}
        }
        Ok(found)
    }

    /// The parameters of a predictive query: of its conditions, the cutoff, and keys.
    pub(super) async fn parameters_of(
        &self,
        query: &PredictiveQuery,
    ) -> Result<Types, EngineError> {
        let schema = &self.engine.catalog.schema;
        let mut found = Types::new();
        let named = query.entity.as_ref().and_then(|entity| table_of(schema, &entity.table));
        for condition in [&query.target, &query.condition, &query.assuming].into_iter().flatten() {
            note(condition, schema, named, &mut found);
        }
        found.extend(query.as_of_parameter.map(|number| (number, Some(TIME))));
        let Some(entity) = &query.entity else { return Ok(found) };
        let Selection::Keys(keys) = &entity.selection else { return Ok(found) };
        let plan = Resolved::new(&self.engine, query).await?.plan;
        let table = schema.table(plan.entity);
        for key in keys {
            note_keys(key, &entity.columns, table, &mut found);
        }
        Ok(found)
    }
}

/// Notes the types of parameters that are keys.
fn note_keys(key: &[Literal], columns: &[Name], table: &Table, found: &mut Types) {
    for (literal, name) in key.iter().zip(columns) {
        if let Literal::Parameter(number) = literal {
            let column = table.find_column(&name.text);
            found.insert(*number, column.map(|column| column.data_type.clone()));
        }
    }
}

/// The parameters of a plan.
pub(super) fn of_plan(plan: &LogicalPlan) -> Result<Types, EngineError> {
    let mut found = Types::new();
    for (name, field) in plan.get_parameter_fields()? {
        if let Some(number) = number_of(&name) {
            found.insert(number, field.map(|f| f.data_type().clone()));
        }
    }
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for expr in [&limit.skip, &limit.fetch].into_iter().flatten() {
                if let PlanExpr::Placeholder(placeholder) = expr.as_ref() {
                    let number = number_of(&placeholder.id);
                    found.extend(number.map(|number| (number, Some(DataType::Int64))));
                }
            }
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                found.extend(array_of(part, node));
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The parameter in `x = ANY($1)`, which is planned as a function of arrays, and its type.
fn array_of(expr: &PlanExpr, node: &LogicalPlan) -> Option<(usize, Option<DataType>)> {
    let PlanExpr::ScalarFunction(call) = expr else { return None };
    let [PlanExpr::Placeholder(array), element] = call.args.as_slice() else { return None };
    if call.name() != "array_has" {
        return None;
    }
    let inputs = node.inputs();
    let of = inputs.iter().find_map(|input| element.get_type(input.schema()).ok())?;
    Some((number_of(&array.id)?, Some(DataType::new_list(of, true))))
}

/// The plan with a NULL for each parameter, so that its columns have their types: a NULL that is
/// `given`, else one of the type that was `found`.
pub(super) fn with_nulls(
    plan: LogicalPlan,
    given: &[Option<ScalarValue>],
    found: &Types,
) -> Result<LogicalPlan, EngineError> {
    let names = plan.get_parameter_names()?;
    let Some(count) = names.iter().filter_map(|name| number_of(name)).max() else {
        return Ok(plan);
    };
    let mut nulls = Vec::with_capacity(count);
    for number in 1..=count {
        let null = given.get(number - 1).cloned().flatten();
        nulls.push(match (null, found.get(&number)) {
            (Some(null), _) => null,
            (None, Some(Some(data_type))) => ScalarValue::try_from(data_type)?,
            (None, _) => ScalarValue::Utf8(None),
        });
    }
    Ok(plan.with_param_values(nulls)?)
}

/// The plan with these values for its parameters.
pub(super) fn with_values(
    plan: LogicalPlan,
    values: &[ScalarValue],
) -> Result<LogicalPlan, EngineError> {
    let names = plan.get_parameter_names()?;
    if names.is_empty() {
        return Ok(plan);
    }
    let numbers = names.iter().filter_map(|name| number_of(name));
    match numbers.filter(|number| *number > values.len()).min() {
        Some(number) => Err(EngineError::Sql {
            at: None,
            message: format!("parameter ${number} has no value"),
            hint: Some("bind it, or write the value itself".to_owned()),
        }),
        None => Ok(plan.with_param_values(values.to_vec())?),
    }
}

fn number_of(name: &str) -> Option<usize> {
    name.strip_prefix('$')?.parse().ok().filter(|number| *number > 0)
}

fn table_of<'a>(schema: &'a Schema, name: &Name) -> Option<&'a Table> {
    schema.find_table(&name.text).map(|id| schema.table(id))
}

/// Notes the types of parameters that stand beside something whose type is known; columns are those
/// of `table` where they do not name another.
fn note(expr: &Expr<Leaf>, schema: &Schema, table: Option<&Table>, found: &mut Types) {
    let sides: Vec<&Expr<Leaf>> = match &expr.node {
        Node::Leaf(Leaf::Aggregate(aggregate)) => {
            if let Some(condition) = &aggregate.condition {
                note(condition, schema, table_of(schema, &aggregate.table), found);
            }
            return;
        }
        Node::Leaf(Leaf::Column(_)) | Node::Literal(_) => return,
        Node::Not(operand) | Node::Negate(operand) | Node::IsNull { operand, .. } => {
            vec![operand.as_ref()]
        }
        Node::Binary { left, right, .. } => vec![left.as_ref(), right.as_ref()],
        Node::In { operand, items, .. } => std::iter::once(operand.as_ref()).chain(items).collect(),
        Node::Between { operand, low, high, .. } => {
            vec![operand.as_ref(), low.as_ref(), high.as_ref()]
        }
        Node::Text { operand, pattern, .. } => vec![operand.as_ref(), pattern.as_ref()],
        Node::Case { operand, branches, otherwise } => {
            let branches = branches.iter().flat_map(|(when, then)| [when, then]);
            for part in branches.chain(operand.as_deref()).chain(otherwise.as_deref()) {
                note(part, schema, table, found);
            }
            return;
        }
    };
    let data_type = sides.iter().find_map(|side| type_of(side, schema, table));
    for side in sides {
        match &side.node {
            Node::Literal(Literal::Parameter(number)) => {
                found.insert(*number, data_type.clone());
            }
            _ => note(side, schema, table, found),
        }
    }
}

fn type_of(expr: &Expr<Leaf>, schema: &Schema, table: Option<&Table>) -> Option<DataType> {
    let column = |table: Option<&Table>, name: &Name| {
        table?.find_column(&name.text).map(|column| column.data_type.clone())
    };
    match &expr.node {
        Node::Negate(operand) => type_of(operand, schema, table),
        Node::Leaf(Leaf::Column(name)) => match &name.table {
            Some(other) => column(table_of(schema, other), &name.column),
            None => column(table, &name.column),
        },
        Node::Leaf(Leaf::Aggregate(aggregate)) => match aggregate.function {
            Function::Count | Function::CountDistinct => Some(DataType::Int64),
            Function::Sum | Function::Avg => Some(DataType::Float64),
            Function::Exists => Some(DataType::Boolean),
            Function::Min | Function::Max | Function::First | Function::Last => {
                column(table_of(schema, &aggregate.table), aggregate.column.as_ref()?)
            }
            Function::ListDistinct => None,
        },
        _ => None,
    }
}
