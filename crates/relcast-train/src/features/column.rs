//! How one column becomes numbers or vocabulary entries.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::UInt32Array;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use relcast_catalog::SemanticType;
use relcast_graph::Stop;
use serde::{Deserialize, Serialize};

use crate::scale::RobustScale;

/// Entries of a column's vocabulary beyond which the rarest values are unknown ones.
const MAX_VOCABULARY: usize = 512;
/// A number with at most this many distinct values is read as a category too.
const MAX_EXACT: usize = 32;
/// Points of the empirical distribution kept per numerical column.
const KNOTS: usize = 33;
/// Hash buckets and tokens read of a text.
const TEXT_BUCKETS: usize = 512;
const TEXT_TOKENS: usize = 12;
/// Words among the tokens, so that pairs of words have room beside them.
const TEXT_WORDS: usize = 8;
/// Members read of a set.
const SET_MEMBERS: usize = 8;

/// Entry 0 of every vocabulary stands for NULL, entry 1 for a value never met.
const NULL_ENTRY: u32 = 0;
const UNKNOWN_ENTRY: u32 = 1;
const RESERVED: u32 = 2;

/// Numbers a numerical value becomes: standardised, on a robust scale, its rank, and whether it is
/// NULL.
const NUMBERS: usize = 4;

/// How one column is read, with all that was learnt about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ColumnPlan {
    /// A quantity.
    Numerical {
        /// Mean of the values met.
        mean: f64,
        /// Standard deviation of the values met; one if they are all equal.
        deviation: f64,
        /// A scale for heavy tails.
        robust: RobustScale,
        /// Quantiles of the values met, ascending.
        knots: Vec<f64>,
        /// The values themselves where they are few.
        exact: Option<BTreeMap<String, u32>>,
    },
    /// One of a vocabulary (also booleans).
    Categorical {
        /// Entry of each value met.
        vocabulary: BTreeMap<String, u32>,
    },
    /// A set of values of a vocabulary.
    Multicategorical {
        /// Entry of each member met.
        vocabulary: BTreeMap<String, u32>,
    },
    /// Hashed words and word pairs.
    Text,
    /// A vector of `len` floats, and whether it is NULL.
    Embedding {
        /// Its length.
        len: usize,
    },
}

impl ColumnPlan {
    /// Learns a column from the first `known` of its `values`; `None` for a column that is read
    /// otherwise (keys, timestamps) or says nothing.
    ///
    /// # Errors
    /// Arrow's, if the column cannot be cast to what its semantic type needs.
    pub fn learn(
        semantic: SemanticType,
        values: &ArrayRef,
        known: usize,
    ) -> Result<Option<Self>, ArrowError> {
        let stop = Stop::current();
        let met = values.slice(0, known.min(values.len()));
        if met.null_count() == met.len() && semantic != SemanticType::Text {
            return Ok(None);
        }
        Ok(match semantic {
            SemanticType::Numerical => learn_numerical(&met)?,
            SemanticType::Categorical | SemanticType::Boolean => {
                let met = strings(&met)?;
                let values = stop.while_waited_for(met.iter()).flatten();
                Some(Self::Categorical { vocabulary: vocabulary(values) })
            }
            SemanticType::Multicategorical => {
                let (members, _) = members(&met)?;
                let values = stop.while_waited_for(members.iter()).flatten();
                Some(Self::Multicategorical { vocabulary: vocabulary(values) })
            }
            SemanticType::Text => (met.len() > met.null_count()).then_some(Self::Text),
            SemanticType::Embedding => vector_length(&met)?.map(|len| Self::Embedding { len }),
            SemanticType::Timestamp | SemanticType::Key | SemanticType::Ignored => None,
        })
    }

    /// Numbers per row.
    #[must_use]
    pub fn dense(&self) -> usize {
        match self {
            Self::Numerical { .. } => NUMBERS,
            Self::Embedding { len } => *len + 1,
            _ => 0,
        }
    }

