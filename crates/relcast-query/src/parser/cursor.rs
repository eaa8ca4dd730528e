//! A position in the tokens of a statement, with the few steps the grammar is made of.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use crate::ast::Name;
use crate::error::{Place, QueryError, did_you_mean};

/// Deeper expressions are refused: recursion must end before the stack does.
const DEEPEST: usize = 100;

/// The tokens of a statement and where we are in them.
pub(super) struct Cursor<'a> {
    sql: &'a str,
    tokens: Vec<TokenWithSpan>,
    next: usize,
    depth: usize,
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
        let tokens =
            tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
        Ok(Self { sql, tokens, next: 0, depth: 0 })
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
        words
            .iter()
            .enumerate()
            .all(|(n, word)| self.word_ahead(n).is_some_and(|w| w.value.eq_ignore_ascii_case(word)))
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
            Some(token) => format!("\"{token}\"").replace("\"\"", "\""),
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

    /// The text from here up to the parenthesis that closes the one already passed; steps over both.
    pub(super) fn text_to_closing_parenthesis(&mut self) -> Result<String, QueryError> {
        let start = self.next;
        let mut open = 1usize;
        while let Some(token) = self.peek() {
            match token {
                Token::LParen => open += 1,
                Token::RParen => open -= 1,
                _ => {}
            }
            if open == 0 {
                let from = self.tokens.get(start).map_or(0, |t| self.offset(t.span.start));
                let to = self.tokens.get(self.next).map_or(from, |t| self.offset(t.span.start));
                self.advance();
                return Ok(self.sql.get(from..to).unwrap_or_default().trim().to_owned());
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

    /// Nothing may follow but a semicolon.
    pub(super) fn finish(&mut self) -> Result<(), QueryError> {
        self.eat(&Token::SemiColon);
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the statement")),
        }
    }
}

fn place(location: Location) -> Place {
    Place { line: location.line, column: location.column }
}
