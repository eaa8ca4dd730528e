//! `POST /v1/sql`: one statement.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use relcast_query::ast::Literal;
use relcast_query::statement::Statement;
use relcast_query::statements_with;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::access::Caller;
use super::answer::{Rows, moment, wants_arrow};
use super::error::HttpError;
use super::sent::{Sent, literal};
use super::server::Shared;

/// Statements that only mean something to the statements after them.
const OF_A_SESSION: [&str; 14] = [
    "ABORT",
    "BEGIN",
    "COMMIT",
    "DEALLOCATE",
    "DISCARD",
    "END",
    "EXECUTE",
    "PREPARE",
    "RELEASE",
    "RESET",
    "ROLLBACK",
    "SAVEPOINT",
    "SET",
    "START",
];

/// A statement to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlRequest {
    /// One statement.
    sql: String,
    /// The values of its parameters $1, $2, …: numbers, texts, booleans, null.
    #[serde(default)]
    parameters: Vec<Value>,
}

/// What a statement gave.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SqlAnswer {
    /// What was done, such as `SELECT` or `CREATE MODEL`.
    tag: String,
    /// Until when the data of the predictions go, where the rows say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_until: Option<String>,
    #[serde(flatten)]
    rows: Rows,
}

/// Runs one statement.
///
/// The rows come as JSON, or as a stream of Arrow where the header `accept` asks for it; the schema
/// of that carries `relcast.tag` and, where it is known, `relcast.data_until`.
#[utoipa::path(
    post,
    path = "/v1/sql",
    request_body = SqlRequest,
    responses(
        (status = 200, description = "The rows.", content(
            (SqlAnswer = "application/json"),
            ("application/vnd.apache.arrow.stream"),
        )),
        HttpError,
    ),
    security(("token" = [])),
)]
pub(super) async fn sql(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Sent(request): Sent<SqlRequest>,
) -> Result<Response, HttpError> {
    let text = &request.sql;
    let statement = read(text, &values(&request.parameters)?)?;
    let running = shared.turn()?.run(&shared, &caller, &statement, text).await?;
    let (tag, data_until) = (running.tag.clone(), running.data_until().map(moment));
    if wants_arrow(&headers) {
        let until = data_until.map(|until| ("data_until", until));
        let about: Vec<_> = until.into_iter().chain([("tag", tag)]).collect();
        return running.stream(&about);
    }
    let rows = running.collect().await?;
    Ok(Json(SqlAnswer { tag, data_until, rows }).into_response())
}

fn values(parameters: &[Value]) -> Result<Vec<Literal>, HttpError> {
    let numbered = parameters.iter().zip(1..);
    let values = numbered.map(|(value, number)| {
        literal(value).ok_or_else(|| {
            let message = format!("parameter ${number} is a list or an object");
            HttpError::new("22023", message).with_hint("give a number, a text, a boolean or null")
        })
    });
    values.collect()
}

/// The one statement of `text`.
fn read(text: &str, values: &[Literal]) -> Result<Statement, HttpError> {
    let wrong = |error| HttpError::of_query(error, text);
    let mut statements = statements_with(text, values).map_err(wrong)?;
    let Some(statement) = statements.next() else {
        return Err(HttpError::new("42601", "the request has no statement"));
    };
    let statement = statement.map_err(wrong)?;
    if statements.next().is_some() {
        let error = HttpError::new("42601", "a request is one statement");
        return Err(error.with_hint("send the others in requests of their own"));
    }
    let first = match &statement {
        Statement::Sql(sql) => sql.first_words(1).pop(),
        _ => None,
    };
    match first.filter(|word| OF_A_SESSION.contains(&word.as_str())) {
        None => Ok(statement),
        Some(word) => {
            let message = format!("{word} is for a session, and each request stands alone");
            let error = HttpError::new("0A000", message);
            Err(error.with_hint("connect by the protocol of Postgres for a session"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_statement_that_stands_alone() {
        let code = |text: &str| read(text, &[]).unwrap_err().told.code;
        assert!(read("SELECT 1;", &[]).is_ok());
        assert_eq!(code(""), "42601");
        assert_eq!(code("SELECT 1; SELECT 2"), "42601");
        assert_eq!(code("SELECT 1; nonsense"), "42601");
        assert_eq!(code("SET a = 1"), "0A000");
        assert_eq!(code("BEGIN"), "0A000");
        let error = read("SHOW LINKS;\nSELCT 1", &[]).unwrap_err();
        assert_eq!(error.told.code, "42601");
        assert_eq!(read(" SELCT 1", &[]).unwrap_err().told.position, Some(2));
    }

    #[test]
    fn parameters_are_values() {
        let given = serde_json::json!([1, -2.5, "a'b", true, null]);
        let values = values(given.as_array().unwrap()).unwrap();
        let number = |text: &str| Literal::Number(text.to_owned());
        let text = Literal::Text("a'b".to_owned());
        let expected = [number("1"), number("-2.5"), text, Literal::Boolean(true), Literal::Null];
        assert_eq!(values, expected);
        assert!(super::values(&[serde_json::json!([1])]).is_err());
    }
}
