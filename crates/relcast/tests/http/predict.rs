//! `POST /v1/models/{model}/predict` and `GET /v1/models`.

use std::collections::BTreeMap;

use relcast_testkit::{DAY, Random, Table, date_micros};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{ARROW, Served};
use super::common::{QUERY, shop};

const PREDICT: &str = "/v1/models/churn/predict";
/// The newest time of the orders.
const DATA_UNTIL: &str = "2021-12-11T10:00:00";

/// Probabilities by customer.
fn by_customer(answer: &Value) -> BTreeMap<i64, u64> {
    let rows = answer["rows"].as_array().unwrap().iter();
    let of = |row: &Value| {
        (row["customer_id"].as_i64().unwrap(), row["probability"].as_f64().unwrap().to_bits())
    };
    rows.map(of).collect()
}

#[test]
fn predictions_are_those_of_sql_and_say_what_they_come_from() {
    let served = Served::start(&[]);
    served.create_churn();
    let all = served.sql("PREDICT USING MODEL churn").json();
    let all = by_customer(&all);
    assert_eq!(all.len(), 40);

    let everybody = served.post(PREDICT, &json!({})).json();
    assert_eq!(by_customer(&everybody), all);
    let about = ["model", "version", "cutoff", "data_until"].map(|key| everybody[key].clone());
    assert_eq!(about, [json!("churn"), json!(1), json!(DATA_UNTIL), json!(DATA_UNTIL)]);

    let asked = json!({ "keys": [7, [3], 7], "version": 1 });
    let two = by_customer(&served.post(PREDICT, &asked).json());
    assert_eq!(two, BTreeMap::from([(3, all[&3]), (7, all[&7])]));

    let few = served.post(PREDICT, &json!({ "limit": 5 })).json();
    assert_eq!(few["rows"].as_array().unwrap().len(), 5);

    let earlier = served.post(PREDICT, &json!({ "as_of": "2021-06-30", "keys": [7] })).json();
    assert_eq!(earlier["cutoff"], "2021-06-30T00:00:00");
    assert_eq!(earlier["rows"][0]["cutoff"], "2021-06-30T00:00:00");
    assert_eq!(earlier["data_until"], DATA_UNTIL);
    assert_eq!(earlier["rows"][0]["data_until"], DATA_UNTIL);

    let stranger = served.post(PREDICT, &json!({ "keys": [4711] })).json();
    assert_eq!(stranger["rows"][0]["prediction"], Value::Null);
    assert_eq!(stranger["rows"][0]["reason"], "no row has this key");
}

#[test]
fn stale_data_and_stale_models_are_told() {
    let shop = shop();
    let orders = shop.path().join("orders.csv");
    let served = Served::over(shop, &["--freshness", "0s"]);
    served.create_churn();
    let told = |sql: &str| served.sql(sql).json()["notices"].to_string();
    let predict = "PREDICT USING MODEL churn FOR customers.customer_id = 3";
    assert!(!told(predict).contains("stale"), "{}", told(predict));
    let later = told(&format!("{predict} AS OF '2022-06-30'"));
    assert!(later.contains("the data are stale: they end on 2021-12-11 10:00:00"), "{later}");

    // The data go on, the model is as it was.
    let text = std::fs::read_to_string(&orders).unwrap();
    std::fs::write(&orders, text + "9000,3,2022-06-01 10:00:00,7.5\n").unwrap();
    let told = told(predict);
    let expected = "is stale: it learnt from data until 2021-12-11 10:00:00";
    assert!(told.contains(expected) && told.contains("REFRESH MODEL"), "{told}");
}

#[test]
fn arrow_carries_the_same() {
    let served = Served::start(&[]);
    served.create_churn();
    let asked = json!({ "as_of": "2021-06-30" });
    let (schema, batches) = served.post_with(PREDICT, &[("accept", ARROW)], &asked).batches();
    let rows: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    assert_eq!(rows, 40);
    for (key, expected) in [
        ("model", "churn"),
        ("version", "1"),
        ("cutoff", "2021-06-30T00:00:00"),
        ("data_until", DATA_UNTIL),
    ] {
        let found = schema.metadata().get(&format!("relcast.{key}"));
        assert_eq!(found.map(String::as_str), Some(expected), "{key}");
    }
}

#[test]
fn options_are_those_of_with() {
    let served = Served::start(&[]);
    let create = "CREATE MODEL spend AS PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id WITH (epochs = 1)";
    assert_eq!(served.sql(create).status, 200);
    let path = "/v1/models/spend/predict";
    let asked = json!({ "keys": [7], "options": { "interval": 0.9, "embedding": true } });
    let row = served.post(path, &asked).json()["rows"][0].clone();
    let sql = "SELECT lower, upper, embedding FROM (PREDICT USING MODEL spend FOR customers.customer_id = 7 WITH (interval = 0.9, embedding = true))";
    let expected = served.sql(sql).json()["rows"][0].clone();
    assert!(row["lower"].as_f64().unwrap() < row["upper"].as_f64().unwrap(), "{row}");
    assert_eq!(row["embedding"].as_array().unwrap().len(), 128);
    for column in ["lower", "upper", "embedding"] {
        assert_eq!(row[column], expected[column], "{column}");
    }
    let plain = served.post(path, &json!({ "keys": [7] })).json()["rows"][0].clone();
    assert_eq!((plain.get("lower"), plain.get("embedding")), (None, None));
    for (options, words) in [
        (json!({ "interval": 90 }), "between 0 and 1"),
        (json!({ "interval": null }), "option \"interval\" is null"),
        (json!({ "epochs": 3 }), "decided when a model is trained"),
        (json!({ "top_classes": 2 }), "chooses among classes"),
        (json!({ "interval": 0.9, "quantiles": [0.1, 0.9] }), "both say what lower and upper are"),
    ] {
        let answer = served.post(path, &json!({ "options": options }));
        assert_eq!(answer.failure(), (400, "22023".to_owned()), "{options}: {}", answer.text());
        let message = answer.error()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words) && !message.contains("line 0"), "{options}: {message}");
    }
}

