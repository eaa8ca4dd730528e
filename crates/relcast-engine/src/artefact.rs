//! A trained model on disk: weights, JSON documents and a checksum over all of them.
//!
//! Owns the folder's format. Promises that a folder is written whole or not at all, and that
//! what is loaded is byte for byte what was saved.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::EngineError;

const WEIGHTS_FILE: &str = "weights.safetensors";
const CHECKSUM_FILE: &str = "checksum.json";
const ALGORITHM: &str = "xxh3-128";

/// What a model needs to be used on its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Artefact {
    /// The weights in the safetensors format.
    pub weights: Vec<u8>,
    /// Everything else, by name; `"query"` is stored as `query.json`.
    pub documents: BTreeMap<String, Value>,
}

/// The content of `checksum.json`.
#[derive(Debug, Deserialize)]
struct Checksums {
    algorithm: String,
    files: BTreeMap<String, String>,
    all: String,
}

impl Artefact {
    /// Writes the artefact as the folder `directory` and returns the checksum over all its files.
    ///
    /// The files are written to a folder beside it, which is then renamed: `directory` is never
    /// seen half-written. A folder that is already there is replaced.
    ///
    /// # Errors
    /// [`EngineError::File`] if a file cannot be written, [`EngineError::DocumentName`] for a
    /// document whose name is no plain file name.
    pub fn save(&self, directory: &Path) -> Result<String, EngineError> {
        let files = self.files()?;
        let parent = directory.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(EngineError::file("create", parent))?;
        let unfinished = tempfile::Builder::new()
            .prefix(".unfinished-")
            .tempdir_in(parent)
            .map_err(EngineError::file("write to", parent))?;
        let checksums = Checksums::of(&files);
        for (name, bytes) in &files {
            write_file(&unfinished.path().join(name), bytes)?;
        }
        let listed = json!({
            "algorithm": checksums.algorithm,
            "files": checksums.files,
            "all": checksums.all,
        });
        write_file(&unfinished.path().join(CHECKSUM_FILE), &json_bytes(&listed))?;
        replace_folder(unfinished, directory)?;
        Ok(checksums.all)
    }

    /// Reads the artefact in `directory` and returns it with its checksum.
    ///
    /// # Errors
    /// [`EngineError::Corrupt`] naming the file that is missing, unknown or not what was saved.
    pub fn load(directory: &Path) -> Result<(Self, String), EngineError> {
        let checksums = Checksums::read(&directory.join(CHECKSUM_FILE))?;
        refuse_unknown_files(directory, &checksums)?;
        let mut artefact = Self::default();
        for (name, expected) in &checksums.files {
            let path = directory.join(name);
            let bytes = read_file(&path)?;
            if hash_text(&bytes) != *expected {
                return Err(corrupt(&path, "its content is not what was saved"));
            }
            match name.strip_suffix(".json") {
                Some(document) => {
                    let value = serde_json::from_slice(&bytes)
                        .map_err(|error| corrupt(&path, &format!("not JSON: {error}")))?;
                    artefact.documents.insert(document.to_owned(), value);
                }
                None => artefact.weights = bytes,
            }
        }
        Ok((artefact, checksums.all))
    }

    /// The checksum over all files.
    ///
    /// # Errors
    /// [`EngineError::DocumentName`] for a document whose name is no plain file name.
    pub fn checksum(&self) -> Result<String, EngineError> {
        Ok(Checksums::of(&self.files()?).all)
    }

    /// The files by name, in the order of their names.
    fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, EngineError> {
        let mut files = BTreeMap::from([(WEIGHTS_FILE.to_owned(), self.weights.clone())]);
        for (name, document) in &self.documents {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if name.is_empty() || name == "checksum" || !name.chars().all(plain) {
                return Err(EngineError::DocumentName { name: name.clone() });
            }
            files.insert(format!("{name}.json"), json_bytes(document));
        }
        Ok(files)
    }
}

impl Checksums {
    fn of(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let files = files.iter().map(|(name, bytes)| (name.clone(), hash_text(bytes))).collect();
        let all = hash_of_hashes(&files);
        Self { algorithm: ALGORITHM.to_owned(), files, all }
    }

    fn read(path: &Path) -> Result<Self, EngineError> {
        let checksums: Self = serde_json::from_slice(&read_file(path)?)
            .map_err(|error| corrupt(path, &format!("not a list of checksums: {error}")))?;
        if checksums.algorithm != ALGORITHM {
            let message = format!("unknown algorithm \"{}\"", checksums.algorithm);
            return Err(corrupt(path, &message));
        }
        if !checksums.files.contains_key(WEIGHTS_FILE) {
            return Err(corrupt(path, "it does not list the weights"));
        }
        if hash_of_hashes(&checksums.files) != checksums.all {
            return Err(corrupt(path, "its content is not what was saved"));
        }
        Ok(checksums)
    }
}

/// One hash over the names and hashes of all files.
fn hash_of_hashes(files: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = files.iter().map(|(name, hash)| format!("{name} {hash}\n")).collect();
    hash_text(lines.concat().as_bytes())
}

