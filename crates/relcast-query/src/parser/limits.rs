//! How deep the SQL of a statement may go.
//!
//! What reads SQL, plans it and drops its plan does so by recursion, and a stack has an end: past it
//! the whole process is gone. Parentheses are counted by the parser of SQL itself; a chain of
//! operators is as deep as it is long, and has no parentheses.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::{place, shown};
use crate::error::QueryError;

/// Operators that may stand inside one another: the terms of a sum, AND, OR, UNION, joins, casts.
const MOST_OPERATORS: usize = 2_000;

/// Subqueries that may stand inside one another in expressions: planning takes twice as long for
/// each, and nothing stops it.
const MOST_SUBQUERIES: usize = 12;

/// Words that put what follows over what stands before, or over all of it so far.
const OPERATORS: [&str; 16] = [
    "AND",
    "AT",
    "BETWEEN",
    "COLLATE",
    "EXCEPT",
    "ILIKE",
    "IN",
    "INTERSECT",
    "IS",
    "JOIN",
    "LIKE",
    "MINUS",
    "NOT",
    "OR",
    "SIMILAR",
    "UNION",
];

/// Words that end a list of tables.
const AFTER_TABLES: [&str; 11] = [
    "EXCEPT",
    "GROUP",
    "HAVING",
    "INTERSECT",
    "LIMIT",
    "ORDER",
    "QUALIFY",
    "SELECT",
    "UNION",
    "WHERE",
    "WINDOW",
];

/// What stands between two parentheses, so far.
#[derive(Default)]
struct Level {
    /// Operators since the last comma.
    operators: usize,
    /// How deep the parentheses since the last comma go.
    within: usize,
    /// How deep what stood before the last comma goes.
    deepest: usize,
    /// Whether a list of tables is being read: each is joined to all before it.
    tables: bool,
    /// Whether what stands here is a table of FROM, or the body of a WITH.
    is_table: bool,
    /// The subqueries around this place that stand in expressions.
    subqueries: usize,
}

impl Level {
    fn depth(&self) -> usize {
        self.deepest.max(self.operators + self.within)
    }

    fn next_item(&mut self) {
        self.deepest = self.depth();
        (self.operators, self.within) = (0, 0);
    }
}

/// Refuses SQL that goes too deep.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let mut around: Vec<Level> = Vec::new();
    let mut here = Level { is_table: true, ..Level::default() };
    let mut before: Option<&Token> = None;
    for (i, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen => {
                let is_table = match before {
                    None | Some(Token::LParen) => here.is_table,
                    Some(before) => is_word(before, &["AS", "FROM", "JOIN", "LATERAL"]),
                };
                let next = tokens.get(i + 1).map(|next| &next.token);
                let is_query = next.is_some_and(|next| is_word(next, &["SELECT", "WITH"]));
                let subqueries = here.subqueries + usize::from(is_query && !is_table);
                if subqueries > MOST_SUBQUERIES {
                    return Err(too_deep(
                        token,
                        format!("at most {MOST_SUBQUERIES} subqueries inside one another"),
                        "name some of them in WITH",
                    ));
                }
                let inner = Level { is_table, subqueries, ..Level::default() };
                around.push(std::mem::replace(&mut here, inner));
            }
            Token::RParen => {
                let depth = here.depth();
                here = around.pop().unwrap_or_default();
                here.within = here.within.max(depth);
            }
            Token::Comma if !here.tables => here.next_item(),
            Token::SemiColon => here.next_item(),
            token => {
                here.operators += usize::from(is_operator(token));
                if is_word(token, &["FROM"]) {
                    here.tables = true;
                } else if is_word(token, &AFTER_TABLES) {
                    here.tables = false;
                }
            }
        }
        if here.depth() > MOST_OPERATORS {
            return Err(too_deep(
                token,
                format!("at most {MOST_OPERATORS} operators in a row"),
                "write alternatives as a list: x IN (1, 2, …)",
            ));
        }
        before = Some(&token.token);
    }
    Ok(())
}

