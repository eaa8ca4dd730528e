//! A position in the tokens of a statement, with the few steps the grammar is made of.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, Word,
};

use super::expression::{MOST_PARAMETERS, parameter_number};
use super::limits;
use crate::ast::{Literal, Name};
use crate::error::{Place, QueryError, did_you_mean};

/// Deeper expressions are refused: recursion must end before the stack does.
const DEEPEST: usize = 100;

/// More sums and products in one statement are refused, as each may stand inside the next.
const MOST_ARITHMETIC: usize = 200;

/// Characters of a token that an error shows.
const LONGEST_SHOWN: usize = 200;

/// The tokens of a statement and where we are in them.
pub(super) struct Cursor<'a> {
    sql: &'a str,
    tokens: Vec<TokenWithSpan>,
    next: usize,
    depth: usize,
    arithmetic: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(sql: &'a str) -> Result<Self, QueryError> {
        let tokens =
            Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().map_err(|error| {
                QueryError::Syntax {
                    at: place(error.location),
                    expected: "a token of SQL".to_owned(),
                    found: error.message,
                    hint: None,
                }
            })?;
        let tokens: Vec<_> =
            tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
        refuse_far_parameters(&tokens)?;
        Ok(Self { sql, tokens, next: 0, depth: 0, arithmetic: 0 })
    }

    /// Puts values in the place of the parameters that they are for.
    pub(super) fn give(&mut self, values: &[Literal]) {
        let given = |token: &TokenWithSpan| match &token.token {
            Token::Placeholder(name) => parameter_number(name).and_then(|n| values.get(n - 1)),
            _ => None,
        };
        let mut tokens = Vec::with_capacity(self.tokens.len());
        for token in std::mem::take(&mut self.tokens) {
            match given(&token) {
                Some(value) => {
                    let span = token.span;
                    tokens.extend(value_tokens(value).map(|token| TokenWithSpan { token, span }));
                }
                None => tokens.push(token),
            }
        }
        self.tokens = tokens;
    }

    /// Where the next token starts; at the end, just behind the last token.
    pub(super) fn at(&self) -> Place {
        match self.tokens.get(self.next) {
            Some(token) => place(token.span.start),
            None => self.tokens.last().map_or(Place { line: 1, column: 1 }, |t| place(t.span.end)),
        }
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.peek_ahead(0)
    }

    pub(super) fn peek_ahead(&self, n: usize) -> Option<&Token> {
        self.tokens.get(self.next + n).map(|t| &t.token)
    }

    /// Whether token `n` from here follows the one before it without a space between.
    pub(super) fn is_adjacent(&self, n: usize) -> bool {
        let here = self.next + n;
        match (here.checked_sub(1).and_then(|i| self.tokens.get(i)), self.tokens.get(here)) {
            (Some(before), Some(token)) => before.span.end == token.span.start,
            _ => false,
        }
    }

    pub(super) fn advance(&mut self) {
        self.next += 1;
    }

    /// Steps over the next token and gives it.
    pub(super) fn take(&mut self) -> Option<TokenWithSpan> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    /// Where the next token stands in the text.
    pub(super) fn span(&self) -> Span {
        self.tokens.get(self.next).map_or(Span::empty(), |t| t.span)
    }

    /// What `read` reads, with its text.
    pub(super) fn with_text<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, QueryError>,
    ) -> Result<(T, String), QueryError> {
        let start = self.next;
        let value = read(self)?;
        let from = self.tokens.get(start).map_or(0, |t| self.offset(t.span.start));
        let last = self.next.checked_sub(1).and_then(|i| self.tokens.get(i));
        let to = last.map_or(from, |t| self.offset(t.span.end));
        Ok((value, self.sql.get(from..to).unwrap_or_default().to_owned()))
    }

    /// Steps over the token if it is the next one.
    pub(super) fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, token: &Token, text: &str) -> Result<(), QueryError> {
        if self.eat(token) { Ok(()) } else { Err(self.unexpected(text)) }
    }

    /// The next token as an unquoted word.
    pub(super) fn peek_word(&self) -> Option<&Word> {
        self.word_ahead(0)
    }

    fn word_ahead(&self, n: usize) -> Option<&Word> {
        match self.peek_ahead(n) {
            Some(Token::Word(word)) if word.quote_style.is_none() => Some(word),
            _ => None,
        }
    }

    /// Whether these words come next, unquoted and in any case.
    pub(super) fn sees(&self, words: &[&str]) -> bool {
        self.sees_ahead(0, words)
    }

    /// Whether these words stand `ahead` tokens from here, unquoted and in any case.
    pub(super) fn sees_ahead(&self, ahead: usize, words: &[&str]) -> bool {
        let same = |(n, word): (usize, &&str)| {
            self.word_ahead(ahead + n).is_some_and(|w| w.value.eq_ignore_ascii_case(word))
        };
        words.iter().enumerate().all(same)
    }

    /// Steps over these words if they come next.
    pub(super) fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = self.sees(words);
        if found {
            self.next += words.len();
        }
        found
    }

    pub(super) fn expect_words(&mut self, words: &[&str]) -> Result<(), QueryError> {
        for word in words {
            if !self.eat_words(&[word]) {
                return Err(self.unexpected_keyword(&[word]));
            }
        }
        Ok(())
    }

    /// A table, column or model name, quoted or not.
    pub(super) fn name(&mut self, what: &str) -> Result<Name, QueryError> {
        let at = self.at();
        let text = match self.peek() {
            Some(Token::Word(word)) => word.value.clone(),
            Some(Token::DoubleQuotedString(text)) => text.clone(),
            _ => return Err(self.unexpected(what)),
        };
        self.advance();
        Ok(Name { text, at })
    }

    /// A whole number without sign.
    pub(super) fn whole<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, QueryError> {
        let value = match self.peek() {
            Some(Token::Number(text, _)) => text.parse().ok(),
            _ => None,
        };
        let value = value.ok_or_else(|| self.unexpected(what))?;
        self.advance();
        Ok(value)
    }

    /// An error at the next token.
    pub(super) fn unexpected(&self, expected: &str) -> QueryError {
        QueryError::Syntax {
            at: self.at(),
            expected: expected.to_owned(),
            found: self.found(),
            hint: None,
        }
    }

    /// An error at the next token, which may be one of these keywords misspelt.
    pub(super) fn unexpected_keyword(&self, keywords: &[&str]) -> QueryError {
        let hint = self.peek_word().and_then(|w| did_you_mean(&w.value, keywords.iter().copied()));
        let expected = match keywords {
            [.., last] if keywords.len() > 1 => {
                format!("{} or {last}", keywords[..keywords.len() - 1].join(", "))
            }
            _ => keywords.concat(),
        };
        QueryError::Syntax { at: self.at(), expected, found: self.found(), hint }
    }

    /// The next token as an error shows it.
    pub(super) fn found(&self) -> String {
        match self.peek() {
            None => "the end of the statement".to_owned(),
            Some(token) => shown(token),
        }
    }

    /// Runs `read` one level deeper; too deep a nesting is an error.
    pub(super) fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        if self.depth >= DEEPEST {
            return Err(
                self.unexpected(&format!("an expression nested at most {DEEPEST} levels deep"))
            );
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Steps over an arithmetic operator; too many of them are an error.
    pub(super) fn arithmetic(&mut self) -> Result<(), QueryError> {
        if self.arithmetic >= MOST_ARITHMETIC {
            let expected = format!("at most {MOST_ARITHMETIC} sums and products in a statement");
            return Err(self.unexpected(&expected));
        }
        self.arithmetic += 1;
        self.advance();
        Ok(())
    }

    /// The SQL from here up to the parenthesis that closes the one already passed; steps over both.
    pub(super) fn sql_to_closing_parenthesis(&mut self) -> Result<String, QueryError> {
        let start = self.next;
        let mut open = 1usize;
        while let Some(token) = self.peek() {
            match token {
                Token::LParen => open += 1,
                Token::RParen => open -= 1,
                _ => {}
            }
            if open == 0 {
                let inner = self.tokens.get(start..self.next).unwrap_or_default();
                limits::check(inner)?;
                // A comment behind the last token would hide what is written after it.
                let text = match (inner.first(), inner.last()) {
                    (Some(first), Some(last)) => {
                        let (from, to) =
                            (self.offset(first.span.start), self.offset(last.span.end));
                        self.sql.get(from..to).unwrap_or_default().to_owned()
                    }
                    _ => String::new(),
                };
                self.advance();
                return Ok(text);
            }
            self.advance();
        }
        Err(self.unexpected("\")\""))
    }

    /// The byte at which a location stands.
    fn offset(&self, location: Location) -> usize {
        let line_start: usize = self
            .sql
            .split_inclusive('\n')
            .take(usize::try_from(location.line.saturating_sub(1)).unwrap_or(usize::MAX))
            .map(str::len)
            .sum();
        let column = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
        let line = self.sql.get(line_start..).unwrap_or_default();
        line_start + line.char_indices().nth(column).map_or(line.len(), |(i, _)| i)
    }

    /// Nothing may follow but a semicolon and other statements.
    pub(super) fn finish_statement(&mut self) -> Result<(), QueryError> {
        if self.peek().is_none() || self.eat(&Token::SemiColon) {
            return Ok(());
        }
        Err(self.unexpected("the end of the statement"))
    }

    /// Nothing may follow but a semicolon.
    pub(super) fn finish(&mut self) -> Result<(), QueryError> {
        self.finish_statement()?;
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the statement")),
        }
    }
}

