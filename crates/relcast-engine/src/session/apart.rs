//! Heavy work on a thread of its own, so that a session can go on answering.

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;

/// Runs `work` on a thread of its own. If the caller stops waiting, the token is cancelled and the
/// work ends at its next chance.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl AsyncFnOnce(CancellationToken) -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    let handle = Handle::current();
    let done = tokio::task::spawn_blocking(move || {
        handle.block_on(async {
            tokio::select! {
                biased;
                () = stop.cancelled() => Err(EngineError::Stopped),
                result = work(stop.clone()) => result,
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
