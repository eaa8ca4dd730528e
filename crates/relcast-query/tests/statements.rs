//! Which statements there are, and how predictive queries are found in SQL.
#![allow(clippy::unwrap_used)]

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::parser::DFParserBuilder;
use relcast_query::statement::{Existing, Explain, Labels, Sql, Statement};
use relcast_query::{count_parameters, open_statements, statements, statements_with};

fn read(sql: &str) -> Vec<Statement> {
    statements(sql).unwrap().map(|s| s.unwrap_or_else(|e| panic!("{sql}: {e}"))).collect()
}

fn one(sql: &str) -> Statement {
    let mut all = read(sql);
    assert_eq!(all.len(), 1, "{sql}");
    all.remove(0)
}

fn error(sql: &str) -> String {
    statements(sql).unwrap().find_map(Result::err).unwrap().to_string()
}

/// The SQL that DataFusion reads, and how many predictive queries stand in it.
fn sql(text: &str) -> (String, usize) {
    let Statement::Sql(sql) = one(text) else { panic!("{text} is no SQL") };
    let parsed = DFParserBuilder::new(sql.tokens).build().unwrap().parse_statement().unwrap();
    (parsed.to_string(), sql.predictions.len())
}

const QUERY: &str = "PREDICT COUNT(orders.*, 0, 30) = 0 FOR EACH customers.id";

#[test]
fn a_predictive_query_is_a_relation_wherever_a_subquery_may_stand() {
    let name = "SELECT * FROM \"relcast prediction 0\"";
    for (text, expected) in [
        (QUERY.to_owned(), name.to_owned()),
        (format!("{QUERY};"), name.to_owned()),
        (
            format!("SELECT * FROM ({QUERY}) AS p JOIN c USING (id)"),
            format!("SELECT * FROM ({name}) AS p JOIN c USING(id)"),
        ),
        (
            format!("WITH p AS ({QUERY}) SELECT * FROM p"),
            format!("WITH p AS ({name}) SELECT * FROM p"),
        ),
        (format!("CREATE TABLE t AS {QUERY}"), format!("CREATE TABLE t AS {name}")),
        (format!("INSERT INTO t {QUERY}"), format!("INSERT INTO t {name}")),
        (format!("INSERT INTO t (a, b) {QUERY}"), format!("INSERT INTO t (a, b) {name}")),
        (format!("COPY ({QUERY}) TO 'f.parquet'"), format!("COPY ({name}) TO f.parquet")),
        (format!("SELECT id IN ({QUERY}) FROM c"), format!("SELECT id IN ({name}) FROM c")),
        (
            format!("EXPLAIN SELECT * FROM ({QUERY}) AS p"),
            format!("EXPLAIN SELECT * FROM ({name}) AS p"),
        ),
        (
            "SELECT * FROM (PREDICT USING MODEL m WITH (seed = 1)) p".to_owned(),
            format!("SELECT * FROM ({name}) p"),
        ),
        ("(PREDICT USING MODEL m)".to_owned(), format!("({name})")),
    ] {
        assert_eq!(sql(&text), (expected, 1), "{text}");
    }
    let two = format!("SELECT * FROM ({QUERY}) a, ({QUERY} WHERE age > 3) b");
    assert_eq!(sql(&two).1, 2);
}

#[test]
fn a_column_may_be_named_predict() {
    for text in [
        "SELECT predict FROM t",
        "SELECT (predict) FROM t",
        "SELECT (predict + 1) FROM t",
        "SELECT a FROM t WHERE (predict IS NULL)",
        "SELECT a FROM t WHERE (predict IN (1, 2))",
        "SELECT a FROM t WHERE (predict NOT IN (1, 2) AND predict BETWEEN 1 AND 2)",
        "SELECT sum(predict) FROM t AS predict",
        "SELECT a AS predict FROM t",
        "INSERT INTO predict VALUES (1)",
        "SELECT count(\"PREDICT\") FROM t",
    ] {
        assert_eq!(sql(text).1, 0, "{text}");
    }
}

