//! Clients that others wrote, over `relcast serve`: psql, psycopg, SQLAlchemy with pandas, JDBC,
//! node-postgres.
//!
//! Each is a script of `tests/clients` that ends with an error where an answer is not as it should
//! be. A client that is not installed is said not to run; `.ci/test` installs them all.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "clients/dblink.rs"]
mod dblink;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::served::Served;

const JDBC: &str = "/usr/share/java/postgresql.jar";

/// Where `.ci/test` installs clients: beside the build.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_relcast")).ancestors().nth(2).unwrap().join("clients")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Runs a client against a new server; the port is the last argument.
fn run(client: &mut Command) {
    let served = Served::start(&[]);
    let output = client.arg(served.port.to_string()).output().unwrap();
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{client:?}\n{out}\n{err}");
}

/// A Python that has `modules`; where there is none, it says so.
fn python(modules: &str) -> Option<Command> {
    let import = format!("import {modules}");
    let candidates = [installed().join("python/bin/python"), PathBuf::from("python3")];
    let found = candidates.iter().find(|p| works(Command::new(p).args(["-c", &import])));
    if found.is_none() {
        eprintln!("not run: there is no Python with {modules}");
    }
    found.map(Command::new)
}

/// A Java that runs sources, with the driver; where there is none, it says so.
fn java() -> Option<Command> {
    if !Path::new(JDBC).exists() {
        eprintln!("not run: there is no {JDBC}");
        return None;
    }
    let modules = Command::new("java").arg("--list-modules").output();
    let compiles =
        modules.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).contains("jdk.compiler@"));
    if !compiles {
        eprintln!("not run: there is no JDK");
        return None;
    }
    let mut java = Command::new("java");
    java.args(["-cp", JDBC]);
    Some(java)
}

#[test]
fn psql_describes_tables_with_their_keys() {
    if !works(Command::new("psql").arg("--version")) {
        eprintln!("not run: there is no psql");
        return;
    }
    let served = Served::start(&[]);
    let psql = |commands: &[&str]| {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-h", "127.0.0.1", "-U", "ana", "-d", "relcast", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-p", &served.port.to_string()]);
        psql.args(commands.iter().flat_map(|command| ["-c", *command]));
        let output = psql.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && errors.is_empty(), "{commands:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let orders = psql(&[r"\d orders"]);
    for line in [
        " customer_id | bigint ",
        "    \"orders_pkey\" PRIMARY KEY, btree (order_id)",
        "    \"orders_customer_id_fkey\" FOREIGN KEY (customer_id) REFERENCES customers(customer_id)",
    ] {
        assert!(orders.contains(line), "no {line:?} in\n{orders}");
    }
    let customers = psql(&[r"\d+ customers"]);
    let link = "TABLE \"orders\" CONSTRAINT \"orders_customer_id_fkey\" FOREIGN KEY (customer_id)";
    assert!(customers.contains(link), "{customers}");
    assert!(psql(&[r"\di"]).contains("customers_pkey"));
    assert!(psql(&[r"\l"]).contains(" relcast "));
    assert!(psql(&[r"\du"]).contains("Superuser"));
    assert!(psql(&[r"\df abs"]).contains("abs"));
    for command in [r"\d", r"\dt", r"\dt+", r"\dv", r"\dn", r"\dn+", r"\df", r"\dT", r"\dx"] {
        assert!(!psql(&[command]).is_empty(), "{command}");
    }
    let file = served.shop.path().join("some.csv");
    psql(&[&format!(
        r"\copy (SELECT name FROM customers ORDER BY customer_id LIMIT 2) TO '{}' csv",
        file.display()
    )]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "Customer 1\nCustomer 2\n");
}

#[test]
fn psycopg_trains_predicts_writes_copies_and_cancels() {
    let Some(mut python) = python("psycopg") else { return };
    run(python.arg(script("psycopg_client.py")));
}

#[test]
fn sqlalchemy_and_pandas_read_predictions_and_the_catalog() {
    let Some(mut python) = python("psycopg, sqlalchemy, pandas") else { return };
    run(python.arg(script("sqlalchemy_pandas.py")));
}

#[test]
fn node_postgres_trains_predicts_writes_and_cancels() {
    let mut node = Command::new("node");
    // The driver writes a Date as the clock of its own time zone shows it.
    node.env("NODE_PATH", installed().join("node/node_modules")).env("TZ", "UTC");
    let mut asks = Command::new("node");
    asks.env("NODE_PATH", installed().join("node/node_modules"));
    if !works(asks.args(["-e", "require('pg')"])) {
        eprintln!("not run: there is no Node with pg");
        return;
    }
    run(node.arg(script("node_pg.js")));
}

#[test]
fn jdbc_trains_predicts_writes_reads_the_catalog_and_cancels() {
    let Some(mut java) = java() else { return };
    run(java.arg(script("JdbcClient.java")));
}

#[test]
fn dbeaver_gets_an_answer_to_all_that_it_asks_on_opening() {
    let Some(mut java) = java() else { return };
    run(java.arg(script("SqlList.java")).arg(script("dbeaver.sql")));
}
