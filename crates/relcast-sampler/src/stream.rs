//! Subgraphs drawn on a thread of their own while the model works on those before.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use relcast_graph::TemporalGraph;

use crate::error::SampleError;
use crate::plan::SamplePlan;
use crate::sample::sample;
use crate::seeds::Seeds;
use crate::subgraph::Subgraph;

/// The subgraphs of `batches` in their order; at most `depth` lie ready. Drawing stops when the
/// iterator is dropped.
pub fn stream(
    graph: Arc<TemporalGraph>,
    plan: Arc<SamplePlan>,
    batches: Vec<Seeds>,
    run_seed: u64,
    depth: usize,
) -> impl Iterator<Item = Result<(Seeds, Subgraph), SampleError>> + Send {
    let (sender, receiver) = sync_channel(depth);
    std::thread::spawn(move || {
        for seeds in batches {
            let drawn = sample(&graph, &plan, &seeds, run_seed).map(|subgraph| (seeds, subgraph));
            if sender.send(drawn).is_err() {
                return;
            }
        }
    });
    receiver.into_iter()
}
