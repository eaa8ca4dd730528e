//! `POST /v1/sql`.

use serde_json::{Value, json};

use super::client::{ARROW, Served};
use super::common::QUERY;

/// The newest time of the orders.
const DATA_UNTIL: &str = "2021-12-11T10:00:00";

#[test]
fn rows_come_in_the_order_of_their_columns() {
    let served = Served::start(&[]);
    let answer =
        served.sql("SELECT name, customer_id FROM customers ORDER BY customer_id LIMIT 2;");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.text(),
        r#"{"tag":"SELECT","columns":[{"name":"name","type":"Utf8"},{"name":"customer_id","type":"Int64"}],"rows":[{"name":"Customer 1","customer_id":1},{"name":"Customer 2","customer_id":2}],"notices":[]}"#
    );
    let empty = served.sql("SELECT name FROM customers WHERE customer_id = 0").json();
    assert_eq!((&empty["rows"], empty["columns"][0]["name"].as_str()), (&json!([]), Some("name")));
}

#[test]
fn no_value_is_lost_to_a_column_of_the_same_name() {
    let served = Served::start(&[]);
    let sql = "SELECT c.customer_id, o.customer_id FROM customers c JOIN orders o ON o.order_id = 1 LIMIT 1";
    let answer = served.sql(sql);
    let message = answer.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("\"customer_id\""), "{message}");
    assert_eq!(answer.failure(), (400, "42701".to_owned()));
    let arrow = served.post_with("/v1/sql", &[("accept", ARROW)], &json!({ "sql": sql }));
    assert_eq!(arrow.batches().0.fields().len(), 2);
    let renamed = sql.replacen("c.customer_id", "c.customer_id AS customer", 1);
    assert_eq!(served.sql(&renamed).status, 200);
}

#[test]
fn parameters_stand_for_values() {
    let served = Served::start(&[]);
    let ask = |sql: &str, parameters: Value| {
        served.post("/v1/sql", &json!({ "sql": sql, "parameters": parameters }))
    };
    let sql = "SELECT name FROM customers WHERE customer_id = $1 AND name <> $2";
    assert_eq!(ask(sql, json!([3, "it's"])).json()["rows"], json!([{"name": "Customer 3"}]));
    assert_eq!(ask(sql, json!([3, "Customer 3"])).json()["rows"], json!([]));
    let sql = "SELECT $1 AS a, $2 AS b, $3 IS NULL AS c";
    let expected = json!([{"a": -2, "b": true, "c": true}]);
    assert_eq!(ask(sql, json!([-2, true, null])).json()["rows"], expected);
    // A float stays one.
    assert_eq!(ask("SELECT $1 / 2 AS a", json!([3.0])).json()["rows"], json!([{"a": 1.5}]));
    assert_eq!(ask("SELECT $1", json!([[1]])).failure(), (400, "22023".to_owned()));
    for open in ["SELECT $2", "PREDICT USING MODEL m AS OF $2"] {
        assert_eq!(ask(open, json!([1])).failure(), (400, "42P02".to_owned()), "{open}");
    }
}

#[test]
fn a_model_is_trained_used_and_its_predictions_written() {
    let served = Served::start(&[]);
    let sql = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 1)");
    let trained = served.sql(&sql).json();
    assert_eq!(trained["tag"], "CREATE MODEL");
    assert!(trained["rows"].as_array().unwrap().iter().any(|row| row["metric"] == "auroc"));
    assert!(!trained["notices"].as_array().unwrap().is_empty(), "epochs are told");

    let given = "SELECT * FROM (PREDICT USING MODEL churn AS OF $1) p ORDER BY customer_id";
    let given = json!({ "sql": given, "parameters": ["2021-06-30"] });
    let answer = served.post("/v1/sql", &given).json();
    assert_eq!(answer["data_until"], DATA_UNTIL);
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 40);
    assert!(rows.iter().all(|row| row["cutoff"] == "2021-06-30T00:00:00"), "{rows:?}");
    assert!(rows.iter().all(|row| row["probability"].as_f64().is_some_and(|p| p <= 1.0)));

    let written = served.sql("CREATE TABLE leaving AS PREDICT USING MODEL churn").json();
    assert_eq!(written["tag"], "SELECT 40");
    assert_eq!(written["rows"], json!([]));
    // The table is there for every request, and for sessions of the other protocol.
    let counted = served.sql("SELECT count(*) AS n FROM leaving").json();
    assert_eq!(counted["rows"], json!([{"n": 40}]));
    let inserted = "INSERT INTO leaving PREDICT USING MODEL churn AS OF '2021-03-31'";
    assert_eq!(served.sql(inserted).json()["tag"], "INSERT 0 40");
    assert_eq!(served.sql("DROP TABLE leaving").json()["tag"], "DROP TABLE");
    assert_eq!(served.sql("SELECT * FROM leaving").failure(), (400, "42P01".to_owned()));
}

