//! What Prometheus is told: requests, statements, open connections.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use relcast_query::statement::{Explain, Statement};

use crate::copy;

const REQUESTS: &str = "relcast_http_requests_total";
const SECONDS: &str = "relcast_http_request_seconds";
const STATEMENTS: &str = "relcast_statements_total";
const CONNECTIONS: &str = "relcast_open_connections";

/// Bounds of the histogram, in seconds: from a warm prediction to a training.
const BOUNDS: [f64; 12] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0];

/// How often what was measured is summed up, should nobody ask for it.
const UPKEEP: Duration = Duration::from_secs(10);

/// One recorder for the process: the counters are its own.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts to count, unless that was done before.
pub(crate) fn start() {
    if RECORDER.get().is_some() {
        return;
    }
    let builder = match PrometheusBuilder::new().set_buckets(&BOUNDS) {
        Ok(builder) => builder,
        Err(error) => return tracing::warn!(%error, "nothing is counted"),
    };
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // Whoever came first counts for everybody.
    if metrics::set_global_recorder(recorder).is_ok() && RECORDER.set(handle).is_ok() {
        describe_counter!(REQUESTS, "Requests answered, by route and status.");
        describe_histogram!(SECONDS, "Seconds until an answer began, by route.");
        describe_counter!(STATEMENTS, "Statements, by protocol, kind and outcome.");
        describe_gauge!(CONNECTIONS, "Open connections, by protocol.");
    }
}

/// Everything counted so far, as Prometheus reads it.
pub(crate) fn text() -> String {
    RECORDER.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Sums up from time to time, for ever, so that what was measured takes no more and more memory.
pub(crate) async fn upkeep() {
    loop {
        tokio::time::sleep(UPKEEP).await;
        if let Some(handle) = RECORDER.get() {
            handle.run_upkeep();
        }
    }
}

/// Counts one answered request.
pub(crate) fn request(route: &'static str, status: u16, took: Duration) {
    counter!(REQUESTS, "route" => route, "status" => status.to_string()).increment(1);
    histogram!(SECONDS, "route" => route).record(took.as_secs_f64());
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Postgres,
    Http,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Http => "http",
        }
    }
}

/// An open connection; it counts as long as it lives.
#[derive(Debug)]
pub(crate) struct Open(Protocol);

impl Open {
    pub(crate) fn new(protocol: Protocol) -> Self {
        gauge!(CONNECTIONS, "protocol" => protocol.name()).increment(1.0);
        Self(protocol)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!(CONNECTIONS, "protocol" => self.0.name()).decrement(1.0);
    }
}

/// A statement that runs. It is counted when it ends: well, badly, or because nobody waits for it.
#[derive(Debug)]
pub(crate) struct Counted {
    protocol: Protocol,
    kind: &'static str,
    outcome: &'static str,
}

impl Counted {
    pub(crate) fn begin(protocol: Protocol, statement: &Statement) -> Self {
        Self { protocol, kind: kind(statement), outcome: "cancelled" }
    }

    pub(crate) fn end(mut self, well: bool) {
        self.outcome = if well { "done" } else { "failed" };
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let (protocol, kind, outcome) = (self.protocol.name(), self.kind, self.outcome);
        counter!(STATEMENTS, "protocol" => protocol, "kind" => kind, "outcome" => outcome)
            .increment(1);
    }
}

/// Whether a statement changes what is there, as far as its kind tells.
pub(crate) fn changes(statement: &Statement) -> bool {
    let is_sent = matches!(statement, Statement::Sql(sql) if copy::to_stdout(sql).is_some());
    matches!(kind(statement), "define" | "write" | "train") && !is_sent
}

/// What a statement is about, in few words.
fn kind(statement: &Statement) -> &'static str {
    match statement {
        Statement::Sql(sql) => match sql.first_words(1).first().map_or("SELECT", String::as_str) {
            "CREATE" | "DROP" | "ALTER" => "define",
            "INSERT" | "COPY" | "UPDATE" | "DELETE" => "write",
            "EXPLAIN" => "explain",
            "SELECT" | "WITH" | "VALUES" | "TABLE" | "FROM" if sql.predictions.is_empty() => {
                "select"
            }
            "SELECT" | "WITH" | "VALUES" | "TABLE" | "FROM" => "predict",
            _ => "session",
        },
        Statement::ExplainPredict { about: Explain::Analyze, .. } => "predict",
        Statement::ExplainPredict { .. }
        | Statement::ExplainCreateModel(_)
        | Statement::ExplainModel { .. } => "explain",
        Statement::CreateModel(_) | Statement::RefreshModel(_) => "train",
        Statement::EvaluateModel { .. } | Statement::CheckModel(_) => "evaluate",
        Statement::ShowModels
        | Statement::DescribeModel(_)
        | Statement::ShowLinks
        | Statement::DescribeGraph => "show",
        Statement::DropModel { .. }
        | Statement::AlterModel { .. }
        | Statement::CreateView(_)
        | Statement::DropView { .. }
        | Statement::CreateSource { .. }
        | Statement::DropSource(_) => "define",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_apart() {
        for (sql, expected) in [
            ("SELECT 1", "select"),
            ("(SELECT 1)", "select"),
            ("PREDICT USING MODEL m", "predict"),
            ("SELECT * FROM (PREDICT USING MODEL m)", "predict"),
            ("CREATE TABLE t AS PREDICT USING MODEL m", "define"),
            ("INSERT INTO t VALUES (1)", "write"),
            ("CREATE MODEL m AS PREDICT SUM(t.x, 0, 1) FOR EACH u.id", "train"),
            ("EXPLAIN SELECT 1", "explain"),
            ("SHOW MODELS", "show"),
            ("SET a = 1", "session"),
            ("DROP MODEL m", "define"),
            ("CREATE VIEW v AS SELECT 1", "define"),
        ] {
            let statement = relcast_query::statements(sql).unwrap().next().unwrap().unwrap();
            assert_eq!(kind(&statement), expected, "{sql}");
        }
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_counted_as_cancelled() {
        start();
        let statement = relcast_query::statements("SHOW LINKS").unwrap().next().unwrap().unwrap();
        drop(Counted::begin(Protocol::Postgres, &statement));
        Counted::begin(Protocol::Postgres, &statement).end(true);
        let text = text();
        for outcome in ["cancelled", "done"] {
            let line = format!(
                "{STATEMENTS}{{protocol=\"postgres\",kind=\"show\",outcome=\"{outcome}\"}} 1"
            );
            assert!(text.contains(&line), "{text}");
        }
    }
}
