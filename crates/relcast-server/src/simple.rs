//! The simple protocol: several statements in one message, each answered as it ends.

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use pgwire::api::portal::Format;
// Only this handler: the other one has a `do_query`, too.
use pgwire::api::query::{
    SimpleQueryHandler, send_execution_response, send_query_response, send_ready_for_query,
};
use pgwire::api::results::Response;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, PgWireConnectionState};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use pgwire::messages::simplequery::Query;
use relcast_query::statements;

use crate::connection::{Connection, cancelled, handle_of};
use crate::copy;
use crate::errors::of_query;

#[async_trait]
impl SimpleQueryHandler for Connection {
    /// The library's own would answer nothing until all statements have run, and tell of the
    /// transaction what was so before them.
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        let handle = handle_of(client);
        tokio::select! {
            () = cancelled(handle) => return Err(PgWireError::QueryCanceled),
            answered = self.do_query(client, &query.query) => drop(answered?),
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    /// Sends every answer itself, so that there is none to give back.
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // Read whole before any is run, as Postgres does.
        let all = statements(query).map_err(|error| of_query(error, query))?;
        let all = all.collect::<Result<Vec<_>, _>>().map_err(|error| of_query(error, query))?;
        if all.is_empty() {
            let empty = EmptyQueryResponse::new();
            client.feed(PgWireBackendMessage::EmptyQueryResponse(empty)).await?;
        }
        for statement in all {
            // What is answered does not wait for what comes after it.
            client.flush().await?;
            let answer = self.answer(client, &statement, query, &Format::UnifiedText, None).await?;
            match answer {
                Response::Query(rows) => send_query_response(client, rows, true).await?,
                Response::CopyOut(copy) => {
                    let tag = copy::send(client, copy).await?;
                    send_execution_response(client, tag).await?;
                }
                Response::Execution(tag) => {
                    send_execution_response(client, tag).await?;
                    self.note_way_back(client);
                }
                Response::TransactionStart(tag) => {
                    send_execution_response(client, tag).await?;
                    client.set_transaction_status(TransactionStatus::Transaction);
                }
                Response::TransactionEnd(tag) => {
                    send_execution_response(client, tag).await?;
                    client.set_transaction_status(TransactionStatus::Idle);
                }
                // No statement is answered by anything else.
                _ => {}
            }
        }
        Ok(Vec::new())
    }
}
