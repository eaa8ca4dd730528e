//! What a registered model promises: its files, its predictions, what is said when data are amiss.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{QUERY, QUICK, error, json, relbench, relcast, shop, stdout};
use relcast_engine::{Home, Registry};
use serde_json::Value;

/// Beside the tables: a target among them is refused.
fn out(directory: &Path) {
    fs::create_dir(directory.join("out")).unwrap();
}

fn train(directory: &Path, what: &[&str]) -> std::process::Output {
    let command = ["train", "--db", ".", "--model", "m"];
    relcast(directory, &[&command[..], &QUICK[..], what].concat())
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn document(directory: &Path, name: &str) -> Value {
    let path = directory.join(".relcast/artifacts/m").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn an_artefact_tells_its_version_and_its_format() {
    let shop = shop();
    for version in 1..=2 {
        stdout(&train(shop.path(), &["--query", QUERY]));
        let metrics = document(shop.path(), &format!("{version}/metrics.json"));
        assert_eq!(metrics["version"], version);
        assert!(document(shop.path(), &format!("{version}/versions.json"))["format"].is_u64());
    }
}

#[test]
fn predictions_take_options_of_their_own() {
    let shop = shop();
    out(shop.path());
    let query = "PREDICT SUM(orders.amount, 0, 30, days) FOR EACH customers.customer_id";
    stdout(&train(shop.path(), &["--query", query, "--set", "interval=0.5"]));
    let predict = |more: &[&str]| {
        let command = ["predict", "--db", ".", "--model", "m"];
        relcast(shop.path(), &[&command[..], more].concat())
    };
    let wide = |row: &Value| row["upper"].as_f64().unwrap() - row["lower"].as_f64().unwrap();
    let stored = json(&predict(&["--format", "json"]));
    let asked = json(&predict(&["--format", "json", "--set", "interval=0.9"]));
    assert_eq!(stored.as_array().unwrap().len(), 40);
    for (stored, asked) in stored.as_array().unwrap().iter().zip(asked.as_array().unwrap()) {
        assert!(wide(asked) >= wide(stored), "{asked} and {stored}");
    }

    // Lists are JSON where cells are flat.
    let embedded = ["--set", "embedding=true"];
    let printed = stdout(&predict(&[&embedded[..], &["--format", "csv"]].concat()));
    stdout(&predict(&[&embedded[..], &["--into", "out/p.csv"]].concat()));
    let written = fs::read_to_string(shop.path().join("out/p.csv")).unwrap();
    for text in [printed, written] {
        assert!(text.starts_with("customer_id,cutoff,prediction,lower,upper,embedding,"), "{text}");
        assert!(text.contains(",\"["), "{text}");
    }
    for (set, said) in [
        ("epochs=3", "option \"epochs\" is decided when a model is trained"),
        ("interval=90", "expects a number between 0 and 1, found 90"),
        ("interval=0.99", "interval = 0.99 takes at least 199 label rows of validation"),
        ("threshold=0.3", "and regression has none"),
    ] {
        let message = error(&predict(&["--set", set]), 1);
        assert!(message.contains(said) && !message.contains("line 0"), "{message}");
    }
}

#[test]
fn several_classes_are_weighed_where_it_is_asked_for() {
    let shop = shop();
    let query = "PREDICT LAST(orders.amount, 0, 60, days) CLASSIFY FOR EACH customers.customer_id";
    let fitted = |version: usize, set: &[&str]| {
        stdout(&train(shop.path(), &[&["--query", query][..], set].concat()));
        let weights = format!(".relcast/artifacts/m/{version}/weights.safetensors");
        let fit = document(shop.path(), &format!("{version}/model.json"))["fit"].clone();
        (fit, fs::read(shop.path().join(weights)).unwrap())
    };
    let (plain, plain_weights) = fitted(1, &[]);
    let (weighed, weighed_weights) = fitted(2, &["--set", "class_weights=true"]);
    assert_eq!(plain.get("class_weights"), None);
    let length = |of: &Value| of.as_array().map(Vec::len);
    assert!(length(&weighed["class_weights"]).is_some_and(|classes| classes > 1), "{weighed}");
    assert_eq!(length(&weighed["class_weights"]), length(&weighed["task"]["classes"]));
    assert!(plain_weights != weighed_weights, "the weights of the classes teach nothing");
}

#[test]
fn a_damaged_graph_is_built_anew_and_said_to_be() {
    let shop = shop();
    out(shop.path());
    stdout(&train(shop.path(), &["--query", QUERY]));
    let predict = ["predict", "--db", ".", "--model", "m", "--into"];
    let run = |to: &str| relcast(shop.path(), &[&predict[..], &[to]].concat());
    stdout(&run("out/whole.csv"));
    let probabilities = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(shop.path().join(file)).unwrap();
        text.lines().map(|line| line.split(',').nth(3).unwrap().to_owned()).collect()
    };
    for (file, is_cut) in [
        ("table-0.times", true),
        ("table-1.column-3.arrow", true),
        ("table-1.column-3.arrow", false),
        ("table-2.column-0.arrow", false),
    ] {
        for graph in fs::read_dir(shop.path().join(".relcast/graph")).unwrap() {
            let path = graph.unwrap().path().join(file);
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            if is_cut {
                bytes.truncate(middle);
            } else {
                bytes[middle] ^= 0x10;
            }
            fs::write(&path, bytes).unwrap();
        }
        let output = run("out/anew.csv");
        assert!(stderr(&output).contains("is built anew: "), "{file}: {}", stderr(&output));
        stdout(&output);
        assert_eq!(probabilities("out/whole.csv"), probabilities("out/anew.csv"), "{file}");
        assert!(!stderr(&run("out/again.csv")).contains("built anew"), "{file}");
    }
}

#[test]
fn a_declaration_that_changed_is_refused_by_name() {
    let shop = shop();
    stdout(&train(shop.path(), &["--query", QUERY]));
    let yaml = shop.path().join("relcast.yaml");
    let text = fs::read_to_string(&yaml).unwrap();
    let predict = ["predict", "--db", ".", "--model", "m"];
    for (declared, expected) in [
        ("columns: { amount: { type: categorical } }", "was numerical and is declared categorical"),
        ("columns: { amount: { known_from: ordered_at } }", "was known from its row on"),
        ("end_time_column: ordered_at", "the end time column of table \"orders\" was none"),
    ] {
        fs::write(&yaml, format!("{text}    {declared}\n")).unwrap();
        let message = error(&relcast(shop.path(), &predict), 1);
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("hint: train the model again"), "{message}");
    }
    fs::write(&yaml, text).unwrap();
    stdout(&relcast(shop.path(), &predict));
}