/// A value as the tokens that write it.
fn value_tokens(value: &Literal) -> impl Iterator<Item = Token> + use<> {
    let word = |text: &str| Token::make_word(text, None);
    let (sign, token) = match value {
        Literal::Number(text) => match text.strip_prefix('-') {
            Some(digits) => (Some(Token::Minus), Token::Number(digits.to_owned(), false)),
            None => (None, Token::Number(text.clone(), false)),
        },
        Literal::Text(text) => (None, Token::SingleQuotedString(text.clone())),
        Literal::Boolean(value) => (None, word(if *value { "TRUE" } else { "FALSE" })),
        Literal::Time(time) => {
            (None, Token::SingleQuotedString(relcast_catalog::format_time(*time)))
        }
        Literal::Null => (None, word("NULL")),
        Literal::Parameter(number) => (None, Token::Placeholder(format!("${number}"))),
    };
    sign.into_iter().chain([token])
}

/// Refuses `$0`, and numbers beyond what a protocol can give values for: whoever describes a
/// statement counts up to its last parameter.
fn refuse_far_parameters(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let is_far = |token: &TokenWithSpan| match &token.token {
        Token::Placeholder(name) => {
            let digits = name.strip_prefix('$').filter(|digits| !digits.is_empty());
            digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                && parameter_number(name).is_none()
        }
        _ => false,
    };
    match tokens.iter().find(|token| is_far(token)) {
        None => Ok(()),
        Some(token) => Err(QueryError::Syntax {
            at: place(token.span.start),
            expected: format!("a parameter from $1 to ${MOST_PARAMETERS}"),
            found: shown(&token.token),
            hint: None,
        }),
    }
}

/// A token as an error shows it.
pub(super) fn shown(token: &Token) -> String {
    let text = format!("\"{token}\"").replace("\"\"", "\"");
    let end = text.char_indices().nth(LONGEST_SHOWN).map(|(end, _)| end);
    // What stands in the wrong place may be a URL with its password.
    match end {
        None => relcast_connect::redacted(&text),
        Some(end) => format!("{}…\"", relcast_connect::redacted(&text[..end])),
    }
}

pub(super) fn place(location: Location) -> Place {
    Place { line: location.line, column: location.column }
}
