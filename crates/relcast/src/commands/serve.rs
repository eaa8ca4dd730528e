//! `relcast serve`: statements of clients until the process is told to end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use relcast_engine::{Engine, Home, Registry};
use relcast_server::{
    HttpOptions, HttpServer, Live, Role, ServeError, ServeOptions, Server, Tokens, Users,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::open;
use crate::arguments::{Common, Serve};
use crate::failure::Failure;

/// How long what was stopped may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves until Ctrl-C or the signal to terminate; running statements are then stopped.
pub async fn run(common: &Common, arguments: &Serve) -> Result<(), Failure> {
    let users = arguments.users.as_deref().map(read_users).transpose()?.unwrap_or_default();
    let tokens = arguments.tokens.as_deref().map(read_tokens).transpose()?.unwrap_or_default();
    let files = arguments.files.iter().map(|folder| opened(folder));
    let files = files.collect::<Result<Arc<[PathBuf]>, _>>()?;
    let home = Home::open(&common.home)?;
    let registry = Registry::open(&home).await?;
    let engine = async || {
        let (database, catalog) = open(common, &arguments.source).await?;
        Ok::<_, Failure>(Engine::new(registry.clone(), database, catalog))
    };
    let live = Arc::new(Live::new(engine().await?).await?);
    let options = ServeOptions {
        users: Arc::new(users),
        tls: arguments.tls_cert.clone().zip(arguments.tls_key.clone()),
        max_connections: arguments.max_connections,
        statement_timeout: arguments.statement_timeout,
        statement_memory: arguments.statement_memory.map(|mib| mib << 20),
        files: files.clone(),
    };
    let server = Server::bind(arguments.pg, live.clone(), options).await?;
    let address = server.address().unwrap_or(arguments.pg);
    tracing::info!(
        "listening at {address}: psql -h {} -p {} relcast",
        address.ip(),
        address.port()
    );
    let http = match arguments.http {
        Some(address) => Some(bind_http(address, live.clone(), arguments, tokens, files).await?),
        None => None,
    };
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            told_to_end().await;
            tracing::info!("ending: open connections have a moment");
            stop.cancel();
        }
    });
    let serve_http = async {
        match http {
            Some(http) => http.serve(stop.clone()).await,
            None => Ok(()),
        }
    };
    let follow = async {
        if let Some(every) = arguments.freshness {
            live.follow(every, engine, stop.clone()).await;
        }
        Ok(())
    };
    let served = tokio::try_join!(server.serve(stop.clone()), serve_http, follow);
    // What was stopped ends at its next chance, and records that it was.
    if tokio::time::timeout(PATIENCE, relcast_engine::worked_off()).await.is_err() {
        tracing::warn!("a statement did not stop in time");
    }
    served?;
    Ok(())
}

async fn bind_http(
    address: SocketAddr,
    live: Arc<Live>,
    arguments: &Serve,
    tokens: Tokens,
    files: Arc<[PathBuf]>,
) -> Result<HttpServer, Failure> {
    let options = HttpOptions {
        tokens,
        tls: arguments.tls_cert.clone().zip(arguments.tls_key.clone()),
        max_statements: arguments.max_connections,
        statement_timeout: arguments.statement_timeout,
        statement_memory: arguments.statement_memory.map(|mib| mib << 20),
        files,
    };
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let server = HttpServer::bind(address, live, options).await?;
    tracing::info!("HTTP at {scheme}://{}; /openapi.json tells what there is", server.address());
    Ok(server)
}

/// A folder of `--files`, wherever links lead.
fn opened(folder: &Path) -> Result<PathBuf, Failure> {
    let found = folder.canonicalize().and_then(|found| found.read_dir().map(|_| found));
    found.map_err(|error| {
        let message = format!("cannot read the folder {}: {error}", folder.display());
        Failure::new(message).with_hint("--files names folders that are there")
    })
}

async fn told_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    // Without handlers the process ends by itself.
    let _ = tokio::signal::ctrl_c().await;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    password: String,
    role: RoleName,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RoleName {
    Reader,
    Writer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    token: String,
    role: RoleName,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Reader => Self::Reader,
            RoleName::Writer => Self::Writer,
        }
    }
}

fn read_users(path: &Path) -> Result<Users, Failure> {
    let mut users = Users::default();
    for (name, entry) in read_entries::<UserEntry>(path, "users", "password: secret")? {
        users.add(&name, &entry.password, entry.role.into());
    }
    Ok(users)
}

fn read_tokens(path: &Path) -> Result<Tokens, Failure> {
    let mut tokens = Tokens::default();
    for (name, entry) in read_entries::<TokenEntry>(path, "tokens", "token: 0f6e29…")? {
        tokens.add(&name, &entry.token, entry.role.into())?;
    }
    Ok(tokens)
}

/// The entries of a YAML file by name; never empty. An `example` of what each holds beside its role
/// is shown where they cannot be read.
fn read_entries<T: DeserializeOwned>(
    path: &Path,
    what: &str,
    example: &str,
) -> Result<BTreeMap<String, T>, Failure> {
    let cannot = |reason: String| {
        let message = format!("cannot read the {what} of {}: {reason}", path.display());
        Failure::new(message).with_hint(format!(
            "write a line like `ana: {{ {example}, role: reader }}` for each of them; roles are reader and writer"
        ))
    };
    let text = std::fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
    // The library's message may quote a value: a secret must not be told.
    let entries: BTreeMap<String, T> = serde_norway::from_str(&text).map_err(|error| {
        let place = error.location().map(|l| format!("line {}, column {}", l.line(), l.column()));
        cannot(place.unwrap_or_else(|| format!("it is no list of {what}")))
    })?;
    if entries.is_empty() {
        return Err(cannot("it names nobody".to_owned()));
    }
    Ok(entries)
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Engine(error) => error.into(),
            other => Self::split(&other.to_string()),
        }
    }
}
