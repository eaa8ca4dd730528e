//! `GET /v1/models`: what the registry holds.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use relcast_engine::{ModelVersion, Origin};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::moment;
use super::error::HttpError;
use super::server::Shared;

/// All models.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelsAnswer {
    /// By name.
    models: Vec<ModelEntry>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
struct ModelEntry {
    name: String,
    /// The version that is used where none is named.
    default_version: Option<i64>,
    /// Oldest first.
    versions: Vec<VersionEntry>,
}

/// A version of a model.
#[derive(Debug, Serialize, ToSchema)]
struct VersionEntry {
    version: i64,
    /// When it was registered, in UTC.
    created_at: String,
    /// `query` with the text of a predictive query, or `task` with the name of a declared task.
    #[schema(value_type = Object)]
    trained_from: Origin,
    seed: u64,
    /// Per split and history: the model's metrics, and those of the baselines beside it.
    metrics: Value,
}

/// Lists the models with their versions and metrics.
#[utoipa::path(
    get,
    path = "/v1/models",
    responses((status = 200, description = "All models.", body = ModelsAnswer), HttpError),
    security(("token" = [])),
)]
pub(super) async fn models(
    State(shared): State<Arc<Shared>>,
) -> Result<Json<ModelsAnswer>, HttpError> {
    let versions = shared.session.engine().registry.versions().await;
    let mut versions = versions.map_err(|error| HttpError::of_engine(&error, ""))?;
    versions.retain(|version| !version.is_quick());
    // They come by name and version.
    let models = versions.chunk_by(|a, b| a.model == b.model).map(entry).collect();
    Ok(Json(ModelsAnswer { models }))
}

fn entry(versions: &[ModelVersion]) -> ModelEntry {
    ModelEntry {
        name: versions.first().map(|version| version.model.clone()).unwrap_or_default(),
        default_version: versions.iter().find(|v| v.is_default).map(|v| v.version),
        versions: versions.iter().map(version_entry).collect(),
    }
}

fn version_entry(version: &ModelVersion) -> VersionEntry {
    VersionEntry {
        version: version.version,
        created_at: moment(version.created_at),
        trained_from: version.origin.clone(),
        seed: version.seed,
        metrics: version.metrics.clone(),
    }
}
