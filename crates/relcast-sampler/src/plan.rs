//! The plan of the trees: which ways lead out from the seeds, and how many rows each may bring.

use std::fmt;

use relcast_catalog::{Schema, TableId};
use relcast_graph::{Direction, EdgeType};
use serde::{Deserialize, Serialize};

use crate::error::SampleError;

/// Which of the known neighbours are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// The latest ones, newest first.
    MostRecent,
    /// Each with the same chance, without replacement, in the order of time.
    Uniform,
}

/// One step of the trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockPlan {
    /// The block that this one hangs from; `None` for the seeds.
    pub parent: Option<usize>,
    /// The edge type that leads here; `None` for the seeds.
    pub edge: Option<EdgeType>,
    /// The table of the rows.
    pub table: TableId,
    /// Steps from the seeds.
    pub hop: usize,
    /// Rows drawn per row of the parent block, at most.
    pub fanout: usize,
}

/// Steps of a plan, at most: their number grows with the links to the power of the hops, and each
/// costs a batch time and memory even where no row is drawn.
pub const MOST_BLOCKS: usize = 4096;

/// All steps, parents before children; the first holds the seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplePlan {
    /// The steps.
    pub blocks: Vec<BlockPlan>,
    /// Which neighbours are drawn.
    pub strategy: Strategy,
    /// Only rows at most this old at the view, in microseconds.
    pub window: Option<i64>,
    names: Vec<String>,
}

impl SamplePlan {
    /// Plans `fanouts.len()` hops from rows of `entity`, over every link in both directions.
    ///
    /// A step down a link is not followed by a step up the same link: it would come back to the
    /// very row it started from.
    ///
    /// # Errors
    /// [`SampleError::TooManyBlocks`] for more than [`MOST_BLOCKS`] steps.
    pub fn new(
        schema: &Schema,
        entity: TableId,
        fanouts: &[usize],
        strategy: Strategy,
        window: Option<i64>,
    ) -> Result<Self, SampleError> {
        let root = BlockPlan { parent: None, edge: None, table: entity, hop: 0, fanout: 1 };
        let mut blocks = vec![root];
        let mut start = 0;
        for (hop, fanout) in fanouts.iter().enumerate() {
            let end = blocks.len();
            for parent in start..end {
                let (table, came_by) = (blocks[parent].table, blocks[parent].edge);
                for (link, ends) in schema.link_ids() {
                    let returns =
                        came_by == Some(EdgeType { link, direction: Direction::ToChildren });
                    if ends.child == table && !returns {
                        blocks.push(BlockPlan {
                            parent: Some(parent),
                            edge: Some(EdgeType { link, direction: Direction::ToParent }),
                            table: ends.parent,
                            hop: hop + 1,
                            fanout: 1,
                        });
                    }
                    if ends.parent == table {
                        blocks.push(BlockPlan {
                            parent: Some(parent),
                            edge: Some(EdgeType { link, direction: Direction::ToChildren }),
                            table: ends.child,
                            hop: hop + 1,
                            fanout: *fanout,
                        });
                    }
                }
                if blocks.len() > MOST_BLOCKS {
                    return Err(SampleError::TooManyBlocks { hops: fanouts.len() });
                }
            }
            start = end;
        }
        let names = blocks.iter().map(|b| name(schema, b)).collect();
        Ok(Self { blocks, strategy, window, names })
    }

    /// Refuses a plan whose steps are not those of `schema`, or do not follow one another.
    pub(crate) fn check(&self, schema: &Schema) -> Result<(), SampleError> {
        let fits = |number: usize, block: &BlockPlan| match (block.parent, block.edge) {
            (None, None) => number == 0 && block.table.index() < schema.tables.len(),
            (Some(parent), Some(edge)) if parent < number => {
                let from = self.blocks[parent].table;
                schema.links.get(edge.link.index()).is_some_and(|link| match edge.direction {
                    Direction::ToParent => (link.child, link.parent) == (from, block.table),
                    Direction::ToChildren => (link.parent, link.child) == (from, block.table),
                })
            }
            _ => false,
        };
        match self.blocks.iter().enumerate().find(|(number, block)| !fits(*number, block)) {
            Some((block, _)) => Err(SampleError::Plan { block }),
            None => Ok(()),
        }
    }
}

fn name(schema: &Schema, block: &BlockPlan) -> String {
    let table = &schema.table(block.table).name;
    match block.edge {
        None => table.clone(),
        Some(edge) => {
            let link = schema.link_name(schema.link(edge.link));
            let arrow = if edge.direction == Direction::ToParent { "to" } else { "from" };
            format!("{table} ({arrow} {link}, up to {})", block.fanout)
        }
    }
}

impl fmt::Display for SamplePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, 0)
    }
}

impl SamplePlan {
    fn show(&self, f: &mut fmt::Formatter<'_>, block: usize) -> fmt::Result {
        let indent = "  ".repeat(self.blocks[block].hop);
        writeln!(f, "{indent}{}", self.names[block])?;
        for (child, plan) in self.blocks.iter().enumerate() {
            if plan.parent == Some(block) {
                self.show(f, child)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use relcast_catalog::{KnownFrom, Link, Table};

    use super::*;

    #[test]
    fn a_plan_of_too_many_steps_is_refused_before_it_is_made() {
        let table = |name: &str| Table {
            name: name.to_owned(),
            columns: Vec::new(),
            primary_key: vec!["id".to_owned()],
            time_column: None,
            end_time_column: None,
            known_from: KnownFrom::Static,
        };
        let link = |n: u32| Link {
            child: TableId(1),
            columns: vec![format!("user_{n}")],
            parent: TableId(0),
        };
        let schema = Schema {
            tables: vec![table("users"), table("letters")],
            links: (0..8).map(link).collect(),
            ..Schema::default()
        };
        let plan =
            |hops| SamplePlan::new(&schema, TableId(0), &vec![1; hops], Strategy::MostRecent, None);
        // 1 + 8 + 8·7 + 8·7·8 steps, and no further.
        assert_eq!(plan(3).unwrap().blocks.len(), 513);
        let message = plan(16).unwrap_err().to_string();
        assert!(
            message.starts_with("16 hops over the links make more than 4096 steps; "),
            "{message}"
        );
    }
}
