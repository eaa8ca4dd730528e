//! One connection: its session, and the handlers of the protocol over it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow_pg::datatypes::encode_recordbatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::DataFrame;
use futures::stream::BoxStream;
use futures::{Sink, SinkExt, StreamExt, future, stream};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::ExtendedQueryHandler;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, ConnectionHandle, METADATA_USER, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::DataRow;
use pgwire::messages::extendedquery::Execute;
use pgwire::messages::response::TransactionStatus;
use relcast_engine::{Access, EngineError};
use relcast_query::statement::Statement;
use relcast_query::statements_with;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::copy;
use crate::errors::{of_engine, of_query, plain};
use crate::fields::fields;
use crate::live::LiveSession;
use crate::measure::{Counted, Protocol, changes};
use crate::notices::{message, warning};
use crate::prepared::{Prepared, Preparer, values};
use crate::settings::{Asked, Settings};
use crate::users::{Role, Users};

/// Rows that are held for one request to go on with a portal; who asks for more is given these, and
/// asks again.
const MOST_ROWS: i32 = 1 << 20;

/// There are no transactions, and whoever rolls back is told.
const KEPT: &str = "there are no transactions: what was changed since BEGIN stays";

/// What a statement is told that would change something where it may only read.
const READS_ONLY: &str = "a read-only transaction reads and predicts by models that are there";

/// What a statement is told that comes after an error.
const FAILED: &str =
    "current transaction is aborted, commands ignored until end of transaction block";

/// The session of a client.
pub(crate) struct Connection {
    pub(crate) session: Arc<LiveSession>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) users: Arc<Users>,
    pub(crate) notices: Mutex<UnboundedReceiver<String>>,
    pub(crate) preparer: Arc<Preparer>,
    pub(crate) running: Running,
}

/// Counts the statements that run.
#[derive(Clone, Default)]
pub(crate) struct Running(watch::Sender<usize>);

impl Running {
    /// Counts one statement until the guard is dropped.
    fn one(&self) -> OneRuns {
        self.0.send_modify(|count| *count += 1);
        OneRuns(self.clone())
    }

