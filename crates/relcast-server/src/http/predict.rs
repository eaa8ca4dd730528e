//! `POST /v1/models/{model}/predict`: predictions of a registered model.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use relcast_engine::StoredModel;
use relcast_query::ast::{ForClause, Literal, ModelName, Name, PredictiveQuery, Selection, Shape};
use relcast_query::statement::{Sql, Statement, prediction_name};
use relcast_query::{OptionValue, Place};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::access::Caller;
use super::answer::{Rows, moment, wants_arrow};
use super::error::HttpError;
use super::sent::{Sent, literal};
use super::server::Shared;

/// Whom to predict for, and when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PredictRequest {
    /// The keys of the entities, a key of several columns as a list; everybody who passes the
    /// model's WHERE if left out.
    keys: Option<Vec<Value>>,
    /// The cutoff to predict at, such as 2020-01-31T12:00; by default the newest time of the data.
    as_of: Option<String>,
    /// The version; by default the model's default version.
    version: Option<u64>,
    /// Entities at most.
    limit: Option<u64>,
    /// Options of the prediction, as in WITH: interval, quantiles, embedding, threshold, top_classes.
    #[serde(default)]
    #[schema(value_type = Object)]
    options: BTreeMap<String, Value>,
}

/// Predictions, and what they were made from.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PredictAnswer {
    model: String,
    version: i64,
    /// The moment that is predicted at, in UTC.
    cutoff: String,
    /// Until when the data go, in UTC.
    data_until: String,
    #[serde(flatten)]
    rows: Rows,
}

/// Predicts with a registered model.
///
/// The rows come as JSON, or as a stream of Arrow where the header `accept` asks for it; the schema
/// of that carries `relcast.model`, `relcast.version`, `relcast.cutoff` and `relcast.data_until`.
#[utoipa::path(
    post,
    path = "/v1/models/{model}/predict",
    params(("model" = String, Path, description = "The model's name.")),
    request_body = PredictRequest,
    responses(
        (status = 200, description = "A row for each entity.", content(
            (PredictAnswer = "application/json"),
            ("application/vnd.apache.arrow.stream"),
        )),
        HttpError,
    ),
    security(("token" = [])),
)]
pub(super) async fn predict(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(model): Path<String>,
    headers: HeaderMap,
    Sent(request): Sent<PredictRequest>,
) -> Result<Response, HttpError> {
    let as_of = request.as_of.as_deref().map(read_moment).transpose()?;
    let version = request.version.map(|version| i64::try_from(version).unwrap_or(i64::MAX));
    let turn = shared.turn()?;
    let found = turn.within(async {
        let session = shared.session.get().await?;
        let engine = session.engine();
        let stored = engine.stored(&model, version).await?;
        let until = engine.newest_time(&stored).await?;
        Ok((stored, until))
    });
    let (stored, until) = found.await?;
    let options = read_options(&request.options)?;
    let query = query(&stored, request.keys.as_deref(), as_of, options)?;
    let statement = statement(query, request.limit);
    let running = turn.run(&shared, &caller, &statement, "").await.map_err(without_place)?;
    let cutoff = moment(as_of.unwrap_or(until));
    // The source may have changed in between.
    let data_until = moment(running.data_until().unwrap_or(until));
    if wants_arrow(&headers) {
        return running.stream(&[
            ("model", stored.name.clone()),
            ("version", stored.version.to_string()),
            ("cutoff", cutoff),
            ("data_until", data_until),
        ]);
    }
    let rows = running.collect().await.map_err(without_place)?;
    let (model, version) = (stored.name.clone(), stored.version);
    Ok(Json(PredictAnswer { model, version, cutoff, data_until, rows }).into_response())
}

/// The request has no text that a place could be in.
fn without_place(mut error: HttpError) -> HttpError {
    error.told.position = None;
    error
}

fn read_moment(text: &str) -> Result<i64, HttpError> {
    relcast_catalog::parse_time(text).ok_or_else(|| {
        HttpError::new("22007", format!("as_of is \"{text}\", which is no time"))
            .with_hint("write a date or time, such as 2020-01-31 or 2020-01-31T12:00")
    })
}

/// What is asked of exactly this version of the model.
fn query(
    model: &StoredModel,
    keys: Option<&[Value]>,
    as_of: Option<i64>,
    options: Vec<(Name, OptionValue)>,
) -> Result<PredictiveQuery, HttpError> {
    let at = Place::default();
    let name = |text: &str| Name { text: text.to_owned(), at };
    let entity = match keys {
        None => None,
        Some(keys) => {
            let plan = model.question.plan(&model.schema, &model.set);
            let plan = plan.map_err(|error| HttpError::of_engine(&error, ""))?;
            let table = model.schema.table(plan.entity);
            Some(ForClause {
                table: name(&table.name),
                columns: table.primary_key.iter().map(|column| name(column)).collect(),
                selection: Selection::Keys(read_keys(keys, &table.primary_key)?),
            })
        }
    };
    Ok(PredictiveQuery {
        target: None,
        shape: Shape::Plain,
        entity,
        condition: None,
        assuming: None,
        as_of,
        as_of_parameter: None,
        model: Some(ModelName {
            name: name(&model.name),
            version: u64::try_from(model.version).ok(),
        }),
        options,
        at,
    })
}

