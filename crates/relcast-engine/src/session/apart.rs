//! Heavy work on a thread of its own, so that a session can go on answering.

use std::sync::LazyLock;

use relcast_graph::Stop;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;

/// How much work is going on.
static WORKING: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// A piece of work, until it is dropped.
struct Working;

impl Working {
    fn begin() -> Self {
        WORKING.send_modify(|count| *count += 1);
        Self
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        WORKING.send_modify(|count| *count -= 1);
    }
}

/// Waits until the threads of all sessions have ended their work: before that, the runtime that
/// they work in must not go.
pub async fn worked_off() {
    // The sender lives for ever, so waiting cannot fail.
    let _ = WORKING.subscribe().wait_for(|count| *count == 0).await;
}

/// Runs `work` on a thread of its own. If the caller stops waiting, the work ends at its next look
/// at [`Stop::current`], or where it waits for something itself.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let token = CancellationToken::new();
    let guard = token.clone().drop_guard();
    let (handle, working) = (Handle::current(), Working::begin());
    let done = tokio::task::spawn_blocking(move || {
        let _working = working;
        let _entered = Stop::on(&token).enter();
        handle.block_on(async {
            tokio::select! {
                biased;
                () = token.cancelled() => Err(EngineError::Stopped),
                result = work() => result,
            }
        })
    });
    let result = done.await;
    guard.disarm();
    match result {
        Ok(result) => result,
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(_) => Err(EngineError::Stopped),
    }
}
