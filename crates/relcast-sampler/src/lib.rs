//! Leak-free neighbour sampling: every seed gets a tree of rows known at its view.
//!
//! Comes in: a graph, a plan and seeds. Goes out: Arrow batches, one block per step of the plan.
//! Promises that no row of a block is younger than its seed's view, and that a seed's tree depends
//! on the seed and the run's seed alone, never on threads, batches or the order of rows.

mod error;
mod plan;
mod sample;
mod seeds;
mod stream;
mod subgraph;

pub use error::SampleError;
pub use plan::{BlockPlan, MOST_BLOCKS, SamplePlan, Strategy};
pub use relcast_graph::{Direction, EdgeType};
pub use sample::sample;
pub use seeds::{Seeds, UNKNOWN_ROW};
pub use stream::stream;
pub use subgraph::{Ages, Block, Subgraph};
