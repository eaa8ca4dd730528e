//! The engine that answers, over a source that may change while it is served.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use relcast_engine::{Engine, EngineError, Session};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::listen::ServeError;
use crate::postgres::add_catalog;

/// The newest engine over the source.
pub struct Live(RwLock<Arc<Engine>>);

impl Live {
    /// Answers from `engine` from now on.
    ///
    /// # Errors
    /// [`ServeError::Catalog`] if `pg_catalog` cannot be set up in it.
    pub async fn new(engine: Engine) -> Result<Self, ServeError> {
        add_catalog(&engine).await?;
        Ok(Self(RwLock::new(Arc::new(engine))))
    }

    /// The engine that answers now.
    #[must_use]
    pub fn engine(&self) -> Arc<Engine> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the source every so often, until `stop` is cancelled. When it has changed, it is
    /// read again by `open`; once the models used lately are ready on it, answers come from it.
    /// A source that cannot be read is told in the log, and the last state goes on answering.
    pub async fn follow<E: std::fmt::Display>(
        &self,
        every: Duration,
        open: impl AsyncFn() -> Result<Engine, E>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            let current = self.engine();
            match current.database.has_changed() {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    tracing::warn!("the source cannot be looked at: {error}");
                    continue;
                }
            }
            match open().await {
                Ok(engine) => {
                    engine.ready_as(&current).await;
                    if let Err(error) = self.replace(engine).await {
                        tracing::warn!("the changed source cannot be used: {error}");
                    }
                }
                Err(error) => tracing::warn!("the changed source cannot be read: {error}"),
            }
        }
    }

    async fn replace(&self, engine: Engine) -> Result<(), ServeError> {
        add_catalog(&engine).await?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(engine);
        tracing::info!("the source has changed: answers come from its new state");
        Ok(())
    }
}

/// A session that moves on to the newest engine between statements.
pub(crate) struct LiveSession {
    live: Arc<Live>,
    session: Mutex<Session>,
}

impl LiveSession {
    pub(crate) fn new(live: Arc<Live>, session: Session) -> Self {
        Self { live, session: Mutex::new(session) }
    }

    /// The newest engine.
    pub(crate) fn engine(&self) -> Arc<Engine> {
        self.live.engine()
    }

    /// The session over the newest engine.
    pub(crate) async fn get(&self) -> Result<Session, EngineError> {
        let mut session = self.session.lock().await;
        let engine = self.live.engine();
        if !Arc::ptr_eq(&engine, session.engine()) {
            *session = session.over(engine).await?;
        }
        Ok(session.clone())
    }
}