    /// Waits until none runs.
    pub(crate) async fn none(&self) {
        // The sender lives as long as we do, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// A statement that runs.
struct OneRuns(Running);

impl Drop for OneRuns {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

impl Connection {
    /// Runs one statement, and meanwhile tells the client what happens. Its rows end when the client
    /// cancels by `handle`; who sends them under a watch of their own gives none, since a second
    /// watch ends the first.
    pub(crate) async fn answer<C>(
        &self,
        client: &mut C,
        statement: &Statement,
        text: &str,
        format: &Format,
        handle: Option<Arc<ConnectionHandle>>,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let has_failed = client.transaction_status() == TransactionStatus::Error;
        let asked = self.asked(statement, has_failed)?;
        let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
        let role = self.users.role(&user);
        if !role.may_run(statement) {
            let message =
                format!("user \"{user}\" may read and predict, but not train, write or drop");
            return Err(plain("42501", message));
        }
        let reads_only = self.settings.reads_only();
        if reads_only && !Role::Reader.may_run(statement) {
            return Err(plain("25006", READS_ONLY));
        }
        let access = if reads_only { Access::Read } else { role.access() };
        let one = self.running.one();
        let counted = Counted::begin(Protocol::Postgres, statement);
        let mut notices = self.notices.lock().await;
        let limit = self.settings.timeout();
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let run = self.run(statement, asked.clone(), access, text, format);
        let work = async {
            tokio::select! {
                response = run => response,
                () = passed(deadline) => Err(timed_out()),
            }
        };
        tokio::pin!(work);
        let response = loop {
            tokio::select! {
                response = &mut work => break response,
                Some(line) = notices.recv() => client.send(message(line)).await?,
            }
        };
        counted.end(response.is_ok());
        while let Ok(line) = notices.try_recv() {
            client.send(message(line)).await?;
        }
        if response.is_ok() && self.keeps_what_is_rolled_back(statement, asked.as_ref()) {
            client.send(warning("25P01", KEPT)).await?;
        }
        Ok(match response? {
            Response::CopyOut(mut copy) => {
                let rows = std::mem::replace(copy.data_stream(), Box::pin(stream::empty()));
                // Sent while the protocol still watches over the statement.
                *copy.data_stream() = rows_until(rows, one, deadline, None);
                Response::CopyOut(copy)
            }
            Response::Query(mut response) => {
                let rows = std::mem::replace(response.data_rows(), Box::pin(stream::empty()));
                *response.data_rows() = rows_until(rows, one, deadline, handle);
                Response::Query(response)
            }
            other => other,
        })
    }

    /// What `statement` asks of the session; after an error, a transaction has nothing left but its
    /// end, or the way back to a savepoint.
    fn asked(&self, statement: &Statement, has_failed: bool) -> PgWireResult<Option<Asked>> {
        let asked = match statement {
            Statement::Sql(sql) => self.settings.read(sql),
            _ => None,
        };
        if !has_failed {
            return Ok(asked);
        }
        match asked {
            Some(Asked::Commit | Asked::Rollback) => Ok(Some(Asked::Rollback)),
            Some(Asked::RollbackTo) => Ok(Some(Asked::RollbackTo)),
            _ => Err(plain("25P02", FAILED)),
        }
    }

    /// Whether `statement`, which is done, would have taken back what was changed since BEGIN.
    fn keeps_what_is_rolled_back(&self, statement: &Statement, asked: Option<&Asked>) -> bool {
        let changed = self.settings.has_changed();
        match asked {
            Some(Asked::Begin(read_only)) => self.settings.begin(*read_only),
            Some(Asked::Commit) => self.settings.end(),
            Some(Asked::Rollback) => {
                self.settings.end();
                return changed;
            }
            Some(Asked::RollbackTo) => return changed,
            None if changes(statement) => self.settings.note_change(),
            _ => {}
        }
        false
    }

    /// Lets a transaction go on that has gone back to a savepoint.
    pub(crate) fn note_way_back<C: ClientInfo>(&self, client: &mut C) {
        let is_open = client.transaction_status() != TransactionStatus::Idle;
        if self.settings.has_gone_back() && is_open {
            client.set_transaction_status(TransactionStatus::Transaction);
        }
    }

    async fn run(
        &self,
        statement: &Statement,
        asked: Option<Asked>,
        access: Access,
        text: &str,
        format: &Format,
    ) -> PgWireResult<Response> {
        if let Some(asked) = asked {
            return of_session(&self.settings, asked, format);
        }
        let failed = |error: EngineError| match error {
            EngineError::Forbidden if self.settings.reads_only() => plain("25006", READS_ONLY),
            error => of_engine(&error, text),
        };
        if let Statement::Sql(sql) = statement
            && let Some((inner, copy_format)) = copy::to_stdout(sql)
        {
            let inner = Statement::Sql(inner);
            let session = self.session.get().await.map_err(failed)?;
            let answer = session.run_as(&inner, access).await.map_err(failed)?;
            let Some(rows) = answer.rows else {
                return Err(plain("0A000", "COPY … TO STDOUT is for statements that give rows"));
            };
            return copy::response(rows, copy_format, text).await.map(Response::CopyOut);
        }
        let session = self.session.get().await.map_err(failed)?;
        let answer = session.run_as(statement, access).await.map_err(failed)?;
        let Some(rows) = answer.rows else {
            return Ok(Response::Execution(tag(&answer.tag)));
        };
        rows_response(rows, &answer.tag, text, format).await
    }
}

/// `INSERT 0 5` says how many rows there were.
fn tag(text: &str) -> Tag {
    match text.rsplit_once(' ') {
        Some((command, count)) if count.parse::<usize>().is_ok() => {
            Tag::new(command).with_rows(count.parse().unwrap_or(0))
        }
        _ => Tag::new(text),
    }
}

/// Rows as they are computed; the first are waited for, so that what fails at once fails here.
async fn rows_response(
    rows: DataFrame,
    tag: &str,
    text: &str,
    format: &Format,
) -> PgWireResult<Response> {
    let failed = |error: datafusion::error::DataFusionError, text: &str| {
        of_engine(&EngineError::from(error), text)
    };
    let schema: SchemaRef = rows.schema().inner().clone();
    let fields = Arc::new(fields(&schema, format)?);
    let mut batches: SendableRecordBatchStream =
        rows.execute_stream().await.map_err(|error| failed(error, text))?;
    let first = match batches.next().await {
        Some(batch) => Some(batch.map_err(|error| failed(error, text))?),
        None => None,
    };
    let (columns, text) = (fields.clone(), text.to_owned());
    let all = stream::iter(first.map(Ok)).chain(batches).flat_map(move |batch| {
        // A row that cannot be encoded is told without end, so the first is the last.
        let rows: PgWireResult<Vec<DataRow>> = match batch {
            Ok(batch) => encode_recordbatch(columns.clone(), batch).collect(),
            Err(error) => Err(failed(error, &text)),
        };
        let rows: Vec<PgWireResult<DataRow>> = match rows {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(rows)
    });
    let mut response = QueryResponse::new(fields, all);
    response.set_command_tag(tag);
    Ok(Response::Query(response))
}

/// The rows, with the statement counted as running until all are sent or nobody wants more. They end
/// with an error once the time is up or the client cancels.
fn rows_until<T: Send + 'static>(
    rows: BoxStream<'static, PgWireResult<T>>,
    one: OneRuns,
    deadline: Option<Instant>,
    handle: Option<Arc<ConnectionHandle>>,
) -> BoxStream<'static, PgWireResult<T>> {
    let stop = Box::pin(async move {
        tokio::select! {
            () = cancelled(handle) => PgWireError::QueryCanceled,
            () = passed(deadline) => timed_out(),
        }
    });
    Box::pin(stream::unfold((rows, Some(stop)), move |(mut rows, stop)| {
        let _sending = &one;
        async move {
            let mut stop = stop?;
            tokio::select! {
                biased;
                error = &mut stop => Some((Err(error), (rows, None))),
                row = rows.next() => row.map(|row| (row, (rows, Some(stop)))),
            }
        }
    }))
}

/// What `client` cancels its statements by.
pub(crate) fn handle_of<C: ClientInfo>(client: &C) -> Option<Arc<ConnectionHandle>> {
    let handle = client.session_extensions().get::<Arc<ConnectionHandle>>()?;
    Some(handle.as_ref().clone())
}

/// Ends when the client cancels what it is being sent: the protocol's own watch over the statement
/// ends with its first row.
pub(crate) async fn cancelled(handle: Option<Arc<ConnectionHandle>>) {
    if let Some(handle) = handle
        && handle.start_query().await.await.is_ok()
    {
        return;
    }
    future::pending::<()>().await;
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => future::pending().await,
    }
}

fn timed_out() -> PgWireError {
    plain("57014", "canceling statement due to statement timeout")
}

fn of_session(settings: &Settings, asked: Asked, format: &Format) -> PgWireResult<Response> {
    Ok(match asked {
        Asked::Begin(_) => Response::TransactionStart(Tag::new("BEGIN")),
        Asked::Commit => Response::TransactionEnd(Tag::new("COMMIT")),
        Asked::Rollback => Response::TransactionEnd(Tag::new("ROLLBACK")),
        Asked::RollbackTo => {
            settings.go_back();
            Response::Execution(Tag::new("ROLLBACK"))
        }
        Asked::Done(name) => Response::Execution(Tag::new(name)),
        Asked::Refused(why) => return Err(plain("0A000", why)),
        Asked::Set(name, setting, value) => {
            settings.set(setting, value)?;
            Response::Execution(Tag::new(name))
        }
        Asked::ResetAll(name) => {
            settings.reset();
            Response::Execution(Tag::new(name))
        }
        Asked::Show(name, value) => {
            let format = if format.is_binary(0) { FieldFormat::Binary } else { FieldFormat::Text };
            let field = FieldInfo::new(name, None, None, Type::TEXT, format);
            let fields = Arc::new(vec![field]);
            let mut row = DataRowEncoder::new(fields.clone());
            row.encode_field(&Some(value))?;
            let rows = stream::iter([Ok(row.take_row())]);
            let mut response = QueryResponse::new(fields, rows);
            response.set_command_tag("SHOW");
            Response::Query(response)
        }
    })
}

#[async_trait]
impl ExtendedQueryHandler for Connection {
    type Statement = Prepared;
    type QueryParser = Preparer;

    fn query_parser(&self) -> Arc<Preparer> {
        self.preparer.clone()
    }

    async fn on_execute<C>(&self, client: &mut C, mut message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // Room for as many rows as are asked for is made before there are any.
        message.max_rows = message.max_rows.clamp(0, MOST_ROWS);
        self._on_execute(client, message).await?;
        // What the library says of the transaction was so before the statement.
        self.note_way_back(client);
        Ok(())
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Prepared>,
        _: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: std::fmt::Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let text = &portal.statement.statement.text;
        let given = values(portal)?;
        let mut read = statements_with(text, &given).map_err(|error| of_query(error, text))?;
        let Some(statement) = read.next() else { return Ok(Response::EmptyQuery) };
        let statement = statement.map_err(|error| of_query(error, text))?;
        drop(read);
        let (format, handle) = (&portal.result_column_format, handle_of(client));
        match self.answer(client, &statement, text, format, handle).await? {
            Response::CopyOut(copy) => copy::send(client, copy).await.map(Response::Execution),
            other => Ok(other),
        }
    }
}
