//! Every input of the corpora, replayed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use relcast_fuzz::{Wire, statement};

/// Machines that test are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The inputs of a target, by name.
fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_text_keeps_what_is_promised() {
    for (path, input) in inputs("statement") {
        println!("{}", path.display());
        statement(&input);
    }
}

#[test]
fn every_client_is_answered_or_refused() {
    let wire = Wire::open();
    for (path, mut input) in inputs("wire") {
        println!("{}", path.display());
        // With a password asked for and without.
        for _ in 0..2 {
            wire.give(&input, PATIENCE);
            input[0] ^= 1;
        }
    }
}

#[test]
fn the_corpora_are_there_and_small() {
    for target in ["statement", "wire"] {
        let inputs = inputs(target);
        let size: usize = inputs.iter().map(|(_, input)| input.len()).sum();
        assert!(inputs.len() >= 20 && size < 50_000, "{target}: {} of {size} bytes", inputs.len());
    }
}