#[test]
fn statements_of_models() {
    let Statement::CreateModel(create) =
        one(&format!("create or replace model churn as {QUERY}  ;"))
    else {
        panic!()
    };
    assert_eq!((create.name.text.as_str(), create.existing), ("churn", Existing::Replace));
    assert!(matches!(create.labels, Labels::Query { text, .. } if text == QUERY));

    let select = "CREATE MODEL IF NOT EXISTS m FOR customers.id AS (SELECT cutoff, id, (1) AS label FROM t) WITH (horizon = '30 days')";
    let Statement::CreateModel(create) = one(select) else { panic!() };
    assert_eq!(create.existing, Existing::Keep);
    assert!(
        matches!(create.labels, Labels::Select(rows) if rows.sql == "SELECT cutoff, id, (1) AS label FROM t" && rows.options.len() == 1 && rows.at.column == 51)
    );

    assert!(matches!(
        one(&format!("EXPLAIN CREATE MODEL m AS {QUERY}")),
        Statement::ExplainCreateModel(_)
    ));
    for (words, about) in
        [("", Explain::Plan), ("ANALYZE ", Explain::Analyze), ("LABELS ", Explain::Labels)]
    {
        let found = one(&format!("EXPLAIN {words}{QUERY}"));
        assert!(matches!(found, Statement::ExplainPredict { about: a, .. } if a == about));
    }
    assert!(matches!(
        one("EVALUATE MODEL m VERSION 2 AS OF 2020-01-31 WITH (history = 'frozen')"),
        Statement::EvaluateModel { model, as_of: Some(_), options, .. }
            if model.version == Some(2) && options.len() == 1
    ));
    assert!(matches!(
        one("EXPLAIN MODEL m FOR t.(a, b) = (1, 'x')"),
        Statement::ExplainModel { prediction: Some(query), .. }
            if query.entity.as_ref().is_some_and(|entity| entity.columns.len() == 2)
    ));
    assert!(matches!(
        one("EXPLAIN MODEL m FOR t.a = 1 AS OF '2024-06-30'"),
        Statement::ExplainModel { prediction: Some(query), .. } if query.as_of.is_some()
    ));
    assert!(matches!(one("EXPLAIN MODEL m"), Statement::ExplainModel { prediction: None, .. }));
    assert!(matches!(one("CHECK MODEL m"), Statement::CheckModel(_)));
    assert!(matches!(one("DESCRIBE MODEL m VERSION 1"), Statement::DescribeModel(_)));
    assert!(matches!(one("DROP MODEL IF EXISTS m"), Statement::DropModel { if_exists: true, .. }));
    assert!(matches!(
        one("ALTER MODEL m SET DEFAULT VERSION 2"),
        Statement::AlterModel { version: 2, .. }
    ));
    assert!(matches!(one("DROP VIEW IF EXISTS v"), Statement::DropView { if_exists: true, .. }));
    assert!(matches!(one("REFRESH MODEL m"), Statement::RefreshModel(_)));
    assert_eq!(
        read("SHOW MODELS;; show links; DESCRIBE GRAPH;"),
        [Statement::ShowModels, Statement::ShowLinks, Statement::DescribeGraph]
    );
    assert!(matches!(
        one("CREATE SOURCE s TYPE postgres OPTIONS (url 'postgres://localhost/x', schema 'public')"),
        Statement::CreateSource { options, .. } if options.len() == 2
    ));
    assert!(matches!(one("DROP SOURCE s"), Statement::DropSource(_)));
}

