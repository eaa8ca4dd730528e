//! Models of labels that a SELECT yields: the same as those of a query that means the same.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::session::Asked;
use relcast_catalog::format_time;
use relcast_query::{LabelPlan, bind, parse};
use relcast_testkit::{GeneratedDatabase, Permute, warehouse_churn};
use tempfile::TempDir;

struct Shop {
    database: GeneratedDatabase,
    source: PathBuf,
    directory: TempDir,
}

fn shop() -> Shop {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("shop");
    let database = warehouse_churn(&source, 2, Permute::No).unwrap();
    Shop { database, source, directory }
}

impl Shop {
    async fn ask(&self) -> Asked {
        Asked::open(&self.source, &self.home()).await
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// The query's options with more of them.
    fn options(&self, more: &str) -> String {
        let query = self.database.query_with_splits();
        let options = query.split_once("WITH (").unwrap().1.trim_end_matches(')');
        format!("WITH ({options}, {more})")
    }
}

/// Labels of churn at every cutoff of the query, as a SELECT.
async fn churn(shop: &Shop, asked: &Asked, label: &str) -> String {
    let engine = asked.session.engine();
    let schema = &engine.catalog.schema;
    let query = parse(&shop.database.query_with_splits()).unwrap();
    let plan = LabelPlan::from_query(&bind(&query, schema).unwrap(), schema).unwrap();
    let cutoffs = plan.cutoffs(&engine.database.context, schema).await.unwrap().all();
    let cutoffs: Vec<String> = cutoffs.iter().map(|c| format!("('{}')", format_time(*c))).collect();
    format!(
        "SELECT t.cutoff, c.customer_id, {label}
         FROM (SELECT CAST(v AS TIMESTAMP) AS cutoff FROM (VALUES {}) AS x(v)) AS t
         JOIN customers AS c ON c.signed_up_at <= t.cutoff
         LEFT JOIN orders AS o ON o.customer_id = c.customer_id AND o.ordered_at > t.cutoff
             AND o.ordered_at <= t.cutoff + INTERVAL '30 days'
         GROUP BY t.cutoff, c.customer_id",
        cutoffs.join(", ")
    )
}

const FITTED: &str = "epochs = 2, max_train_rows = 2000";

#[tokio::test]
async fn a_select_that_restates_a_query_has_its_labels_and_its_figures() {
    let shop = shop();
    let asked = shop.ask().await;
    let (query, options) = (shop.database.query, shop.options(FITTED));
    asked.run(&format!("CREATE MODEL q AS {query} {options}")).await;
    let select = churn(&shop, &asked, "COUNT(o.order_id) = 0 AS label").await;
    let options = shop.options(&format!("horizon = '30 days', {FITTED}"));
    asked.run(&format!("CREATE MODEL s FOR customers.customer_id AS ({select}) {options}")).await;
    for property in ["label_rows", "task_type", "horizon"] {
        assert_eq!(asked.property("s", property).await, asked.property("q", property).await);
    }
    let (of_query, of_select) = (asked.auroc("q").await, asked.auroc("s").await);
    assert!((of_query - of_select).abs() < 0.03, "{of_query} and {of_select}");
    for model in ["q", "s"] {
        let all = format!("SELECT count(*) FROM (PREDICT USING MODEL {model})");
        assert_eq!(asked.count(&all).await, 3000);
    }
    let origin = asked.property("s", "trained_from").await;
    assert!(origin.starts_with("FOR customers.customer_id AS (SELECT t.cutoff"), "{origin}");
    let error = asked.error("PREDICT USING MODEL s FOR EACH customers.customer_id WHERE age > 3");
    let error = error.await;
    assert!(error.contains("was trained from a SELECT: it takes no target"), "{error}");

    // Trained anew on the same rows it is the same model; another home folder knows nothing of it.
    asked.run("REFRESH MODEL s").await;
    let weights = async |version| {
        let engine = asked.session.engine();
        engine.stored("s", Some(version)).await.unwrap().weights.clone()
    };
    assert!(weights(1).await == weights(2).await, "trained anew, the weights differ");
}

#[tokio::test]
async fn a_row_without_weight_teaches_nothing() {
    let shop = shop();
    let asked = shop.ask().await;
    // Half of the customers' labels say the opposite up to validation.
    let lies = format!(
        "c.customer_id % 2 = 0 AND t.cutoff < CAST('{}' AS TIMESTAMP)",
        format_time(shop.database.val_timestamp)
    );
    let label = format!("(COUNT(o.order_id) = 0) <> ({lies}) AS label");
    let weighted = format!("{label}, CASE WHEN {lies} THEN 0 ELSE 1 END AS weight");
    let options = shop.options("horizon = '30 days', epochs = 4, max_train_rows = 6000");
    for (name, columns) in [("without", &label), ("weighted", &weighted)] {
        let select = churn(&shop, &asked, columns).await;
        let create =
            format!("CREATE MODEL {name} FOR customers.customer_id AS ({select}) {options}");
        asked.run(&create).await;
    }
    assert_eq!(
        asked.property("without", "label_rows").await,
        asked.property("weighted", "label_rows").await
    );
    let (without, weighted) = (asked.auroc("without").await, asked.auroc("weighted").await);
    assert!(weighted > without + 0.1, "{weighted} with weights, {without} without");
}

#[tokio::test]
async fn the_select_runs_again_when_its_model_is_trained_anew_and_by_other_processes() {
    let shop = shop();
    let asked = shop.ask().await;
    let select = churn(&shop, &asked, "COUNT(o.order_id) = 0 AS label").await;
    asked
        .run(&format!("CREATE TABLE marks AS SELECT * FROM ({select}) WHERE customer_id <= 300"))
        .await;
    let options = shop.options("horizon = '30 days', epochs = 1, max_train_rows = 500");
    let create = "CREATE MODEL m FOR customers.customer_id AS (SELECT * FROM marks)";
    asked.run(&format!("{create} {options}")).await;
    let before = asked.property("m", "label_rows").await;
    asked
        .run(&format!(
            "CREATE OR REPLACE TABLE marks AS SELECT * FROM ({select}) WHERE customer_id <= 600"
        ))
        .await;
    asked.run("REFRESH MODEL m").await;
    let after = asked.property("m", "label_rows").await;
    assert_ne!(before, after);
    drop(asked);
    let another = shop.ask().await;
    assert_eq!(another.count("SELECT count(*) FROM (PREDICT USING MODEL m)").await, 3000);
    another.run("EVALUATE MODEL m").await;
    another.run("DROP TABLE marks").await;
    let error = another.error("REFRESH MODEL m").await;
    assert!(error.contains("marks"), "{error}");
    assert_eq!(another.property("m", "version").await, "2");
    check_nothing_half_written(&shop.home());
}

fn check_nothing_half_written(home: &Path) {
    for folder in ["graph", "artifacts/m"] {
        for entry in std::fs::read_dir(home.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            assert!(!name.starts_with(".unfinished-"), "{folder}/{name}");
        }
    }
}
