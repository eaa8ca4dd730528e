//! What the command line promises: results on stdout, one readable error on stderr, exit codes.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::process::Command;

use common::{QUERY, QUICK, error, json, relcast, shop, stdout};

#[test]
fn inspect_prints_text_json_and_dot() {
    let shop = shop();
    let text = stdout(&relcast(shop.path(), &["inspect", "--db", "."]));
    assert!(text.contains("customers") && text.contains("orders"), "{text}");
    let value = json(&relcast(shop.path(), &["inspect", "--db", ".", "--format", "json"]));
    assert_eq!(value["schema"]["tables"].as_array().unwrap().len(), 2);
    assert_eq!(value["edges"], value["tables"][1]["rows"]);
    let dot = stdout(&relcast(shop.path(), &["--format", "dot", "inspect", "--db", "."]));
    assert!(dot.starts_with("digraph"), "{dot}");
}

#[test]
fn inspect_proposes_a_schema_and_never_overwrites_one() {
    let shop = shop();
    let declared = fs::read_to_string(shop.path().join("relcast.yaml")).unwrap();
    let output = relcast(shop.path(), &["inspect", "--db", ".", "--write"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("relcast.yaml is already there"));
    assert_eq!(fs::read_to_string(shop.path().join("relcast.yaml")).unwrap(), declared);
    fs::remove_file(shop.path().join("relcast.yaml")).unwrap();
    stdout(&relcast(shop.path(), &["inspect", "--db", ".", "--write"]));
    let written = fs::read_to_string(shop.path().join("relcast.yaml")).unwrap();
    assert!(written.contains("customer_id: customers"), "{written}");
    stdout(&relcast(shop.path(), &["inspect", "--db", "."]));
}

#[test]
fn labels_are_written_for_each_split() {
    let shop = shop();
    fs::create_dir(shop.path().join("out")).unwrap();
    for split in ["train", "val", "test"] {
        let target = format!("out/{split}.parquet");
        let arguments = [
            "labels", "--db", ".", "--query", QUERY, "--split", split, "-o", &target, "--format",
            "json",
        ];
        let value = json(&relcast(shop.path(), &arguments));
        assert_eq!(value["split"], split);
        assert!(value["rows"].as_u64().unwrap() > 0);
        assert!(shop.path().join(&target).exists());
    }
}

#[test]
fn options_of_the_command_line_go_before_those_of_the_query() {
    let shop = shop();
    let query = format!("{QUERY} WITH (num_eval_timestamps = 1)");
    fs::create_dir(shop.path().join("out")).unwrap();
    let cutoffs = |set: &[&str]| {
        let mut arguments =
            vec!["labels", "--db", ".", "--query", &query, "--split", "test", "-o", "out/x.csv"];
        arguments.extend(["--format", "json"]);
        arguments.extend(set);
        json(&relcast(shop.path(), &arguments))["cutoffs"].clone()
    };
    assert_eq!(cutoffs(&[]), 1);
    assert_eq!(cutoffs(&["--set", "num_eval_timestamps=2"]), 2);
}

#[test]
fn a_wrong_option_names_the_nearest() {
    let shop = shop();
    let arguments = ["labels", "--db", ".", "--query", QUERY, "--split", "test", "-o", "x.csv"];
    let message = error(
        &relcast(shop.path(), &[&arguments[..], &["--set", "num_eval_timestamp=2"]].concat()),
        1,
    );
    assert!(message.contains("num_eval_timestamps"), "{message}");
    assert!(!shop.path().join("x.csv").exists());
}

#[test]
fn a_wrong_name_in_a_query_is_marked_in_its_line() {
    let shop = shop();
    let query = "PREDICT COUNT(orders.*, 0, 30, days) = 0\nFOR EACH custmers.customer_id";
    let labels = ["labels", "--db", ".", "--query", query, "--split", "val", "-o", "x.csv"];
    let train = ["train", "--db", ".", "--query", query, "--model", "m"];
    for command in [&labels[..], &train] {
        let message = error(&relcast(shop.path(), command), 1);
        let message = &message[message.find("error: ").unwrap()..];
        assert!(message.starts_with("error: line 2, column 10: "), "{message}");
        assert!(
            message.contains("  | FOR EACH custmers.customer_id\n  |          ^\n"),
            "{message}"
        );
        assert!(message.contains("hint: did you mean \"customers\"?"), "{message}");
    }
}

#[test]
fn all_paths_are_in_the_message_and_what_to_do_is_in_the_hint() {
    let shop = shop();
    let path = shop.path().join("orders.csv");
    let text = fs::read_to_string(&path).unwrap();
    let rows = text.lines().enumerate().map(|(n, line)| match n {
        0 => format!("{line},payer_id\n"),
        n => format!("{line},{}\n", n % 40 + 1),
    });
    fs::write(&path, rows.collect::<String>()).unwrap();
    let yaml = shop.path().join("relcast.yaml");
    let text = fs::read_to_string(&yaml).unwrap();
    let links = "{ customer_id: customers, payer_id: customers }";
    fs::write(&yaml, text.replace("{ customer_id: customers }", links)).unwrap();
    let train = ["train", "--db", ".", "--query", QUERY, "--model", "m"];
    let message = error(&relcast(shop.path(), &train), 1);
    let both = "\"customers\" to \"orders\": orders.customer_id or orders.payer_id\n";
    assert!(message.contains(both), "{message}");
    assert!(message.contains("hint: name one, for example VIA orders.customer_id"), "{message}");
}

#[test]
fn the_seed_of_the_query_holds_unless_the_command_line_names_one() {
    let shop = shop();
    let with = format!("{QUERY} WITH (seed = 7)");
    let seed = |query: &str, more: &[&str]| {
        let train = ["train", "--db", ".", "--query", query, "--model", "m"];
        stdout(&relcast(shop.path(), &[&train[..], &QUICK[..], more].concat()));
        let show = ["models", "show", "m", "--format", "json"];
        json(&relcast(shop.path(), &show))["seed"].clone()
    };
    assert_eq!(seed(&with, &[]), 7);
    assert_eq!(seed(&with, &["--seed", "3"]), 3);
    assert_eq!(seed(QUERY, &[]), 0);
}

#[test]
fn sql_answers_plain_statements_and_explain_labels() {
    let shop = shop();
    let statements = format!(
        "SELECT count(*) AS n FROM customers;\n-- what would be learnt;\nEXPLAIN LABELS {QUERY};"
    );
    let text = stdout(&relcast(shop.path(), &["sql", "--db", ".", "-c", &statements]));
    assert!(text.contains("| 40 |"), "{text}");
    for part in ["train: ", "val: ", "test: ", "horizon 30 days"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    fs::write(shop.path().join("q.sql"), "SELECT name FROM customers WHERE customer_id = 7")
        .unwrap();
    let value =
        json(&relcast(shop.path(), &["sql", "--db", ".", "-f", "q.sql", "--format", "json"]));
    assert_eq!(value, serde_json::json!([{ "name": "Customer 7" }]));
}

#[test]
fn sql_says_what_is_wrong_with_a_statement() {
    let shop = shop();
    let run = |sql: &str| error(&relcast(shop.path(), &["sql", "--db", ".", "-c", sql]), 1);
    assert!(run("SELECT nam FROM customers").contains("nam"));
    assert!(run("SELECT 1 FROM nowhere").contains("nowhere"));
    let predict = run(&format!("\n\n{}", QUERY.replace("orders", "ordrs")));
    assert!(predict.starts_with("error: line 3, column 15: no table \"ordrs\""), "{predict}");
    let typo = run("EXPLAIN LABELS PREDICT CONT(orders.*, 0, 30) FOR EACH customers.customer_id");
    assert!(typo.starts_with("error: line 1, column "), "{typo}");
}

#[test]
fn wrong_usage_exits_with_2() {
    let shop = shop();
    for arguments in [
        &["inspect"][..],
        &["nonsense"],
        &["sql", "--db", ".", "-c", "SELECT 1", "-f", "x.sql"],
        &["labels", "--db", ".", "--split", "val", "-o", "x.csv"],
        &["labels", "--db", ".", "--query", QUERY, "--split", "all", "-o", "x.csv"],
        &["labels", "--db", ".", "--query", QUERY, "--split", "val", "-o", "x.txt"],
        &["models", "list", "--threads", "0"],
        &["models", "list", "--format", "dot"],
    ] {
        error(&relcast(shop.path(), arguments), 2);
    }
    let frozen = ["predict", "--db", ".", "--model", "m", "--history", "frozen"];
    let message = error(&relcast(shop.path(), &frozen), 2);
    assert!(message.contains("--history frozen is for --split test"), "{message}");
}

#[test]
fn a_source_that_is_none_is_one_readable_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ragged.csv"), "a,b\n1,2\n1,2,3\n").unwrap();
    fs::create_dir(directory.path().join("cut")).unwrap();
    fs::write(directory.path().join("cut/t.parquet"), "PAR1 and no more").unwrap();
    for (db, expected) in [
        ("nowhere", "error: there is no directory nowhere"),
        (".", "ragged.csv"),
        ("cut", "t.parquet"),
        ("postgres://localhost/shop", "error: reading from postgres:// is not supported yet"),
    ] {
        let message = error(&relcast(directory.path(), &["inspect", "--db", db]), 1);
        assert!(message.starts_with("error: ") && message.contains(expected), "{message}");
        assert!(message.contains("hint: ") && !message.contains("panicked"), "{message}");
    }
}

#[test]
fn models_of_a_new_home_are_none_and_an_unwritable_home_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let list = |home: &str| {
        relcast(directory.path(), &["models", "list", "--home", home, "--format", "json"])
    };
    assert_eq!(json(&list("fresh")), serde_json::json!([]));
    fs::write(directory.path().join("file"), "").unwrap();
    let message = error(&list("file/home"), 1);
    assert!(message.starts_with("error: cannot write to the home folder file/home"), "{message}");
    assert!(message.ends_with("hint: name a folder you can write to with --home DIR\n"));
    for command in ["show", "drop"] {
        let output = relcast(directory.path(), &["models", command, "churn", "--home", "fresh"]);
        assert!(error(&output, 1).starts_with("error: no model \"churn\""));
    }
}

#[test]
fn a_statement_that_cannot_be_read_is_shown_without_its_password() {
    let shop = shop();
    for statement in [
        "CREATE SOURCE s TYPE postgres OPTIONS (url 'postgres://ana:s3cret@localhost/shop'",
        "COPY (SELECT 1) TO 'postgres://ana:s3cret@localhost/shop' STORED AS CSV",
        "CREATE SOURCE s TYPE folder OPTIONS (path 'postgres://ana:s3cret@localhost/shop')",
    ] {
        let refused = error(&relcast(shop.path(), &["sql", "--db", ".", "-c", statement]), 1);
        assert!(!refused.contains("s3cret"), "{refused}");
    }
}

#[test]
fn nobody_has_to_read_what_is_told() {
    let shop = shop();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut ended = Command::new(env!("CARGO_BIN_EXE_relcast"))
        .current_dir(shop.path())
        .args([
            "sql",
            "--db",
            ".",
            "-c",
            "-- a view\nCREATE VIEW v AS SELECT 1 AS a; SELECT b FROM v",
        ])
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    assert_eq!(ended.wait().unwrap().code(), Some(1));
}