/// The options as WITH would give them.
fn read_options(options: &BTreeMap<String, Value>) -> Result<Vec<(Name, OptionValue)>, HttpError> {
    let read = |(name, value): (&String, &Value)| {
        let text = name.clone();
        let value = option_value(value).ok_or_else(|| {
            let message = format!("option \"{name}\" is {value}");
            let hint = "write a number, a text, true, false, or a list of these";
            HttpError::new("22023", message).with_hint(hint)
        })?;
        Ok((Name { text, at: Place::default() }, value))
    };
    options.iter().map(read).collect()
}

fn option_value(value: &Value) -> Option<OptionValue> {
    match value {
        Value::Number(number) => Some(OptionValue::Number(number.to_string())),
        Value::String(text) => Some(OptionValue::Text(text.clone())),
        Value::Bool(flag) => Some(OptionValue::Boolean(*flag)),
        Value::Array(items) => {
            items.iter().map(option_value).collect::<Option<_>>().map(OptionValue::List)
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// Each key as the values of `columns`.
fn read_keys(keys: &[Value], columns: &[String]) -> Result<Vec<Vec<Literal>>, HttpError> {
    if keys.is_empty() {
        let error = HttpError::new("22023", "keys is empty");
        return Err(error.with_hint("name keys, or leave keys out to predict for everybody"));
    }
    let wrong = |key: &Value| {
        let expected = match columns {
            [column] => format!("a value of \"{column}\" that is a number, a text or a boolean"),
            columns => format!("a list of the values of \"{}\"", columns.join("\", \"")),
        };
        HttpError::new("22023", format!("{key} is no key: expected {expected}"))
    };
    let read = |key: &Value| {
        let parts = key.as_array().map_or(std::slice::from_ref(key), Vec::as_slice);
        let values: Option<Vec<Literal>> = parts.iter().map(literal).collect();
        let fits = |values: &Vec<Literal>| {
            values.len() == columns.len() && !values.contains(&Literal::Null)
        };
        values.filter(fits).ok_or_else(|| wrong(key))
    };
    keys.iter().map(read).collect()
}

/// `PREDICT …`, of which at most `limit` rows are wanted.
fn statement(query: PredictiveQuery, limit: Option<u64>) -> Statement {
    let word = |text: &str| Token::make_word(text, None);
    let rows = Token::make_word(&prediction_name(0), Some('"'));
    let mut tokens = vec![word("SELECT"), Token::Mul, word("FROM"), rows];
    if let Some(limit) = limit {
        tokens.extend([word("LIMIT"), Token::Number(limit.to_string(), false)]);
    }
    let tokens = tokens.into_iter().map(TokenWithSpan::wrap).collect();
    Statement::Sql(Sql { tokens, predictions: vec![query], values: Vec::new() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_have_as_many_values_as_the_primary_key_has_columns() {
        let read = |keys: Value, columns: &[&str]| {
            let columns: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
            read_keys(keys.as_array().unwrap(), &columns)
        };
        let number = |text: &str| Literal::Number(text.to_owned());
        let one = read(json!([7, [8], -1]), &["id"]).unwrap();
        assert_eq!(one, [[number("7")], [number("8")], [number("-1")]]);
        let two = read(json!([[1, "a"]]), &["id", "kind"]).unwrap();
        assert_eq!(two, [[number("1"), Literal::Text("a".to_owned())]]);
        for (keys, columns) in [
            (json!([]), &["id"][..]),
            (json!([null]), &["id"]),
            (json!([{"id": 1}]), &["id"]),
            (json!([[1, 2]]), &["id"]),
            (json!([1]), &["id", "kind"]),
            (json!([[1, [2]]]), &["id", "kind"]),
        ] {
            assert!(read(keys.clone(), columns).is_err(), "{keys}");
        }
    }

    #[test]
    fn options_are_read_as_with_gives_them() {
        let read = |options: Value| read_options(&serde_json::from_value(options).unwrap());
        let options = read(json!({"quantiles": [0.1, 0.5], "embedding": true})).unwrap();
        let sql = "PREDICT USING MODEL m WITH (embedding = true, quantiles = (0.1, 0.5))";
        let written = relcast_query::parse(sql).unwrap().options;
        let plain = |options: Vec<(Name, OptionValue)>| -> Vec<(String, OptionValue)> {
            options.into_iter().map(|(name, value)| (name.text, value)).collect()
        };
        assert_eq!(plain(options), plain(written));
        assert!(read(json!({"interval": null})).is_err());
    }

    #[test]
    fn what_is_built_reads_as_if_it_were_written() {
        let written =
            |text: &str| match relcast_query::statements(text).unwrap().next().unwrap().unwrap() {
                Statement::Sql(sql) => sql,
                other => panic!("{other:?}"),
            };
        let tokens = |sql: &Sql| sql.tokens.iter().map(|t| t.token.clone()).collect::<Vec<_>>();
        let of = |statement: Statement| match statement {
            Statement::Sql(sql) => sql,
            other => panic!("{other:?}"),
        };
        let query = relcast_query::parse("PREDICT USING MODEL m VERSION 2").unwrap();
        let built = of(statement(query.clone(), None));
        assert_eq!(tokens(&built), tokens(&written("PREDICT USING MODEL m VERSION 2")));
        let limited = of(statement(query, Some(3)));
        let nested = written("SELECT * FROM t LIMIT 3");
        assert_eq!(tokens(&limited)[4..], tokens(&nested)[4..]);
    }
}
