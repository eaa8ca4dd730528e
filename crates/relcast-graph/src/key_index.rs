//! From the hash of a key to its row: an open-addressed table of row numbers.

use crate::NO_ROW;
use crate::hash::NO_KEY;

/// Finds the row of a key among `keys`, which the caller keeps.
#[derive(Debug, Default)]
pub struct KeyIndex {
    /// A power of two of row numbers; [`NO_ROW`] where none is.
    slots: Vec<u32>,
}

impl KeyIndex {
    /// Indexes the rows that `counts` lets in; of two rows with one key, the one that `first`
    /// says comes first is found.
    pub fn new(
        keys: &[u128],
        counts: impl Fn(u32) -> bool,
        first: impl Fn(u32, u32) -> bool,
    ) -> Self {
        let mut index = Self { slots: vec![NO_ROW; (keys.len() * 2).next_power_of_two()] };
        for (row, key) in (0u32..).zip(keys) {
            if *key == NO_KEY || !counts(row) {
                continue;
            }
            let slot = index.slot(keys, *key);
            let held = index.slots[slot];
            if held == NO_ROW || first(row, held) {
                index.slots[slot] = row;
            }
        }
        index
    }

    /// The row with this key.
    pub fn find(&self, keys: &[u128], key: u128) -> Option<u32> {
        if key == NO_KEY || self.slots.is_empty() {
            return None;
        }
        Some(self.slots[self.slot(keys, key)]).filter(|row| *row != NO_ROW)
    }

    /// Where the key is, or would be: at most half of the slots are taken, so there is a free one.
    fn slot(&self, keys: &[u128], key: u128) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = (key >> 64) as usize & mask;
        while self.slots[slot] != NO_ROW && keys[self.slots[slot] as usize] != key {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_keys_the_first_is_found() {
        let keys = [5, 1 << 64, 5, NO_KEY, 9, 1 << 64 | 1];
        let index = KeyIndex::new(&keys, |row| row != 4, |a, b| a > b);
        assert_eq!(index.find(&keys, 5), Some(2));
        assert_eq!(index.find(&keys, 1 << 64), Some(1));
        assert_eq!(index.find(&keys, 1 << 64 | 1), Some(5));
        assert_eq!(index.find(&keys, NO_KEY), None);
        assert_eq!(index.find(&keys, 9), None);
        assert_eq!(KeyIndex::default().find(&[], 9), None);
    }
}
