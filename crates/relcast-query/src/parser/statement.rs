//! The statements beside PREDICT: models, sources, the graph, and plain SQL.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::cursor::Cursor;
use super::limits;
use super::predictive_query::{as_of, key, key_columns, list_to_parenthesis, options};
use super::predictive_query::{model_name, predictive_query};
use crate::ast::{ForClause, ModelName, Name, PredictiveQuery, Selection, Shape};
use crate::error::QueryError;
use crate::statement::{
    CreateModel, CreateView, Existing, Explain, LabelledRows, Labels, Sql, Statement,
    prediction_name,
};

/// Words that statements start with; the rest of SQL's are DataFusion's to know.
const FIRST_WORDS: [&str; 47] = [
    "ABORT",
    "ALTER",
    "ANALYZE",
    "BEGIN",
    "CHECK",
    "CLOSE",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISCARD",
    "DROP",
    "END",
    "EVALUATE",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "FROM",
    "GRANT",
    "INSERT",
    "LISTEN",
    "LOCK",
    "MERGE",
    "NOTIFY",
    "PREDICT",
    "PREPARE",
    "REFRESH",
    "RELEASE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UNLISTEN",
    "UPDATE",
    "VALUES",
    "WITH",
];

/// Reads one statement up to its semicolon or the end.
pub(super) fn statement(cursor: &mut Cursor<'_>) -> Result<Statement, QueryError> {
    match own_statement(cursor)? {
        Some(statement) => Ok(statement),
        None => sql(cursor).map(Statement::Sql),
    }
}

fn own_statement(cursor: &mut Cursor<'_>) -> Result<Option<Statement>, QueryError> {
    if let Some(about) = explained_prediction(cursor) {
        let query = Box::new(predictive_query(cursor)?);
        return Ok(Some(Statement::ExplainPredict { about, query }));
    }
    if creates(cursor, 0, "VIEW") {
        return create_view(cursor).map(Statement::CreateView).map(Some);
    }
    let explains_creation = cursor.sees(&["EXPLAIN"]) && creates(cursor, 1, "MODEL");
    if explains_creation || creates(cursor, 0, "MODEL") {
        cursor.eat_words(&["EXPLAIN"]);
        let create = create_model(cursor)?;
        return Ok(Some(if explains_creation {
            Statement::ExplainCreateModel(create)
        } else {
            Statement::CreateModel(create)
        }));
    }
    Ok(Some(if cursor.eat_words(&["EVALUATE", "MODEL"]) {
        let model = model_name(cursor)?;
        let (as_of, as_of_parameter) = as_of(cursor)?;
        let options = if cursor.eat_words(&["WITH"]) { options(cursor)? } else { Vec::new() };
        Statement::EvaluateModel { model, as_of, as_of_parameter, options }
    } else if cursor.eat_words(&["EXPLAIN", "MODEL"]) {
        let model = model_name(cursor)?;
        let explained =
            cursor.eat_words(&["FOR"]).then(|| explained(cursor, &model)).transpose()?;
        Statement::ExplainModel { prediction: explained.map(Box::new), model }
    } else if cursor.eat_words(&["CHECK", "MODEL"]) {
        Statement::CheckModel(model_name(cursor)?)
    } else if cursor.eat_words(&["SHOW", "MODELS"]) {
        Statement::ShowModels
    } else if cursor.eat_words(&["SHOW", "LINKS"]) {
        Statement::ShowLinks
    } else if cursor.eat_words(&["DESCRIBE", "GRAPH"]) {
        Statement::DescribeGraph
    } else if cursor.eat_words(&["DESCRIBE", "MODEL"]) {
        Statement::DescribeModel(model_name(cursor)?)
    } else if cursor.eat_words(&["DROP", "MODEL"]) {
        let if_exists = cursor.eat_words(&["IF", "EXISTS"]);
        Statement::DropModel { if_exists, model: model_name(cursor)? }
    } else if cursor.eat_words(&["DROP", "VIEW"]) {
        let if_exists = cursor.eat_words(&["IF", "EXISTS"]);
        Statement::DropView { if_exists, name: view_name(cursor)? }
    } else if cursor.eat_words(&["ALTER", "MODEL"]) {
        let name = cursor.name("the name of a model")?;
        cursor.expect_words(&["SET", "DEFAULT", "VERSION"])?;
        Statement::AlterModel { name, version: cursor.whole("the number of a version")? }
    } else if cursor.eat_words(&["REFRESH", "MODEL"]) {
        Statement::RefreshModel(cursor.name("the name of a model")?)
    } else if cursor.eat_words(&["CREATE", "SOURCE"]) {
        create_source(cursor)?
    } else if cursor.eat_words(&["DROP", "SOURCE"]) {
        Statement::DropSource(cursor.name("the name of a source")?)
    } else {
        return Ok(None);
    }))
}

