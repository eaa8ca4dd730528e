//! Heavy work on a thread of its own, so that a session can go on answering.

use relcast_graph::Stop;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;

/// Runs `work` on a thread of its own. If the caller stops waiting, the work ends at its next look
/// at [`Stop::current`], or where it waits for something itself.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let token = CancellationToken::new();
    let guard = token.clone().drop_guard();
    let handle = Handle::current();
    let done = tokio::task::spawn_blocking(move || {
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