fn hash_text(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

fn json_bytes(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    File::create(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(EngineError::file("write", path))
}

/// Renames the folder `from` to `to`; a folder at `to` gives way.
fn replace_folder(from: tempfile::TempDir, to: &Path) -> Result<(), EngineError> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(EngineError::file("replace", to))?;
    }
    fs::rename(from.path(), to).map_err(EngineError::file("write", to))?;
    // Under its new name the folder is no longer a temporary one.
    let _renamed = from.keep();
    Ok(())
}

fn refuse_unknown_files(directory: &Path, checksums: &Checksums) -> Result<(), EngineError> {
    let unreadable = || EngineError::file("read", directory);
    for entry in fs::read_dir(directory).map_err(unreadable())? {
        let path = entry.map_err(unreadable())?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let known = name.is_some_and(|n| n == CHECKSUM_FILE || checksums.files.contains_key(&n));
        if !known {
            return Err(corrupt(&path, "this file was not saved with the model"));
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<Vec<u8>, EngineError> {
    fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => corrupt(path, "the file is missing"),
        _ => EngineError::file("read", path)(source),
    })
}

fn corrupt(path: &Path, message: &str) -> EngineError {
    EngineError::Corrupt { path: path.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample() -> Artefact {
        Artefact {
            weights: vec![1, 2, 3, 250],
            documents: BTreeMap::from([
                ("query".to_owned(), json!("PREDICT 1")),
                ("encoders".to_owned(), json!({"mean": 0.1, "std": [1e-300, null]})),
            ]),
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("churn/1");
        let checksum = sample().save(&folder).unwrap();
        assert_eq!(Artefact::load(&folder).unwrap(), (sample(), checksum.clone()));
        assert_eq!(checksum.len(), 32);
        let expected = ["checksum.json", "encoders.json", "query.json", "weights.safetensors"];
        assert_eq!(names(&folder), expected);
        assert_eq!(names(&directory.path().join("churn")), ["1"]);
    }

    #[test]
    fn saving_again_replaces_the_folder_whole() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("1");
        sample().save(&folder).unwrap();
        let other = Artefact { weights: vec![9], documents: BTreeMap::new() };
        let checksum = other.save(&folder).unwrap();
        assert_eq!(Artefact::load(&folder).unwrap(), (other, checksum));
    }

    #[test]
    fn equal_artefacts_have_equal_checksums_and_others_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let first = sample().save(&directory.path().join("1")).unwrap();
        assert_eq!(sample().save(&directory.path().join("2")).unwrap(), first);
        let mut changed = sample();
        changed.documents.insert("query".to_owned(), json!("PREDICT 2"));
        assert_ne!(changed.save(&directory.path().join("3")).unwrap(), first);
    }

    #[test]
    fn a_change_in_any_file_is_found_and_the_file_named() {
        for file in ["weights.safetensors", "query.json", "encoders.json", "checksum.json"] {
            let directory = tempfile::tempdir().unwrap();
            let folder = directory.path().join("1");
            sample().save(&folder).unwrap();
            let mut bytes = fs::read(folder.join(file)).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(folder.join(file), bytes).unwrap();
            let error = Artefact::load(&folder).unwrap_err();
            assert!(
                matches!(&error, EngineError::Corrupt { path, .. } if path.ends_with(file)),
                "{error}"
            );
        }
    }

    #[test]
    fn a_missing_truncated_or_added_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("1");
        let load_after = |change: &dyn Fn()| {
            sample().save(&folder).unwrap();
            change();
            Artefact::load(&folder).unwrap_err().to_string()
        };
        let missing = load_after(&|| fs::remove_file(folder.join("query.json")).unwrap());
        assert!(missing.ends_with("query.json: the file is missing"), "{missing}");
        let truncated = load_after(&|| fs::write(folder.join("weights.safetensors"), [1]).unwrap());
        assert!(truncated.ends_with("weights.safetensors: its content is not what was saved"));
        let added = load_after(&|| fs::write(folder.join("x.json"), "{}").unwrap());
        assert!(added.ends_with("x.json: this file was not saved with the model"), "{added}");
        let gone = load_after(&|| fs::remove_dir_all(&folder).unwrap());
        assert!(gone.ends_with("checksum.json: the file is missing"), "{gone}");
    }

    #[test]
    fn a_document_cannot_leave_the_folder_or_pose_as_the_checksum() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["../x", "", "checksum", "a.b"] {
            let mut artefact = sample();
            artefact.documents.insert(name.to_owned(), json!(1));
            let error = artefact.save(&directory.path().join("1")).unwrap_err();
            assert!(matches!(error, EngineError::DocumentName { .. }), "{name}");
        }
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn a_failed_save_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("1");
        fs::write(&blocked, "a file where the folder should go").unwrap();
        sample().save(&blocked).unwrap_err();
        assert_eq!(names(directory.path()), ["1"]);
        assert_eq!(fs::read_to_string(&blocked).unwrap(), "a file where the folder should go");
    }
}