#[test]
fn cells_that_are_no_numbers_disable_no_model_where_the_column_is_declared() {
    let shop = shop();
    stdout(&train(shop.path(), &["--query", QUERY]));
    let orders = shop.path().join("orders.csv");
    let text = fs::read_to_string(&orders).unwrap();
    let odd = |i: i32| format!("{},1,2021-12-11 10:00:00,n/a\n", 9000 + i);
    fs::write(&orders, text + &(0..20).map(odd).collect::<String>()).unwrap();
    let predict = ["predict", "--db", ".", "--model", "m"];
    let message = error(&relcast(shop.path(), &predict), 1);
    assert!(message.contains("was Float64 and is Utf8"), "{message}");
    let yaml = shop.path().join("relcast.yaml");
    let text = fs::read_to_string(&yaml).unwrap();
    fs::write(&yaml, format!("{text}    columns: {{ amount: {{ type: numerical }} }}\n")).unwrap();
    stdout(&relcast(shop.path(), &predict));
}

#[tokio::test]
async fn predictions_that_cannot_be_written_are_refused_early_or_are_a_failed_run() {
    let shop = shop();
    stdout(&train(shop.path(), &["--query", QUERY]));
    let predict = |to: &str| {
        let arguments = ["predict", "--db", ".", "--model", "m", "--into", to];
        error(&relcast(shop.path(), &arguments), 1)
    };
    let runs = async || {
        let registry =
            Registry::open(&Home::open(&shop.path().join(".relcast")).unwrap()).await.unwrap();
        registry.runs("m").await.unwrap()
    };
    fs::create_dir_all(shop.path().join("out/folder.csv")).unwrap();
    for (to, expected) in [
        ("nowhere/p.csv", "there is no folder nowhere"),
        ("sqlite://nowhere/p.db#t", "there is no folder nowhere"),
        ("out/folder.csv", "it is a folder"),
    ] {
        let message = predict(to);
        assert!(message.starts_with("error: ") && message.contains(expected), "{message}");
    }
    assert_eq!(runs().await.len(), 1, "only the training was begun");

    fs::write(shop.path().join("out/p.db"), "no SQLite database, whatever its name".repeat(99))
        .unwrap();
    assert!(predict("sqlite://out/p.db#t").contains("p.db"));
    let runs = runs().await;
    let last = runs.last().unwrap();
    assert_eq!((last.kind.as_str(), last.status.as_str()), ("predict", "failed"));
    assert!(last.error.as_deref().unwrap().contains("p.db"), "{last:?}");
    let labels = ["labels", "--db", ".", "--query", QUERY, "--split", "val", "-o", "nowhere/x.csv"];
    assert!(error(&relcast(shop.path(), &labels), 1).contains("there is no folder nowhere"));
}

