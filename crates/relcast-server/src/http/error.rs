//! Errors as answers: a status, and in the body what every client is told.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use relcast_engine::EngineError;
use relcast_query::QueryError;
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, response};
use utoipa::{IntoResponses, ToSchema};

use crate::errors::{Told, told};

/// Why a request has no other answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", told.message)]
pub(super) struct HttpError {
    pub(super) status: StatusCode,
    pub(super) told: Told,
}

/// The body of every answer that is an error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorAnswer {
    /// What is wrong, where, and what to do.
    error: Told,
}

impl HttpError {
    /// The error of a statement of `text`.
    pub(super) fn of_engine(error: &EngineError, text: &str) -> Self {
        let told = told(error, text);
        Self { status: status_of(told.code), told }
    }

    /// The error of a text that is no statement.
    pub(super) fn of_query(error: QueryError, text: &str) -> Self {
        Self::of_engine(&EngineError::Query(error), text)
    }

    /// An error with its SQLSTATE, which also gives the status.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let told = Told { code, message: message.into(), hint: None, position: None };
        Self { status: status_of(code), told }
    }

    /// The same error with what to do about it.
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.told.hint = Some(hint.into());
        self
    }

    /// The same error under another status.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

/// What a SQLSTATE is in HTTP.
fn status_of(code: &str) -> StatusCode {
    match code {
        "28000" => StatusCode::UNAUTHORIZED,
        "42501" => StatusCode::FORBIDDEN,
        "42704" => StatusCode::NOT_FOUND,
        "42710" | "42P07" | "55P03" | "55000" => StatusCode::CONFLICT,
        "53300" | "57P01" | "57P03" => StatusCode::SERVICE_UNAVAILABLE,
        "57014" => StatusCode::GATEWAY_TIMEOUT,
        "0A000" => StatusCode::NOT_IMPLEMENTED,
        "XX000" | "XX001" | "58030" | "58P01" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let extra: Option<(HeaderName, &str)> = match self.status {
            StatusCode::UNAUTHORIZED => {
                Some((header::WWW_AUTHENTICATE, "Bearer realm=\"relcast\""))
            }
            StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, "1")),
            _ => None,
        };
        let mut response = (self.status, Json(ErrorAnswer { error: self.told })).into_response();
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl IntoResponses for HttpError {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        let of = |(status, description): (u16, &str)| {
            let content =
                ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorAnswer"))).build();
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/json", content)
                .build();
            (status.to_string(), RefOr::T(response))
        };
        [
            (400, "The request or its statement is wrong."),
            (401, "The request carries no valid token."),
            (403, "The token's role may not do this."),
            (404, "There is no such model or version."),
            (408, "The request took too long to arrive."),
            (409, "The model or table exists already, is being written, or has another schema."),
            (413, "The request is too large."),
            (415, "The request is not JSON."),
            (500, "Something failed here."),
            (501, "This version cannot do it."),
            (503, "Too much is running, or the server is ending."),
            (504, "The statement took longer than it may."),
        ]
        .map(of)
        .into()
    }
}