    /// Vocabulary entries per row.
    #[must_use]
    pub fn slots(&self) -> usize {
        match self {
            Self::Numerical { exact, .. } => usize::from(exact.is_some()),
            Self::Categorical { .. } => 1,
            Self::Multicategorical { .. } => SET_MEMBERS,
            Self::Text => TEXT_TOKENS,
            Self::Embedding { .. } => 0,
        }
    }

    /// Entries in the column's vocabulary.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        let reserved = RESERVED as usize;
        match self {
            Self::Numerical { exact, .. } => exact.as_ref().map_or(0, |v| v.len() + reserved),
            Self::Categorical { vocabulary } | Self::Multicategorical { vocabulary } => {
                vocabulary.len() + reserved
            }
            Self::Text => TEXT_BUCKETS + reserved,
            Self::Embedding { .. } => 0,
        }
    }

    /// Encodes all `values`: numbers `[rows * dense]` and entries `[rows * slots]`, row by row; fewer
    /// once nobody waits any more.
    ///
    /// # Errors
    /// Arrow's, if the column cannot be cast to what it was learnt as.
    pub fn encode(&self, values: &ArrayRef) -> Result<(Vec<f32>, Vec<u32>), ArrowError> {
        let stop = Stop::current();
        let mut numbers = Vec::with_capacity(values.len() * self.dense());
        let mut entries = Vec::with_capacity(values.len() * self.slots());
        match self {
            Self::Numerical { mean, deviation, robust, knots, exact } => {
                for value in stop.while_waited_for(&floats(values)?) {
                    let value = value.filter(|v| v.is_finite());
                    numbers.extend(encode_number(value, *mean, *deviation, robust, knots));
                    if let Some(exact) = exact {
                        entries.push(look_up(exact, value.map(|v| v.to_string()).as_deref()));
                    }
                }
            }
            Self::Categorical { vocabulary } => {
                let values = strings(values)?;
                let values = stop.while_waited_for(&values);
                entries.extend(values.map(|v| look_up(vocabulary, v)));
            }
            Self::Multicategorical { vocabulary } => {
                let (members, ends) = members(values)?;
                let mut start = 0;
                for end in stop.while_waited_for(ends) {
                    let set = (start..end).take(SET_MEMBERS).map(|i| {
                        look_up(vocabulary, members.is_valid(i).then(|| members.value(i)))
                    });
                    pad(&mut entries, set, SET_MEMBERS);
                    start = end;
                }
            }
            Self::Text => {
                for text in stop.while_waited_for(&strings(values)?) {
                    let tokens = text.map(tokens).unwrap_or_default();
                    pad(&mut entries, tokens.into_iter(), TEXT_TOKENS);
                }
            }
            Self::Embedding { len } => {
                let (inner, ranges) = vectors(values)?;
                let number = |i: usize| match inner.is_valid(i) && inner.value(i).is_finite() {
                    true => inner.value(i) as f32,
                    false => 0.0,
                };
                for range in stop.while_waited_for(ranges) {
                    // A vector of another length says as little as none.
                    match range.filter(|range| range.len() == *len) {
                        Some(range) => {
                            numbers.extend(range.map(number));
                            numbers.push(0.0);
                        }
                        None => numbers.extend(self.null().0),
                    }
                }
            }
        }
        Ok((numbers, entries))
    }

    /// The encoding of NULL.
    #[must_use]
    pub fn null(&self) -> (Vec<f32>, Vec<u32>) {
        let mut numbers = vec![0.0; self.dense()];
        if let (Self::Numerical { .. } | Self::Embedding { .. }, Some(flag)) =
            (self, numbers.last_mut())
        {
            *flag = 1.0;
        }
        (numbers, vec![NULL_ENTRY; self.slots()])
    }
}

