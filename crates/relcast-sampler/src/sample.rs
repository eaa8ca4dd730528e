//! Drawing the trees, block by block, in parallel over the rows of the parent block.

use rayon::prelude::*;
use relcast_graph::{Direction, TemporalGraph};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::SampleError;
use crate::plan::{BlockPlan, SamplePlan, Strategy};
use crate::seeds::{Seeds, UNKNOWN_ROW};
use crate::subgraph::{Block, Subgraph, age};

/// Rows of a parent block that one task draws for.
const CHUNK: usize = 512;

/// Draws the neighbours of `seeds` known at their views, hop by hop.
///
/// The rows of a seed's tree depend on the graph, the plan, the seed (key, cutoff, view) and
/// `run_seed` alone.
///
/// # Errors
/// Arrow's, if a block cannot be laid out.
pub fn sample(
    graph: &TemporalGraph,
    plan: &SamplePlan,
    seeds: &Seeds,
    run_seed: u64,
) -> Result<Subgraph, SampleError> {
    let mut blocks: Vec<Block> = Vec::with_capacity(plan.blocks.len());
    for (number, step) in plan.blocks.iter().enumerate() {
        let block = match step.parent {
            None => root(graph, step, seeds)?,
            Some(parent) => {
                let draw = Draw { graph, plan, step, number, seeds, run_seed };
                draw.block(&blocks[parent])?
            }
        };
        blocks.push(block);
    }
    Ok(Subgraph { blocks })
}

fn root(graph: &TemporalGraph, step: &BlockPlan, seeds: &Seeds) -> Result<Block, SampleError> {
    let times = graph.times(step.table);
    let ages = seeds
        .rows
        .iter()
        .zip(&seeds.views)
        .map(
            |(row, view)| if *row == UNKNOWN_ROW { None } else { age(times[*row as usize], *view) },
        )
        .collect();
    let positions = (0u32..).take(seeds.len()).collect();
    Block::new(seeds.rows.clone(), positions, ages, Vec::new(), Vec::new())
}

/// Drawing one block.
struct Draw<'a> {
    graph: &'a TemporalGraph,
    plan: &'a SamplePlan,
    step: &'a BlockPlan,
    number: usize,
    seeds: &'a Seeds,
    run_seed: u64,
}

/// What a chunk of parent rows brought.
#[derive(Default)]
struct Drawn {
    rows: Vec<u32>,
    seeds: Vec<u32>,
    ages: Vec<Option<i64>>,
    lens: Vec<u32>,
    known: Vec<u32>,
}

impl Draw<'_> {
    fn block(&self, parent: &Block) -> Result<Block, SampleError> {
        let rows = parent.rows().par_chunks(CHUNK).zip(parent.seeds().par_chunks(CHUNK));
        let chunks: Vec<Drawn> = rows.map(|(rows, seeds)| self.chunk(rows, seeds)).collect();
        let mut all = Drawn::default();
        let mut ends = Vec::with_capacity(parent.rows().len());
        let mut end = 0;
        for chunk in chunks {
            for len in &chunk.lens {
                end += len;
                ends.push(end);
            }
            all.rows.extend(chunk.rows);
            all.seeds.extend(chunk.seeds);
            all.ages.extend(chunk.ages);
            all.known.extend(chunk.known);
        }
        Block::new(all.rows, all.seeds, all.ages, ends, all.known)
    }

    fn chunk(&self, rows: &[u32], seeds: &[u32]) -> Drawn {
        let mut drawn = Drawn::default();
        let mut picked = Vec::new();
        let times = self.graph.times(self.step.table);
        for (row, seed) in rows.iter().zip(seeds) {
            let view = self.seeds.views[*seed as usize];
            picked.clear();
            let known =
                if *row == UNKNOWN_ROW { 0 } else { self.draw(*row, *seed, view, &mut picked) };
            for neighbour in &picked {
                drawn.rows.push(*neighbour);
                drawn.seeds.push(*seed);
                drawn.ages.push(age(times[*neighbour as usize], view));
            }
            drawn.lens.push(picked.len() as u32);
            drawn.known.push(known);
        }
        drawn
    }

    /// Puts the neighbours drawn for `row` into `picked`; gives how many were known.
    fn draw(&self, row: u32, seed: u32, view: i64, picked: &mut Vec<u32>) -> u32 {
        let Some(edge) = self.step.edge else { return 0 };
        let oldest = self.plan.window.map_or(i64::MIN, |w| view.saturating_sub(w));
        let table = self.step.table;
        let times = self.graph.times(table);
        if edge.direction == Direction::ToParent {
            let parent = self
                .graph
                .parent(edge.link, row)
                .filter(|p| self.graph.is_seen(table, *p, view) && times[*p as usize] >= oldest);
            picked.extend(parent);
            return picked.len() as u32;
        }
        let known = self.graph.children_known(edge.link, row, view);
        let known = &known[known.partition_point(|c| times[*c as usize] < oldest)..];
        if !self.graph.has_ends(table) {
            self.choose(known, row, seed, picked);
            return known.len() as u32;
        }
        let seen: Vec<u32> =
            known.iter().copied().filter(|c| self.graph.is_seen(table, *c, view)).collect();
        self.choose(&seen, row, seed, picked);
        seen.len() as u32
    }

    fn choose(&self, known: &[u32], row: u32, seed: u32, picked: &mut Vec<u32>) {
        let take = known.len().min(self.step.fanout);
        match self.plan.strategy {
            Strategy::MostRecent => picked.extend(known.iter().rev().take(take)),
            Strategy::Uniform if take == known.len() => picked.extend(known),
            Strategy::Uniform => {
                let mut positions = self.distinct_positions(known.len(), take, row, seed);
                positions.sort_unstable();
                picked.extend(positions.into_iter().map(|p| known[p]));
            }
        }
    }

    /// `take` of `len` positions without replacement (Floyd's algorithm, Bentley 1987).
    fn distinct_positions(&self, len: usize, take: usize, row: u32, seed: u32) -> Vec<usize> {
        let parent = self.plan.blocks[self.step.parent.unwrap_or(0)].table;
        let words = [
            self.seeds.keys[seed as usize],
            self.seeds.cutoffs[seed as usize] as u64,
            self.graph.stable_hashes(parent)[row as usize],
            self.number as u64,
        ];
        let mut bytes = [0u8; 40];
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        let mut chosen: Vec<usize> = Vec::with_capacity(take);
        for last in len - take..len {
            bytes[32..].copy_from_slice(&(last as u64).to_le_bytes());
            let draw = xxh3_64_with_seed(&bytes, self.run_seed);
            // The high half of a 128-bit product is uniform over 0..=last (Lemire 2019).
            let position = ((u128::from(draw) * (last as u128 + 1)) >> 64) as usize;
            chosen.push(if chosen.contains(&position) { last } else { position });
        }
        chosen
    }
}
