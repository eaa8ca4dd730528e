//! A training that was killed goes on where it stopped, and ends as if nothing had happened.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use relcast_testkit::{GeneratedDatabase, Permute, warehouse_churn};

const EPOCHS: usize = 5;

fn train(database: &GeneratedDatabase, home: &Path, threads: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relcast"));
    command
        .args(["train", "--query", &database.query_with_splits(), "--model", "churn", "--db"])
        .arg(&database.dir)
        .arg("--home")
        .arg(home)
        .args([
            "--set",
            &format!("epochs={EPOCHS}"),
            "--set",
            "max_train_rows=3000",
            "--threads",
            threads,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn weights(home: &Path) -> Vec<u8> {
    let folder = home.join("artifacts/churn/1");
    let files = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    let is_weights = |f: &PathBuf| f.extension().is_some_and(|e| e == "safetensors");
    fs::read(files.into_iter().find(is_weights).unwrap()).unwrap()
}

/// The finished epochs of the checkpoint that a training has written so far.
fn epochs(home: &Path) -> usize {
    let Some(file) = checkpoint(home) else { return 0 };
    // It may be gone by now: a training that is done removes it.
    let text = fs::read_to_string(file).unwrap_or_default();
    text.matches("\"seeds_per_second\"").count()
}

fn checkpoint(home: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(home.join("artifacts/churn")).ok()?.map(|f| f.unwrap().path());
    files.into_iter().find(|f| {
        let name = f.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("checkpoint-") && name.ends_with(".json")
    })
}

/// Trains until the checkpoint of an epoch is there, and kills.
fn kill_after(database: &GeneratedDatabase, home: &Path, epoch: usize) {
    let mut child = train(database, home, "1").spawn().unwrap();
    let started = Instant::now();
    while epochs(home) < epoch {
        assert!(started.elapsed() < Duration::from_secs(300), "no checkpoint was written");
        assert!(child.try_wait().unwrap().is_none(), "training ended before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    // SIGKILL: nothing is cleaned up.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!home.join("artifacts/churn/1").exists(), "killed too late");
}

#[test]
fn a_killed_training_resumes_to_the_same_weights_on_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let database = warehouse_churn(&directory.path().join("shop"), 3, Permute::No).unwrap();
    let whole = directory.path().join("whole");
    assert!(train(&database, &whole, "2").status().unwrap().success());

    // One is killed after its first epoch and again later, one after its last, before it is judged
    // and registered.
    for (name, kills) in [("early", &[1, 3][..]), ("late", &[EPOCHS])] {
        let broken = directory.path().join(name);
        for epoch in kills {
            kill_after(&database, &broken, *epoch);
        }
        // A checkpoint of another plan, begun under the same name and given up.
        let other = broken.join("artifacts/churn/checkpoint-0123.json");
        fs::write(&other, "{}").unwrap();
        assert!(train(&database, &broken, "2").status().unwrap().success());
        assert!(weights(&whole) == weights(&broken), "the resumed weights differ");
        assert!(checkpoint(&broken).is_none(), "a checkpoint was left behind");
    }
}
