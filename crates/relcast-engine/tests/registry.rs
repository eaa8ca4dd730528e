//! What the registry promises: versions whole or not at all, one writer, nothing left behind.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use relcast_engine::{Artefact, EngineError, Home, NewVersion, Origin, Registry, RunKind};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

fn artefact(weight: u8) -> Artefact {
    Artefact { weights: vec![weight; 8], documents: BTreeMap::from([("a".into(), json!(1))]) }
}

fn version() -> NewVersion {
    NewVersion {
        origin: Origin::Query("PREDICT COUNT(orders.*, 0, 30) = 0 FOR EACH c.id".to_owned()),
        schema_fingerprint: "s".to_owned(),
        data_fingerprint: "d".to_owned(),
        data_until: 1_700_000_000_000_000,
        seed: u64::MAX - 1,
        options: json!({"layers": 2}),
        metrics: json!({"test": {"auroc": 0.1, "f1": null}}),
    }
}

async fn open(path: &Path) -> Registry {
    Registry::open(&Home::open(path).unwrap()).await.unwrap()
}

async fn publish(registry: &Registry, model: &str, weight: u8) -> Result<i64, EngineError> {
    let lock = registry.home().lock_model(model, Duration::ZERO)?;
    let published = registry.publish(&lock, &version(), |_| Ok(artefact(weight))).await?;
    Ok(published.version)
}

async fn run_sql(registry: &Registry, sql: &'static str) {
    let url = format!("sqlite://{}", registry.home().registry_file().display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn files_below(path: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        files.push(path.display().to_string());
        files.extend(files_below(&path));
    }
    files
}

#[tokio::test]
async fn a_version_is_read_back_as_it_was_published() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    assert_eq!(publish(&registry, "churn", 1).await.unwrap(), 1);
    let found = open(directory.path()).await.find_version("churn", None).await.unwrap();
    let new = version();
    assert_eq!((found.model.as_str(), found.version, found.is_default), ("churn", 1, true));
    assert_eq!((&found.origin, found.seed), (&new.origin, new.seed));
    assert_eq!(found.data_until, Some(new.data_until));
    assert_eq!(found.code_version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!((&found.options, &found.metrics), (&new.options, &new.metrics));
    assert_eq!(found.artefact, directory.path().join("artifacts/churn/1"));
    assert!(found.created_at > 1_600_000_000_000_000);
    assert_eq!(registry.load_artefact(&found).unwrap(), artefact(1));
}

#[tokio::test]
async fn a_version_of_an_older_relcast_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    publish(&registry, "churn", 1).await.unwrap();
    run_sql(&registry, "UPDATE versions SET data_until = NULL, code_version = NULL").await;
    let found = registry.find_version("churn", None).await.unwrap();
    assert_eq!((found.data_until, found.code_version), (None, None));
}

#[tokio::test]
async fn the_newest_version_is_the_default_until_one_is_chosen() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    for n in 1..=3 {
        publish(&registry, "churn", n).await.unwrap();
    }
    assert_eq!(registry.find_version("churn", None).await.unwrap().version, 3);
    registry.set_default_version("churn", 1).await.unwrap();
    assert_eq!(registry.find_version("churn", None).await.unwrap().version, 1);
    let error = registry.set_default_version("churn", 9).await.unwrap_err();
    assert_eq!(error.to_string(), "model \"churn\" has no version 9; it has 1, 2, 3");
}

#[tokio::test]
async fn of_models_with_a_prefix_the_newest_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    for model in ["_quick.a.1", "_quick.a.2", "_quick.a.3", "_quick.a.4", "_quick.b.1", "churn"] {
        publish(&registry, model, 1).await.unwrap();
    }
    let writing = registry.home().lock_model("_quick.a.1", Duration::ZERO).unwrap();
    registry.keep_newest("_quick.a.", 2).await.unwrap();
    let names = async || -> Vec<String> {
        registry.versions().await.unwrap().into_iter().map(|version| version.model).collect()
    };
    let left = ["_quick.a.1", "_quick.a.3", "_quick.a.4", "_quick.b.1", "churn"];
    assert_eq!(names().await, left);
    assert!(!directory.path().join("artifacts/_quick.a.2").exists());
    drop(writing);
    registry.keep_newest("_quick.a.", 2).await.unwrap();
    assert_eq!(names().await, left[1..]);
}

