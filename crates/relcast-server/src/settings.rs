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
/// The setting that says whether the transaction only reads.
const READ_ONLY: &str = "transaction_read_only";
/// The setting that says whether transactions only read that do not say so themselves.
const DEFAULT_READ_ONLY: &str = "default_transaction_read_only";
/// What a search path may name: tables are found in `public` whatever it says.
const SCHEMAS: [&str; 5] = ["", "public", "pg_catalog", "pg_temp", "$user"];

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
    /// A transaction, and whether it only reads where that is said.
    Begin(Option<bool>),
    Commit,
    Rollback,
    /// Back to a savepoint.
    RollbackTo,
    /// Nothing but to be told that it is done, by the name that is told.
    Done(&'static str),
    /// What is not done, by what is told instead.
    Refused(&'static str),
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
            (DEFAULT_READ_ONLY, "off"),
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
            (READ_ONLY, "off"),
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
    /// 22023 for a value that the setting cannot have, 0A000 for one that would not be kept to.
    pub(crate) fn set(&self, name: String, value: Option<String>) -> PgWireResult<()> {
        let value = value.map(|value| checked(&name, &value)).transpose()?;
        let mut values = self.values();
        match value.or_else(|| values.first.get(&name).cloned()) {
            Some(value) => values.now.insert(name, value),
            None => values.now.remove(&name),
        };
        values.follow_default();
        Ok(())
    }

    /// Gives all settings the values that they had at first.
    pub(crate) fn reset(&self) {
        let mut values = self.values();
        let read_only = values.now.remove(READ_ONLY);
        values.now = values.first.clone();
        values.now.extend(read_only.map(|kept| (READ_ONLY.to_owned(), kept)));
        values.follow_default();
    }

    /// Whether statements may change nothing.
    pub(crate) fn reads_only(&self) -> bool {
        self.get(READ_ONLY).as_deref() == Some("on")
    }

    /// A transaction begins, which only reads or not; as is usual if not said.
    pub(crate) fn begin(&self, read_only: Option<bool>) {
        let mut values = self.values();
        values.transaction = Transaction::Unchanged;
        values.now.extend(read_only.map(|only| (READ_ONLY.to_owned(), on_or_off(only))));
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
        let mut values = self.values();
        values.transaction = Transaction::Outside;
        values.follow_default();
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
            ["BEGIN" | "START", ..] => Asked::Begin(read_only(sql)),
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
            ["LISTEN", ..] => {
                Asked::Refused("LISTEN is not supported: nothing is ever notified; ask again")
            }
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
                    phrase if phrase.contains(' ') => match read_only(sql) {
                        Some(only) => {
                            // SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
                            let is_usual = phrase.starts_with("characteristics ");
                            let setting = if is_usual { DEFAULT_READ_ONLY } else { READ_ONLY };
                            Asked::Set(tag, setting.to_owned(), Some(on_or_off(only)))
                        }
                        None => Asked::Done(tag),
                    },
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

impl Values {
    /// Outside a transaction each statement is one of its own, of the usual kind.
    fn follow_default(&mut self) {
        if self.transaction == Transaction::Outside
            && let Some(usual) = self.now.get(DEFAULT_READ_ONLY).cloned()
        {
            self.now.insert(READ_ONLY.to_owned(), usual);
        }
    }
}

/// The value as it is kept.
fn checked(name: &str, value: &str) -> PgWireResult<String> {
    let is_known = |schema: &str| SCHEMAS.contains(&schema.trim().trim_matches('"'));
    let kept = match name {
        TIMEOUT if parse_duration(value).is_none() => None,
        READ_ONLY | DEFAULT_READ_ONLY => match value.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Some(on_or_off(true)),
            "off" | "false" | "no" | "0" => Some(on_or_off(false)),
            _ => None,
        },
        "client_encoding" => match value.to_ascii_uppercase().as_str() {
            "UTF8" | "UTF-8" | "UNICODE" => Some("UTF8".to_owned()),
            _ => None,
        },
        "search_path" if !value.split(',').all(is_known) => {
            let message = format!(
                "search_path \"{value}\" is not supported: names without a schema are those of \"public\"; write schema.table for others"
            );
            return Err(plain("0A000", message));
        }
        _ => Some(value.to_owned()),
    };
    kept.ok_or_else(|| {
        plain("22023", format!("invalid value for parameter \"{name}\": \"{value}\""))
    })
}

fn on_or_off(on: bool) -> String {
    String::from(if on { "on" } else { "off" })
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.value.eq_ignore_ascii_case(word))
}

/// Whether a transaction is said to only read: `… READ ONLY`, `… READ WRITE`.
fn read_only(sql: &Sql) -> Option<bool> {
    sql.tokens.windows(2).rev().find_map(|pair| match pair {
        [read, _] if !is_word(&read.token, "READ") => None,
        [_, only] if is_word(&only.token, "ONLY") => Some(true),
        [_, write] if is_word(&write.token, "WRITE") => Some(false),
        _ => None,
    })
}

/// The name and the value of `SET [SESSION | LOCAL] name { = | TO } value` or `RESET name`; no value
/// for DEFAULT or none.
fn assignment(sql: &Sql) -> Option<(String, Option<String>)> {
    let mut tokens = sql.tokens.iter().map(|t| &t.token).skip(1).peekable();
    while tokens.next_if(|t| is_word(t, "SESSION") || is_word(t, "LOCAL")).is_some() {}
    let mut name = String::new();
    while let Some(token) = tokens.next_if(|t| {
        // SET TIME ZONE and SET NAMES have nothing between name and value.
        let is_whole = ["time zone", "names"].iter().any(|whole| name.eq_ignore_ascii_case(whole));
        let is_part = matches!(t, Token::Word(_) | Token::Period);
        is_part && !is_word(t, "TO") && **t != Token::Eq && !is_whole
    }) {
        let (gap, text) = match token {
            Token::Word(word) => (!name.is_empty() && !name.ends_with('.'), word.value.clone()),
            _ => (false, ".".to_owned()),
        };
        name += if gap { " " } else { "" };
        name += &text;
    }
    let value: Vec<&Token> = tokens.filter(|t| !is_word(t, "TO") && **t != Token::Eq).collect();
    let value = match value.as_slice() {
        [] => None,
        [word] if is_word(word, "DEFAULT") => None,
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
        let isolated = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";
        assert_eq!(ask(&settings, isolated), Some(Asked::Done("SET")));
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
    fn what_would_not_be_kept_to_is_refused() {
        let settings = Settings::new(None);
        for taken in [
            "SET client_encoding TO 'utf-8'",
            "SET NAMES UTF8",
            "SET client_encoding = DEFAULT",
            "SET search_path = \"$user\", public",
            "SET search_path TO ''",
            "RESET search_path",
        ] {
            run(&settings, taken).unwrap();
        }
        for refused in [
            "SET client_encoding TO 'LATIN1'",
            "SET NAMES LATIN1",
            "SET NAMES 'SQL_ASCII'",
            "SET search_path = public, other",
            "SET default_transaction_read_only = perhaps",
        ] {
            run(&settings, refused).unwrap_err();
        }
        assert_eq!(settings.get("client_encoding").as_deref(), Some("UTF8"));
        assert_eq!(settings.get("search_path").as_deref(), Some("public"));
        assert!(matches!(ask(&settings, "LISTEN news"), Some(Asked::Refused(_))));
    }

    #[test]
    fn a_transaction_only_reads_where_it_or_the_default_says_so() {
        let settings = Settings::new(None);
        // Outside a transaction there is none to say it of.
        run(&settings, "SET TRANSACTION READ ONLY").unwrap();
        assert!(!settings.reads_only());
        settings.begin(Some(true));
        run(&settings, "RESET ALL").unwrap();
        assert!(settings.reads_only());
        settings.end();
        assert!(!settings.reads_only());
        settings.begin(None);
        run(&settings, "SET TRANSACTION READ ONLY").unwrap();
        assert!(settings.reads_only());
        settings.end();
        run(&settings, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY").unwrap();
        assert!(settings.reads_only());
        settings.begin(Some(false));
        assert!(!settings.reads_only());
        settings.end();
        assert!(settings.reads_only());
        run(&settings, "SET default_transaction_read_only = off").unwrap();
        assert!(!settings.reads_only());
    }

    #[test]
    fn what_is_changed_since_begin_is_known() {
        let settings = Settings::new(None);
        settings.note_change();
        assert!(!settings.has_changed());
        settings.begin(None);
        assert!(!settings.has_changed());
        settings.note_change();
        assert!(settings.has_changed());
        settings.end();
        assert!(!settings.has_changed());
    }

    #[test]
    fn transactions_are_told_apart() {
        let settings = Settings::new(None);
        assert_eq!(ask(&settings, "BEGIN"), Some(Asked::Begin(None)));
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE";
        assert_eq!(ask(&settings, begin), Some(Asked::Begin(Some(false))));
        let begin = Some(Asked::Begin(Some(true)));
        assert_eq!(ask(&settings, "START TRANSACTION READ ONLY"), begin);
        assert_eq!(ask(&settings, "END"), Some(Asked::Commit));
        assert_eq!(ask(&settings, "ROLLBACK"), Some(Asked::Rollback));
        assert_eq!(ask(&settings, "ROLLBACK TO SAVEPOINT a"), Some(Asked::RollbackTo));
        assert_eq!(ask(&settings, "ROLLBACK WORK TO a"), Some(Asked::RollbackTo));
    }
}