#[test]
fn arrow_is_streamed_to_who_asks_for_it() {
    let served = Served::start(&[]);
    let ask = |sql: &str| {
        served.post_with("/v1/sql", &[("accept", ARROW)], &json!({ "sql": sql })).batches()
    };
    let (schema, batches) = ask("SELECT order_id, amount FROM orders ORDER BY order_id");
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["order_id", "amount"]);
    assert_eq!(schema.metadata().get("relcast.tag").map(String::as_str), Some("SELECT"));
    let rows: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    let counted = served.sql("SELECT count(*) AS n FROM orders").json();
    assert_eq!(json!(rows), counted["rows"][0]["n"]);
    let (schema, batches) = ask("CREATE VIEW few AS SELECT 1 AS a");
    assert!(schema.fields().is_empty() && batches.is_empty());
    // What fails before the first row is still told as JSON.
    let failed = json!({ "sql": "SELECT 1 / 0 FROM orders" });
    let failed = served.post_with("/v1/sql", &[("accept", ARROW)], &failed);
    assert!(failed.error()["message"].as_str().is_some_and(|m| m.contains("zero")));
}

#[test]
fn an_error_has_its_code_its_place_and_a_hint() {
    let served = Served::start(&[]);
    for (sql, status, code, position, hint) in [
        ("SELECT *\nFROM custmers", 400, "42P01", Some(15), "customers"),
        ("SELCT 1", 400, "42601", Some(1), "SELECT"),
        (
            "PREDICT COUNT(ordrs.*, 0, 30, days) FOR EACH customers.customer_id",
            400,
            "42P01",
            Some(15),
            "orders",
        ),
        ("PREDICT USING MODEL nothing", 404, "42704", None, ""),
        ("DROP TABLE customers", 400, "25006", None, "INSERT"),
        ("CHECK MODEL nothing", 404, "42704", None, ""),
        ("SELECT 1; SELECT 2", 400, "42601", None, "requests of their own"),
        ("", 400, "42601", None, ""),
        ("SET statement_timeout = 5", 501, "0A000", None, "Postgres"),
        ("BEGIN", 501, "0A000", None, "Postgres"),
    ] {
        let answer = served.sql(sql);
        assert_eq!(answer.failure(), (status, code.to_owned()), "{sql}: {}", answer.text());
        let error = answer.error();
        assert_eq!(error["position"].as_u64(), position, "{sql}: {error}");
        assert!(error["hint"].as_str().unwrap_or_default().contains(hint), "{sql}: {error}");
    }
}

#[test]
fn a_request_that_is_none_is_refused() {
    let served = Served::start(&[]);
    let json_type = ("content-type", "application/json");
    let post = |kind, body: &str| served.post_text("/v1/sql", &[kind], body).failure();
    assert_eq!(post(json_type, "{"), (400, "22032".to_owned()));
    assert_eq!(post(json_type, "{\"sqll\": \"SELECT 1\"}"), (400, "22032".to_owned()));
    assert_eq!(post(json_type, "{\"parameters\": []}"), (400, "22032".to_owned()));
    let text = ("content-type", "text/plain");
    assert_eq!(post(text, "{\"sql\": \"SELECT 1\"}"), (415, "0A000".to_owned()));
    let long = json!({ "sql": format!("SELECT '{}'", "x".repeat(1 << 20)) }).to_string();
    assert_eq!(post(json_type, &long), (413, "54000".to_owned()));
    let fits = json!({ "sql": format!("SELECT length('{}') AS n", "x".repeat(1 << 19)) });
    assert_eq!(served.post("/v1/sql", &fits).json()["rows"], json!([{"n": 1 << 19}]));
    assert_eq!(served.get("/v1/sql").failure().0, 405);
    assert_eq!(served.get("/v2/sql").failure().0, 404);
}

#[test]
fn an_answer_in_json_is_no_larger_than_memory_holds() {
    let served = Served::start(&[]);
    let many = "SELECT a.order_id FROM orders a CROSS JOIN orders b";
    let refused = served.sql(many);
    assert_eq!(refused.failure(), (400, "54000".to_owned()));
    assert!(refused.error()["hint"].as_str().unwrap().contains(ARROW));
    let (_, batches) =
        served.post_with("/v1/sql", &[("accept", ARROW)], &json!({ "sql": many })).batches();
    let rows: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    assert_eq!(rows, 640 * 640);
}
