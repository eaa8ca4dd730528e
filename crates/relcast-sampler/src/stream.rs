//! Subgraphs drawn on a thread of their own while the model works on those before.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use relcast_graph::TemporalGraph;

use crate::error::SampleError;
use crate::plan::SamplePlan;
use crate::sample::sample;
use crate::seeds::Seeds;
use crate::subgraph::Subgraph;

/// The subgraphs of `batches` in their order; at most `depth` lie ready. Drawing stops when the
/// iterator is dropped.
///
/// # Panics
/// Where drawing panicked: a stream that ended early would pass for a whole one.
pub fn stream(
    graph: Arc<TemporalGraph>,
    plan: Arc<SamplePlan>,
    batches: Vec<Seeds>,
    run_seed: u64,
    depth: usize,
) -> impl Iterator<Item = Result<(Seeds, Subgraph), SampleError>> + Send {
    let draw = move |seeds: Seeds| {
        sample(&graph, &plan, &seeds, run_seed).map(|subgraph| (seeds, subgraph))
    };
    Ahead::new(batches, depth, draw)
}

/// What a function makes of each item, on a thread of its own.
struct Ahead<T> {
    receiver: Receiver<T>,
    worker: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Ahead<T> {
    fn new<I: Send + 'static>(
        items: Vec<I>,
        depth: usize,
        make: impl Fn(I) -> T + Send + 'static,
    ) -> Self {
        let (sender, receiver) = sync_channel(depth);
        let worker = std::thread::spawn(move || {
            for item in items {
                if sender.send(make(item)).is_err() {
                    return;
                }
            }
        });
        Self { receiver, worker: Some(worker) }
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Ok(made) = self.receiver.recv() {
            return Some(made);
        }
        if let Some(Err(panic)) = self.worker.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_panic_while_drawing_does_not_pass_for_the_end() {
        let mut ahead = Ahead::new(vec![1, 2, 0, 3], 1, |divisor: i32| 6 / divisor);
        assert_eq!((ahead.next(), ahead.next()), (Some(6), Some(3)));
        assert!(catch_unwind(AssertUnwindSafe(|| ahead.next())).is_err());
        assert_eq!(ahead.next(), None);
    }
}
