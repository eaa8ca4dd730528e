//! Prepared statements: described before their parameters are known, run with their values.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow_pg::datatypes::into_pg_type;
use async_trait::async_trait;
use datafusion::common::ScalarValue;
use pgwire::api::portal::{Format, Portal};
use pgwire::api::results::FieldInfo;
use pgwire::api::stmt::QueryParser;
use pgwire::api::{ClientInfo, Type};
use pgwire::error::PgWireResult;
use relcast_engine::Description;
use relcast_query::statement::Statement;
use relcast_query::{count_parameters, open_statements};

use crate::errors::{of_engine, of_query, plain};
use crate::fields::fields;
use crate::live::LiveSession;
use crate::settings::{Asked, Settings};
use crate::values::{null, value};

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
        let mut read = open_statements(sql).map_err(|error| of_query(error, sql))?;
        let Some(statement) = read.next() else { return Ok(None) };
        let statement = statement.map_err(|error| of_query(error, sql))?;
        if read.next().is_some() {
            return Err(plain("42601", "a prepared statement is one statement"));
        }
        let last = count_parameters(sql).map_err(|error| of_query(error, sql))?;
        let said: Vec<Option<Type>> =
            types.iter().map(|said| said.clone().filter(|said| *said != Type::UNKNOWN)).collect();
        let nulls: Vec<Option<ScalarValue>> =
            said.iter().map(|said| said.as_ref().and_then(null)).collect();
        let Description { schema, parameters } = self.describe(&statement, sql, &nulls).await?;
        let parameters = (1..=last.max(said.len())).map(|number| {
            let found = || match parameters.get(&number).cloned().flatten() {
                Some(data_type) => into_pg_type(&data_type),
                None => Ok(Type::TEXT),
            };
            said.get(number - 1).cloned().flatten().map_or_else(found, Ok)
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
        fields(&statement.schema, format)
    }
}

impl Preparer {
    async fn describe(
        &self,
        statement: &Statement,
        text: &str,
        nulls: &[Option<ScalarValue>],
    ) -> PgWireResult<Description> {
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
                    session.describe(sql, nulls).await.map_err(failed)
                }
            },
            other => {
                let session = self.session.get().await.map_err(failed)?;
                session.describe_own(other).await.map_err(failed)
            }
        }
    }
}

/// The values that a portal was bound with.
pub(crate) fn values(portal: &Portal<Prepared>) -> PgWireResult<Vec<ScalarValue>> {
    let types = &portal.statement.statement.parameters;
    (0..portal.parameter_len())
        .map(|i| value(portal, i, types.get(i).unwrap_or(&Type::TEXT)))
        .collect()
}
