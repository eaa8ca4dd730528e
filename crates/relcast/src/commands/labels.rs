//! `relcast labels`: the label rows of one split, written to a file or table.

use relcast_catalog::{Catalog, check_keys};
use relcast_engine::check_outside_home;
use relcast_query::{LabelPlan, bind_with, parse};
use serde_json::json;

use super::open;
use crate::arguments::{Common, Format, Labels, Question};
use crate::failure::Failure;
use crate::output::{print, print_json};

/// Computes the label rows of a split and writes them under the manifest's column names.
pub async fn run(common: &Common, arguments: &Labels) -> Result<(), Failure> {
    check_outside_home(&common.home, arguments.output.path())?;
    relcast_connect::check_target(&arguments.output)?;
    let (database, catalog) = open(common, &arguments.source).await?;
    let plan = label_plan(common, &arguments.question, &catalog)?;
    database.check_apart(&arguments.output)?;
    check_keys(&database.context, &catalog.schema).await?;
    let cutoffs = plan.cutoffs(&database.context, &catalog.schema).await?;
    let rows = plan.split_rows(&database.context, &cutoffs, arguments.split).await?;
    let written = relcast_connect::write(&arguments.output, &[rows]).await?;
    let split = arguments.split.name();
    let at = cutoffs.of(arguments.split).len();
    match common.format {
        Format::Json => print_json(&json!({
            "split": split,
            "rows": written,
            "cutoffs": at,
            "columns": { "cutoff": plan.cutoff_column, "entity": plan.entity_columns, "label": plan.label_column },
            "target": arguments.output.to_string(),
        })),
        _ => {
            let cutoffs = if at == 1 { "cutoff" } else { "cutoffs" };
            print(&format!(
                "{split}: {written} label rows at {at} {cutoffs} → {}",
                arguments.output
            ))
        }
    }
}

/// The plan of a task or query, with the options of the command line on top of its own.
fn label_plan(
    common: &Common,
    question: &Question,
    catalog: &Catalog,
) -> Result<LabelPlan, Failure> {
    let set = common.options(&question.set);
    if let Some(text) = &question.query {
        let failed = |error| Failure::of_query(&error, text);
        let written = parse(text).map_err(failed)?;
        let query = bind_with(&written, &catalog.schema, &set).map_err(failed)?;
        if query.names_entities() {
            let message =
                "FOR … = and FOR … IN choose whom to predict for; labels are those of all";
            return Err(Failure::new(message)
                .with_hint("write FOR EACH, and take the rows you want from the result"));
        }
        let plan = LabelPlan::from_query(&query, &catalog.schema)?;
        plan.refuse_ignored(&written.options).map_err(failed)?;
        return Ok(plan);
    }
    let task = catalog.find_task(question.task.as_deref().unwrap_or_default())?;
    let plan = LabelPlan::from_task_with(task, &catalog.schema, &set)?;
    plan.refuse_ignored(&[])?;
    Ok(plan)
}
