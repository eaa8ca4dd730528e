//! `relcast evaluate`: metrics of a registered model with the baselines beside them.

use relcast_engine::work::{self, EvaluationReport};
use relcast_engine::{Home, Registry};
use relcast_train::evaluate::Evaluation;
use relcast_train::metrics::Metrics;

use super::{open, stored, surround};
use crate::arguments::{Common, Evaluate, Format};
use crate::failure::Failure;
use crate::output::{columns, print, print_json};

/// Evaluates a model afresh and prints its figures.
pub async fn run(common: &Common, arguments: &Evaluate) -> Result<(), Failure> {
    let home = Home::open(&common.home)?;
    let registry = Registry::open(&home).await?;
    let (database, catalog) = open(common, &arguments.source).await?;
    let model = stored(&registry, &arguments.model, arguments.version).await?;
    surround(&registry, &database, &model).await?;
    let (split, history) = (arguments.split, arguments.history);
    if let Some(folder) = &arguments.submit {
        work::check_submission(&registry, &database, &catalog, &model, folder)?;
    }
    let report =
        work::evaluate(&registry, &database, &catalog, &model, split, history, None).await?;
    if let Some(folder) = &arguments.submit {
        let file = work::submit(&registry, &database, &catalog, &model, folder).await?;
        tracing::info!("wrote {}", file.display());
    }
    print_report(common, &report)
}

/// Prints the figures of a training or an evaluation.
pub fn print_report(common: &Common, report: &EvaluationReport) -> Result<(), Failure> {
    if common.format == Format::Json {
        return print_json(report);
    }
    let mut rows = Vec::new();
    for result in &report.results {
        let own = std::iter::once(("model", &result.metrics));
        let baselines = result.baselines.iter().map(|(name, metrics)| (name.as_str(), metrics));
        for (name, metrics) in own.chain(baselines) {
            let (split, history) = (format!("{:?}", result.split), format!("{:?}", result.history));
            rows.push([
                split.to_lowercase(),
                history.to_lowercase(),
                name.to_owned(),
                figure(metrics, &report.metric),
                others(metrics, &report.metric),
            ]);
        }
    }
    let mut notes: Vec<String> =
        report.notes.iter().map(|note| format!("note: {note}\n")).collect();
    notes.extend(report.results.iter().filter_map(staleness));
    if !notes.is_empty() {
        notes.insert(0, "\n".to_owned());
    }
    let counts: Vec<String> = report.rows.iter().map(|(s, n)| format!("{n} {s}")).collect();
    print(&format!(
        "{} version {}: {}, data until {}, label rows {}\n\n{}{}",
        report.model,
        report.version,
        report.task_type.replace('_', " "),
        report.data_until,
        counts.join(", "),
        columns(["split", "history", "by", &report.metric, "others"], &rows),
        notes.concat(),
    ))
}

/// How long before their cutoffs the rows were seen, if they were.
fn staleness(result: &Evaluation) -> Option<String> {
    let days = result.stale_days;
    let (split, history) = (format!("{:?}", result.split), format!("{:?}", result.history));
    (days.most > 0.0).then(|| {
        format!(
            "note: {} {} rows are seen {:.0} days before their cutoffs on average, {:.0} at most\n",
            history.to_lowercase(),
            split.to_lowercase(),
            days.mean,
            days.most
        )
    })
}

fn figure(metrics: &Metrics, name: &str) -> String {
    metrics.get(name).map_or_else(|| "undefined".to_owned(), |v| format!("{v:.4}"))
}

fn others(metrics: &Metrics, first: &str) -> String {
    let rest = metrics.iter().filter(|(name, _)| *name != first);
    rest.map(|(name, _)| format!("{name} {}", figure(metrics, name))).collect::<Vec<_>>().join("  ")
}