#[test]
fn data_that_end_before_the_cutoff_are_said_to() {
    let shop = shop();
    out(shop.path());
    stdout(&train(shop.path(), &["--query", QUERY]));
    let into = ["--into", "out/p.csv", "--format", "json"];
    let predict = [&["predict", "--db", ".", "--model", "m"][..], &into].concat();
    let run = |at: &[&str]| relcast(shop.path(), &[&predict[..], at].concat());
    // The last order is of 2021-12-11, 10 o'clock.
    for (at, days, said) in [
        (&[][..], 0.0, ""),
        (&["--as-of", "2021-11-11"], 0.0, ""),
        (&["--as-of", "2021-12-21T10:00"], 10.0, "the data end on 2021-12-11 10:00:00, 10.0 days"),
        (&["--as-of", "2022-03-11T10:00"], 90.0, "the data are stale: they end on 2021-12-11"),
    ] {
        let output = run(at);
        assert_eq!(json(&output)["stale_days"], days, "{at:?}");
        let told = stderr(&output);
        assert!(told.contains(said), "{told}");
        assert_eq!(told.contains("WARN"), !said.is_empty(), "{told}");
    }
}

/// What design.md promises of the JSON, and how old the views of its rows are.
#[test]
fn an_evaluation_has_the_promised_keys_and_tells_how_stale_frozen_history_is() {
    let shop = relbench();
    let trained = json(&train(shop.path(), &["--task", "churn", "--format", "json"]));
    let evaluate = ["evaluate", "--db", ".", "--model", "m"];
    let evaluated = json(&relcast(shop.path(), &[&evaluate[..], &["--format", "json"]].concat()));
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    for report in [&trained, &evaluated] {
        for key in ["model", "version", "task_type", "metric", "data_until", "rows", "seconds"] {
            assert!(report.get(key).is_some(), "{key}");
        }
        assert_eq!((&report["model"], &report["version"]), (&"m".into(), &1.into()));
        assert_eq!(keys(&report["rows"]), ["test", "train", "val"].map(str::to_owned).into());
        assert!(report["seconds"].as_object().unwrap().values().all(Value::is_number));
        let results = report["results"].as_array().unwrap();
        assert_eq!(results.len(), 4);
        for result in results {
            for key in ["split", "history", "metrics", "baselines"] {
                assert!(result.get(key).is_some(), "{key}");
            }
            assert!(result["metrics"]["auroc"].is_f64());
            assert!(result["baselines"]["constant"]["auroc"].is_f64());
            // Test cutoffs are 0, 30 and 60 days after the start of the test split.
            let frozen = result["split"] == "test" && result["history"] == "frozen";
            let expected = if frozen { [30.0, 60.0] } else { [0.0, 0.0] };
            let stale = &result["stale_days"];
            assert_eq!([&stale["mean"], &stale["most"]].map(|v| v.as_f64().unwrap()), expected);
        }
    }
    let text = stdout(&relcast(shop.path(), &evaluate));
    let note =
        "note: frozen test rows are seen 30 days before their cutoffs on average, 60 at most";
    assert!(text.contains(note), "{text}");
}

#[test]
fn a_split_without_label_rows_is_noted() {
    let shop = relbench();
    // Averages over empty windows are NULL, and between May and July 2020 nothing is ordered.
    let query = "PREDICT AVG(orders.order_id WHERE orders.ordered_at < '2021-05-01' \
                 OR orders.ordered_at > '2021-09-01', 0, 30, days) FOR EACH customers.customer_id";
    let output = train(shop.path(), &["--query", query, "--format", "json"]);
    let report = json(&output);
    assert_eq!(report["rows"]["val"], 0);
    let note = "there are no val label rows";
    assert!(report["notes"][0].as_str().unwrap().starts_with(note), "{}", report["notes"]);
    assert!(stderr(&output).contains(note), "{}", stderr(&output));
    assert!(report["results"][0]["metrics"]["mae"].is_null());
}

#[test]
fn entities_of_a_task_can_be_all_rows() {
    let count = |set: &[&str]| {
        let shop = relbench();
        // Nobody has signed up on the day before the first customer did.
        stdout(&train(shop.path(), &[&["--task", "churn"][..], set].concat()));
        let predict = ["predict", "--db", ".", "--model", "m", "--as-of", "2019-12-31"];
        let rows = json(&relcast(shop.path(), &[&predict[..], &["--format", "json"]].concat()));
        rows.as_array().unwrap().len()
    };
    assert_eq!(count(&[]), 0);
    assert_eq!(count(&["--set", "entities=all"]), 40);
}