#[test]
fn errors_of_statements_say_where_and_what_was_expected() {
    for (text, expected) in [
        (
            "SELCT 1",
            "line 1, column 1: expected a statement, found \"SELCT\"; did you mean \"SELECT\"?",
        ),
        ("CREATE MODEL AS PREDICT", "line 1, column 17: expected AS or FOR, found \"PREDICT\""),
        (
            "DROP MODEL",
            "line 1, column 11: expected the name of a model, found the end of the statement",
        ),
        ("SHOW MODELS now", "line 1, column 13: expected the end of the statement, found \"now\""),
        ("ALTER MODEL m SET VERSION 2", "line 1, column 19: expected DEFAULT, found \"VERSION\""),
        (
            "CREATE OR REPLACE MODEL IF NOT EXISTS m AS PREDICT 1",
            "line 1, column 25: expected the name of a model: OR REPLACE and IF NOT EXISTS exclude each other, found \"IF\"",
        ),
        (
            "SELECT 1;\nSELECT * FROM (PREDICT x FOR EACH t.k WHER 1)",
            "line 2, column 39: expected WHERE, ASSUMING, AS OF, USING MODEL or WITH, found \"WHER\"; did you mean \"WHERE\"?",
        ),
        (
            "CREATE SOURCE s TYPE postgres OPTIONS (url x)",
            "line 1, column 44: expected a text in single quotes, found \"x\"",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn semicolons_in_quotes_and_comments_end_nothing() {
    assert_eq!(read("SELECT ';' -- a;b\n, \"x;\" /* ; */; SELECT 2;\n-- end;\n").len(), 2);
    assert_eq!(read(" -- nothing\n;").len(), 0);
    assert!(statements("SELECT 'open").is_err());
}

fn open(text: &str) -> Result<Statement, String> {
    open_statements(text).unwrap().next().unwrap().map_err(|error| error.to_string())
}

fn given(text: &str, values: &[ScalarValue]) -> Result<Statement, String> {
    let mut read = statements_with(text, values).unwrap();
    read.next().unwrap().map_err(|error| error.to_string())
}

fn sql_of(statement: Statement) -> Sql {
    match statement {
        Statement::Sql(sql) => sql,
        other => panic!("{other:?}"),
    }
}

#[test]
fn parameters_stand_for_values_until_they_are_given() {
    let text = "SELECT * FROM (PREDICT USING MODEL m FOR t.k = $1 AS OF $2) p WHERE a = $3";
    assert_eq!(sql_of(open(text).unwrap()).predictions[0].as_of_parameter, Some(2));
    let values =
        [ScalarValue::from(-7i64), ScalarValue::from("2020-01-31"), ScalarValue::from("it's")];
    let sql = sql_of(given(text, &values).unwrap());
    assert_eq!(sql.predictions[0].as_of, relcast_catalog::parse_time("2020-01-31"));
    // What is no predictive query keeps them, and their values beside it.
    let parsed = DFParserBuilder::new(sql.tokens).build().unwrap().parse_statement().unwrap();
    assert!(parsed.to_string().ends_with("p WHERE a = $3"), "{parsed}");
    assert_eq!(sql.values, values);
    let written = "PREDICT USING MODEL m FOR t.k = -7 AS OF '2020-01-31'";
    let literal = relcast_query::parse(written).unwrap();
    assert_eq!(sql.predictions[0].to_string(), literal.to_string());
    assert_eq!(count_parameters(text).unwrap(), 3);
}

#[test]
fn parameters_stand_wherever_a_literal_may() {
    // 2020-02-01.
    let moment = ScalarValue::TimestampMicrosecond(Some(1_580_515_200_000_000), None);
    let values = [
        ScalarValue::from(1.0f64),
        moment,
        ScalarValue::from("it's -- $1 \\"),
        ScalarValue::Date32(Some(18_293)),
        ScalarValue::from(-3i16),
    ];
    let prediction = |text: &str| match given(text, &values).unwrap() {
        Statement::Sql(sql) => sql.predictions[0].to_string(),
        other => panic!("{other:?}"),
    };
    for (parameters, literals) in [
        (
            "PREDICT SUM(o.amount WHERE o.at < $2, 0, 30, days) > $1 FOR EACH t.k WHERE t.name <> $3",
            "PREDICT SUM(o.amount WHERE o.at < TIMESTAMP '2020-02-01', 0, 30, days) > 1.0 \
             FOR EACH t.k WHERE t.name <> 'it''s -- $1 \\'",
        ),
        // A sign stands before its number, as where it is written.
        (
            "PREDICT SUM(o.amount, 0, 30, days) - $5 > $5 * 2 FOR EACH t.k",
            "PREDICT SUM(o.amount, 0, 30, days) - -3 > -3 * 2 FOR EACH t.k",
        ),
        (
            "PREDICT USING MODEL m AS OF $4 + INTERVAL '1 day' WITH (threshold = $1)",
            "PREDICT USING MODEL m AS OF 2020-02-02 WITH (threshold = 1.0)",
        ),
        (
            "PREDICT USING MODEL m FOR t.k IN (SELECT k, $2 FROM t WHERE n = $3 AND x > 1 -$5)",
            "PREDICT USING MODEL m FOR t.k IN (SELECT k,  \
             arrow_cast(1580515200000000, 'Timestamp(Microsecond, None)') FROM t \
             WHERE n =  'it''s -- $1 \\' AND x > 1 - (-3))",
        ),
    ] {
        let literal = relcast_query::parse(literals).unwrap();
        assert_eq!(prediction(parameters), literal.to_string());
    }
    let texts = [ScalarValue::from("0.75"), ScalarValue::from("frozen")];
    let options = "PREDICT USING MODEL m WITH (threshold = $1, history = $2)";
    let options = sql_of(given(options, &texts).unwrap());
    let literal = "PREDICT USING MODEL m WITH (threshold = 0.75, history = 'frozen')";
    let literal = relcast_query::parse(literal).unwrap();
    assert_eq!(options.predictions[0].to_string(), literal.to_string());
    let nested = [ScalarValue::from("(".repeat(100_000) + &")".repeat(100_000))];
    assert!(given("PREDICT USING MODEL m WITH (keep = $1)", &nested).is_ok());
    let quoted = relcast_query::parse("PREDICT USING MODEL m WITH (keep = 'a''b')").unwrap();
    assert_eq!(relcast_query::parse(&quoted.to_string()).unwrap().to_string(), quoted.to_string());
    let evaluate = "EVALUATE MODEL m AS OF $2";
    let evaluated = given(evaluate, &values).unwrap();
    assert!(matches!(evaluated, Statement::EvaluateModel { as_of: Some(_), .. }), "{evaluated:?}");
    let opened = open(evaluate).unwrap();
    let told = matches!(opened, Statement::EvaluateModel { as_of_parameter: Some(2), .. });
    assert!(told, "{opened:?}");
    // What is kept of a model is its text, with the values in it.
    let create = "CREATE MODEL m AS PREDICT SUM(o.amount, 0, 30, days) > $1 FOR EACH t.k AS OF $2";
    let Statement::CreateModel(create) = given(create, &values).unwrap() else { panic!() };
    let Labels::Query { query, text } = create.labels else { panic!() };
    assert_eq!(relcast_query::parse(&text).unwrap().to_string(), query.to_string());
}

#[test]
fn a_parameter_without_a_value_is_an_error() {
    let none = "parameter $1 has no value";
    for text in [
        "PREDICT USING MODEL m AS OF $1",
        "PREDICT USING MODEL m FOR t.k = $1",
        "PREDICT USING MODEL m WITH (threshold = $1)",
        "PREDICT USING MODEL m FOR t.k IN (SELECT k FROM t WHERE n = $1)",
        "EVALUATE MODEL m AS OF $1",
    ] {
        let error = given(text, &[]).unwrap_err();
        assert!(error.contains(none), "{error}");
        assert!(open(text).is_ok(), "{text}");
    }
    // Which columns come back must be known before.
    let error = open("PREDICT USING MODEL m WITH (interval = $1)").unwrap_err();
    assert!(error.contains("the columns depend on it"), "{error}");
    let list = ScalarValue::new_null_list(DataType::Int64, true, 2);
    assert!(given("SELECT $1", &[list]).is_ok());
    let bytes = ScalarValue::Binary(Some(vec![1]));
    let error = given("PREDICT USING MODEL m FOR t.k = $1", &[bytes]).unwrap_err();
    assert!(error.contains("stands for a number"), "{error}");
}

#[test]
fn a_view_keeps_its_text_and_takes_no_parameters() {
    let text = format!("CREATE OR REPLACE VIEW public.v (a, \"B\") AS {QUERY}");
    let mut all = read(&format!("SELECT 1; {text} ; SELECT 2"));
    let Statement::CreateView(view) = all.remove(1) else { panic!("{all:?}") };
    assert_eq!((view.name.text.as_str(), view.existing), ("v", Existing::Replace));
    let columns: Vec<&str> = view.columns.iter().map(|name| name.text.as_str()).collect();
    assert_eq!((columns, view.sql.predictions.len()), (vec!["a", "B"], 1));
    assert_eq!(view.text, text);
    let plain = one("CREATE VIEW IF NOT EXISTS v AS WITH a AS (SELECT 1) SELECT * FROM a");
    let Statement::CreateView(view) = plain else { panic!("{plain:?}") };
    assert_eq!((view.existing, view.sql.tokens.len()), (Existing::Keep, 11));

    for sql in ["CREATE VIEW v AS SELECT $1", "CREATE VIEW v AS PREDICT USING MODEL m AS OF $1"] {
        let expected = "expected a value, since a view stands for itself, found a parameter";
        assert!(error(sql).contains(expected), "{sql}: {}", error(sql));
        let given = [ScalarValue::from(1i64)];
        let mut given = statements_with(sql, &given).unwrap();
        assert!(given.next().unwrap().is_err(), "{sql}");
    }
    assert!(error("CREATE VIEW v AS DROP TABLE t").contains("expected SELECT, PREDICT"));
    let both = error("CREATE OR REPLACE VIEW IF NOT EXISTS v AS SELECT 1");
    assert!(both.contains("exclude each other"), "{both}");
}
