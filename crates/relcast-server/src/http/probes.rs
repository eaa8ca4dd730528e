//! What those ask who look after the server: is it alive, is it ready, how is it doing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use datafusion::common::TableReference;
use relcast_engine::EngineError;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::OpenApi;

use super::error::HttpError;
use super::server::Shared;
use crate::measure;

/// How long registry and database may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// That all is well.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Well {
    /// `ok`.
    status: &'static str,
}

/// Whether the process is alive.
#[utoipa::path(
    get,
    path = "/healthz",
    responses((status = 200, description = "It is.", body = Well)),
)]
pub(super) async fn healthz() -> Json<Well> {
    Json(Well { status: "ok" })
}

/// Whether requests can be served: the registry answers, and the database can be read.
#[utoipa::path(
    get,
    path = "/readyz",
    responses((status = 200, description = "They can.", body = Well), HttpError),
)]
pub(super) async fn readyz(State(shared): State<Arc<Shared>>) -> Result<Json<Well>, HttpError> {
    if shared.stopping.is_cancelled() {
        return Err(HttpError::new("57P01", "the server is shutting down"));
    }
    answers("registry", ask_registry(&shared)).await?;
    answers("database", read_database(&shared)).await?;
    Ok(Json(Well { status: "ok" }))
}

/// Fails if what is `asked` fails or takes too long.
async fn answers(
    what: &str,
    asked: impl Future<Output = Result<(), EngineError>>,
) -> Result<(), HttpError> {
    let reason = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    // Who asks without a token is not told where things lie.
    tracing::warn!(%reason, "not ready: the {what} cannot be read");
    Err(HttpError::new("57P03", format!("the {what} cannot be read")))
}

async fn ask_registry(shared: &Shared) -> Result<(), EngineError> {
    shared.session.engine().registry.versions().await.map(drop)
}

/// Reads a row of the first table.
async fn read_database(shared: &Shared) -> Result<(), EngineError> {
    let engine = shared.session.engine();
    let Some(table) = engine.catalog.schema.tables.first() else { return Ok(()) };
    let rows = engine.database.context.table(TableReference::bare(table.name.as_str())).await?;
    rows.limit(0, Some(1))?.collect().await?;
    Ok(())
}

/// Counters for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    responses(
        (status = 200, description = "The text format of Prometheus.", body = String, content_type = "text/plain"),
    ),
    security((), ("token" = [])),
)]
pub(super) async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], measure::text())
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    responses((status = 200, description = "An OpenAPI document.", content_type = "application/json")),
)]
pub(super) async fn openapi(Extension(document): Extension<Arc<OpenApi>>) -> Json<OpenApi> {
    Json(document.as_ref().clone())
}
