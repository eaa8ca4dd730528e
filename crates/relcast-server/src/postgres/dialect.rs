//! Reads SQL of Postgres and turns what DataFusion does not know into what it does.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};
use datafusion_pg_catalog::sql::rules::{
    AliasDuplicatedProjectionRewrite, CurrentUserVariableToSessionUserFunctionCall,
    FixArrayLiteral, FixVersionColumnName, PrependUnqualifiedPgTableName,
    ResolveUnqualifiedIdentifier, RewriteArrayAnyAllOperation, RewritePgCatalogOperator,
    RewriteRegCastToSubquery, SqlStatementRewriteRule, StripCallableQualifier, StripCollate,
};
use relcast_engine::Dialect;

use super::selects::CatalogSelects;
use super::spellings::Spellings;
use crate::settings::Settings;

type Rules = Vec<Arc<dyn SqlStatementRewriteRule>>;

/// Reads SQL of Postgres.
#[derive(Debug)]
pub(crate) struct PostgresDialect {
    /// Operators and functions, as they are written.
    first: Rules,
    /// What holds for questions about the catalog alone.
    catalog: CatalogSelects,
    rest: Rules,
}

impl PostgresDialect {
    /// A dialect for the connection with these settings, which SQL may ask for.
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        // The crate's own list has a rule more, which gives NULL for a subquery that refers to the
        // rows around it: in a client's question about its data, a wrong answer.
        let first: Rules = vec![
            Arc::new(StripCallableQualifier),
            Arc::new(RewriteArrayAnyAllOperation),
            Arc::new(Spellings(settings)),
        ];
        let rest: Rules = vec![
            Arc::new(AliasDuplicatedProjectionRewrite),
            Arc::new(ResolveUnqualifiedIdentifier),
            Arc::new(PrependUnqualifiedPgTableName),
            Arc::new(FixArrayLiteral),
            Arc::new(CurrentUserVariableToSessionUserFunctionCall),
            Arc::new(StripCollate),
            Arc::new(RewritePgCatalogOperator),
            Arc::new(RewriteRegCastToSubquery::new()),
            Arc::new(FixVersionColumnName),
        ];
        Self { first, catalog: CatalogSelects, rest }
    }
}

impl Dialect for PostgresDialect {
    fn parse(&self, tokens: &[TokenWithSpan]) -> Option<Statement> {
        let of_catalog = asks_for_the_catalog(tokens);
        let tokens = tokens.iter().map(|token| plain(token, of_catalog)).collect();
        let mut parser = Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(tokens);
        let statement = parser.parse_statement().ok()?;
        // What is no query is read, and its errors told, by the session.
        if !matches!(statement, Statement::Query(_)) || parser.peek_token().token != Token::EOF {
            return None;
        }
        let statement = rewritten(&self.first, statement);
        let statement = if of_catalog { self.catalog.rewrite(statement) } else { statement };
        Some(rewritten(&self.rest, statement))
    }
}

fn rewritten(rules: &[Arc<dyn SqlStatementRewriteRule>], statement: Statement) -> Statement {
    rules.iter().fold(statement, |statement, rule| rule.rewrite(statement))
}

/// Whether a name stands in it that only the catalog has.
fn asks_for_the_catalog(tokens: &[TokenWithSpan]) -> bool {
    tokens.iter().any(|token| match &token.token {
        Token::Word(word) => {
            let name = word.value.to_ascii_lowercase();
            name.starts_with("pg_") || name == "information_schema"
        }
        _ => false,
    })
}

/// A token without what DataFusion does not read: texts with a letter before them, and, if names
/// are folded, unquoted ones in other than small letters. Postgres folds them, so its clients name
/// a column `TABLE_NAME` and ask for `table_name`.
fn plain(token: &TokenWithSpan, folds: bool) -> TokenWithSpan {
    let plain = match &token.token {
        Token::NationalStringLiteral(text) | Token::UnicodeStringLiteral(text) => {
            Token::SingleQuotedString(text.clone())
        }
        Token::Word(word) if folds && word.quote_style.is_none() => {
            Token::Word(Word { value: word.value.to_lowercase(), ..word.clone() })
        }
        other => other.clone(),
    };
    TokenWithSpan { token: plain, span: token.span }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    /// The statement that `sql` is read as, from tokens as a session gives them.
    fn read(sql: &str) -> String {
        let dialect = PostgresDialect::new(Arc::new(Settings::new(None)));
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().unwrap();
        dialect.parse(&tokens).unwrap().to_string()
    }

    #[test]
    fn texts_stay_what_they_are() {
        let sql = "SELECT 'x''' AS a, '''y' AS b, 'it''s' AS c, 'back\\slash' AS d";
        assert_eq!(read(sql), sql);
        assert_eq!(read("SELECT N'it''s' AS a"), "SELECT 'it''s' AS a");
        let of_catalog = r"SELECT 'x'' OR 1=1 -- ''array_in''::regproc' AS a, 'a\' AS b FROM pg_catalog.pg_class";
        assert_eq!(read(of_catalog), of_catalog);
    }

    #[test]
    fn subqueries_about_data_stay_what_they_are() {
        for sql in [
            "SELECT c.Name, (SELECT count(*) FROM orders AS o WHERE o.id = c.id) FROM customers AS c",
            "SELECT a.Id FROM a WHERE a.Id = (SELECT b.Id FROM b WHERE b.x = a.x)",
        ] {
            assert_eq!(read(sql), sql);
        }
    }

    #[test]
    fn names_are_folded_where_the_catalog_is_asked_for() {
        assert_eq!(
            read("SELECT c.RelName AS TABLE_NAME FROM PG_CLASS AS c ORDER BY table_name"),
            "SELECT c.relname AS table_name FROM pg_catalog.pg_class AS c ORDER BY table_name"
        );
        let sql = "SELECT \"Name\" AS N FROM Customers";
        assert_eq!(read(sql), sql);
    }

    #[test]
    fn a_cast_to_an_oid_has_a_name_of_its_own() {
        let cast = read("SELECT c.oid, 'customers'::regclass FROM pg_class AS c");
        assert!(cast.contains("parse_ident('customers'::TEXT)"), "{cast}");
        assert!(cast.contains(") AS regclass FROM"), "{cast}");
    }
}