fn too_deep(token: &TokenWithSpan, expected: String, hint: &str) -> QueryError {
    QueryError::Syntax {
        at: place(token.span.start),
        expected,
        found: shown(&token.token),
        hint: Some(hint.to_owned()),
    }
}

fn is_word(token: &Token, words: &[&str]) -> bool {
    match token {
        Token::Word(word) => {
            word.quote_style.is_none() && words.iter().any(|w| word.value.eq_ignore_ascii_case(w))
        }
        _ => false,
    }
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(_) => is_word(token, &OPERATORS),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Placeholder(_)
        | Token::Period
        | Token::RBracket
        | Token::RBrace => false,
        // Signs, other literals for good measure, and the comma between tables.
        _ => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn refusal(sql: &str) -> Option<String> {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().unwrap();
        let written = |t: &TokenWithSpan| !matches!(t.token, Token::Whitespace(_));
        let tokens: Vec<TokenWithSpan> = tokens.into_iter().filter(written).collect();
        check(&tokens).err().map(|error| error.to_string())
    }

    #[test]
    fn chains_of_operators_have_an_end_wherever_they_hide() {
        let chain = |term: &str, count: usize| vec!["1"; count].join(term);
        for operator in ["+", "-", " AND ", "||", "::int + ", " UNION ALL SELECT ", " IS NULL OR "]
        {
            let error = refusal(&format!("SELECT {}", chain(operator, 20_000))).unwrap();
            assert!(error.contains("at most 2000 operators in a row"), "{operator}: {error}");
        }
        assert_eq!(refusal(&format!("SELECT {}", chain("+", 2_000))), None);
        let halves = format!("SELECT ({}) + {}", chain("+", 1_200), chain("+", 1_200));
        assert!(refusal(&halves).is_some());
        let nested = (0..40).fold("1".to_owned(), |sql, _| format!("({sql}) + {}", chain("+", 90)));
        assert!(refusal(&format!("SELECT {nested}")).is_some());
        let tables: Vec<String> = (0..3_000).map(|i| format!("t t{i}")).collect();
        assert!(refusal(&format!("SELECT 1 FROM {}", tables.join(", "))).is_some());
    }

    #[test]
    fn lists_may_be_long() {
        let numbers: Vec<String> = (0..30_000).map(|i| format!("-{i}")).collect();
        let rows: Vec<String> = numbers.iter().map(|n| format!("({n}, 'a' || 'b')")).collect();
        let (numbers, rows) = (numbers.join(", "), rows.join(", "));
        assert_eq!(refusal(&format!("SELECT 1 FROM t WHERE a IN ({numbers})")), None);
        assert_eq!(refusal(&format!("SELECT {numbers} FROM t WHERE a = 1")), None);
        assert_eq!(refusal(&format!("INSERT INTO t VALUES {rows}")), None);
    }

    #[test]
    fn subqueries_of_expressions_have_an_end_and_those_of_from_are_counted_by_the_parser() {
        let nest = |open: &str, count: usize| {
            format!("{}SELECT 1{}", open.repeat(count), ")".repeat(count))
        };
        for open in ["SELECT (", "SELECT 1 WHERE a IN (", "SELECT 1 WHERE EXISTS ((", "SELECT 1, ("]
        {
            assert_eq!(refusal(&nest(open, 12)), None, "{open}");
            let error = refusal(&nest(open, 13)).unwrap();
            assert!(error.contains("at most 12 subqueries inside one another"), "{open}: {error}");
        }
        for open in ["SELECT * FROM (", "SELECT * FROM a JOIN (", "WITH a AS ("] {
            assert_eq!(refusal(&nest(open, 60)), None, "{open}");
        }
    }

    #[test]
    fn parentheses_that_do_not_match_are_not_minded_here() {
        for sql in ["", ")", "SELECT )))) + ((", ";;", "SELECT 1; SELECT 2"] {
            assert_eq!(refusal(sql), None, "{sql}");
        }
    }
}
