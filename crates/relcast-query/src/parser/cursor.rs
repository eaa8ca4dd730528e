//! A position in the tokens of a statement, with the few steps the grammar is made of.

use std::ops::Range;

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, Word,
};

use super::limits;
use super::parameters::{literal_of, parameter_number, refuse_far_parameters};
use crate::ast::{Literal, Name};
use crate::display::literal_text;
use crate::error::{Place, QueryError, did_you_mean};
use crate::plan::literal_sql;

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
    /// What `$1`, `$2`, … stand for.
    values: &'a [ScalarValue],
    /// Whether there may be parameters beyond them, whose values are not known yet.
    open: bool,
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
        Ok(Self { sql, tokens, next: 0, depth: 0, arithmetic: 0, values: &[], open: false })
    }

    /// The same with these values for the parameters.
    pub(super) fn with_values(self, values: &'a [ScalarValue]) -> Self {
        Self { values, ..self }
    }

    /// The same where the values of parameters are given later.
    pub(super) fn with_open_parameters(self) -> Self {
        Self { open: true, ..self }
    }

    /// What the parameters stand for.
    pub(super) fn values(&self) -> &'a [ScalarValue] {
        self.values
    }

    /// The highest number of a parameter; 0 if there is none.
    pub(super) fn last_parameter(&self) -> usize {
        let number = |token: &TokenWithSpan| match &token.token {
            Token::Placeholder(name) => parameter_number(name),
            _ => None,
        };
        self.tokens.iter().filter_map(number).max().unwrap_or(0)
    }

    /// The number of the parameter that comes next, if its value is given later.
    pub(super) fn open_parameter(&self) -> Option<usize> {
        let Some(Token::Placeholder(name)) = self.peek() else { return None };
        parameter_number(name).filter(|number| self.open && *number > self.values.len())
    }

    /// The parameter of this name, which stands there, as a literal.
    pub(super) fn parameter(&self, name: &str, at: Place) -> Result<Literal, QueryError> {
        let refused = |reason: &str| QueryError::meaning(at, format!("parameter {name} {reason}"));
        let number = parameter_number(name).ok_or_else(|| refused("is none such as $1"))?;
        match self.values.get(number - 1) {
            Some(value) => literal_of(value).ok_or_else(|| {
                refused("stands for a number, a text, a boolean or a time here, and nothing else")
            }),
            None if self.open => Ok(Literal::Parameter(number)),
            None => Err(QueryError::meaning_with_hint(
                at,
                format!("parameter {name} has no value"),
                "bind it, or write the value itself".to_owned(),
            )),
        }
    }

    /// Where the first parameter of the statement stands, if there is one.
    pub(super) fn first_parameter(&self) -> Option<Place> {
        let rest = self.tokens.iter().skip(self.next);
        let mut statement = rest.take_while(|t| t.token != Token::SemiColon);
        let first = statement.find(|t| matches!(t.token, Token::Placeholder(_)));
        first.map(|t| place(t.span.start))
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
        Ok((value, self.text_of(start..self.next, literal_text)?))
    }

    /// The text of these tokens, with literals, as `write` writes them, in the place of parameters.
    fn text_of(
        &self,
        range: Range<usize>,
        write: fn(&Literal) -> String,
    ) -> Result<String, QueryError> {
        let tokens = self.tokens.get(range).unwrap_or_default();
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return Ok(String::new());
        };
        let text = |from: usize, to: usize| self.sql.get(from..to).unwrap_or_default();
        let mut written = String::new();
        let mut from = self.offset(first.span.start);
        for token in tokens {
            let Token::Placeholder(name) = &token.token else { continue };
            let literal = self.parameter(name, place(token.span.start))?;
            written.push_str(text(from, self.offset(token.span.start)));
            // Behind a minus another one would begin a comment.
            written.push(' ');
            written.push_str(&write(&literal));
            from = self.offset(token.span.end);
        }
        written.push_str(text(from, self.offset(last.span.end)));
        Ok(written)
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
                limits::check(self.tokens.get(start..self.next).unwrap_or_default())?;
                let text = self.text_of(start..self.next, literal_sql)?;
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
