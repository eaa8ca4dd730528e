//! Statements about the session that clients of Postgres send: SET, SHOW, transactions.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion::sql::sqlparser::tokenizer::Token;
use pgwire::error::PgWireResult;
use relcast_query::statement::Sql;

use crate::errors::plain;

/// The setting that says how long a statement may take.
const TIMEOUT: &str = "statement_timeout";

/// The settings of one connection.
#[derive(Debug)]
pub(crate) struct Settings(Mutex<Values>);

#[derive(Debug)]
struct Values {
    now: BTreeMap<String, String>,
    /// What RESET goes back to.
    first: BTreeMap<String, String>,
    transaction: Transaction,
    /// The transaction has gone back to a savepoint, and the client is not yet told that it goes on.
    gone_back: bool,
}

/// What happened since BEGIN. Nothing that was changed is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    Outside,
    Unchanged,
    Changed,
}

/// What a statement about the session asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Begin,
    Commit,
    Rollback,
    /// Back to a savepoint.
    RollbackTo,
    /// Nothing but to be told that it is done, by the name that is told.
    Done(&'static str),
    /// A value for a setting; none for the one it had at first.
    Set(&'static str, String, Option<String>),
    /// The values that all settings had at first.
    ResetAll(&'static str),
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
        let mut first: BTreeMap<String, String> =
            known.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        first.insert(TIMEOUT.to_owned(), timeout.to_string());
        let now = first.clone();
        let transaction = Transaction::Outside;
        Self(Mutex::new(Values { now, first, transaction, gone_back: false }))
    }

    /// How long a statement may take; as long as it likes if not said.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let text = self.get(TIMEOUT)?;
        parse_duration(&text).filter(|timeout| !timeout.is_zero())
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of a setting by its name in small letters.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.values().now.get(name).cloned()
    }

    /// Gives a setting a value; without one, that which it had at first.
    ///
    /// # Errors
    /// 22023 for a time that is none.
    pub(crate) fn set(&self, name: String, value: Option<String>) -> PgWireResult<()> {
        if let Some(value) = value.as_deref().filter(|_| name == TIMEOUT)
            && parse_duration(value).is_none()
        {
            let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
            return Err(plain("22023", message));
        }
        let mut values = self.values();
        match value.or_else(|| values.first.get(&name).cloned()) {
            Some(value) => values.now.insert(name, value),
            None => values.now.remove(&name),
        };
        Ok(())
    }

    /// Gives all settings the values that they had at first.
    pub(crate) fn reset(&self) {
        let mut values = self.values();
        values.now = values.first.clone();
    }

    /// A transaction begins.
    pub(crate) fn begin(&self) {
        self.values().transaction = Transaction::Unchanged;
    }

    /// Something was changed that no ROLLBACK takes back.
    pub(crate) fn note_change(&self) {
        let mut values = self.values();
        if values.transaction == Transaction::Unchanged {
            values.transaction = Transaction::Changed;
        }
    }

    /// Whether something was changed since BEGIN.
    pub(crate) fn has_changed(&self) -> bool {
        self.values().transaction == Transaction::Changed
    }

    /// The transaction ends.
    pub(crate) fn end(&self) {
        self.values().transaction = Transaction::Outside;
    }

    /// The transaction goes back to a savepoint.
    pub(crate) fn go_back(&self) {
        self.values().gone_back = true;
    }

    /// Whether the transaction has gone back since this was last asked.
    pub(crate) fn has_gone_back(&self) -> bool {
        std::mem::take(&mut self.values().gone_back)
    }

    /// What `sql` asks of the session itself; none if it is a statement for the engine.
    pub(crate) fn read(&self, sql: &Sql) -> Option<Asked> {
        let words = sql.first_words(4);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(match words.as_slice() {
            ["BEGIN" | "START", ..] => Asked::Begin,
            ["COMMIT" | "END", ..] => Asked::Commit,
            ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => {
                Asked::RollbackTo
            }
            ["ROLLBACK" | "ABORT", ..] => Asked::Rollback,
            ["SAVEPOINT", ..] => Asked::Done("SAVEPOINT"),
            ["RELEASE", ..] => Asked::Done("RELEASE"),
            ["DISCARD", "ALL"] => Asked::ResetAll("DISCARD ALL"),
            ["DISCARD", ..] => Asked::Done("DISCARD"),
            ["DEALLOCATE", ..] => Asked::Done("DEALLOCATE"),
            ["LISTEN", ..] => Asked::Done("LISTEN"),
            ["UNLISTEN", ..] => Asked::Done("UNLISTEN"),
            ["RESET", "ALL"] => Asked::ResetAll("RESET"),
            ["SET" | "RESET", ..] => {
                let (name, value) = assignment(sql)?;
                if name.starts_with("datafusion.") {
                    return None;
                }
                let tag = if words.first() == Some(&"SET") { "SET" } else { "RESET" };
                match name.as_str() {
                    "time zone" => Asked::Set(tag, "timezone".to_owned(), value),
                    "names" => Asked::Set(tag, "client_encoding".to_owned(), value),
                    // SET TRANSACTION READ ONLY and the like.
                    phrase if phrase.contains(' ') => Asked::Done(tag),
                    _ => Asked::Set(tag, name, value),
                }
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

/// The name and the value of `SET [SESSION | LOCAL] name { = | TO } value` or `RESET name`; no value
/// for DEFAULT or none.
fn assignment(sql: &Sql) -> Option<(String, Option<String>)> {
    let mut tokens = sql.tokens.iter().map(|t| &t.token).skip(1).peekable();
    let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w.value.eq_ignore_ascii_case(word));
    while tokens.next_if(|t| is(t, "SESSION") || is(t, "LOCAL")).is_some() {}
    let mut name = String::new();
    while let Some(token) = tokens.next_if(|t| {
        // SET TIME ZONE has nothing between name and value.
        let is_whole = name.eq_ignore_ascii_case("time zone");
        let is_part = matches!(t, Token::Word(_) | Token::Period);
        is_part && !is(t, "TO") && **t != Token::Eq && !is_whole
    }) {
        let (gap, text) = match token {
            Token::Word(word) => (!name.is_empty() && !name.ends_with('.'), word.value.clone()),
            _ => (false, ".".to_owned()),
        };
        name += if gap { " " } else { "" };
        name += &text;
    }
    let value: Vec<&Token> = tokens.filter(|t| !is(t, "TO") && **t != Token::Eq).collect();
    let value = match value.as_slice() {
        [] => None,
        [word] if is(word, "DEFAULT") => None,
        tokens => {
            let texts = tokens.iter().map(|token| match token {
                Token::SingleQuotedString(text) => text.clone(),
                other => other.to_string(),
            });
            Some(texts.collect::<Vec<_>>().join(" "))
        }
    };
    Some((name.to_ascii_lowercase(), value)).filter(|(n, _)| !n.is_empty())
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

    /// Does what the statement asks for; gives the message of the error.
    fn run(settings: &Settings, text: &str) -> Result<(), String> {
        match ask(settings, text) {
            Some(Asked::Set(_, name, value)) => {
                settings.set(name, value).map_err(|error| error.to_string())
            }
            Some(Asked::ResetAll(_)) => {
                settings.reset();
                Ok(())
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn settings_are_kept_and_told() {
        let settings = Settings::new(None);
        run(&settings, "SET extra_float_digits = 3").unwrap();
        let digits = Asked::Show("extra_float_digits".to_owned(), "3".to_owned());
        assert_eq!(ask(&settings, "SHOW extra_float_digits"), Some(digits));
        run(&settings, "SET SESSION statement_timeout TO '2s'").unwrap();
        assert_eq!(settings.timeout(), Some(Duration::from_secs(2)));
        run(&settings, "SET statement_timeout = 0").unwrap();
        assert_eq!(settings.timeout(), None);
        run(&settings, "SET TIME ZONE 'Etc/UTC'").unwrap();
        let zone = Asked::Show("TimeZone".to_owned(), "Etc/UTC".to_owned());
        assert_eq!(ask(&settings, "SHOW TIME ZONE"), Some(zone));
        assert_eq!(ask(&settings, "SET TRANSACTION READ ONLY"), Some(Asked::Done("SET")));
        assert_eq!(ask(&settings, "SET datafusion.execution.batch_size = 10"), None);
        assert_eq!(ask(&settings, "SHOW nothing_known"), None);
        assert_eq!(ask(&settings, "SELECT 1"), None);
    }

    #[test]
    fn a_timeout_is_one_and_goes_back_to_the_servers() {
        let limit = Some(Duration::from_secs(30));
        let settings = Settings::new(limit);
        for bad in ["'nonsense'", "'5 weeks'", "-1"] {
            let error = run(&settings, &format!("SET statement_timeout = {bad}")).unwrap_err();
            assert!(error.contains("statement_timeout"), "{error}");
        }
        assert_eq!(settings.timeout(), limit);
        for back in [
            "RESET statement_timeout",
            "SET statement_timeout TO DEFAULT",
            "RESET ALL",
            "DISCARD ALL",
        ] {
            run(&settings, "SET statement_timeout = 500").unwrap();
            assert_eq!(settings.timeout(), Some(Duration::from_millis(500)));
            run(&settings, back).unwrap();
            assert_eq!(settings.timeout(), limit, "{back}");
        }
    }

    #[test]
    fn what_is_changed_since_begin_is_known() {
        let settings = Settings::new(None);
        settings.note_change();
        assert!(!settings.has_changed());
        settings.begin();
        assert!(!settings.has_changed());
        settings.note_change();
        assert!(settings.has_changed());
        settings.end();
        assert!(!settings.has_changed());
    }

    #[test]
    fn transactions_are_told_apart() {
        let settings = Settings::new(None);
        assert_eq!(ask(&settings, "BEGIN"), Some(Asked::Begin));
        assert_eq!(ask(&settings, "START TRANSACTION READ ONLY"), Some(Asked::Begin));
        assert_eq!(ask(&settings, "END"), Some(Asked::Commit));
        assert_eq!(ask(&settings, "ROLLBACK"), Some(Asked::Rollback));
        assert_eq!(ask(&settings, "ROLLBACK TO SAVEPOINT a"), Some(Asked::RollbackTo));
        assert_eq!(ask(&settings, "ROLLBACK WORK TO a"), Some(Asked::RollbackTo));
    }
}