fn learn_numerical(values: &ArrayRef) -> Result<Option<ColumnPlan>, ArrowError> {
    let mut met: Vec<f64> = floats(values)?.iter().flatten().filter(|v| v.is_finite()).collect();
    met.sort_unstable_by(f64::total_cmp);
    let (Some(first), Some(last)) = (met.first(), met.last()) else { return Ok(None) };
    if first == last && values.null_count() == 0 {
        return Ok(None);
    }
    let n = met.len() as f64;
    let mean = met.iter().sum::<f64>() / n;
    let variance = met.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    let knots = (0..KNOTS).map(|i| met[(met.len() - 1) * i / (KNOTS - 1)]).collect();
    let mut distinct = met.clone();
    distinct.dedup();
    let exact = (distinct.len() <= MAX_EXACT)
        .then(|| distinct.iter().map(f64::to_string).zip(RESERVED..).collect());
    let robust = RobustScale::learn(&met);
    Ok(Some(ColumnPlan::Numerical { mean, deviation, robust, knots, exact }))
}

/// A number standardised and clipped, on the robust scale, its rank among the values met in
/// [-1, 1], and a NULL flag.
fn encode_number(
    value: Option<f64>,
    mean: f64,
    deviation: f64,
    robust: &RobustScale,
    knots: &[f64],
) -> [f32; NUMBERS] {
    let Some(value) = value else { return [0.0, 0.0, 0.0, 1.0] };
    let standard = ((value - mean) / deviation).clamp(-5.0, 5.0);
    let below = knots.partition_point(|k| *k < value);
    let upto = knots.partition_point(|k| *k <= value);
    // Equal knots share the middle of their ranks.
    let rank = (below + upto) as f64 / (2.0 * knots.len() as f64);
    let robust = robust.scaled(value).clamp(-10.0, 10.0) / 2.0;
    [standard as f32, robust as f32, (2.0 * rank - 1.0) as f32, 0.0]
}

fn look_up(vocabulary: &BTreeMap<String, u32>, value: Option<&str>) -> u32 {
    value.map_or(NULL_ENTRY, |v| vocabulary.get(v).copied().unwrap_or(UNKNOWN_ENTRY))
}

/// The most frequent values with their entries; among equally frequent ones the smaller first.
fn vocabulary<'a>(values: impl Iterator<Item = &'a str>) -> BTreeMap<String, u32> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    ranked.into_iter().take(MAX_VOCABULARY).map(|(v, _)| v.to_owned()).zip(RESERVED..).collect()
}

/// Entries of the words of a text and of its neighbouring pairs, by hash.
fn tokens(text: &str) -> Vec<u32> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_lowercase)
        .take(TEXT_WORDS)
        .collect();
    let pairs = words.windows(2).map(|pair| pair.join(" "));
    words
        .iter()
        .cloned()
        .chain(pairs)
        .take(TEXT_TOKENS)
        .map(|token| {
            let hash = xxhash_rust::xxh3::xxh3_64(token.as_bytes());
            RESERVED + (hash % TEXT_BUCKETS as u64) as u32
        })
        .collect()
}

fn pad(entries: &mut Vec<u32>, set: impl Iterator<Item = u32>, width: usize) {
    let end = entries.len() + width;
    entries.extend(set.take(width));
    entries.resize(end, NULL_ENTRY);
}

