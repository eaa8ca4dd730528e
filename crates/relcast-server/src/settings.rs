//! Statements about the session that clients of Postgres send: SET, SHOW, transactions.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use datafusion::sql::sqlparser::tokenizer::Token;
use relcast_query::statement::Sql;

/// The settings of one connection.
#[derive(Debug)]
pub(crate) struct Settings(Mutex<BTreeMap<String, String>>);

/// What a statement about the session asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Begin,
    Commit,
    Rollback,
    /// Done, by the name that is told.
    Done(&'static str),
    /// The value of a setting, under its name.
    Show(String, String),
}

impl Settings {
    /// The settings that clients ask for.
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        let timeout = timeout.map_or(0, |t| t.as_millis());
        let known = [
            ("application_name", ""),
            ("bytea_output", "hex"),
            ("client_encoding", "UTF8"),
            ("client_min_messages", "notice"),
            ("datestyle", "ISO, MDY"),
            ("default_transaction_isolation", "read committed"),
            ("default_transaction_read_only", "off"),
            ("extra_float_digits", "1"),
            ("intervalstyle", "postgres"),
            ("lc_collate", "C"),
            ("max_identifier_length", "63"),
            ("search_path", "public"),
            ("server_encoding", "UTF8"),
            ("server_version", "16.6"),
            ("server_version_num", "160006"),
            ("standard_conforming_strings", "on"),
            ("timezone", "UTC"),
            ("transaction_isolation", "read committed"),
            ("transaction_read_only", "off"),
        ];
        let mut all: BTreeMap<String, String> =
            known.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        all.insert("statement_timeout".to_owned(), timeout.to_string());
        Self(Mutex::new(all))
    }

    /// How long a statement may take; as long as it likes if not said.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let text = self.get("statement_timeout")?;
        parse_duration(&text).filter(|timeout| !timeout.is_zero())
    }

    /// The value of a setting by its name in small letters.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn set(&self, name: String, value: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, value);
    }

    /// What `sql` asks of the session itself; none if it is a statement for the engine.
    pub(crate) fn read(&self, sql: &Sql) -> Option<Asked> {
        let words = sql.first_words(4);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(match words.as_slice() {
            ["BEGIN" | "START", ..] => Asked::Begin,
            ["COMMIT" | "END", ..] => Asked::Commit,
            ["ROLLBACK", "TO", ..] => Asked::Done("ROLLBACK"),
            ["ROLLBACK" | "ABORT", ..] => Asked::Rollback,
            ["SAVEPOINT", ..] => Asked::Done("SAVEPOINT"),
            ["RELEASE", ..] => Asked::Done("RELEASE"),
            ["DISCARD", ..] => Asked::Done("DISCARD ALL"),
            ["DEALLOCATE", ..] => Asked::Done("DEALLOCATE"),
            ["LISTEN", ..] => Asked::Done("LISTEN"),
            ["UNLISTEN", ..] => Asked::Done("UNLISTEN"),
            ["RESET", ..] => Asked::Done("RESET"),
            ["SET", "TRANSACTION" | "SESSION" | "LOCAL", ..] | ["SET", ..] => {
                let (name, value) = assignment(sql)?;
                if name.starts_with("datafusion.") {
                    return None;
                }
                self.set(name, value);
                Asked::Done("SET")
            }
            ["SHOW", "TRANSACTION", "ISOLATION", "LEVEL"] => {
                Asked::Show("transaction_isolation".to_owned(), "read committed".to_owned())
            }
            ["SHOW", "TIME", "ZONE"] => Asked::Show("TimeZone".to_owned(), self.get("timezone")?),
            ["SHOW", name] => {
                let name = name.to_ascii_lowercase();
                let value = self.get(&name)?;
                Asked::Show(name, value)
            }
            _ => return None,
        })
    }
}

/// The name and the value of `SET [SESSION | LOCAL] name { = | TO } value`.
fn assignment(sql: &Sql) -> Option<(String, String)> {
    let mut tokens = sql.tokens.iter().map(|t| &t.token).skip(1).peekable();
    let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w.value.eq_ignore_ascii_case(word));
    while tokens.next_if(|t| is(t, "SESSION") || is(t, "LOCAL")).is_some() {}
    let mut name = String::new();
    while let Some(token) = tokens.next_if(|t| {
        !is(t, "TO") && **t != Token::Eq && matches!(t, Token::Word(_) | Token::Period)
    }) {
        let (gap, text) = match token {
            Token::Word(word) => (!name.is_empty() && !name.ends_with('.'), word.value.clone()),
            _ => (false, ".".to_owned()),
        };
        name += if gap { " " } else { "" };
        name += &text;
    }
    let value = tokens.filter(|t| !is(t, "TO") && **t != Token::Eq).map(|token| match token {
        Token::SingleQuotedString(text) => text.clone(),
        other => other.to_string(),
    });
    Some((name.to_ascii_lowercase(), value.collect::<Vec<_>>().join(" ")))
        .filter(|(n, _)| !n.is_empty())
}

/// `5000` (milliseconds), `5s`, `250ms`, `2min`.
fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text.get(..digits)?.parse().ok()?;
    Some(match text.get(digits..)?.trim() {
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "min" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use relcast_query::statement::Statement;

    fn ask(settings: &Settings, text: &str) -> Option<Asked> {
        match relcast_query::statements(text).unwrap().next().unwrap().unwrap() {
            Statement::Sql(sql) => settings.read(&sql),
            _ => None,
        }
    }

    #[test]
    fn settings_are_kept_and_told() {
        let settings = Settings::new(None);
        assert_eq!(ask(&settings, "SET extra_float_digits = 3"), Some(Asked::Done("SET")));
        let digits = Asked::Show("extra_float_digits".to_owned(), "3".to_owned());
        assert_eq!(ask(&settings, "SHOW extra_float_digits"), Some(digits));
        assert_eq!(
            ask(&settings, "SET SESSION statement_timeout TO '2s'"),
            Some(Asked::Done("SET"))
        );
        assert_eq!(settings.timeout(), Some(Duration::from_secs(2)));
        ask(&settings, "SET statement_timeout = 0");
        assert_eq!(settings.timeout(), None);
        assert_eq!(ask(&settings, "SET datafusion.execution.batch_size = 10"), None);
        assert_eq!(ask(&settings, "SHOW nothing_known"), None);
        assert_eq!(ask(&settings, "SELECT 1"), None);
    }

    #[test]
    fn transactions_are_told_apart() {
        let settings = Settings::new(None);
        assert_eq!(ask(&settings, "BEGIN"), Some(Asked::Begin));
        assert_eq!(ask(&settings, "START TRANSACTION READ ONLY"), Some(Asked::Begin));
        assert_eq!(ask(&settings, "END"), Some(Asked::Commit));
        assert_eq!(ask(&settings, "ROLLBACK"), Some(Asked::Rollback));
        assert_eq!(ask(&settings, "ROLLBACK TO SAVEPOINT a"), Some(Asked::Done("ROLLBACK")));
    }
}
