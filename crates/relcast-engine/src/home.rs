//! The home folder: where the registry, artefacts, graphs and created tables live.
//!
//! Owns the folder's layout and the lock that lets one process at a time write a model.
//! Promises that an opened home can be written to, and that a lock never outlives its process.

use std::cmp::Reverse;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use relcast_graph::{META, Stop};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::EngineError;

/// How often a waiting writer looks whether the lock is free.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// What is being written is called so until it is whole.
const UNFINISHED: &str = ".unfinished-";
/// A table's file is called so until it is whole.
const UNFINISHED_TABLE: &str = ".relcast-";
/// The first letters of a checkpoint's name.
const CHECKPOINT: &str = "checkpoint-";
/// How many graphs are kept.
const KEPT_GRAPHS: usize = 32;

/// A home folder that exists and can be written to.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// Opens the home folder at `path`, creating it and its parts where they are missing, and
    /// removes what killed processes left half-written.
    ///
    /// # Errors
    /// [`EngineError::Home`] if the folder cannot be created or a file cannot be written in it.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let home = Self { path: path.to_owned() };
        home.create_parts()
            .map_err(|source| EngineError::Home { path: path.to_owned(), source })?;
        home.sweep();
        Ok(home)
    }

    fn create_parts(&self) -> std::io::Result<()> {
        for part in [self.artefacts(), self.path.join("graph"), self.tables(), self.locks()] {
            fs::create_dir_all(part)?;
        }
        let mut probe = tempfile::Builder::new().prefix(".probe").tempfile_in(&self.path)?;
        probe.write_all(b"relcast")?;
        probe.close()
    }

    /// Removes unfinished graphs, tables and artefacts that no live process is writing.
    fn sweep(&self) {
        let graphs = named(&self.path.join("graph"), UNFINISHED);
        sweep_unless_locked(&graphs, &self.graph_lock());
        let databases = entries(&self.tables());
        let tables: Vec<PathBuf> =
            databases.iter().flat_map(|folder| named(folder, UNFINISHED_TABLE)).collect();
        sweep_unless_locked(&tables, &self.tables_lock());
        for model in entries(&self.artefacts()) {
            let left = named(&model, UNFINISHED);
            let name = model.file_name().unwrap_or_default().to_string_lossy();
            if !left.is_empty() && self.lock_model(&name, Duration::ZERO).is_ok() {
                left.iter().for_each(|path| remove(path));
            }
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The registry's file.
    #[must_use]
    pub fn registry_file(&self) -> PathBuf {
        self.path.join("registry.db")
    }

    /// The folder with one folder per model.
    #[must_use]
    pub fn artefacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }

    /// The folder of the graph snapshot with this fingerprint; it may not exist yet.
    #[must_use]
    pub fn graph(&self, fingerprint: &str) -> PathBuf {
        self.path.join("graph").join(fingerprint)
    }

    /// Notes that a graph is in use, and removes those beyond [`KEPT_GRAPHS`] that were not used for
    /// longest and that nobody has open: each query and moment has one of its own.
    pub(crate) fn graph_used(&self, directory: &Path) {
        let noted = File::open(directory).and_then(|folder| folder.set_modified(SystemTime::now()));
        if let Err(error) = noted {
            tracing::debug!("cannot note that {} is in use: {error}", directory.display());
        }
        let used = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
        let mut graphs = entries(&self.path.join("graph"));
        graphs.retain(|path| path != directory && !starts_with(path, UNFINISHED));
        graphs.sort_by_cached_key(|path| Reverse(used(path)));
        let beyond = graphs.into_iter().skip(KEPT_GRAPHS - 1);
        let closed: Vec<PathBuf> = beyond.filter(|graph| !is_open(graph)).collect();
        sweep_unless_locked(&closed, &self.graph_lock());
    }

    /// The file that the process of a run holds locked.
    pub(crate) fn run_lock(&self, run: i64) -> PathBuf {
        self.locks().join(format!("run {run}"))
    }

    fn graph_lock(&self) -> PathBuf {
        self.locks().join("all graphs")
    }

    fn tables_lock(&self) -> PathBuf {
        self.locks().join("all tables")
    }

    /// Says, until it is dropped, that this process may be writing graphs.
    pub(crate) async fn writing_graphs(&self) -> Result<File, EngineError> {
        lock(&self.graph_lock(), File::lock_shared).await
    }

    /// Says, until it is dropped, that this process may be writing tables that SQL created.
    pub(crate) async fn writing_tables(&self) -> Result<File, EngineError> {
        lock(&self.tables_lock(), File::lock_shared).await
    }

    /// Until it is dropped, nobody else writes the table in the file at `path`.
    pub(crate) async fn lock_table(&self, path: &Path) -> Result<File, EngineError> {
        let name = format!("table {:016x}.lock", xxh3_64(path.as_os_str().as_encoded_bytes()));
        lock(&self.locks().join(name), File::lock).await
    }

    /// Where the checkpoint of a training of `model` lies; its folder is made.
    pub(crate) fn checkpoint(&self, model: &str, plan: &str) -> Result<PathBuf, EngineError> {
        let folder = self.artefacts().join(model);
        fs::create_dir_all(&folder).map_err(EngineError::file("create", &folder))?;
        Ok(folder.join(format!("{CHECKPOINT}{plan}.json")))
    }

    /// Removes every checkpoint of the lock's model: that of a training which is done, and those
    /// of others that were begun and given up. One that stays is of no harm, so it is only told.
    pub(crate) fn drop_checkpoints(&self, lock: &ModelLock) {
        let folder = self.artefacts().join(lock.model());
        named(&folder, CHECKPOINT).iter().for_each(|path| remove(path));
        // The folder of a model with a version, or with something unfinished, is not empty and stays.
        let _ = fs::remove_dir(folder);
    }

    /// The folder of tables that SQL created.
    #[must_use]
    pub fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }

    fn locks(&self) -> PathBuf {
        self.path.join("locks")
    }

    /// Takes the lock of `model`, waiting up to `patience` for a process that holds it.
    ///
    /// Blocks the calling thread while it waits. The operating system frees the lock when the
    /// process ends, however it ends.
    ///
    /// # Errors
    /// [`EngineError::Locked`] if the lock is still held by then, [`EngineError::ModelName`] for a
    /// name that no model can have.
    pub fn lock_model(&self, model: &str, patience: Duration) -> Result<ModelLock, EngineError> {
        check_model_name(model)?;
        let path = self.locks().join(format!("{model}.lock"));
        let mut file = open_lock_file(&path)?;
        if !wait_for_lock(&file, &path, patience)? {
            return Err(EngineError::Locked {
                model: model.to_owned(),
                process: holder(&mut file),
            });
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(EngineError::file("write", &path))?;
        Ok(ModelLock { model: model.to_owned(), _file: file })
    }

    /// Lets one opening of the registry run at a time: two must not create its tables together.
    pub(crate) async fn lock_registry(&self) -> Result<File, EngineError> {
        lock(&self.path.join("registry.lock"), File::lock).await
    }

    /// The models with folders of versions, and those folders by number.
    pub(crate) fn version_folders(&self) -> Vec<(String, Vec<(i64, PathBuf)>)> {
        let number = |path: &Path| path.file_name()?.to_str()?.parse::<i64>().ok();
        let models = entries(&self.artefacts()).into_iter().filter_map(|folder| {
            let versions = entries(&folder).into_iter();
            let versions = versions.filter_map(|path| Some((number(&path)?, path))).collect();
            Some((folder.file_name()?.to_str()?.to_owned(), versions))
        });
        models.collect()
    }
}

