//! Passwords are never shown: URLs and connection strings with theirs covered.

use std::ops::Range;

/// What stands in the place of a password.
const COVER: &str = "***";
/// Words whose value is a password.
const WORDS: [&str; 3] = ["password", "passwd", "pwd"];

/// `text` with the passwords of its URLs, connection strings and options covered; all else stays.
///
/// Rather too much is covered than too little, so what comes out is for people to read.
///
/// ```
/// use relcast_connect::redacted;
///
/// assert_eq!(redacted("postgres://ana:s3cret@host/db"), "postgres://ana:***@host/db");
/// assert_eq!(redacted("host=db password=s3cret"), "host=db password=***");
/// ```
#[must_use]
pub fn redacted(text: &str) -> String {
    with_cover(&with_cover(text, next_in_url), next_after_word)
}

/// The text with every range that `next` finds covered; `next` looks from a position on.
fn with_cover(text: &str, next: fn(&str, usize) -> Option<Range<usize>>) -> String {
    let mut covered = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(found) = next(text, from) {
        covered.push_str(&text[from..found.start]);
        covered.push_str(COVER);
        from = found.end;
    }
    covered.push_str(&text[from..]);
    covered
}

/// The next password between a URL's user and its host.
fn next_in_url(text: &str, from: usize) -> Option<Range<usize>> {
    let mut from = from;
    loop {
        let start = from + text[from..].find("://")? + 3;
        let rest = &text[start..];
        let token = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
        // A password may hold any sign: it ends at the last @ there is.
        let password = match token.rfind('@') {
            Some(at) => token[..at].find(':').map(|colon| colon + 1..at),
            None => not_a_port(token),
        };
        match password {
            Some(found) => return Some(start + found.start..start + found.end),
            None => from = start,
        }
    }
}

/// What follows the colon of `user:password` without a host; `host:5432` is none.
fn not_a_port(token: &str) -> Option<Range<usize>> {
    let end = token.find(['/', '?', '#', '\'', '"', '`']).unwrap_or(token.len());
    let colon = token[..end].find(':').filter(|_| !token.starts_with('['))?;
    let tail = &token[colon + 1..end];
    (!tail.chars().all(|c| c.is_ascii_digit())).then_some(colon + 1..end)
}

/// The next value of a word that names a password: `password=x`, `password 'x'`.
fn next_after_word(text: &str, from: usize) -> Option<Range<usize>> {
    let lower = text.to_ascii_lowercase();
    let mut from = from;
    loop {
        let find = |word: &&str| lower[from..].find(word).map(|at| from + at + word.len());
        let after = WORDS.iter().filter_map(find).min()?;
        match value_after(text, after) {
            Some(found) => return Some(found),
            None => from = after,
        }
    }
}

fn value_after(text: &str, after: usize) -> Option<Range<usize>> {
    let rest = text[after..].strip_prefix(['"', '`']).unwrap_or(&text[after..]).trim_start();
    let assigned = rest.strip_prefix('=');
    let rest = assigned.unwrap_or(rest).trim_start();
    let start = text.len() - rest.len();
    match rest.chars().next()? {
        quote @ ('\'' | '"') if assigned.is_some() || quote == '\'' => {
            Some(start + 1..start + 1 + closing(&rest[1..], quote))
        }
        _ if assigned.is_some() => {
            let ends =
                |c: char| c.is_whitespace() || matches!(c, '&' | ';' | ',' | ')' | '\'' | '"');
            Some(start..start + rest.find(ends).unwrap_or(rest.len()))
        }
        _ => None,
    }
}

/// Where the quote stands that closes a text; a doubled one is part of it.
fn closing(text: &str, quote: char) -> usize {
    let mut signs = text.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        if sign == quote && signs.next_if(|(_, next)| *next == quote).is_none() {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_left_whatever_it_holds() {
        for secret in ["s3cret", "p@ss", "a/b?c#d", "x:y", "ünïcode", "it''s", "-", "12345"] {
            for text in [
                format!("postgres://ana:{secret}@host:5432/db?x=1"),
                format!("(url 'postgresql://ana:{secret}@host/db', schema 'public')"),
                format!("OPTIONS (host 'db', password '{secret}')"),
                format!("OPTIONS (host 'db', \"PASSWORD\" '{secret}', user 'x')"),
            ] {
                let covered = redacted(&text);
                assert!(!covered.contains(secret), "{covered}");
                assert!(covered.contains("***"), "{covered}");
            }
        }
        for text in
            ["host=db password=s3cret", "postgres://h/db?password=s3cret&x=1", "pwd = \"s3cret\""]
        {
            assert!(!redacted(text).contains("s3cret"), "{text}");
        }
        assert_eq!(redacted("postgres://ana:s3cret/db"), "postgres://ana:***/db");
    }

    #[test]
    fn what_is_no_password_stays() {
        for text in [
            "",
            "SELECT * FROM customers WHERE name = 'x@y.z'",
            "postgres://host:5432/db",
            "postgres://ana@host/db",
            "http://[::1]:80/a",
            "the password is missing",
            "sqlite://a.db#t",
        ] {
            assert_eq!(redacted(text), text);
        }
        let two = "postgres://a:x@h/d postgres://b:y@h/d";
        assert_eq!(redacted(two), "postgres://a:***@h/d postgres://b:***@h/d");
    }
}