#[tokio::test]
async fn an_unknown_model_names_the_nearest() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    publish(&registry, "churn", 1).await.unwrap();
    let error = registry.find_version("chrun", None).await.unwrap_err();
    assert_eq!(error.to_string(), "no model \"chrun\"; did you mean \"churn\"?");
    let error = registry.find_version("completely-other", None).await.unwrap_err();
    assert_eq!(error.to_string(), "no model \"completely-other\"");
}

#[tokio::test]
async fn dropping_removes_rows_and_folders_and_never_reuses_a_number() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    for n in 1..=3 {
        publish(&registry, "churn", n).await.unwrap();
    }
    registry.set_default_version("churn", 3).await.unwrap();
    let lock = registry.home().lock_model("churn", Duration::ZERO).unwrap();
    let dropped = registry.drop_versions(&lock, Some(3)).await.unwrap();
    assert_eq!(dropped.len(), 1);
    assert!(!dropped[0].artefact.exists());
    assert_eq!(registry.find_version("churn", None).await.unwrap().version, 2);
    assert!(registry.drop_versions(&lock, Some(3)).await.is_err());
    drop(lock);
    assert_eq!(publish(&registry, "churn", 4).await.unwrap(), 4);

    let lock = registry.home().lock_model("churn", Duration::ZERO).unwrap();
    assert_eq!(registry.drop_versions(&lock, None).await.unwrap().len(), 3);
    assert!(registry.versions().await.unwrap().is_empty());
    assert!(files_below(&directory.path().join("artifacts")).is_empty());
    let error = registry.drop_versions(&lock, None).await.unwrap_err();
    assert!(matches!(error, EngineError::NoModel { .. }));
}

