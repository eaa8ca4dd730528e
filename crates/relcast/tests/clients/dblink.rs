//! From inside Postgres: the functions of `postgres/` over dblink.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::common::cluster::Cluster;
use super::common::served::Served;
use super::common::{QUERY, shop};

const USERS: &str =
    "ana: { password: anas secret, role: writer }\nrob: { password: robs, role: reader }\n";

/// The columns of a prediction of churn.
const SHAPE: &str = "AS t(customer_id bigint, cutoff timestamp, prediction boolean, \
     probability double precision, in_sample boolean, data_until timestamp)";

fn of_project(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../postgres").join(file)
}

/// A server with users, and a Postgres that knows it: `postgres` asks as a writer, `app` as a reader.
fn connected() -> Option<(Served, Cluster)> {
    let cluster = Cluster::start()?;
    let dblink = "SELECT count(*) FROM pg_available_extensions WHERE name = 'dblink'";
    if cluster.sql("postgres", dblink).unwrap() == "0" {
        eprintln!("not run: this machine's Postgres has no dblink");
        return None;
    }
    let shop = shop();
    std::fs::write(shop.path().join("users.yaml"), USERS).unwrap();
    let served = Served::over(shop, &["--users", "users.yaml"]);
    // By hand, and once more over itself.
    cluster.file("postgres", &of_project("relcast--0.1.sql")).unwrap();
    cluster.file("postgres", &of_project("relcast--0.1.sql")).unwrap();
    let unknown = cluster.sql("postgres", "SELECT * FROM relcast.models()").unwrap_err();
    assert!(unknown.contains("CREATE SERVER relcast"), "{unknown}");
    let port = served.port;
    let set_up = format!(
        "CREATE SERVER relcast FOREIGN DATA WRAPPER dblink_fdw
             OPTIONS (host '127.0.0.1', port '{port}', dbname 'relcast');
         CREATE ROLE app LOGIN;
         GRANT USAGE ON SCHEMA relcast TO app;
         GRANT USAGE ON FOREIGN SERVER relcast TO app;
         CREATE USER MAPPING FOR postgres SERVER relcast OPTIONS (user 'ana', password 'anas secret');
         CREATE USER MAPPING FOR app SERVER relcast OPTIONS (user 'rob', password 'robs');"
    );
    cluster.sql("postgres", &set_up).unwrap();
    let train = format!(
        "SELECT count(*) > 0 FROM relcast.train('churn', $${QUERY} WITH (epochs = 1)$$) WHERE metric = 'auroc'"
    );
    assert_eq!(cluster.sql("postgres", &train).unwrap(), "t");
    Some((served, cluster))
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

#[test]
fn postgres_predicts_joins_and_lists_models() {
    let Some((_served, cluster)) = connected() else { return };
    let ask = |sql: &str| cluster.sql("postgres", sql).unwrap();
    assert_eq!(ask("SELECT model, version, is_default FROM relcast.models()"), "churn|1|t");

    let all = format!("relcast.predict($$PREDICT USING MODEL churn$$) {SHAPE}");
    let span = format!("SELECT count(*), min(customer_id), max(customer_id) FROM {all}");
    assert_eq!(ask(&span), "40|1|40");
    for cutoff in ["2021-03-31 00:00:00", "2021-09-30 12:00:00"] {
        let then = format!(
            "SELECT DISTINCT cutoff FROM relcast.predict($$PREDICT USING MODEL churn AS OF '{cutoff}';$$) {SHAPE}"
        );
        assert_eq!(ask(&then), cutoff);
    }
    let columns = ask("SELECT name, type FROM relcast.columns('PREDICT USING MODEL churn')");
    assert!(columns.starts_with("customer_id|bigint\ncutoff|timestamp without"), "{columns}");

    ask("CREATE TABLE vips AS SELECT 3::bigint AS customer_id");
    assert_eq!(ask(&format!("SELECT count(*) FROM {all} JOIN vips USING (customer_id)")), "1");

    let same = format!(
        "SELECT (relcast.predict_json('churn', customer_id) ->> 'probability')::float8 = probability,
                relcast.predict_json('churn', customer_id) = relcast.predict_json('churn', customer_id::text)
         FROM {all} WHERE customer_id = 7"
    );
    assert_eq!(ask(&same), "t|t");
    assert_eq!(ask("SELECT relcast.predict_json('churn', 999) IS NULL"), "t");
}

#[test]
fn an_error_of_the_server_arrives_with_its_code_and_hint() {
    let Some((_served, cluster)) = connected() else { return };
    let wrong = "SELECT * FROM relcast.predict('SELECT * FROM custmers') AS t(a bigint)";
    let error = cluster.sql("postgres", wrong).unwrap_err();
    assert!(error.contains("no table \"custmers\""), "{error}");
    assert!(error.contains("HINT:  did you mean \"customers\"?"), "{error}");
    let caught =
        "DO $$ BEGIN PERFORM * FROM relcast.predict('SELECT * FROM custmers') AS t(a bigint);
         EXCEPTION WHEN undefined_table THEN NULL; END $$";
    cluster.sql("postgres", caught).unwrap();

    let shape =
        "SELECT * FROM relcast.predict('SELECT customer_id FROM customers') AS t(a integer)";
    let error = cluster.sql("postgres", shape).unwrap_err();
    assert!(error.contains("HINT:  Write AS t(customer_id bigint)."), "{error}");
    let null = cluster.sql("postgres", "SELECT * FROM relcast.train(NULL, 'PREDICT')");
    assert!(null.unwrap_err().contains("cannot be NULL"));
}

#[test]
fn names_and_keys_are_values_whatever_stands_in_them() {
    let Some((_served, cluster)) = connected() else { return };
    let tricks = [
        "1'; DROP MODEL churn; --",
        "1' OR '1' = '1",
        "\\'; DROP MODEL churn; --",
        "$$; DROP MODEL churn; --",
        "7\"",
        "churn\"; DROP MODEL churn; --",
        "churn\" AS OF '2021-03-31",
        "x\" AS SELECT 1; DROP MODEL churn; --",
    ];
    for trick in tricks.map(text) {
        let as_key = format!("SELECT relcast.predict_json('churn', {trick})");
        let as_name = format!("SELECT relcast.predict_json({trick}, 7)");
        for sql in [as_key, as_name] {
            let answer = cluster.sql("postgres", &sql);
            assert!(
                answer.as_ref().is_err() || answer.as_ref().is_ok_and(String::is_empty),
                "{sql}: {answer:?}"
            );
        }
        // A name that can be none is refused; else it is the name of one more model.
        let _ = cluster.sql(
            "postgres",
            &format!("SELECT * FROM relcast.train({trick}, $q${QUERY} WITH (epochs = 1)$q$)"),
        );
        let there = "SELECT version FROM relcast.models() WHERE model = 'churn'";
        assert_eq!(cluster.sql("postgres", there).unwrap(), "1", "{trick}");
    }
}

#[test]
fn a_reader_predicts_and_trains_nothing_and_nobody_sees_a_password() {
    let Some((served, cluster)) = connected() else { return };
    let predict =
        format!("SELECT count(*) FROM relcast.predict($$PREDICT USING MODEL churn$$) {SHAPE}");
    assert_eq!(cluster.sql("app", &predict).unwrap(), "40");
    let train = format!("SELECT * FROM relcast.train('mine', $${QUERY}$$)");
    let refused = cluster.sql("app", &train).unwrap_err();
    assert!(refused.contains("may read and predict"), "{refused}");

    let told = "SELECT count(*) FROM pg_user_mappings WHERE umoptions::text LIKE '%anas secret%'";
    assert_eq!(cluster.sql("app", told).unwrap(), "0");
    assert_eq!(cluster.sql("postgres", told).unwrap(), "1");
    let written = "SELECT count(*) FROM pg_proc WHERE prosrc LIKE '%secret%'";
    assert_eq!(cluster.sql("postgres", written).unwrap(), "0");

    let long = format!(
        "SELECT * FROM relcast.train('long', $${QUERY} WITH (epochs = 10000, batch_size = 1)$$)"
    );
    std::thread::scope(|scope| {
        let training = scope.spawn(|| cluster.sql("postgres", &long));
        let running = "SELECT count(*), count(*) FILTER (WHERE query LIKE '%anas secret%')
             FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%epochs%'";
        let start = Instant::now();
        while cluster.sql("postgres", running).unwrap() != "1|0" {
            assert!(start.elapsed() < Duration::from_secs(30), "the training is not seen");
            std::thread::sleep(Duration::from_millis(50));
        }
        // Nothing waits for a server that is gone.
        drop(served);
        assert!(training.join().unwrap().is_err());
    });
}

#[test]
fn the_examples_run() {
    let Some((_served, cluster)) = connected() else { return };
    cluster.file("postgres", &of_project("examples.sql")).unwrap();
    let same = "SELECT t.churn = l.probability FROM tickets t JOIN leaving l USING (customer_id)";
    assert_eq!(cluster.sql("postgres", same).unwrap(), "t");
    let versions = "SELECT max(version) FROM relcast.models() WHERE model = 'churn'";
    assert_eq!(cluster.sql("postgres", versions).unwrap(), "2");
}