#[test]
fn a_submission_is_the_test_table_with_predictions() {
    let shop = relbench();
    stdout(&train(shop.path(), &["--task", "churn"]));
    let evaluate = ["evaluate", "--db", ".", "--model", "m", "--submit", ".relcast/out"];
    let message = error(&relcast(shop.path(), &evaluate), 1);
    assert!(message.contains("lies in the home folder .relcast"), "{message}");
    let evaluate = ["evaluate", "--db", ".", "--model", "m", "--submit", "out/deep"];
    stdout(&relcast(shop.path(), &evaluate));
    let labels =
        ["labels", "--db", ".", "--task", "churn", "--split", "test", "-o", "out/test.csv"];
    stdout(&relcast(shop.path(), &labels));
    let rows = |file: &str| -> Vec<Vec<String>> {
        let text = fs::read_to_string(shop.path().join(file)).unwrap();
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    };
    let (submitted, test) = (rows("out/deep/rel-shop__churn.csv"), rows("out/test.csv"));
    assert_eq!(submitted[0], ["customer_id", "timestamp", "churned"]);
    let keys: BTreeSet<(&str, &str)> =
        submitted[1..].iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let expected: BTreeSet<(&str, &str)> =
        test[1..].iter().map(|row| (row[1].as_str(), row[0].split('T').next().unwrap())).collect();
    assert_eq!((&keys, submitted.len()), (&expected, test.len()));
    let probability = |row: &Vec<String>| (0.0..=1.0).contains(&row[2].parse::<f64>().unwrap());
    assert!(submitted[1..].iter().all(probability));
    let files = fs::read_dir(shop.path().join("out/deep")).unwrap().count();
    assert_eq!(files, 1, "RelBench takes nothing but the tables");
}

#[test]
fn a_model_of_a_query_has_nothing_to_submit() {
    let shop = shop();
    stdout(&train(shop.path(), &["--query", QUERY]));
    let evaluate = ["evaluate", "--db", ".", "--model", "m", "--submit", "out"];
    let message = error(&relcast(shop.path(), &evaluate), 1);
    assert!(message.contains("trained from a query") && message.contains("hint: "), "{message}");
    assert!(!shop.path().join("out").exists());
}

#[test]
fn a_model_of_a_select_is_used_by_every_command_whatever_it_reads() {
    let shop = shop();
    let run = |arguments: &[&str]| relcast(shop.path(), &[arguments, &["--db", "."]].concat());
    for statement in [
        "CREATE TABLE monthly AS SELECT t.cutoff, c.customer_id, count(o.order_id) = 0 AS label \
         FROM (SELECT DISTINCT date_trunc('month', ordered_at) AS cutoff FROM orders) t \
         CROSS JOIN customers c LEFT JOIN orders o ON o.customer_id = c.customer_id \
         AND o.ordered_at > t.cutoff AND o.ordered_at <= t.cutoff + INTERVAL '30 days' \
         GROUP BY t.cutoff, c.customer_id",
        "CREATE MODEL m FOR customers.customer_id AS (SELECT * FROM monthly) \
         WITH (horizon = '30 days', epochs = 1)",
    ] {
        stdout(&run(&["sql", "-c", statement]));
    }
    // Of 24 months the last is open when the data end; a window crosses into no other split.
    let report = json(&run(&["evaluate", "--model", "m", "--format", "json"]));
    assert_eq!(report["rows"], serde_json::json!({ "train": 760, "val": 80, "test": 80 }));
    assert_eq!(report["task_type"], "binary_classification");
    let predict = ["predict", "--model", "m", "--format", "json"];
    assert_eq!(json(&run(&predict)).as_array().unwrap().len(), 40);
    let tested = json(&run(&[&predict[..], &["--split", "test"]].concat()));
    let tested = tested.as_array().unwrap();
    assert!(tested.len() == 80 && tested.iter().all(|row| row["label"].is_boolean()));
    let shown = stdout(&run(&["sql", "-c", "DESCRIBE MODEL m"]));
    assert!(shown.contains("FOR customers.customer_id AS (SELECT * FROM monthly)"), "{shown}");
    let submit = error(&run(&["evaluate", "--model", "m", "--submit", "out"]), 1);
    assert!(submit.contains("nothing to submit"), "{submit}");
}