/// The right to write one model, held until dropped.
#[derive(Debug)]
pub struct ModelLock {
    model: String,
    _file: File,
}

impl ModelLock {
    /// The model that may be written.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }
}

/// Checks that `name` can be a model's: it is also the name of a folder.
///
/// # Errors
/// [`EngineError::ModelName`] with the rule.
pub fn check_model_name(name: &str) -> Result<(), EngineError> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let starts_well = name.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    if starts_well && name.chars().count() <= 100 && name.len() <= 200 && name.chars().all(allowed)
    {
        Ok(())
    } else {
        Err(EngineError::ModelName { name: name.to_owned() })
    }
}

/// What lies in a folder; nothing where it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn starts_with(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

/// What in a folder has a name that starts so.
fn named(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| starts_with(path, prefix)).collect()
}

/// Removes what is `left`, unless a process that may be writing it holds the lock.
fn sweep_unless_locked(left: &[PathBuf], lock: &Path) {
    if !left.is_empty()
        && let Ok(file) = open_lock_file(lock)
        && file.try_lock().is_ok()
    {
        left.iter().for_each(|path| remove(path));
    }
}

/// Whether some process has the graph in this folder open.
fn is_open(graph: &Path) -> bool {
    let tried = File::open(graph.join(META)).map(|meta| meta.try_lock());
    matches!(tried, Ok(Err(_)))
}

