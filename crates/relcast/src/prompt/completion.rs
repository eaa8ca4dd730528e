//! Words that the Tab key completes, and when a line is a whole statement.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use relcast_engine::Session;
use rustyline::completion::{Completer, Pair};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

const KEYWORDS: &[&str] = &[
    "ANALYZE",
    "AND",
    "AS",
    "AS OF",
    "ASSUMING",
    "ASC",
    "AVG",
    "BETWEEN",
    "BY",
    "CASE",
    "CHECK MODEL",
    "CLASSIFY",
    "COPY",
    "COUNT",
    "COUNT_DISTINCT",
    "CREATE MODEL",
    "CREATE OR REPLACE MODEL",
    "CREATE TABLE",
    "CREATE VIEW",
    "DAYS",
    "DESC",
    "DESCRIBE",
    "DESCRIBE GRAPH",
    "DESCRIBE MODEL",
    "DISTINCT",
    "DROP MODEL",
    "DROP TABLE",
    "EACH",
    "ELSE",
    "END",
    "EVALUATE MODEL",
    "EXISTS",
    "EXPLAIN",
    "EXPLAIN LABELS",
    "EXPLAIN MODEL",
    "FIRST",
    "FOR EACH",
    "FORECAST",
    "FROM",
    "GROUP BY",
    "HAVING",
    "HOURS",
    "ILIKE",
    "IN",
    "INSERT INTO",
    "INTERVAL",
    "IS NOT NULL",
    "IS NULL",
    "JOIN",
    "LAST",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "LIST_DISTINCT",
    "MAX",
    "MIN",
    "MODEL",
    "MONTHS",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER BY",
    "PREDICT",
    "RANK TOP",
    "REFRESH MODEL",
    "SELECT",
    "SET DEFAULT VERSION",
    "SHOW LINKS",
    "SHOW MODELS",
    "SUM",
    "THEN",
    "TIMEFRAMES",
    "UNION ALL",
    "USING",
    "USING MODEL",
    "VALUES",
    "VERSION",
    "VIA",
    "WEEKS",
    "WHEN",
    "WHERE",
    "WITH",
    "YEARS",
];

/// What can be completed: keywords, and the names of tables, views, columns and models.
pub struct Words {
    names: Vec<String>,
}

impl Words {
    /// The words of a session's database, as it is now.
    pub async fn of(session: &Session) -> Self {
        let engine = session.engine();
        let tables = &engine.catalog.schema.tables;
        let columns = tables.iter().flat_map(|t| t.columns.iter().map(|c| c.name.clone()));
        // Without the names of models the others are still of use.
        let models = engine.registry.versions().await.unwrap_or_default();
        let models = models.into_iter().filter(|m| !m.is_quick()).map(|m| m.model);
        let mut names: Vec<String> =
            session.table_names().into_iter().chain(columns).chain(models).collect();
        names.sort_unstable();
        names.dedup();
        Self { names }
    }

    /// Where the word that ends at `end` starts, and what it may become.
    fn candidates(&self, line: &str, end: usize) -> (usize, Vec<Pair>) {
        let typed = line.get(..end).unwrap_or(line);
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let start = typed.rfind(|c| !in_word(c)).map_or(0, |at| {
            at + typed.get(at..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8)
        });
        let word = typed.get(start..).unwrap_or_default();
        if word.is_empty() {
            return (start, Vec::new());
        }
        let begins = |name: &&str| {
            name.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        };
        let names = self.names.iter().map(String::as_str).filter(begins);
        let keywords = KEYWORDS.iter().copied().filter(begins);
        let pair = |name: &str| Pair { display: name.to_owned(), replacement: name.to_owned() };
        (start, names.chain(keywords).map(pair).collect())
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        end: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(self.candidates(line, end))
    }
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_whole(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl rustyline::hint::Hinter for Words {
    type Hint = String;
}

impl rustyline::highlight::Highlighter for Words {}

impl Helper for Words {}

/// Whether the text is a command, or nothing, or ends with a semicolon outside of quotes.
fn is_whole(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() || text.starts_with('\\') {
        return true;
    }
    // An open quote swallows the semicolon, and cannot be divided into tokens.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return false };
    // A comment may follow, or be all there is.
    let last = tokens.iter().rfind(|token| !matches!(token, Token::Whitespace(_)));
    last.is_none_or(|token| *token == Token::SemiColon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_from_where_they_start() {
        let words = Words { names: vec!["customers".to_owned(), "größe".to_owned()] };
        let found = |line: &str| {
            let (start, pairs) = words.candidates(line, line.len());
            (start, pairs.into_iter().map(|p| p.replacement).collect::<Vec<_>>())
        };
        assert_eq!(found("SELECT * FROM cust"), (14, vec!["customers".to_owned()]));
        assert_eq!(found("select ä, grö"), (11, vec!["größe".to_owned()]));
        assert_eq!(found("predi"), (0, vec!["PREDICT".to_owned()]));
        assert_eq!(found("SELECT "), (7, Vec::new()));
    }

    #[test]
    fn a_statement_is_whole_with_its_semicolon() {
        assert!(is_whole("SELECT 1;") && is_whole("\\d") && is_whole(" "));
        assert!(!is_whole("SELECT 1") && !is_whole("SELECT ';"));
        assert!(is_whole("SELECT\n ';';"));
        assert!(is_whole("SELECT 1; -- done") && is_whole("-- nothing"));
        assert!(!is_whole("SELECT 1 -- done;") && !is_whole("SELECT 1; SELECT 2"));
    }
}