#[test]
fn what_cannot_be_predicted_is_told() {
    let served = Served::start(&[]);
    served.create_churn();
    for (path, body, status, code, words) in [
        ("/v1/models/chrun/predict", json!({}), 404, "42704", "chrun"),
        (PREDICT, json!({ "version": 9 }), 404, "42704", "version 9"),
        (PREDICT, json!({ "keys": [] }), 400, "22023", "keys is empty"),
        (PREDICT, json!({ "keys": [null] }), 400, "22023", "customer_id"),
        (PREDICT, json!({ "keys": [[1, 2]] }), 400, "22023", "customer_id"),
        (PREDICT, json!({ "keys": ["x"] }), 400, "42000", "customer_id"),
        (PREDICT, json!({ "as_of": "yesterday" }), 400, "22007", "yesterday"),
        (PREDICT, json!({ "limit": -1 }), 400, "22032", "cannot be read"),
        (PREDICT, json!({ "kyes": [1] }), 400, "22032", "kyes"),
    ] {
        let answer = served.post(path, &body);
        assert_eq!(answer.failure(), (status, code.to_owned()), "{body}: {}", answer.text());
        let error = answer.error();
        assert!(error["message"].as_str().unwrap().contains(words), "{body}: {error}");
        assert_eq!(error["position"], Value::Null, "{error}");
    }
    let hint = served.post("/v1/models/chrun/predict", &json!({})).error().to_string();
    assert!(hint.contains("churn"), "{hint}");
}

#[test]
fn models_are_listed_with_versions_and_metrics() {
    let served = Served::start(&[]);
    assert_eq!(served.get("/v1/models").json(), json!({ "models": [] }));
    // A quick model is nobody's.
    let quick = format!("{QUERY} WITH (epochs = 1)");
    assert_eq!(served.sql(&quick).json()["rows"].as_array().unwrap().len(), 40);
    served.create_churn();
    let again = format!("CREATE OR REPLACE MODEL churn AS {QUERY} WITH (epochs = 1)");
    assert_eq!(served.sql(&again).status, 200);
    assert_eq!(served.sql("ALTER MODEL churn SET DEFAULT VERSION 1").status, 200);
    let listed = served.get("/v1/models").json();
    let [model] = listed["models"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((&model["name"], &model["default_version"]), (&json!("churn"), &json!(1)));
    let versions = model["versions"].as_array().unwrap();
    assert_eq!(
        versions.iter().map(|v| v["version"].as_i64()).collect::<Vec<_>>(),
        [Some(1), Some(2)]
    );
    let metrics = versions[0]["metrics"].as_array().unwrap();
    assert!(metrics.iter().any(|m| m["split"] == "test" && m["metrics"]["auroc"].is_number()));
    assert!(versions[0]["trained_from"]["query"].as_str().unwrap().contains("PREDICT"));
}

/// Shelves of shops, named by both, and when they were stocked.
fn shelves() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random::new(4);
    let start = date_micros(2022, 1, 1);
    let shelves: Vec<(i64, i64)> = (1..=6).flat_map(|a| (1..=6).map(move |b| (a, b))).collect();
    let stockings: Vec<(usize, i64)> = (0..2000)
        .map(|_| (random.below(shelves.len()), start + random.below(400 * DAY as usize) as i64))
        .collect();
    Table::new("shelves")
        .int("shop", shelves.iter().map(|s| s.0))
        .int("shelf", shelves.iter().map(|s| s.1))
        .write(directory.path())
        .unwrap();
    Table::new("stockings")
        .int("shop", stockings.iter().map(|s| shelves[s.0].0))
        .int("shelf", stockings.iter().map(|s| shelves[s.0].1))
        .time("at", stockings.iter().map(|s| Some(s.1)))
        .write(directory.path())
        .unwrap();
    let yaml = "tables:\n  shelves: { primary_key: [shop, shelf], time_column: null }\n  \
        stockings: { primary_key: null, time_column: at, foreign_keys: { \"shop, shelf\": shelves } }\n";
    std::fs::write(directory.path().join("relcast.yaml"), yaml).unwrap();
    directory
}

#[test]
fn a_key_of_several_columns_is_a_list() {
    let served = Served::over(shelves(), &[]);
    let model = "CREATE MODEL busy AS PREDICT COUNT(stockings.*, 0, 10, days) > 1 \
                 FOR EACH shelves.(shelf, shop) WITH (epochs = 1, max_train_rows = 500)";
    let created = served.sql(model);
    assert_eq!(created.status, 200, "{}", created.text());
    let asked = json!({ "keys": [[2, 5], [6, 1]] });
    let answer = served.post("/v1/models/busy/predict", &asked).json();
    let rows = answer["rows"].as_array().unwrap().iter();
    let mut keys: Vec<_> = rows.map(|r| (r["shop"].as_i64(), r["shelf"].as_i64())).collect();
    keys.sort_unstable();
    assert_eq!(keys, [(Some(2), Some(5)), (Some(6), Some(1))]);
    assert!(answer["rows"][0]["probability"].is_number(), "{answer}");
    let wrong = served.post("/v1/models/busy/predict", &json!({ "keys": [2] }));
    assert_eq!(wrong.failure(), (400, "22023".to_owned()));
    assert!(wrong.error()["message"].as_str().unwrap().contains("shop"), "{}", wrong.text());
}