/// Removes a file or a folder; where that fails, it is told.
pub(crate) fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}

fn open_lock_file(path: &Path) -> Result<File, EngineError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(EngineError::file("open", path))
}

/// Takes the lock at `path` by `take`. Waits on a thread of its own, since whoever holds the lock may
/// need this one.
async fn lock(
    path: &Path,
    take: impl FnOnce(&File) -> std::io::Result<()> + Send + 'static,
) -> Result<File, EngineError> {
    let file = open_lock_file(path)?;
    let locked = tokio::task::spawn_blocking(move || take(&file).map(|()| file)).await;
    locked
        .unwrap_or_else(|ended| Err(std::io::Error::other(ended)))
        .map_err(EngineError::file("lock", path))
}

/// Whether the lock was free, or became free, within `patience`.
fn wait_for_lock(file: &File, path: &Path, patience: Duration) -> Result<bool, EngineError> {
    let start = Instant::now();
    let stop = Stop::current();
    loop {
        stop.check()?;
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(source)) => {
                return Err(EngineError::file("lock", path)(source));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(false);
        }
        std::thread::sleep(left.min(LOCK_POLL));
    }
}

/// The process whose number the lock's holder left in the file.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn opening_twice_keeps_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/home");
        let home = Home::open(&path).unwrap();
        fs::write(home.artefacts().join("note"), "kept").unwrap();
        Home::open(&path).unwrap();
        assert_eq!(fs::read_to_string(home.artefacts().join("note")).unwrap(), "kept");
        assert!(
            fs::read_dir(&path).unwrap().all(|entry| {
                !entry.unwrap().file_name().to_string_lossy().starts_with(".probe")
            })
        );
    }

    #[test]
    fn a_home_below_a_file_is_refused_with_a_hint() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Home::open(&file.join("home")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write to the home folder "), "{error}");
        assert_eq!(error.hint().unwrap(), "name a folder you can write to with --home DIR");
    }

    #[test]
    fn a_second_writer_waits_then_fails_and_names_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let first = home.lock_model("churn", Duration::ZERO).unwrap();
        let start = Instant::now();
        let error = home.lock_model("churn", Duration::from_millis(120)).unwrap_err();
        assert!(start.elapsed() >= Duration::from_millis(120));
        let expected =
            format!("another process ({}) is writing model \"churn\"", std::process::id());
        assert_eq!(error.to_string(), expected);
        home.lock_model("other", Duration::ZERO).unwrap();
        drop(first);
        home.lock_model("churn", Duration::ZERO).unwrap();
    }

    #[test]
    fn a_second_writer_gets_the_lock_once_it_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let first = home.lock_model("churn", Duration::ZERO).unwrap();
        let waiting = std::thread::spawn({
            let home = home.clone();
            move || home.lock_model("churn", Duration::from_secs(30)).map(drop)
        });
        std::thread::sleep(Duration::from_millis(100));
        drop(first);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_lock_file_left_by_a_dead_process_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        fs::write(home.locks().join("churn.lock"), "999999").unwrap();
        home.lock_model("churn", Duration::ZERO).unwrap();
    }

    #[test]
    fn what_killed_processes_left_half_written_goes_when_the_home_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let graph = directory.path().join("graph/.unfinished-a");
        let artefact = home.artefacts().join("churn/.unfinished-b");
        let table = home.tables().join("shop/.relcast-c");
        let whole_table = home.tables().join("shop/whole.parquet");
        let checkpoint = home.checkpoint("churn", "c").unwrap();
        let leave = || {
            for folder in [&graph, &artefact] {
                fs::create_dir_all(folder).unwrap();
                fs::write(folder.join("part"), "half").unwrap();
            }
            fs::write(home.artefacts().join("churn/.unfinished-file"), "half").unwrap();
            fs::write(&checkpoint, "to go on from").unwrap();
            fs::create_dir_all(home.tables().join("shop")).unwrap();
            fs::write(&table, "half").unwrap();
            fs::write(&whole_table, "whole").unwrap();
        };
        leave();
        Home::open(directory.path()).unwrap();
        assert!(!graph.exists() && !artefact.exists() && !table.exists());
        assert!(whole_table.exists());
        assert!(!home.artefacts().join("churn/.unfinished-file").exists());
        assert!(checkpoint.exists());

        // What a live process is writing stays.
        leave();
        let lock = home.lock_model("churn", Duration::ZERO).unwrap();
        let writing = open_lock_file(&home.graph_lock()).unwrap();
        writing.lock_shared().unwrap();
        let writing_tables = open_lock_file(&home.tables_lock()).unwrap();
        writing_tables.lock_shared().unwrap();
        Home::open(directory.path()).unwrap();
        assert!(graph.exists() && artefact.exists() && table.exists());
        home.drop_checkpoints(&lock);
        assert!(artefact.exists() && !checkpoint.exists());
    }

    #[test]
    fn the_graphs_used_last_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let graphs: Vec<PathBuf> = (0..40).map(|n| home.graph(&n.to_string())).collect();
        for (age, graph) in graphs.iter().enumerate() {
            fs::create_dir(graph).unwrap();
            fs::write(graph.join(META), "whole").unwrap();
            let used = SystemTime::now() - Duration::from_secs(1000 + age as u64);
            File::open(graph).unwrap().set_modified(used).unwrap();
        }
        let open = File::open(graphs[37].join(META)).unwrap();
        open.lock_shared().unwrap();
        home.graph_used(&graphs[39]);
        let kept: Vec<bool> = graphs.iter().map(|graph| graph.exists()).collect();
        let expected: Vec<bool> =
            (0..40).map(|n| n < KEPT_GRAPHS - 1 || n == 37 || n == 39).collect();
        assert_eq!(kept, expected);

        // A process that may be opening one holds the lock.
        let opening = open_lock_file(&home.graph_lock()).unwrap();
        opening.lock_shared().unwrap();
        fs::create_dir(&graphs[35]).unwrap();
        home.graph_used(&graphs[39]);
        assert_eq!(entries(&directory.path().join("graph")).len(), KEPT_GRAPHS + 2);
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in ["", "..", ".hidden", "a/b", "a\\b", "-x", "a b", "x\0", &"a".repeat(101)] {
            let error = check_model_name(name).unwrap_err();
            assert!(matches!(error, EngineError::ModelName { .. }), "{name:?}");
        }
        for name in ["churn", "churn-v2", "_x", "2024.model", "größe"] {
            check_model_name(name).unwrap();
        }
    }
}
