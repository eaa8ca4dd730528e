//! Running one statement of a request: its place, its time, and its end.

use std::future::pending;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use relcast_engine::{Answer, EngineError};
use relcast_query::statement::Statement;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::Caller;
use super::error::HttpError;
use super::server::Shared;
use crate::measure::{Counted, Protocol};
use crate::notices::Notices;

/// A statement that runs, with its rows as they are computed. Dropping it stops the statement.
pub(super) struct Running {
    /// What was done, such as `SELECT` or `CREATE MODEL`.
    pub(super) tag: String,
    /// The columns; none for a statement without rows.
    pub(super) schema: SchemaRef,
    /// The first rows; what fails at once has failed before they are there.
    first: Option<RecordBatch>,
    rest: Option<SendableRecordBatchStream>,
    text: String,
    limits: Limits,
    notices: UnboundedReceiver<String>,
    counted: Option<Counted>,
    _place: OwnedSemaphorePermit,
}

/// What ends a statement before it is done.
struct Limits {
    deadline: Option<Instant>,
    ending: CancellationToken,
}

impl Limits {
    /// What `work` gives, unless it takes too long or the server ends.
    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, HttpError> {
        let late = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => pending::<()>().await,
            }
        };
        tokio::select! {
            done = work => done,
            () = late => Err(HttpError::new("57014", "the statement took longer than it may")),
            () = self.ending.cancelled() => Err(ends()),
        }
    }
}

fn ends() -> HttpError {
    HttpError::new("57P01", "the server is shutting down")
}

/// A place among the statements that run, and the time until its statement has to be done.
pub(super) struct Turn {
    limits: Limits,
    place: OwnedSemaphorePermit,
}

impl Shared {
    /// A place to run one statement at, from now on.
    pub(super) fn turn(&self) -> Result<Turn, HttpError> {
        if self.stopping.is_cancelled() {
            return Err(ends());
        }
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            HttpError::new("53300", "too many statements are running").with_hint("try again later")
        })?;
        let deadline = self.statement_timeout.and_then(|limit| Instant::now().checked_add(limit));
        Ok(Turn { limits: Limits { deadline, ending: self.ending.clone() }, place })
    }
}

impl Turn {
    /// What `work` gives, which the statement needs before it can run.
    pub(super) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, HttpError> {
        let work = async { work.await.map_err(|error| HttpError::of_engine(&error, "")) };
        self.limits.within(work).await
    }

    /// Runs a statement of `text` for `caller` until its first rows are there.
    pub(super) async fn run(
        self,
        shared: &Shared,
        caller: &Caller,
        statement: &Statement,
        text: &str,
    ) -> Result<Running, HttpError> {
        caller.check(statement)?;
        let Self { limits, place } = self;
        let counted = Counted::begin(Protocol::Http, statement);
        let (watcher, notices) = Notices::new();
        let failed = |error: EngineError| match error {
            EngineError::Forbidden => caller.refused(),
            error => HttpError::of_engine(&error, text),
        };
        let begun = async {
            let session = shared.session.get().await.map_err(failed)?.fork(Arc::new(watcher));
            let Answer { tag, rows } =
                session.run_as(statement, caller.access()).await.map_err(failed)?;
            let Some(rows) = rows else { return Ok((tag, None)) };
            let rows = rows.execute_stream().await.map_err(|error| failed(error.into()))?;
            Ok((tag, Some(rows)))
        };
        let (tag, rest) = match limits.within(begun).await {
            Ok(begun) => begun,
            Err(error) => {
                counted.end(false);
                return Err(error);
            }
        };
        let schema = rest.as_ref().map_or_else(|| Arc::new(Schema::empty()), |rows| rows.schema());
        let mut running = Running {
            tag,
            schema,
            first: None,
            rest,
            text: text.to_owned(),
            limits,
            notices,
            counted: Some(counted),
            _place: place,
        };
        running.first = running.next().await?;
        Ok(running)
    }
}

impl Running {
    /// The rows that come first, if there are any.
    pub(super) fn first(&self) -> Option<&RecordBatch> {
        self.first.as_ref()
    }

    /// The next rows; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, HttpError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(rows) = &mut self.rest else {
            self.end(true);
            return Ok(None);
        };
        let text = self.text.as_str();
        let next = async {
            let batch = rows.next().await.transpose();
            batch.map_err(|error| HttpError::of_engine(&error.into(), text))
        };
        let next = self.limits.within(next).await;
        if !matches!(next, Ok(Some(_))) {
            self.rest = None;
            self.end(next.is_ok());
        }
        next
    }

    /// What there is to know beside the rows.
    pub(super) fn notices(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.notices.try_recv().ok()).collect()
    }

    fn end(&mut self, well: bool) {
        if let Some(counted) = self.counted.take() {
            counted.end(well);
        }
    }
}
