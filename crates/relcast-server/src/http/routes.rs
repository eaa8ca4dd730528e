//! Which request goes where, and what all of them pass on their way.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::{Extension, Router};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::authenticate;
use super::error::{ErrorAnswer, HttpError};
use super::sent::MOST_BYTES;
use super::server::Shared;
use super::{models, predict, probes, sql};
use crate::measure;

/// The routes that are counted by name.
const ROUTES: [&str; 6] =
    ["/v1/sql", "/v1/models", "/healthz", "/readyz", "/metrics", "/openapi.json"];
const PREDICT: &str = "/v1/models/{model}/predict";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "relcast",
        description = "SQL and predictions over a relational database. A request stands alone; an error has a SQLSTATE.",
        license(name = "Apache-2.0 OR MIT"),
    ),
    components(schemas(ErrorAnswer)),
    modifiers(&Bearer),
)]
struct Document;

/// Tokens as OpenAPI knows them.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token of `--tokens FILE`; none is needed where the server has no tokens.",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// All routes. Who may not know the tables may still know that the server is alive, and read what
/// it can do; what it does, in numbers, is for callers with a token unless all is on this machine.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let pass = from_fn_with_state(shared.clone(), authenticate);
    let guarded = OpenApiRouter::<Arc<Shared>>::new()
        .routes(routes!(sql::sql))
        .routes(routes!(models::models))
        .routes(routes!(predict::predict))
        .route_layer(pass.clone());
    let metrics = OpenApiRouter::new().routes(routes!(probes::metrics));
    let metrics = if shared.is_local { metrics } else { metrics.route_layer(pass) };
    let open = OpenApiRouter::new()
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::openapi));
    let all = OpenApiRouter::with_openapi(Document::openapi());
    let (router, document) = all.merge(guarded).merge(metrics).merge(open).split_for_parts();
    router
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(Extension(Arc::new(document)))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(from_fn(count))
        .with_state(shared)
}

async fn no_route(uri: Uri) -> HttpError {
    let error = HttpError::new("0A000", format!("there is no {}", uri.path()));
    error.with_hint("/openapi.json tells what there is").with_status(StatusCode::NOT_FOUND)
}

async fn wrong_method(method: Method, uri: Uri) -> HttpError {
    let error = HttpError::new("0A000", format!("{} takes no {method}", uri.path()));
    let error = error.with_hint("/openapi.json tells what it takes");
    error.with_status(StatusCode::METHOD_NOT_ALLOWED)
}

async fn count(request: Request, next: Next) -> Response {
    let (route, started) = (route_of(request.uri().path()), Instant::now());
    let response = next.run(request).await;
    measure::request(route, response.status().as_u16(), started.elapsed());
    response
}

/// The route of a path; few names, whatever is asked for.
fn route_of(path: &str) -> &'static str {
    let predicts = path.strip_prefix("/v1/models/").and_then(|rest| rest.strip_suffix("/predict"));
    match ROUTES.into_iter().find(|route| *route == path) {
        Some(route) => route,
        None if predicts.is_some_and(|model| !model.is_empty() && !model.contains('/')) => PREDICT,
        None => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_counted_by_few_names() {
        for route in ROUTES {
            assert_eq!(route_of(route), route);
        }
        assert_eq!(route_of("/v1/models/churn/predict"), PREDICT);
        for path in ["/", "/v1/models/", "/v1/models//predict", "/v1/models/a/b/predict", "/v1/sq"]
        {
            assert_eq!(route_of(path), "other", "{path}");
        }
    }
}