/// Steps over `EXPLAIN`, `EXPLAIN ANALYZE` or `EXPLAIN LABELS` if PREDICT is what they explain.
fn explained_prediction(cursor: &mut Cursor<'_>) -> Option<Explain> {
    if cursor.eat_words(&["EXPLAIN", "LABELS"]) {
        return Some(Explain::Labels);
    }
    let found = [(&["EXPLAIN"][..], Explain::Plan), (&["EXPLAIN", "ANALYZE"], Explain::Analyze)];
    let (words, about) =
        found.into_iter().find(|(words, _)| cursor.sees(&[words, &["PREDICT"][..]].concat()))?;
    cursor.eat_words(words);
    Some(about)
}

/// Whether `CREATE [OR REPLACE] kind` stands `ahead` words from here.
fn creates(cursor: &Cursor<'_>, ahead: usize, kind: &str) -> bool {
    cursor.sees_ahead(ahead, &["CREATE", kind])
        || cursor.sees_ahead(ahead, &["CREATE", "OR", "REPLACE", kind])
}

/// Steps over `CREATE [OR REPLACE] kind [IF NOT EXISTS]`.
fn creation(cursor: &mut Cursor<'_>, kind: &str) -> Result<Existing, QueryError> {
    cursor.expect_words(&["CREATE"])?;
    let replace = cursor.eat_words(&["OR", "REPLACE"]);
    cursor.expect_words(&[kind])?;
    let before = cursor.unexpected(&format!(
        "the name of a {}: OR REPLACE and IF NOT EXISTS exclude each other",
        kind.to_ascii_lowercase()
    ));
    let keep = cursor.eat_words(&["IF", "NOT", "EXISTS"]);
    match (replace, keep) {
        (true, true) => Err(before),
        (true, false) => Ok(Existing::Replace),
        (false, true) => Ok(Existing::Keep),
        (false, false) => Ok(Existing::Refuse),
    }
}

fn create_view(cursor: &mut Cursor<'_>) -> Result<CreateView, QueryError> {
    const READS: [&str; 5] = ["SELECT", "PREDICT", "WITH", "VALUES", "TABLE"];
    if let Some(at) = cursor.first_parameter() {
        return Err(QueryError::Syntax {
            at,
            expected: "a value, since a view stands for itself".to_owned(),
            found: "a parameter".to_owned(),
            hint: None,
        });
    }
    let ((name, existing, columns, sql), text) = cursor.with_text(|cursor| {
        let existing = creation(cursor, "VIEW")?;
        let name = view_name(cursor)?;
        let columns = match cursor.eat(&Token::LParen) {
            true => list_to_parenthesis(cursor, |c| c.name("the name of a column"))?,
            false => Vec::new(),
        };
        cursor.expect_words(&["AS"])?;
        let reads = READS.iter().any(|word| cursor.sees(&[word]));
        if !reads && cursor.peek() != Some(&Token::LParen) {
            return Err(cursor.unexpected_keyword(&READS));
        }
        Ok((name, existing, columns, sql(cursor)?))
    })?;
    Ok(CreateView { name, existing, columns, sql, text })
}

/// `v` or `public.v`.
fn view_name(cursor: &mut Cursor<'_>) -> Result<Name, QueryError> {
    if cursor.sees(&["public"]) && cursor.peek_ahead(1) == Some(&Token::Period) {
        cursor.advance();
        cursor.advance();
    }
    cursor.name("the name of a view")
}

fn create_model(cursor: &mut Cursor<'_>) -> Result<CreateModel, QueryError> {
    let existing = creation(cursor, "MODEL")?;
    let name = cursor.name("the name of a model")?;
    let labels = if cursor.eat_words(&["AS"]) {
        let (query, text) = cursor.with_text(predictive_query)?;
        Labels::Query { query: Box::new(query), text }
    } else if cursor.eat_words(&["FOR"]) {
        labelled_rows(cursor)?
    } else {
        return Err(cursor.unexpected_keyword(&["AS", "FOR"]));
    };
    Ok(CreateModel { name, existing, labels })
}

/// `table.pk AS (SELECT …) [WITH (…)]`, FOR passed.
fn labelled_rows(cursor: &mut Cursor<'_>) -> Result<Labels, QueryError> {
    cursor.eat_words(&["EACH"]);
    let (table, columns) = entity(cursor)?;
    cursor.expect_words(&["AS"])?;
    cursor.expect(&Token::LParen, "\"(\" and a SELECT that yields cutoff, the key and label")?;
    let at = cursor.at();
    let sql = cursor.sql_to_closing_parenthesis()?;
    let options = if cursor.eat_words(&["WITH"]) { options(cursor)? } else { Vec::new() };
    Ok(Labels::Select(LabelledRows { table, columns, sql, at, options }))
}

fn entity(cursor: &mut Cursor<'_>) -> Result<(Name, Vec<Name>), QueryError> {
    let table = cursor.name("the entity as table.primary_key")?;
    cursor.expect(&Token::Period, "\".\" and the primary key")?;
    Ok((table, key_columns(cursor, "a column of the primary key")?))
}

