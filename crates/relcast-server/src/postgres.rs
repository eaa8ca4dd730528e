//! The SQL that clients of Postgres send to its catalog.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use relcast_engine::{Dialect, Engine};

use crate::listen::ServeError;

/// Reads SQL of Postgres and turns what DataFusion does not know into what it does.
#[derive(Debug)]
pub(crate) struct PostgresDialect(PostgresCompatibilityParser);

impl PostgresDialect {
    pub(crate) fn new() -> Self {
        Self(PostgresCompatibilityParser::new())
    }
}

impl Dialect for PostgresDialect {
    fn parse(&self, sql: &str) -> Option<Statement> {
        let mut statements = self.0.parse(&without_regproc(sql)).ok()?;
        match statements.len() {
            // What is no query is read, and its errors told, by the session.
            1 => statements.pop().filter(|s| matches!(s, Statement::Query(_))),
            _ => None,
        }
    }
}

/// The same SQL with `'array_in'::regproc` as a text, which is how the catalog tells functions.
fn without_regproc(sql: &str) -> Cow<'_, str> {
    if !sql.to_ascii_lowercase().contains("regproc") {
        return Cow::Borrowed(sql);
    }
    // Texts keep their escapes, so that the tokens can be written again as they stand.
    let mut tokenizer = Tokenizer::new(&PostgreSqlDialect {}, sql).with_unescape(false);
    let Ok(tokens) = tokenizer.tokenize() else {
        return Cow::Borrowed(sql);
    };
    let is_regproc = |token: &Token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case("regproc"));
    let tokens: Vec<Token> =
        tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let mut text = String::new();
    let mut rest = tokens.as_slice();
    while let Some((token, after)) = rest.split_first() {
        text.push_str(&format!("{token} "));
        let is_text = matches!(token, Token::SingleQuotedString(_));
        rest = match after {
            [Token::DoubleColon, name, after @ ..] if is_text && is_regproc(name) => after,
            after => after,
        };
    }
    Cow::Owned(text)
}

/// A function of texts that gives the same whatever it is given, once its name is called.
fn constant(name: &str, arguments: Vec<DataType>, value: ScalarValue) -> ScalarUDF {
    let data_type = value.data_type();
    let give = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(value.clone()));
    create_udf(name, arguments, data_type, Volatility::Stable, Arc::new(give))
}

/// Adds `pg_catalog` to the database, once.
pub(crate) fn add_catalog(engine: &Engine) -> Result<(), ServeError> {
    let context = &engine.database.context;
    let catalog = context.state().config_options().catalog.default_catalog.clone();
    let provider = datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
    datafusion_pg_catalog::pg_catalog::setup_pg_catalog(context, &catalog, provider)
        .map_err(|error| ServeError::Catalog(error.to_string()))?;
    // Clients read the version of Postgres from it, to know what they may ask.
    let version = format!("PostgreSQL 16.6 (relcast {})", env!("CARGO_PKG_VERSION"));
    context.register_udf(constant("version", Vec::new(), ScalarValue::Utf8(Some(version))));
    // There are no types beside Postgres' own, and clients ask for others alone.
    context.register_udf(constant("to_regtype", vec![DataType::Utf8], ScalarValue::Int32(None)));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_by_their_names() {
        for sql in [
            "SELECT 1 FROM t WHERE typinput = 'array_in'::regproc AND a = 'b'::text",
            "SELECT 1 FROM t WHERE typinput = 'array_in' :: regproc AND a = 'b' :: text",
        ] {
            let expected = "SELECT 1 FROM t WHERE typinput = 'array_in' AND a = 'b' :: text ";
            assert_eq!(without_regproc(sql), expected);
        }
        assert_eq!(without_regproc("SELECT 1"), "SELECT 1");
    }

    #[test]
    fn a_text_about_functions_stays_a_text() {
        let sql = r#"SELECT "a""b" FROM t WHERE name = 'x'' OR 1=1 -- regproc' AND p = 'a\'"#;
        let written = without_regproc(sql);
        let tokens = |sql: &str| {
            let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().unwrap();
            tokens.retain(|token| !matches!(token, Token::Whitespace(_)));
            tokens
        };
        assert_eq!(tokens(&written), tokens(sql));
    }
}
