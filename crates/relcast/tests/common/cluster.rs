//! A Postgres of its own, for what runs inside Postgres and for what reads from it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A cluster that listens at a socket in its folder only; it ends with its owner. Whoever asks is let
/// in, but for the role `ana`, who has to give her password.
pub struct Cluster {
    process: Child,
    /// Whom the server runs as, where that is not who runs the test.
    user: Option<&'static str>,
    programs: PathBuf,
    folder: TempDir,
}

impl Cluster {
    /// A new, empty cluster; none, and it says so, where Postgres is not installed.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("not run: there is no Postgres server on this machine");
            return None;
        };
        // The path of a socket is short.
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        // Postgres does not run as root.
        let user = (fs::metadata(folder.path()).unwrap().uid() == 0).then_some("postgres");
        if let Some(user) = user {
            done(Command::new("chown").arg(user).arg(folder.path()));
        }
        let data = folder.path().join("data");
        done(
            as_user(user, &programs.join("initdb"))
                .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"])
                .arg(&data),
        );
        let rules = data.join("pg_hba.conf");
        let others = fs::read_to_string(&rules).unwrap();
        fs::write(&rules, format!("local all ana scram-sha-256\n{others}")).unwrap();
        let process = serve(user, &programs, folder.path());
        let cluster = Self { process, user, programs, folder };
        cluster.wait();
        Some(cluster)
    }

    /// Ends the server, and those who are connected to it.
    pub fn stop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }

    /// Starts the server again after it was stopped.
    pub fn start_again(&mut self) {
        self.process = serve(self.user, &self.programs, self.folder.path());
        self.wait();
    }

    /// Where a client finds it, as `who`: a user, or `user:password`.
    pub fn url(&self, who: &str) -> String {
        let socket = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://{who}@{socket}/postgres")
    }

    fn wait(&self) {
        let start = Instant::now();
        while let Err(error) = self.sql("postgres", "SELECT 1") {
            assert!(start.elapsed() < Duration::from_secs(60), "{error}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What psql prints for a statement: cells with `|` between, a line for each row; or the error.
    pub fn sql(&self, user: &str, sql: &str) -> Result<String, String> {
        self.psql(user, &["-c", sql])
    }

    /// Runs a file as one transaction.
    pub fn file(&self, user: &str, file: &Path) -> Result<String, String> {
        self.psql(user, &["-1", "-f", file.to_str().unwrap()])
    }

    fn psql(&self, user: &str, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-U", user])
            .arg("-h")
            .arg(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The server, in the background.
fn serve(user: Option<&str>, programs: &Path, folder: &Path) -> Child {
    as_user(user, &programs.join("postgres"))
        .args(["-F", "-c", "listen_addresses="])
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The folder of the newest server's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version)))
        .max_by_key(|(number, _)| *number)
        .map(|(_, version)| version.path().join("bin"));
    let other = || {
        let told = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(told.stdout).ok()?.trim()))
    };
    debian.or_else(other).filter(|folder| folder.join("initdb").exists())
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--clear-groups");
    command.arg(program);
    command
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
