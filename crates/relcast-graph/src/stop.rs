//! Whether anybody still waits for what a thread works at.
//!
//! Who waits puts a token into the thread that works ([`Stop::enter`]). Work that may take long
//! looks at it ([`Stop::current`], [`Stop::check`]) wherever it can end without leaving a half, so
//! that it ends soon after the token is cancelled. Where there is no token, nothing is stopped.

use std::cell::RefCell;
use std::marker::PhantomData;

use tokio_util::sync::CancellationToken;

thread_local! {
    static CURRENT: RefCell<Stop> = const { RefCell::new(Stop(None)) };
}

/// Rows that are worked at between two looks.
const ROWS: usize = 1 << 16;

/// What says that nobody waits any more.
#[derive(Debug, Clone, Default)]
pub struct Stop(Option<CancellationToken>);

/// Nobody waits for the result any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody waits for the result any more")]
pub struct Stopped;

impl Stop {
    /// Stops what works under it once `token` is cancelled.
    #[must_use]
    pub fn on(token: &CancellationToken) -> Self {
        Self(Some(token.clone()))
    }

    /// That of this thread. Threads that it starts do not have it: give them a clone.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Makes it that of this thread, until what is returned is dropped.
    #[must_use]
    pub fn enter(self) -> Entered {
        Entered { before: CURRENT.replace(self), of_this_thread: PhantomData }
    }

    /// Whether nobody waits any more.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// Ends the work that asks, if nobody waits any more.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn check(&self) -> Result<(), Stopped> {
        if self.is_set() { Err(Stopped) } else { Ok(()) }
    }

    /// The same items, fewer once nobody waits any more: whoever counts on all of them checks
    /// afterwards.
    pub fn while_waited_for<I: IntoIterator>(&self, items: I) -> impl Iterator<Item = I::Item> {
        let goes_on = move |at: usize| !at.is_multiple_of(ROWS) || !self.is_set();
        items.into_iter().enumerate().take_while(move |(at, _)| goes_on(*at)).map(|(_, item)| item)
    }
}

/// Gives the thread back the [`Stop`] that it had before.
#[derive(Debug)]
pub struct Entered {
    before: Stop,
    of_this_thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(std::mem::take(&mut self.before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_within_its_scope_alone_and_soon_after_it_is_told() {
        assert_eq!(Stop::current().check(), Ok(()));
        let token = CancellationToken::new();
        let entered = Stop::on(&token).enter();
        let stop = Stop::current();
        let all = 3 * ROWS;
        assert_eq!(stop.while_waited_for(0..all).count(), all);
        let told_at = |item: &usize| {
            if *item == ROWS / 2 {
                token.cancel();
            }
        };
        assert_eq!(stop.while_waited_for(0..all).inspect(told_at).count(), ROWS);
        assert_eq!(Stop::current().check(), Err(Stopped));
        drop(entered);
        assert_eq!(Stop::current().check(), Ok(()));
    }
}
