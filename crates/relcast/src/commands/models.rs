//! `relcast models`: what the registry holds.

use std::time::Duration;

use relcast_catalog::format_time;
use relcast_engine::{Home, ModelVersion, Origin, Registry};
use serde_json::json;

use crate::arguments::{Common, Format, ModelArguments, Models};
use crate::failure::Failure;
use crate::output::{columns, print, print_json};

/// How long `drop` waits for a process that writes the model.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lists, shows or drops models.
pub async fn run(common: &Common, command: &Models) -> Result<(), Failure> {
    let home = Home::open(&common.home)?;
    let registry = Registry::open(&home).await?;
    match command {
        Models::List => list(common.format, &registry).await,
        Models::Show(arguments) => show(common.format, &registry, arguments).await,
        Models::Drop(arguments) => drop_versions(common.format, &registry, arguments).await,
    }
}

async fn list(format: Format, registry: &Registry) -> Result<(), Failure> {
    let versions = registry.versions().await?;
    if format == Format::Json {
        return print_json(&versions);
    }
    let rows: Vec<_> = versions.iter().map(list_row).collect();
    print(&columns(["model", "version", "default", "created", "trained from"], &rows))
}

fn list_row(version: &ModelVersion) -> [String; 5] {
    let default = if version.is_default { "yes" } else { "" };
    [
        version.model.clone(),
        version.version.to_string(),
        default.to_owned(),
        format_time(version.created_at),
        origin(version),
    ]
}

/// What a version was trained from, on one line.
fn origin(version: &ModelVersion) -> String {
    match &version.origin {
        Origin::Task(task) => format!("task {task}"),
        Origin::Query(query) => query.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

async fn show(format: Format, registry: &Registry, which: &ModelArguments) -> Result<(), Failure> {
    let version = registry.find_version(&which.model, which.version).await?;
    if format == Format::Json {
        return print_json(&version);
    }
    let rows = [
        ("model", version.model.clone()),
        ("version", version.version.to_string()),
        ("created", format_time(version.created_at)),
        ("trained from", origin(&version)),
        ("seed", version.seed.to_string()),
        ("schema", version.schema_fingerprint.clone()),
        ("data", version.data_fingerprint.clone()),
        ("data until", version.data_until.map(format_time).unwrap_or_default()),
        ("relcast", version.code_version.clone().unwrap_or_default()),
        ("artefact", version.artefact.display().to_string()),
        ("checksum", version.checksum.clone()),
    ];
    let lines: Vec<String> =
        rows.iter().map(|(name, value)| format!("{name:<14}{value}\n")).collect();
    let (options, metrics) = (&version.options, &version.metrics);
    print(&format!("{}\noptions {options:#}\nmetrics {metrics:#}", lines.concat()))
}

async fn drop_versions(
    format: Format,
    registry: &Registry,
    which: &ModelArguments,
) -> Result<(), Failure> {
    registry.versions_of(&which.model).await?;
    let lock = registry.home().lock_model(&which.model, PATIENCE)?;
    let dropped = registry.drop_versions(&lock, which.version).await?;
    let numbers: Vec<i64> = dropped.iter().map(|version| version.version).collect();
    if format == Format::Json {
        return print_json(&json!({ "model": which.model, "dropped": numbers }));
    }
    let lines: Vec<String> =
        numbers.iter().map(|n| format!("dropped {} version {n}\n", which.model)).collect();
    print(&lines.concat())
}
