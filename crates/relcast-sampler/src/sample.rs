//! Drawing the trees, block by block, in parallel over the rows of the parent block.

use rayon::prelude::*;
use relcast_graph::{Direction, EdgeType, TemporalGraph};
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
/// `run_seed` alone. A neighbour is drawn only if it is known at the view and has not ended.
///
/// # Errors
/// If the plan was made for another schema, the seeds contradict themselves or see a row too
/// early, or a block grows too large.
pub fn sample(
    graph: &TemporalGraph,
    plan: &SamplePlan,
    seeds: &Seeds,
    run_seed: u64,
) -> Result<Subgraph, SampleError> {
    plan.check(graph.schema())?;
    seeds.check()?;
    let mut blocks: Vec<Block> = Vec::with_capacity(plan.blocks.len());
    for (number, step) in plan.blocks.iter().enumerate() {
        let block = match (
            step.edge,
            step.parent.and_then(|p| Some((blocks.get(p)?, plan.blocks.get(p)?))),
        ) {
            (Some(edge), Some((parent, before))) => {
                let hashes = graph.stable_hashes(before.table);
                let draw = Draw { graph, plan, step, edge, hashes, number, seeds, run_seed };
                draw.block(parent)?
            }
            _ => root(graph, step, seeds)?,
        };
        blocks.push(block);
    }
    Ok(Subgraph { blocks })
}

fn root(graph: &TemporalGraph, step: &BlockPlan, seeds: &Seeds) -> Result<Block, SampleError> {
    let times = graph.times(step.table);
    let age_of = |(seed, (row, view)): (u32, (&u32, &i64))| match *row {
        UNKNOWN_ROW => Ok(None),
        row if graph.is_seen(step.table, row, *view) => Ok(age(times[row as usize], *view)),
        row => {
            let table = graph.schema().table(step.table).name.clone();
            Err(SampleError::Leak { block: 0, table, row, seed })
        }
    };
    let pairs = (0u32..).zip(seeds.rows.iter().zip(&seeds.views));
    let ages = pairs.map(age_of).collect::<Result<Vec<_>, _>>()?;
    let positions = (0u32..).take(seeds.len()).collect();
    Block::new(seeds.rows.clone(), positions, ages, Vec::new(), Vec::new())
}

/// Drawing one block.
struct Draw<'a> {
    graph: &'a TemporalGraph,
    plan: &'a SamplePlan,
    step: &'a BlockPlan,
    edge: EdgeType,
    /// Stable hashes of the parent block's table.
    hashes: &'a [u64],
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
    /// How many rows each parent row has drawn.
    lens: Vec<u32>,
    known: Vec<u32>,
}

impl Draw<'_> {
    fn block(&self, parent: &Block) -> Result<Block, SampleError> {
        let rows = parent.rows().par_chunks(CHUNK).zip(parent.seeds().par_chunks(CHUNK));
        let chunks: Vec<Drawn> = rows.map(|(rows, seeds)| self.chunk(rows, seeds)).collect();
        let nodes = chunks.iter().map(|c| c.rows.len()).sum();
        if nodes >= UNKNOWN_ROW as usize {
            return Err(SampleError::TooLarge { block: self.number });
        }
        let mut all = Drawn {
            rows: Vec::with_capacity(nodes),
            seeds: Vec::with_capacity(nodes),
            ages: Vec::with_capacity(nodes),
            ..Drawn::default()
        };
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
        let (graph, table, link) = (self.graph, self.step.table, self.edge.link);
        let times = graph.times(table);
        let oldest = self.plan.window.map_or(i64::MIN, |window| view.saturating_sub(window));
        if self.edge.direction == Direction::ToParent {
            let parent = graph
                .parent(link, row)
                .filter(|p| graph.is_seen(table, *p, view) && times[*p as usize] >= oldest);
            picked.extend(parent);
            return picked.len() as u32;
        }
        let known = graph.children_known(link, row, view);
        let known = &known[known.partition_point(|c| times[*c as usize] < oldest)..];
        if !graph.has_ends(table) {
            self.choose(known, row, seed, picked);
            return known.len() as u32;
        }
        let seen: Vec<u32> =
            known.iter().copied().filter(|c| graph.is_seen(table, *c, view)).collect();
        self.choose(&seen, row, seed, picked);
        seen.len() as u32
    }

    fn choose(&self, known: &[u32], row: u32, seed: u32, picked: &mut Vec<u32>) {
        let take = known.len().min(self.step.fanout);
        match self.plan.strategy {
            Strategy::MostRecent => picked.extend(known.iter().rev().take(take)),
            Strategy::Uniform if take == known.len() => picked.extend(known),
            Strategy::Uniform => {
                let positions = distinct_positions(known.len(), take, self.stream(row, seed));
                picked.extend(positions.into_iter().map(|p| known[p]));
            }
        }
    }

    /// Where the random numbers start with which `row`, in the tree of `seed`, draws.
    fn stream(&self, row: u32, seed: u32) -> u64 {
        let direction = u64::from(self.edge.direction == Direction::ToChildren);
        let words = [
            self.seeds.keys[seed as usize],
            self.seeds.cutoffs[seed as usize] as u64,
            self.hashes[row as usize],
            self.step.hop as u64,
            u64::from(self.edge.link.0) << 1 | direction,
        ];
        let mut bytes = [0u8; 40];
        for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        xxh3_64_with_seed(&bytes, self.run_seed)
    }
}

/// `take` of `len` positions without replacement, ascending (Floyd's algorithm, Bentley 1987).
fn distinct_positions(len: usize, take: usize, mut state: u64) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::with_capacity(take);
    for last in len - take..len {
        // The high half of a 128-bit product is uniform over 0..=last (Lemire 2019).
        let position = ((u128::from(next(&mut state)) * (last as u128 + 1)) >> 64) as usize;
        match chosen.binary_search(&position) {
            // All chosen so far are smaller than `last`.
            Ok(_) => chosen.push(last),
            Err(place) => chosen.insert(place, position),
        }
    }
    chosen
}

/// The next of a stream of random numbers (SplitMix64, Steele et al. 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_distinct_ascending_and_in_range() {
        for (len, take) in [(1, 1), (5, 0), (5, 5), (9, 8), (1000, 37)] {
            for stream in 0..50 {
                let chosen = distinct_positions(len, take, stream);
                assert_eq!(chosen.len(), take);
                assert!(chosen.is_sorted_by(|a, b| a < b));
                assert!(chosen.iter().all(|p| *p < len));
            }
        }
    }

    #[test]
    fn every_pair_of_positions_is_as_likely() {
        let (len, draws) = (6, 30_000u32);
        let mut counts = vec![0u32; len * len];
        for stream in 0..u64::from(draws) {
            let chosen = distinct_positions(len, 2, xxh3_64_with_seed(&stream.to_le_bytes(), 1));
            counts[chosen[0] * len + chosen[1]] += 1;
        }
        let expected = f64::from(draws) / 15.0;
        let counted = counts.iter().filter(|c| **c > 0);
        let chi_square: f64 =
            counted.clone().map(|c| (f64::from(*c) - expected).powi(2) / expected).sum();
        assert_eq!(counted.count(), 15);
        // 14 degrees of freedom: 36.1 is exceeded once in a thousand.
        assert!(chi_square < 36.1, "{chi_square}");
    }
}
