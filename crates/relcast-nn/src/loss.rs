//! Losses over a batch of seeds, each weighted by the seed's weight and divided by their sum.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Binary cross-entropy of `logits` `[n, 1]` against `labels` `[n, 1]` in {0, 1}.
#[must_use]
pub fn binary(logits: Tensor<2>, labels: Tensor<2>, weights: Tensor<2>) -> Tensor<1> {
    // max(x, 0) - x y + ln(1 + exp(-|x|)) does not overflow.
    let softplus = logits.clone().abs().neg().exp().log1p();
    let losses = logits.clone().clamp_min(0.0) - logits * labels + softplus;
    weighted_mean(losses, weights)
}

/// Huber loss (1964) of `predictions` `[n, 1]`: squared below `delta`, absolute above.
#[must_use]
pub fn huber(
    predictions: Tensor<2>,
    labels: Tensor<2>,
    weights: Tensor<2>,
    delta: f32,
) -> Tensor<1> {
    let error = (predictions - labels).abs();
    let small = error.clone().clamp_max(delta);
    // ½ s² + delta (e - s) with s = min(e, delta) joins the two without a branch.
    let losses = small.clone().square() * 0.5 + (error - small) * delta;
    weighted_mean(losses / delta, weights)
}

/// Cross-entropy of `logits` `[n, classes]` against the class of each seed `[n, 1]`.
#[must_use]
pub fn multiclass(logits: Tensor<2>, classes: Tensor<2, Int>, weights: Tensor<2>) -> Tensor<1> {
    let losses = log_softmax(logits, 1).gather(1, classes).neg();
    weighted_mean(losses, weights)
}

fn weighted_mean(losses: Tensor<2>, weights: Tensor<2>) -> Tensor<1> {
    (losses * weights.clone()).sum() / weights.sum()
}
