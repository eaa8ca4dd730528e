//! Which statements there are, and how predictive queries are found in SQL.
#![allow(clippy::unwrap_used)]

use datafusion::sql::parser::DFParserBuilder;
use relcast_query::ast::Literal;
use relcast_query::statement::{Existing, Explain, Labels, Statement};
use relcast_query::{statements, statements_with};

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
        Statement::EvaluateModel { model, as_of: Some(_), options }
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

#[test]
fn parameters_stand_for_values_until_they_are_given() {
    let text =
        "SELECT * FROM (PREDICT USING MODEL m FOR t.k = $1 AS OF $2) p WHERE a = $3 AND b = $4";
    let Statement::Sql(open) = one(text) else { panic!() };
    assert_eq!(open.predictions[0].as_of_parameter, Some(2));
    let values = [
        Literal::Number("-7".to_owned()),
        Literal::Text("2020-01-31".to_owned()),
        Literal::Text("it's".to_owned()),
    ];
    let given = statements_with(text, &values).unwrap().next().unwrap().unwrap();
    let Statement::Sql(given) = given else { panic!() };
    assert_eq!(given.predictions[0].as_of, relcast_catalog::parse_time("2020-01-31"));
    let parsed = DFParserBuilder::new(given.tokens).build().unwrap().parse_statement().unwrap();
    let rest = "p WHERE a = 'it''s' AND b = $4";
    assert!(parsed.to_string().ends_with(rest), "{parsed}");
    let written = "PREDICT USING MODEL m FOR t.k = -7 AS OF '2020-01-31'";
    let literal = relcast_query::parse(written).unwrap();
    assert_eq!(given.predictions[0].to_string(), literal.to_string());
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
        let given = [Literal::Number("1".to_owned())];
        let mut given = statements_with(sql, &given).unwrap();
        assert!(given.next().unwrap().is_err(), "{sql}");
    }
    assert!(error("CREATE VIEW v AS DROP TABLE t").contains("expected SELECT, PREDICT"));
    let both = error("CREATE OR REPLACE VIEW IF NOT EXISTS v AS SELECT 1");
    assert!(both.contains("exclude each other"), "{both}");
}
