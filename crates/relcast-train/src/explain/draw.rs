//! What is drawn by chance: orders that depend on a stream's number alone.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The number of the stream that `words` name among those of `seed`.
pub(super) fn stream(seed: u64, words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    xxh3_64_with_seed(&bytes, seed)
}

/// The numbers below `len` in an order drawn from `stream`, each order as likely (Fisher and Yates
/// 1938).
pub(super) fn shuffled(len: usize, stream: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        let draw = xxh3_64_with_seed(&(last as u64).to_le_bytes(), stream);
        // The high half of a 128-bit product is uniform over 0..=last (Lemire 2019).
        let place = (u128::from(draw) * (last as u128 + 1)) >> 64;
        order.swap(last, place as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_each_number_once_and_follows_its_stream() {
        for len in [0, 1, 2, 100] {
            let mut order = shuffled(len, 7);
            assert_eq!(order, shuffled(len, 7));
            order.sort_unstable();
            assert!(order.into_iter().eq(0..len));
        }
        assert_ne!(shuffled(100, stream(1, &[2, 3])), shuffled(100, stream(1, &[3, 2])));
    }

    #[test]
    fn every_order_is_as_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for number in 0..6000 {
            *counts.entry(shuffled(3, stream(5, &[number]))).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|n| (850..1150).contains(n)), "{counts:?}");
    }
}