/// `table.pk = value [AS OF …]`, FOR passed: the prediction of `model` for this entity.
fn explained(cursor: &mut Cursor<'_>, model: &ModelName) -> Result<PredictiveQuery, QueryError> {
    let at = cursor.at();
    let (table, columns) = entity(cursor)?;
    cursor.expect(&Token::Eq, "\"=\"")?;
    let selection = Selection::Keys(vec![key(cursor, columns.len())?]);
    let (as_of, as_of_parameter) = as_of(cursor)?;
    Ok(PredictiveQuery {
        target: None,
        shape: Shape::Plain,
        entity: Some(ForClause { table, columns, selection }),
        condition: None,
        assuming: None,
        as_of,
        as_of_parameter,
        model: Some(model.clone()),
        options: Vec::new(),
        at,
    })
}

/// `s TYPE t OPTIONS (name 'value', …)`, CREATE SOURCE passed.
fn create_source(cursor: &mut Cursor<'_>) -> Result<Statement, QueryError> {
    let name = cursor.name("the name of a source")?;
    cursor.expect_words(&["TYPE"])?;
    let kind = cursor.name("the type of a source, such as postgres")?;
    cursor.expect_words(&["OPTIONS"])?;
    cursor.expect(&Token::LParen, "\"(\"")?;
    let options = list_to_parenthesis(cursor, |c| {
        let name = c.name("the name of an option")?;
        match c.peek() {
            Some(Token::SingleQuotedString(text)) => {
                let text = text.clone();
                c.advance();
                Ok((name, text))
            }
            _ => Err(c.unexpected("a text in single quotes")),
        }
    })?;
    Ok(Statement::CreateSource { name, kind, options })
}

/// SQL up to its semicolon or the end, with its predictive queries taken out.
fn sql(cursor: &mut Cursor<'_>) -> Result<Sql, QueryError> {
    let begins_well = FIRST_WORDS.iter().any(|word| cursor.sees(&[word]));
    if !begins_well && cursor.peek() != Some(&Token::LParen) {
        let mut error = cursor.unexpected_keyword(&FIRST_WORDS);
        if let QueryError::Syntax { expected, .. } = &mut error {
            "a statement".clone_into(expected);
        }
        return Err(error);
    }
    let inserts = cursor.sees(&["INSERT"]);
    let creates = cursor.sees(&["CREATE"]);
    let (mut tokens, mut predictions) = (Vec::new(), Vec::new());
    let mut depth = 0usize;
    while let Some(token) = cursor.peek().filter(|t| **t != Token::SemiColon) {
        let before = tokens.last().map(|t: &TokenWithSpan| &t.token);
        let may_stand = match before {
            None | Some(Token::LParen) => true,
            Some(Token::Word(word)) if creates && depth == 0 => word.keyword == Keyword::AS,
            Some(Token::Word(word)) if word.keyword == Keyword::INTO => false,
            _ => inserts && depth == 0,
        };
        if may_stand && cursor.sees(&["PREDICT"]) && begins_prediction(cursor) {
            let place = cursor.span();
            let name = prediction_name(predictions.len());
            predictions.push(predictive_query(cursor)?);
            let stand_in =
                [word("SELECT", None), Token::Mul, word("FROM", None), word(&name, Some('"'))];
            tokens.extend(stand_in.map(|token| TokenWithSpan { token, span: place }));
            if cursor.peek() == Some(&Token::RParen) && depth == 0 {
                return Err(cursor.unexpected("the end of the statement"));
            }
            continue;
        }
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        tokens.extend(cursor.take());
    }
    limits::check(&tokens)?;
    Ok(Sql { tokens, predictions, values: cursor.values().to_vec() })
}

/// Whether the word PREDICT, which comes next, is a predictive query and not a column's name.
fn begins_prediction(cursor: &Cursor<'_>) -> bool {
    const AFTER_A_NAME: [&str; 13] = [
        "IS", "IN", "BETWEEN", "AND", "OR", "LIKE", "ILIKE", "AS", "FROM", "ASC", "DESC",
        "COLLATE", "OVER",
    ];
    let negated = |word| cursor.sees_ahead(1, &["NOT", word]);
    let follows = |word: &&str| cursor.sees_ahead(1, &[word]);
    let names_column = AFTER_A_NAME.iter().any(follows)
        || ["IN", "LIKE", "ILIKE", "BETWEEN"].into_iter().any(negated);
    match cursor.peek_ahead(1) {
        Some(Token::Word(_)) => !names_column,
        // A target may start with a sign, a parenthesis or a constant.
        Some(Token::LParen | Token::Number(..) | Token::SingleQuotedString(_)) => true,
        Some(Token::DoubleQuotedString(_)) => true,
        _ => false,
    }
}

fn word(text: &str, quote_style: Option<char>) -> Token {
    let keyword = match (quote_style, text) {
        (None, "SELECT") => Keyword::SELECT,
        (None, "FROM") => Keyword::FROM,
        _ => Keyword::NoKeyword,
    };
    Token::Word(Word { value: text.to_owned(), quote_style, keyword })
}