fn floats(values: &ArrayRef) -> Result<Float64Array, ArrowError> {
    Ok(cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

fn strings(values: &ArrayRef) -> Result<StringArray, ArrowError> {
    if let Some(flags) = values.as_any().downcast_ref::<BooleanArray>() {
        return Ok(flags.iter().map(|f| f.map(|f| if f { "true" } else { "false" })).collect());
    }
    Ok(cast(values, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Where the numbers of each row's vector stand; `None` for NULL.
type Ranges = Vec<Option<Range<usize>>>;

/// The numbers of all vectors one after the other, and where those of each row stand.
fn vectors(values: &ArrayRef) -> Result<(Float64Array, Ranges), ArrowError> {
    if let Some(lists) = values.as_fixed_size_list_opt() {
        let len = lists.value_length() as usize;
        let range = |row| lists.is_valid(row).then_some(row * len..(row + 1) * len);
        return Ok((floats(lists.values())?, (0..lists.len()).map(range).collect()));
    }
    let Some(lists) = values.as_list_opt::<i32>() else {
        let found = values.data_type();
        return Err(ArrowError::CastError(format!(
            "an embedding is a list of numbers, not {found}"
        )));
    };
    let ends = lists.value_offsets();
    let range = |row| lists.is_valid(row).then_some(ends[row] as usize..ends[row + 1] as usize);
    Ok((floats(lists.values())?, (0..lists.len()).map(range).collect()))
}

/// The length that all vectors share; `None` if they do not.
fn vector_length(values: &ArrayRef) -> Result<Option<usize>, ArrowError> {
    let (_, ranges) = vectors(values)?;
    let mut lengths = ranges.iter().flatten().map(ExactSizeIterator::len);
    let first = lengths.next().filter(|len| *len > 0);
    Ok(first.filter(|first| lengths.all(|len| len == *first)))
}

/// The members of all sets one after the other, and where each set ends.
fn members(values: &ArrayRef) -> Result<(StringArray, Vec<usize>), ArrowError> {
    let DataType::List(_) = values.data_type() else {
        let texts = strings(values)?;
        let ends = (1..=texts.len()).collect();
        return Ok((texts, ends));
    };
    let lists = values.as_list::<i32>();
    let mut positions = Vec::new();
    let mut ends = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        if lists.is_valid(row) {
            let offsets = lists.value_offsets();
            positions.extend((offsets[row]..offsets[row + 1]).map(|i| i as u32));
        }
        ends.push(positions.len());
    }
    let flat = take(lists.values(), &UInt32Array::from(positions), None)?;
    Ok((strings(&flat)?, ends))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow::array::{FixedSizeListBuilder, Float64Builder, ListBuilder, StringBuilder};
    use std::sync::Arc;

    #[test]
    fn a_value_first_met_after_training_is_unknown() {
        let values: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a"), Some("b"), None, Some("new")]));
        let plan = ColumnPlan::learn(SemanticType::Categorical, &values, 3).unwrap().unwrap();
        assert_eq!(plan.vocabulary(), 4);
        assert_eq!(plan.encode(&values).unwrap().1, [2, 3, NULL_ENTRY, UNKNOWN_ENTRY]);
    }

    #[test]
    fn later_values_do_not_move_what_was_learnt() {
        let plan = |last: f64| {
            let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 4.0, last]));
            ColumnPlan::learn(SemanticType::Numerical, &values, 3).unwrap()
        };
        assert_eq!(plan(5.0), plan(1e9));
        assert_eq!(plan(5.0).unwrap().dense(), NUMBERS);
    }

    /// Learns from all `values` and encodes them.
    fn encoded(semantic: SemanticType, values: &ArrayRef) -> (ColumnPlan, Vec<f32>, Vec<u32>) {
        let plan = ColumnPlan::learn(semantic, values, values.len()).unwrap().unwrap();
        let (numbers, entries) = plan.encode(values).unwrap();
        assert_eq!(numbers.len(), values.len() * plan.dense());
        assert_eq!(entries.len(), values.len() * plan.slots());
        assert!(entries.iter().all(|e| (*e as usize) < plan.vocabulary()));
        (plan, numbers, entries)
    }

    #[test]
    fn booleans_are_two_entries_and_null() {
        let values: ArrayRef =
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]));
        let (_, _, entries) = encoded(SemanticType::Boolean, &values);
        assert_eq!(entries, [2, 3, NULL_ENTRY, 2], "the more frequent first");
    }

    #[test]
    fn sets_are_the_entries_of_their_members() {
        let mut lists = ListBuilder::new(StringBuilder::new());
        for set in [Some(vec!["a", "b"]), None, Some(vec![]), Some(vec!["b"]), Some(vec!["b", "x"])]
        {
            for member in set.iter().flatten() {
                lists.values().append_value(member);
            }
            lists.append(set.is_some());
        }
        let values: ArrayRef = Arc::new(lists.finish());
        let plan = ColumnPlan::learn(SemanticType::Multicategorical, &values, 4).unwrap().unwrap();
        let entries = plan.encode(&values).unwrap().1;
        let met: Vec<Vec<u32>> = entries
            .chunks_exact(SET_MEMBERS)
            .map(|set| set.iter().copied().take_while(|e| *e != NULL_ENTRY).collect())
            .collect();
        assert_eq!(met, [vec![3, 2], vec![], vec![], vec![2], vec![2, UNKNOWN_ENTRY]]);
    }

    #[test]
    fn texts_are_words_and_pairs_of_words_however_long() {
        let long: Vec<String> = (0..40).map(|i| format!("word{i}")).collect();
        let swapped = [&long[1..2], &long[..1], &long[2..]].concat().join(" ");
        let long = long.join(" ");
        let texts = vec![Some("Red, hat"), Some("red HAT"), Some("hat red"), None, Some(&long)];
        let values: ArrayRef = Arc::new(StringArray::from(texts));
        let (_, _, entries) = encoded(SemanticType::Text, &values);
        let texts: Vec<&[u32]> = entries.chunks_exact(TEXT_TOKENS).collect();
        assert_eq!(texts[0], texts[1]);
        assert_eq!(texts[0].iter().filter(|e| **e != NULL_ENTRY).count(), 3, "two words, one pair");
        assert_ne!(texts[0][2], texts[2][2], "pairs tell the order");
        assert_eq!(texts[3], [NULL_ENTRY; TEXT_TOKENS]);
        assert!(texts[4].iter().all(|e| *e != NULL_ENTRY));
        let sorted = |text: &str| {
            let mut tokens = tokens(text);
            tokens.sort_unstable();
            tokens
        };
        assert_ne!(sorted(&long), sorted(&swapped), "so do those of a long text");
    }

    #[test]
    fn embeddings_are_read_from_lists_of_one_length_and_tell_null_from_zeros() {
        let rows = [Some([0.0, 0.0]), None, Some([1.5, f64::NAN])];
        let (mut fixed, mut lists) = (
            FixedSizeListBuilder::new(Float64Builder::new(), 2),
            ListBuilder::new(Float64Builder::new()),
        );
        for row in rows {
            fixed.values().append_slice(&row.unwrap_or_default());
            fixed.append(row.is_some());
            lists.values().append_slice(row.as_ref().map_or(&[], |r| r.as_slice()));
            lists.append(row.is_some());
        }
        let fixed: ArrayRef = Arc::new(fixed.finish());
        let (plan, numbers, _) = encoded(SemanticType::Embedding, &fixed);
        assert_eq!(numbers, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.5, 0.0, 0.0]);
        assert_eq!(plan.null().0, [0.0, 0.0, 1.0]);
        assert_eq!(plan.encode(&fixed.slice(1, 2)).unwrap().0, numbers[3..]);
        let whole: ArrayRef = Arc::new(lists.finish_cloned());
        assert_eq!(encoded(SemanticType::Embedding, &whole), (plan, numbers, Vec::new()));

        lists.values().append_slice(&[1.0, 2.0, 3.0]);
        lists.append(true);
        let uneven: ArrayRef = Arc::new(lists.finish());
        let learn = |known| ColumnPlan::learn(SemanticType::Embedding, &uneven, known).unwrap();
        assert_eq!(learn(4), None, "no common length");
        let plan = learn(3).unwrap();
        assert_eq!(plan.encode(&uneven).unwrap().0[9..], plan.null().0, "a later length is NULL");
    }

    #[test]
    fn null_encodes_as_its_own_value() {
        let values: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(3.0)]));
        let plan = ColumnPlan::learn(SemanticType::Numerical, &values, 3).unwrap().unwrap();
        let (numbers, entries) = plan.encode(&values).unwrap();
        assert_eq!((numbers[NUMBERS..2 * NUMBERS].to_vec(), entries[1..2].to_vec()), plan.null());
    }
}
