//! Who asks: nobody in particular, or a user with a password.

use std::sync::Arc;

use async_trait::async_trait;
use futures::Sink;
use pgwire::api::auth::noop::NoopStartupHandler;
use pgwire::api::auth::sasl::SASLAuthStartupHandler;
use pgwire::api::auth::sasl::scram::ScramAuth;
use pgwire::api::auth::{DefaultServerParameterProvider, StartupHandler};
use pgwire::api::{ClientInfo, ConnectionManager};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use crate::users::{Passwords, Users};

/// Asks for a password, or not.
pub(super) enum Startup {
    /// Lets everybody in.
    Trust(Trust),
    /// Asks for a password.
    Scram(Box<SASLAuthStartupHandler<DefaultServerParameterProvider>>),
}

/// Lets everybody in.
pub(super) struct Trust(Arc<ConnectionManager>);

impl NoopStartupHandler for Trust {
    fn connection_manager(&self) -> Option<Arc<ConnectionManager>> {
        Some(self.0.clone())
    }
}

impl Startup {
    /// What asks one client, whose statements `manager` can then cancel.
    pub(super) fn new(users: &Arc<Users>, manager: &Arc<ConnectionManager>) -> Self {
        if users.is_empty() {
            return Self::Trust(Trust(manager.clone()));
        }
        let scram = ScramAuth::new(Arc::new(Passwords(users.clone())));
        let parameters = Arc::new(DefaultServerParameterProvider::default());
        let handler = SASLAuthStartupHandler::new(parameters)
            .with_scram(scram)
            .with_connection_manager(manager.clone());
        Self::Scram(Box::new(handler))
    }
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match self {
            Self::Trust(trust) => trust.on_startup(client, message).await,
            Self::Scram(scram) => scram.on_startup(client, message).await,
        }
    }
}
