//! Tables and views that SQL creates, wherever the home folder lies and whatever happens to their files.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{QUERY, json, relcast, shop};
use serde_json::json;

#[test]
fn a_home_folder_may_have_the_name_of_a_pattern() {
    let shop = shop();
    // The second is what the first would match, were it a pattern.
    for home in ["a[1]", "a1", "b*?{c}", "50%20 off"] {
        let run = |sql: &str| {
            let sql = ["sql", "--db", ".", "--home", home, "--format", "json", "-c", sql];
            relcast(shop.path(), &sql)
        };
        let create = format!("CREATE TABLE t AS SELECT '{home}' AS made_in");
        assert!(run(&create).status.success(), "{home}");
        assert_eq!(json(&run("SELECT made_in FROM t")), json!([{ "made_in": home }]));
        assert!(run("INSERT INTO t SELECT 'again'").status.success(), "{home}");
        assert_eq!(json(&run("SELECT count(*) AS n FROM t")), json!([{ "n": 2 }]));
    }
}

#[test]
fn a_damaged_table_is_told_and_stands_in_nobodys_way() {
    let shop = shop();
    let run =
        |sql: &str| relcast(shop.path(), &["sql", "--db", ".", "--format", "json", "-c", sql]);
    assert!(run("CREATE TABLE t AS SELECT 1 AS x").status.success());
    for folder in fs::read_dir(shop.path().join(".relcast/tables")).unwrap() {
        fs::write(folder.unwrap().path().join("t.parquet"), "PAR1 and no more").unwrap();
    }
    let output = run("SELECT count(*) AS n FROM customers");
    assert_eq!(json(&output), json!([{ "n": 40 }]));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("table \"t\" is left out: ") && told.contains("DROP TABLE"), "{told}");
    assert!(run("DROP TABLE t").status.success());
    let output = run("SELECT count(*) AS n FROM customers");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("left out"));
}

#[test]
fn views_outlive_their_process_and_tell_when_they_cannot_be_read() {
    let shop = shop();
    let run =
        |sql: &str| relcast(shop.path(), &["sql", "--db", ".", "--format", "json", "-c", sql]);
    let told = |sql: &str| String::from_utf8_lossy(&run(sql).stderr).into_owned();
    assert!(run("CREATE TABLE t AS SELECT 1 AS x").status.success());
    assert!(run("CREATE VIEW v AS SELECT x FROM t").status.success());
    assert!(run(&format!("CREATE VIEW leaving AS {QUERY}")).status.success());
    assert_eq!(json(&run("SELECT x FROM v")), json!([{ "x": 1 }]));
    assert_eq!(json(&run("SELECT count(*) AS n FROM leaving")), json!([{ "n": 40 }]));

    let broken = "view \"v\" cannot be read: no table \"t\"; CREATE OR REPLACE VIEW mends it";
    let dropped = told("DROP TABLE t");
    assert!(dropped.contains(broken), "{dropped}");
    // It is told to whoever comes, and stands in nobody's way.
    let other = told("SELECT 1 AS a");
    assert!(other.contains(broken), "{other}");
    let output = run("SELECT x FROM v");
    assert!(!output.status.success());
    assert!(run("CREATE OR REPLACE VIEW v AS SELECT 2 AS x").status.success());
    assert_eq!(json(&run("SELECT x FROM v")), json!([{ "x": 2 }]));
    assert!(run("DROP VIEW v").status.success());
    assert!(!run("SELECT x FROM v").status.success());
}

#[test]
fn labels_may_come_from_a_view_wherever_the_model_is_used() {
    let shop = shop();
    let view = "CREATE VIEW asked AS SELECT ordered_at AS cutoff, customer_id, amount > 8 AS label FROM orders";
    let model = "CREATE MODEL dear FOR customers.customer_id AS (SELECT * FROM asked) WITH (horizon = '7 days', epochs = 1)";
    for sql in [view, model] {
        let output = relcast(shop.path(), &["sql", "--db", ".", "-c", sql]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for command in ["evaluate", "predict"] {
        let output = relcast(shop.path(), &[command, "--db", ".", "--model", "dear"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
