//! Heterogeneous GraphSAGE (Hamilton, Ying and Leskovec 2017), one set of weights per edge type.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::init::Initializer;
use crate::ops::{Csr, Reduce, segment_reduce};

/// What a node hears over one edge type.
pub struct Messages<'a> {
    /// The edge type's position among the model's edge types.
    pub edge: usize,
    /// States of the neighbours, `[neighbours, channels]`, grouped by node. In a tree each neighbour
    /// has a state of its own, so there is nothing to gather.
    pub states: Tensor<2>,
    /// Which neighbours belong to which node.
    pub csr: &'a Csr,
    /// `ln(1 + known neighbours)`, `[nodes, 1]`.
    pub log_known: Tensor<2>,
}

/// One layer:
/// `h + relu(norm(h W + Σ_e mean_e(neighbours) W_e + latest_e(neighbours) V_e + ln(1 + known_e) c_e + b))`.
///
/// Neighbours come latest first: beside their mean stands one in which the latest count most.
///
/// Neighbours are averaged before they are projected: the mean is linear, and there are fewer
/// nodes than neighbours.
#[derive(Module, Debug)]
pub struct SageConv {
    /// Per table `[channels, channels]`.
    pub own: Vec<Param<Tensor<2>>>,
    /// Per edge type `[channels, channels]`.
    pub neighbour: Vec<Param<Tensor<2>>>,
    /// Per edge type `[channels, channels]`, for what the latest neighbours say; none towards a
    /// parent, which is one row at most.
    pub latest: Vec<Option<Param<Tensor<2>>>>,
    /// Per edge type `[1, channels]`.
    pub count: Vec<Param<Tensor<2>>>,
    /// Per table, over channels.
    pub gain: Vec<Param<Tensor<1>>>,
    /// Per table, over channels.
    pub bias: Vec<Param<Tensor<1>>>,
}

/// Whether an edge type leads to many rows: types are numbered by link, to the parent first.
fn leads_to_children(edge: usize) -> bool {
    edge % 2 == 1
}

impl SageConv {
    /// A layer for `tables` node types and `edges` edge types.
    pub fn new(tables: usize, edges: usize, channels: usize, init: &mut Initializer) -> Self {
        let bound = (channels as f32).sqrt().recip();
        Self {
            own: (0..tables).map(|_| init.uniform([channels, channels], bound)).collect(),
            neighbour: (0..edges).map(|_| init.uniform([channels, channels], bound)).collect(),
            latest: (0..edges)
                .map(|edge| {
                    leads_to_children(edge).then(|| init.uniform([channels, channels], bound))
                })
                .collect(),
            count: (0..edges).map(|_| init.uniform([1, channels], bound)).collect(),
            gain: (0..tables).map(|_| init.constant(channels, 1.0)).collect(),
            bias: (0..tables).map(|_| init.constant(channels, 0.0)).collect(),
        }
    }

    /// New states of nodes of `table` from their `states` `[nodes, channels]` and what they hear.
    pub fn forward(
        &self,
        table: usize,
        states: Tensor<2>,
        messages: Vec<Messages<'_>>,
    ) -> Tensor<2> {
        let mut sum = states.clone().matmul(self.own[table].val());
        for message in messages {
            let mean = segment_reduce(message.states.clone(), message.csr, Reduce::Mean);
            if let Some(weights) = &self.latest[message.edge] {
                let latest = segment_reduce(message.states, message.csr, Reduce::FadingMean);
                sum = sum + latest.matmul(weights.val());
            }
            sum = sum
                + mean.matmul(self.neighbour[message.edge].val())
                + message.log_known.matmul(self.count[message.edge].val());
        }
        states + relu(self.normalise(table, sum))
    }

    /// Layer normalisation (Ba, Kiros and Hinton 2016) with a gain and bias per table.
    fn normalise(&self, table: usize, values: Tensor<2>) -> Tensor<2> {
        let (variance, mean) = values.clone().var_mean_bias(1);
        let scaled = (values - mean) / (variance + 1e-5).sqrt();
        scaled * self.gain[table].val().unsqueeze() + self.bias[table].val().unsqueeze()
    }
}
