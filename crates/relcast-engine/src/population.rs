//! Who can be predicted for at a moment.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use datafusion::prelude::SessionContext;
use relcast_graph::key_hashes;
use relcast_query::LabelPlan;

use crate::error::EngineError;

/// The entities of a label plan at one cutoff, found by key without reading the tables again.
#[derive(Debug)]
pub(crate) struct Population {
    /// Those that pass FOR EACH and WHERE, as [`LabelPlan::seeds`] gives them.
    pub(crate) everybody: RecordBatch,
    /// Those that exist, by the hash of their key: whether they pass.
    known: HashMap<u64, bool>,
    cutoff: i64,
}

impl Population {
    /// Reads who is there at `cutoff`; whom FOR names has no say in it.
    pub(crate) async fn read(
        context: &SessionContext,
        plan: &LabelPlan,
        cutoff: i64,
    ) -> Result<Self, EngineError> {
        let width = plan.entity_columns.len();
        let everybody = plan.of_everybody().seeds(context, cutoff).await?;
        let existing = plan.existing(context, cutoff).await?;
        let existing = key_hashes(existing.columns())?;
        let passing = key_hashes(&everybody.columns()[1..=width])?;
        let mut known: HashMap<u64, bool> = existing.into_iter().map(|key| (key, false)).collect();
        for key in passing {
            if let Some(passes) = known.get_mut(&key) {
                *passes = true;
            }
        }
        Ok(Self { everybody, known, cutoff })
    }

    /// The rows of [`LabelPlan::seeds`] for these keys, which are distinct and in order.
    pub(crate) fn seeds(&self, keys: &ArrayRef) -> Result<RecordBatch, EngineError> {
        let hashes = key_hashes(std::slice::from_ref(keys))?;
        let of_hash = |hash: &u64| self.known.get(hash).copied();
        let eligible: BooleanArray =
            hashes.iter().map(|h| Some(of_hash(h) == Some(true))).collect();
        let known: BooleanArray = hashes.iter().map(|h| Some(of_hash(h).is_some())).collect();
        let cutoff = TimestampMicrosecondArray::from_value(self.cutoff, keys.len());
        Ok(RecordBatch::try_from_iter([
            ("cutoff", Arc::new(cutoff) as ArrayRef),
            ("key", keys.clone()),
            ("eligible", Arc::new(eligible)),
            ("known", Arc::new(known)),
        ])?)
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let entry = size_of::<(u64, bool)>() + 1;
        self.everybody.get_array_memory_size() + self.known.capacity() * entry
    }
}
