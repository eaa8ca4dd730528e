//! The engine that answers, over a source that may change while it is served.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use relcast_engine::{Engine, EngineError, Session};
use tokio::sync::{Mutex, Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::listen::ServeError;
use crate::postgres::add_catalog;

/// A source is not looked at more often unless somebody waits for it.
const SHORTEST: Duration = Duration::from_millis(20);

/// The newest engine over the source.
pub struct Live {
    engine: RwLock<Arc<Engine>>,
    looks: watch::Sender<Looks>,
    /// Somebody waits for a look.
    asked: Notify,
    /// Tells that another engine answers.
    replaced: watch::Sender<()>,
}

/// What is known of how old the engine's data may be.
#[derive(Debug, Clone, Default)]
struct Looks {
    /// How old they may be; nobody looks at the source where nothing is said.
    bound: Option<Duration>,
    /// When the source was last seen to hold what the engine has.
    same: Option<Instant>,
    /// When a look that failed began, and why it did.
    failed: Option<(Instant, String)>,
}

impl Live {
    /// Answers from `engine` from now on.
    ///
    /// # Errors
    /// [`ServeError::Catalog`] if `pg_catalog` cannot be set up in it.
    pub async fn new(engine: Engine) -> Result<Self, ServeError> {
        add_catalog(&engine).await?;
        let engine = RwLock::new(Arc::new(engine));
        let (looks, replaced) = (watch::Sender::new(Looks::default()), watch::Sender::new(()));
        Ok(Self { engine, looks, asked: Notify::new(), replaced })
    }

    /// The engine that answers now.
    #[must_use]
    pub fn engine(&self) -> Arc<Engine> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The engine that answers now, once its data are no older than they may be: waits for a look at
    /// the source where the last one is too long ago.
    ///
    /// # Errors
    /// [`EngineError::Outdated`] if the source cannot be read.
    async fn fresh(&self) -> Result<Arc<Engine>, EngineError> {
        let now = Instant::now();
        let mut looks = self.looks.subscribe();
        loop {
            let Looks { bound, same, failed } = looks.borrow_and_update().clone();
            let Some(bound) = bound else { break };
            if same.is_some_and(|at| now.saturating_duration_since(at) <= bound) {
                break;
            }
            if let Some((at, reason)) = failed
                && at >= now
            {
                return Err(EngineError::Outdated { bound, reason });
            }
            self.asked.notify_one();
            if looks.changed().await.is_err() {
                break;
            }
        }
        Ok(self.engine())
    }

    /// Keeps the data that are answered from no older than `bound`, until `stop` is cancelled: looks
    /// at the source twice in that time, and whenever an answer waits for it. When it has changed, it
    /// is read again by `open`; answers come from it once the models used lately are ready on it, or
    /// as soon as one waits. While it cannot be read, the last state answers as long as it is young
    /// enough.
    pub async fn follow<E: std::fmt::Display>(
        &self,
        bound: Duration,
        open: impl AsyncFn() -> Result<Engine, E>,
        stop: CancellationToken,
    ) {
        self.looks.send_modify(|looks| looks.bound = Some(bound));
        while !stop.is_cancelled() {
            let began = Instant::now();
            let found = self.look(&open).await;
            if let Err(reason) = &found {
                tracing::warn!("{reason}");
            }
            self.looks.send_modify(|looks| match found {
                Ok(()) => (looks.same, looks.failed) = (Some(began), None),
                Err(reason) => looks.failed = Some((began, reason)),
            });
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep((bound / 2).max(SHORTEST)) => {}
                () = self.asked.notified() => {}
            }
        }
        // Whoever still waits would wait for ever.
        self.looks.send_modify(|looks| looks.bound = None);
    }

    /// Makes the engine hold what the source does; else says why it cannot.
    async fn look<E: std::fmt::Display>(
        &self,
        open: &impl AsyncFn() -> Result<Engine, E>,
    ) -> Result<(), String> {
        let current = self.engine();
        let changed = current.database.has_changed();
        if !changed.map_err(|error| format!("the source cannot be looked at: {error}"))? {
            return Ok(());
        }
        let engine =
            open().await.map_err(|error| format!("the changed source cannot be read: {error}"))?;
        tokio::select! {
            () = engine.ready_as(&current) => {}
            () = self.asked.notified() => {}
        }
        let replaced = self.replace(engine).await;
        replaced.map_err(|error| format!("the changed source cannot be used: {error}"))
    }

    async fn replace(&self, engine: Engine) -> Result<(), ServeError> {
        add_catalog(&engine).await?;
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(engine);
        self.replaced.send_replace(());
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

    /// The session over the newest engine, whose data are no older than they may be.
    ///
    /// # Errors
    /// [`EngineError::Outdated`] if the source cannot be read.
    pub(crate) async fn get(&self) -> Result<Session, EngineError> {
        let engine = self.live.fresh().await?;
        self.over(engine).await
    }

    /// Moves on as soon as another engine answers, for ever: a session that nobody asks would hold
    /// the old one, and all that it has ready.
    pub(crate) async fn keep_up(&self) {
        let mut replaced = self.live.replaced.subscribe();
        loop {
            if let Err(error) = self.over(self.live.engine()).await {
                // Whoever asks next tries again, and is told.
                tracing::debug!(%error, "a session stays with an engine that was replaced");
            }
            // The sender lives as long as we do, so waiting cannot fail.
            let _ = replaced.changed().await;
        }
    }

    async fn over(&self, engine: Arc<Engine>) -> Result<Session, EngineError> {
        let mut session = self.session.lock().await;
        if !Arc::ptr_eq(&engine, session.engine()) {
            *session = session.over(engine).await?;
        }
        Ok(session.clone())
    }
}
