//! `relcast serve`: statements of clients until the process is told to end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use relcast_engine::{Engine, Home, Registry};
use relcast_server::{Live, Role, ServeError, ServeOptions, Server, Users};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::open;
use crate::arguments::{Common, Serve};
use crate::failure::Failure;

/// Serves until Ctrl-C or the signal to terminate; running statements are then stopped.
pub async fn run(common: &Common, arguments: &Serve) -> Result<(), Failure> {
    let users = arguments.users.as_deref().map(read_users).transpose()?.unwrap_or_default();
    let home = Home::open(&common.home)?;
    let registry = Registry::open(&home).await?;
    let engine = async || {
        let (database, catalog) = open(common, &arguments.source).await?;
        Ok::<_, Failure>(Engine::new(registry.clone(), database, catalog))
    };
    let live = Arc::new(Live::new(engine().await?)?);
    let options = ServeOptions {
        users: Arc::new(users),
        tls: arguments.tls_cert.clone().zip(arguments.tls_key.clone()),
        max_connections: arguments.max_connections,
        statement_timeout: arguments.statement_timeout,
        statement_memory: arguments.statement_memory.map(|mib| mib << 20),
    };
    let server = Server::bind(arguments.pg, live.clone(), options).await?;
    let address = server.address().unwrap_or(arguments.pg);
    tracing::info!(
        "listening at {address}: psql -h {} -p {} relcast",
        address.ip(),
        address.port()
    );
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            told_to_end().await;
            tracing::info!("ending: open connections have a moment");
            stop.cancel();
        }
    });
    match arguments.freshness {
        None => Ok(server.serve(stop).await?),
        Some(every) => {
            let (served, ()) =
                tokio::join!(server.serve(stop.clone()), live.follow(every, engine, stop));
            Ok(served?)
        }
    }
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

fn read_users(path: &Path) -> Result<Users, Failure> {
    let cannot = |reason: String| {
        Failure::new(format!("cannot read the users of {}: {reason}", path.display())).with_hint(
            "write a line like `ana: { password: secret, role: reader }` for each user; roles are reader and writer",
        )
    };
    let text = std::fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
    // The library's message may quote a value: a password must not be told.
    let entries: BTreeMap<String, UserEntry> = serde_norway::from_str(&text).map_err(|error| {
        let place = error.location().map(|l| format!("line {}, column {}", l.line(), l.column()));
        cannot(place.unwrap_or_else(|| "it is no list of users".to_owned()))
    })?;
    let mut users = Users::default();
    for (name, entry) in entries {
        let role = match entry.role {
            RoleName::Reader => Role::Reader,
            RoleName::Writer => Role::Writer,
        };
        users.add(&name, &entry.password, role);
    }
    if users.is_empty() {
        return Err(cannot("it names nobody".to_owned()));
    }
    Ok(users)
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Engine(error) => error.into(),
            other => Self::split(&other.to_string()),
        }
    }
}