#[tokio::test]
async fn a_failed_transaction_leaves_no_row_and_no_folder() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    let sql = "CREATE TRIGGER refuse BEFORE INSERT ON versions
               BEGIN SELECT RAISE(ABORT, 'refused by a test'); END";
    run_sql(&registry, sql).await;
    let error = publish(&registry, "churn", 1).await.unwrap_err();
    assert!(error.to_string().contains("refused by a test"), "{error}");
    assert!(registry.versions().await.unwrap().is_empty());
    assert!(!directory.path().join("artifacts/churn/1").exists());
    run_sql(&registry, "DROP TRIGGER refuse").await;
    assert_eq!(publish(&registry, "churn", 1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_folder_left_by_a_killed_process_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    artefact(9).save(&directory.path().join("artifacts/churn/1")).unwrap();
    publish(&registry, "churn", 1).await.unwrap();
    let found = registry.find_version("churn", Some(1)).await.unwrap();
    assert_eq!(registry.load_artefact(&found).unwrap(), artefact(1));
}

#[tokio::test]
async fn folders_that_no_row_names_go_when_the_registry_is_next_opened() {
    let directory = tempfile::tempdir().unwrap();
    let folder = |name: &str| directory.path().join("artifacts").join(name);
    // All there is beside an empty registry may belong to one that was lost.
    artefact(9).save(&folder("churn/1")).unwrap();
    let registry = open(directory.path()).await;
    drop(open(directory.path()).await);
    assert!(folder("churn/1").exists());

    publish(&registry, "churn", 1).await.unwrap();
    let leave = || {
        artefact(9).save(&folder("churn/2")).unwrap();
        artefact(9).save(&folder("dropped/1")).unwrap();
        std::fs::write(folder("churn/checkpoint-a.json"), "to go on from").unwrap();
    };
    leave();
    // Another process is between the folder and its row.
    let lock = registry.home().lock_model("churn", Duration::ZERO).unwrap();
    drop(open(directory.path()).await);
    assert!(folder("churn/2").exists() && !folder("dropped/1").exists());
    drop(lock);
    drop(open(directory.path()).await);
    assert!(!folder("churn/2").exists() && folder("churn/checkpoint-a.json").exists());
    let found = registry.find_version("churn", Some(1)).await.unwrap();
    assert_eq!(registry.load_artefact(&found).unwrap(), artefact(1));
}

#[tokio::test]
async fn another_models_artefact_in_its_place_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    publish(&registry, "churn", 1).await.unwrap();
    let found = registry.find_version("churn", None).await.unwrap();
    artefact(2).save(&found.artefact).unwrap();
    let error = registry.load_artefact(&found).unwrap_err();
    assert!(error.to_string().contains("but the registry has"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_open_a_new_registry_and_publish_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let path = directory.path().to_owned();
            tokio::spawn(async move { publish(&open(&path).await, &format!("m{n}"), n).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 1);
    }
    assert_eq!(open(directory.path()).await.versions().await.unwrap().len(), 8);
}

#[tokio::test]
async fn runs_say_how_they_ended_and_outlive_the_model() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    let killed = registry.start_run(RunKind::Train, "churn").await.unwrap();
    let failed = registry.start_run(RunKind::Train, "churn").await.unwrap();
    registry.finish_run(failed, Err("no rows")).await.unwrap();
    let done = registry.start_run(RunKind::Predict, "churn").await.unwrap();
    registry.finish_run(done, Ok(3)).await.unwrap();
    let runs = registry.runs("churn").await.unwrap();
    let told: Vec<_> =
        runs.iter().map(|r| (r.run_id, r.status.as_str(), r.version, r.error.as_deref())).collect();
    let expected = [
        (killed, "interrupted", None, None),
        (failed, "failed", None, Some("no rows")),
        (done, "done", Some(3), None),
    ];
    assert_eq!(told, expected);
    assert!(registry.versions().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_whose_process_ended_is_marked_as_interrupted_and_one_that_goes_on_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let going_on = open(directory.path()).await;
    let killed = open(directory.path()).await;
    let kinds = [RunKind::Train, RunKind::Evaluate, RunKind::Predict];
    let mut expected = Vec::new();
    for kind in kinds {
        expected.push((killed.start_run(kind, "churn").await.unwrap(), "interrupted"));
        expected.push((going_on.start_run(kind, "other").await.unwrap(), "running"));
    }
    // All that is left of a killed process is its rows: the locks go with it.
    drop(killed);
    let opened = open(directory.path()).await;
    for (run, status) in &expected {
        let runs = [opened.runs("churn").await.unwrap(), opened.runs("other").await.unwrap()];
        let found = runs.concat().into_iter().find(|r| r.run_id == *run).unwrap();
        assert_eq!(found.status, *status, "{run:?}");
    }
    for (run, _) in expected.iter().filter(|(_, status)| *status == "running") {
        going_on.finish_run(*run, Ok(1)).await.unwrap();
    }
    drop(going_on);
    let runs = open(directory.path()).await.runs("other").await.unwrap();
    assert!(runs.iter().all(|run| run.status == "done"));
    let locks = files_below(&directory.path().join("locks"));
    assert!(!locks.iter().any(|file| file.contains("run ")), "{locks:?}");
}

#[tokio::test]
async fn a_file_that_is_no_registry_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::open(directory.path()).unwrap();
    std::fs::write(home.registry_file(), "this is not SQLite, whatever its name".repeat(200))
        .unwrap();
    let error = Registry::open(&home).await.unwrap_err();
    assert!(error.to_string().contains("registry.db: "), "{error}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_registry_of_a_newer_relcast_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let registry = open(directory.path()).await;
    let sql = "INSERT INTO _sqlx_migrations VALUES
               (9999, 'later', CURRENT_TIMESTAMP, TRUE, x'00', 0)";
    run_sql(&registry, sql).await;
    let error = Registry::open(registry.home()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("newer relcast"), "{error}");
}
