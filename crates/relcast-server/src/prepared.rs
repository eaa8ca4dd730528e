//! Prepared statements: described before their parameters are known, run with their values.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow_pg::datatypes::{arrow_schema_to_pg_fields, into_pg_type};
use async_trait::async_trait;
use pgwire::api::portal::{Format, Portal};
use pgwire::api::results::FieldInfo;
use pgwire::api::stmt::QueryParser;
use pgwire::api::{ClientInfo, Type};
use pgwire::error::PgWireResult;
use relcast_engine::Description;
use relcast_query::ast::Literal;
use relcast_query::statement::Statement;
use relcast_query::statements;

use crate::errors::{of_engine, of_query, plain};
use crate::live::LiveSession;
use crate::settings::{Asked, Settings};

/// A statement whose parameters have no values yet.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) text: String,
    parameters: Vec<Type>,
    schema: SchemaRef,
}

/// Describes statements for the extended protocol.
pub(crate) struct Preparer {
    pub(crate) session: Arc<LiveSession>,
    pub(crate) settings: Arc<Settings>,
}

#[async_trait]
impl QueryParser for Preparer {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _: &C,
        sql: &str,
        types: &[Option<Type>],
    ) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut read = statements(sql).map_err(|error| of_query(error, sql))?;
        let Some(statement) = read.next() else { return Ok(None) };
        let statement = statement.map_err(|error| of_query(error, sql))?;
        if read.next().is_some() {
            return Err(plain("42601", "a prepared statement is one statement"));
        }
        let Description { schema, parameters } = self.describe(&statement, sql).await?;
        let count = parameters.keys().next_back().copied().unwrap_or(0).max(types.len());
        let parameters = (1..=count).map(|number| {
            let said = types.get(number - 1).cloned().flatten();
            let found = || match parameters.get(&number).cloned().flatten() {
                Some(data_type) => into_pg_type(&data_type),
                None => Ok(Type::TEXT),
            };
            said.filter(|t| *t != Type::UNKNOWN).map_or_else(found, Ok)
        });
        let parameters = parameters.collect::<PgWireResult<_>>()?;
        Ok(Some(Prepared { text: sql.to_owned(), parameters, schema }))
    }

    fn get_parameter_types(&self, statement: &Prepared) -> PgWireResult<Vec<Type>> {
        Ok(statement.parameters.clone())
    }

    fn get_result_schema(
        &self,
        statement: &Prepared,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let format = format.unwrap_or(&Format::UnifiedText);
        fields_of(&statement.schema, format)
    }
}

impl Preparer {
    async fn describe(&self, statement: &Statement, text: &str) -> PgWireResult<Description> {
        let failed = |error| of_engine(&error, text);
        match statement {
            Statement::Sql(sql) => match self.settings.read(sql) {
                Some(Asked::Show(name, _)) => {
                    Ok(Description::of(vec![Field::new(name, DataType::Utf8, true)]))
                }
                Some(_) => Ok(Description::of(Vec::new())),
                None if sql.first_words(1) == ["COPY"] => Ok(Description::of(Vec::new())),
                None => {
                    let session = self.session.get().await.map_err(failed)?;
                    session.describe(sql).await.map_err(failed)
                }
            },
            other => {
                let session = self.session.get().await.map_err(failed)?;
                session.describe_own(other).await.map_err(failed)
            }
        }
    }
}

/// The columns of `schema` as clients know them, if the formats asked for are one for all of them,
/// or one for each.
pub(crate) fn fields_of(schema: &SchemaRef, format: &Format) -> PgWireResult<Vec<FieldInfo>> {
    let columns = schema.fields().len();
    match format {
        Format::Individual(formats) if formats.len() != columns => {
            let message = format!(
                "bind message has {} result formats but query has {columns} columns",
                formats.len()
            );
            Err(plain("08P01", message))
        }
        _ => arrow_schema_to_pg_fields(schema, format, None),
    }
}

/// The values that a portal was bound with.
pub(crate) fn values(portal: &Portal<Prepared>) -> PgWireResult<Vec<Literal>> {
    let types = &portal.statement.statement.parameters;
    (0..portal.parameter_len())
        .map(|i| value(portal, i, types.get(i).unwrap_or(&Type::TEXT)))
        .collect()
}

fn value(portal: &Portal<Prepared>, i: usize, of: &Type) -> PgWireResult<Literal> {
    let number = |text: Option<String>| text.map_or(Literal::Null, Literal::Number);
    let text = |text: Option<String>| text.map_or(Literal::Null, Literal::Text);
    Ok(match *of {
        Type::INT2 => number(portal.parameter::<i16>(i, of)?.map(|v| v.to_string())),
        Type::INT4 => number(portal.parameter::<i32>(i, of)?.map(|v| v.to_string())),
        Type::INT8 => number(portal.parameter::<i64>(i, of)?.map(|v| v.to_string())),
        Type::FLOAT4 => number(portal.parameter::<f32>(i, of)?.map(|v| v.to_string())),
        Type::FLOAT8 => number(portal.parameter::<f64>(i, of)?.map(|v| v.to_string())),
        Type::BOOL => portal.parameter::<bool>(i, of)?.map_or(Literal::Null, Literal::Boolean),
        // Clients that send text may leave the time of the day out.
        Type::TIMESTAMP => match portal.parameter::<chrono::NaiveDateTime>(i, of) {
            Ok(time) => {
                time.map_or(Literal::Null, |t| Literal::Time(t.and_utc().timestamp_micros()))
            }
            Err(error) => midnight(portal, i).map_err(|_| error)?,
        },
        Type::TIMESTAMPTZ => portal
            .parameter::<chrono::DateTime<chrono::FixedOffset>>(i, of)?
            .map_or(Literal::Null, |t| Literal::Time(t.timestamp_micros())),
        Type::DATE => midnight(portal, i)?,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            text(portal.parameter::<String>(i, of)?)
        }
        ref other => {
            let message =
                format!("parameter ${} has the type {other}, which is not known here", i + 1);
            return Err(plain("0A000", message));
        }
    })
}

/// The parameter read as a date: its first moment.
fn midnight(portal: &Portal<Prepared>, i: usize) -> PgWireResult<Literal> {
    let date = portal.parameter::<chrono::NaiveDate>(i, &Type::DATE)?;
    Ok(date.map_or(Literal::Null, |d| {
        Literal::Time(d.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros())
    }))
}
