//! Tables that SQL creates, wherever the home folder lies and whatever happens to their files.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{json, relcast, shop};
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
