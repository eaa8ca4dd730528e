//! Edge types: a link in one of its directions.

use relcast_catalog::LinkId;
use serde::{Deserialize, Serialize};

/// Which way a link is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    /// From a row to the one row it points to.
    ToParent,
    /// From a row to the rows that point to it.
    ToChildren,
}

/// A link in one of its directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EdgeType {
    /// The link.
    pub link: LinkId,
    /// The way it is walked.
    pub direction: Direction,
}
