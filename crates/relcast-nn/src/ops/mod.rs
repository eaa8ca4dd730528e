//! The graph kernels: gather, segment reduction, and the two in one.
//!
//! Composed of burn's tensor operations, so they differentiate and run on every backend. Their
//! signatures are final: a fused kernel can take the place of a body without touching a caller.
//!
//! The model calls [`gather`], which gives each node of a tree the encoding of its row, and
//! [`segment_reduce`], which brings nodes to their parents. The two do not meet: between them stand
//! what depends on the seed and a nonlinearity.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

/// Neighbour lists of a batch in compressed form: the values of target `i` are the contiguous
/// rows `offsets[i]..offsets[i + 1]`.
#[derive(Debug, Clone)]
pub struct Csr {
    /// The target of each value, shape `[values]`, ascending.
    targets: Tensor<1, Int>,
    /// One over the number of values of each target, zero where there are none, shape `[targets, 1]`.
    inverse_counts: Tensor<2>,
    /// The weight of each value by its place in its segment, summing to one, shape `[values, 1]`.
    fading: Tensor<2>,
    values: usize,
}

/// How the values of a segment become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduce {
    /// Their sum; zero for an empty segment.
    Sum,
    /// Their mean; zero for an empty segment.
    Mean,
    /// Their mean with weights that fade by [`FADE`] from one to the next, the first counting
    /// most; zero for an empty segment.
    FadingMean,
}

/// The weight of a value over that of the one before it, for [`Reduce::FadingMean`].
pub const FADE: f32 = 0.75;

impl Csr {
    /// From `offsets`, ascending, one more than there are targets, starting at zero.
    #[must_use]
    pub fn new(offsets: &[u32], device: &Device) -> Self {
        let count = offsets.len().saturating_sub(1);
        let mut targets = Vec::with_capacity(offsets.last().map_or(0, |n| *n as usize));
        let mut fading = Vec::with_capacity(targets.capacity());
        let mut inverse_counts = Vec::with_capacity(count);
        for (target, ends) in (0i32..).zip(offsets.windows(2)) {
            let len = ends[1] - ends[0];
            targets.extend(std::iter::repeat_n(target, len as usize));
            inverse_counts.push(if len == 0 { 0.0 } else { 1.0 / len as f32 });
            let total = (1.0 - FADE.powi(len as i32)) / (1.0 - FADE);
            fading.extend((0..len).map(|place| FADE.powi(place as i32) / total));
        }
        let values = targets.len();
        Self {
            targets: Tensor::from_data(TensorData::new(targets, [values]), device),
            inverse_counts: Tensor::from_data(TensorData::new(inverse_counts, [count, 1]), device),
            fading: Tensor::from_data(TensorData::new(fading, [values, 1]), device),
            values,
        }
    }

    /// The number of values over all segments.
    #[must_use]
    pub fn values(&self) -> usize {
        self.values
    }
}

/// Rows of `features` `[rows, channels]` at `rows` `[n]`: `[n, channels]`.
#[must_use]
pub fn gather(features: Tensor<2>, rows: Tensor<1, Int>) -> Tensor<2> {
    features.select(0, rows)
}

/// Reduces `values` `[csr.values(), channels]` to one row per target: `[targets, channels]`.
#[must_use]
pub fn segment_reduce(values: Tensor<2>, csr: &Csr, reduce: Reduce) -> Tensor<2> {
    let [targets, _] = csr.inverse_counts.dims();
    let [_, channels] = values.dims();
    let zeros = Tensor::zeros([targets, channels], &values.device());
    if csr.values == 0 {
        return zeros;
    }
    let values = match reduce {
        Reduce::Sum | Reduce::Mean => values,
        Reduce::FadingMean => values * csr.fading.clone(),
    };
    let sums = zeros.select_assign(0, csr.targets.clone(), values, IndexingUpdateOp::Add);
    match reduce {
        Reduce::Sum | Reduce::FadingMean => sums,
        Reduce::Mean => sums * csr.inverse_counts.clone(),
    }
}

