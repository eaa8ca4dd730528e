//! The statements of relcast's SQL as written.

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::ast::{ModelName, Name, PredictiveQuery};
use crate::error::Place;
use crate::options::OptionValue;

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// SQL, in which predictive queries may stand as relations.
    Sql(Sql),
    /// `EXPLAIN [ANALYZE | LABELS] PREDICT …`
    ExplainPredict {
        /// What is asked about it.
        about: Explain,
        /// The query.
        query: Box<PredictiveQuery>,
    },
    /// `EXPLAIN CREATE MODEL …`
    ExplainCreateModel(CreateModel),
    /// `CREATE MODEL …`
    CreateModel(CreateModel),
    /// `EVALUATE MODEL m [AS OF …] [WITH (…)]`
    EvaluateModel {
        /// The model.
        model: ModelName,
        /// The end of the data to evaluate on: microseconds, UTC.
        as_of: Option<i64>,
        /// The number of the parameter that gives it, until its value is known.
        as_of_parameter: Option<usize>,
        /// The options as written.
        options: Vec<(Name, OptionValue)>,
    },
    /// `EXPLAIN MODEL m [FOR table.pk = v [AS OF …]]`
    ExplainModel {
        /// The model.
        model: ModelName,
        /// The prediction to explain, of one entity; all of them where none is named.
        prediction: Option<Box<PredictiveQuery>>,
    },
    /// `CHECK MODEL m`
    CheckModel(ModelName),
    /// `SHOW MODELS`
    ShowModels,
    /// `DESCRIBE MODEL m [VERSION n]`
    DescribeModel(ModelName),
    /// `DROP MODEL [IF EXISTS] m [VERSION n]`
    DropModel {
        /// The model, or one version of it.
        model: ModelName,
        /// Whether it is no error if there is none.
        if_exists: bool,
    },
    /// `ALTER MODEL m SET DEFAULT VERSION n`
    AlterModel {
        /// The model.
        name: Name,
        /// The version to use where none is named.
        version: u64,
    },
    /// `REFRESH MODEL m`
    RefreshModel(Name),
    /// `SHOW LINKS`
    ShowLinks,
    /// `DESCRIBE GRAPH`
    DescribeGraph,
    /// `CREATE VIEW …`
    CreateView(CreateView),
    /// `DROP VIEW [IF EXISTS] v`
    DropView {
        /// The view's name.
        name: Name,
        /// Whether it is no error if there is none.
        if_exists: bool,
    },
    /// `CREATE SOURCE s TYPE t OPTIONS (name 'value', …)`
    CreateSource {
        /// The source's name.
        name: Name,
        /// What kind of source it is.
        kind: Name,
        /// What it needs to be opened.
        options: Vec<(Name, String)>,
    },
    /// `DROP SOURCE s`
    DropSource(Name),
}

/// SQL with its predictive queries taken out: where the query with number `n` stood, the tokens
/// read a relation of the name [`prediction_name`]`(n)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sql {
    /// The tokens, with the places they have in the text.
    pub tokens: Vec<TokenWithSpan>,
    /// The predictive queries in the order of the text.
    pub predictions: Vec<PredictiveQuery>,
    /// What the parameters `$1`, `$2`, … among the tokens stand for, as far as it is known.
    pub values: Vec<ScalarValue>,
}

impl Sql {
    /// The predictive query, if the statement is nothing else.
    #[must_use]
    pub fn prediction_alone(&self) -> Option<&PredictiveQuery> {
        match self.predictions.as_slice() {
            // What stands in for it takes four tokens.
            [query] if self.tokens.len() == 4 => Some(query),
            _ => None,
        }
    }

    /// The words that the statement starts with, in capitals, at most `most`.
    #[must_use]
    pub fn first_words(&self, most: usize) -> Vec<String> {
        let words = self.tokens.iter().map_while(|token| match &token.token {
            Token::Word(word) if word.quote_style.is_none() => {
                Some(word.value.to_ascii_uppercase())
            }
            _ => None,
        });
        words.take(most).collect()
    }
}

/// The name of the relation that stands for the predictive query `number` of a statement.
#[must_use]
pub fn prediction_name(number: usize) -> String {
    format!("relcast prediction {number}")
}

/// What EXPLAIN tells about a predictive query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explain {
    /// The plan and its cost.
    Plan,
    /// What really happened, stage by stage.
    Analyze,
    /// The label rows per cutoff and split.
    Labels,
}

/// `CREATE MODEL`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateModel {
    /// The model's name.
    pub name: Name,
    /// What happens if there is a model of that name.
    pub existing: Existing,
    /// What it learns.
    pub labels: Labels,
}

/// `CREATE [OR REPLACE] VIEW [IF NOT EXISTS] v [(column, …)] AS …`
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// The view's name.
    pub name: Name,
    /// What happens if there is a view of that name.
    pub existing: Existing,
    /// What its columns are called; as the SQL calls them, where nothing is written.
    pub columns: Vec<Name>,
    /// What it reads.
    pub sql: Sql,
    /// The statement as written.
    pub text: String,
}

/// What CREATE does if there is one of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is an error.
    Refuse,
    /// It gives way, of a model to a new version: OR REPLACE.
    Replace,
    /// Nothing is done: IF NOT EXISTS.
    Keep,
}

/// What a model learns.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// The labels of a predictive query.
    Query {
        /// The query.
        query: Box<PredictiveQuery>,
        /// Its text.
        text: String,
    },
    /// The rows of a SELECT.
    Select(LabelledRows),
}

/// `FOR table.pk AS (SELECT …) WITH (…)`: SQL that yields `cutoff`, the entity's key, `label` and,
/// if wanted, `weight`.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledRows {
    /// The entity table.
    pub table: Name,
    /// Its primary key.
    pub columns: Vec<Name>,
    /// The SELECT.
    pub sql: String,
    /// Where the SELECT starts.
    pub at: Place,
    /// The options as written.
    pub options: Vec<(Name, OptionValue)>,
}