/// `segment_reduce(gather(features, rows), csr, reduce)` without the rows in between:
/// `features` `[rows, channels]`, `rows` `[csr.values()]`, gives `[targets, channels]`.
///
/// For states that several neighbours share. In sampled trees none do: every neighbour is a node of
/// its own and stands in the order of its parents, so `rows` would be `0, 1, 2, …` and the gather a
/// copy that changes nothing. There the reduction alone is the same, bit for bit.
#[must_use]
pub fn gather_reduce(
    features: Tensor<2>,
    rows: Tensor<1, Int>,
    csr: &Csr,
    reduce: Reduce,
) -> Tensor<2> {
    segment_reduce(gather(features, rows), csr, reduce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data_as::<f32>().iter::<f32>().collect()
    }

    #[test]
    fn an_empty_segment_reduces_to_zero() {
        let device = Device::flex();
        let values = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 6.0], [5.0, 5.0]], &device);
        let csr = Csr::new(&[0, 2, 2, 3], &device);
        let mean = segment_reduce(values.clone(), &csr, Reduce::Mean);
        assert_eq!(floats(mean), [2.0, 4.0, 0.0, 0.0, 5.0, 5.0]);
        let sum = segment_reduce(values, &csr, Reduce::Sum);
        assert_eq!(floats(sum), [4.0, 8.0, 0.0, 0.0, 5.0, 5.0]);
    }

    #[test]
    fn earlier_values_of_a_segment_weigh_more_in_a_fading_mean() {
        let device = Device::flex();
        let values = Tensor::<2>::from_floats([[1.0], [0.0], [8.0]], &device);
        let csr = Csr::new(&[0, 2, 2, 3], &device);
        let fading = floats(segment_reduce(values, &csr, Reduce::FadingMean));
        assert!((fading[0] - 1.0 / (1.0 + FADE)).abs() < 1e-6, "{fading:?}");
        assert_eq!(fading[1..], [0.0, 8.0]);
    }

    #[test]
    fn where_no_state_is_shared_the_gather_changes_nothing() {
        let device = Device::flex().autodiff();
        let states: Vec<f32> = (0..12u8).map(|n| (f32::from(n) * 0.7).sin()).collect();
        let csr = Csr::new(&[0, 3, 3, 4, 6], &device);
        let result = |reduce, gathered: bool| {
            let states = TensorData::new(states.clone(), [6, 2]);
            let states = Tensor::<2>::from_data(states, &device).require_grad();
            let rows: Vec<i32> = (0..6).collect();
            let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [6]), &device);
            let out = match gathered {
                true => gather_reduce(states.clone(), rows, &csr, reduce),
                false => segment_reduce(states.clone(), &csr, reduce),
            };
            let gradients = (out.clone() * out.clone()).sum().backward();
            (floats(out.inner()), states.grad(&gradients).map(floats))
        };
        for reduce in [Reduce::Sum, Reduce::Mean, Reduce::FadingMean] {
            assert_eq!(result(reduce, true), result(reduce, false), "{reduce:?}");
        }
    }

    #[test]
    fn gather_reduce_equals_a_plain_loop_and_its_gradient_counts_uses() {
        let device = Device::flex().autodiff();
        let features = Tensor::<2>::from_floats([[1.0], [10.0], [100.0]], &device).require_grad();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(vec![2i32, 0, 2, 1], [4]), &device);
        let csr = Csr::new(&[0, 3, 4], &device);
        let out = gather_reduce(features.clone(), rows, &csr, Reduce::Sum);
        assert_eq!(floats(out.clone().inner()), [201.0, 10.0]);
        let gradients = out.sum().backward();
        let gradient = features.grad(&gradients).map(floats);
        assert_eq!(gradient, Some(vec![1.0, 1.0, 2.0]));
    }
}
