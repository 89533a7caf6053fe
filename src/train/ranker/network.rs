//! The network that scores a candidate: a linear part, and hidden layers with rectified units beside it (wide and deep,
//! Cheng et al., DLRS 2016). Without hidden layers it is the logistic model that they have to beat. Frozen weights are
//! applied by the kernels of `linalg`; all parameters lie in one vector, as an optimiser likes them.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::linalg::{combine, dot};

/// Widths: of the input, and of each hidden layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    inputs: usize,
    hidden: Vec<usize>,
}

/// Where a hidden layer's parameters lie.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Width of what goes in.
    pub inputs: usize,
    /// Width of what comes out.
    pub outputs: usize,
    /// Where the weights, `[inputs, outputs]`, begin.
    pub weights: usize,
    /// Where the biases, `[outputs]`, begin; they end the layer.
    pub biases: usize,
}

impl Shape {
    /// Of so many inputs and these hidden layers.
    pub fn new(inputs: usize, hidden: &[usize]) -> Self {
        Self { inputs, hidden: hidden.to_vec() }
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The hidden layers. The linear part, `[inputs]`, is before them.
    pub fn layers(&self) -> impl Iterator<Item = Place> {
        let mut inputs = self.inputs;
        let mut weights = self.inputs;
        self.hidden.iter().map(move |&outputs| {
            let place = Place { inputs, outputs, weights, biases: weights + inputs * outputs };
            (inputs, weights) = (outputs, place.biases + outputs);
            place
        })
    }

    /// Where the weights of the last hidden layer's units begin, and how many they are.
    pub fn output(&self) -> (usize, usize) {
        self.layers().last().map_or((self.inputs, 0), |last| (last.biases + last.outputs, last.outputs))
    }

    /// Number of all parameters.
    pub fn parameters(&self) -> usize {
        let (begin, width) = self.output();
        begin + width
    }
}

/// A network with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    shape: Shape,
    parameters: Vec<f32>,
}

impl Network {
    /// As it begins: the score is the input at `base`, hidden weights are drawn (He et al., ICCV 2015), and what hidden
    /// layers add is nothing yet.
    pub fn new(shape: Shape, base: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut parameters = vec![0.0; shape.parameters()];
        parameters.iter_mut().take(shape.inputs).skip(base).take(1).for_each(|weight| *weight = 1.0);
        for Place { inputs, weights, biases, .. } in shape.layers() {
            let bound = (6.0 / inputs.max(1) as f32).sqrt();
            let drawn = parameters.get_mut(weights..biases).unwrap_or_default();
            drawn.iter_mut().for_each(|weight| *weight = random.random_range(-bound..bound));
        }
        Self { shape, parameters }
    }

    /// Its shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// All parameters: the linear part, the hidden layers, the output.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// All parameters, to be changed.
    pub fn parameters_mut(&mut self) -> &mut [f32] {
        &mut self.parameters
    }

    /// Whether the parameters are as many as the shape needs, and numbers: what was read from disk may be anything.
    pub fn is_sound(&self) -> bool {
        let count =
            self.shape.hidden.iter().try_fold((self.shape.inputs, self.shape.inputs), |(inputs, sum), outputs| {
                Some((*outputs, inputs.checked_add(1)?.checked_mul(*outputs)?.checked_add(sum)?))
            });
        let count = count.and_then(|(last, sum)| sum.checked_add(if self.shape.hidden.is_empty() { 0 } else { last }));
        count == Some(self.parameters.len()) && self.parameters.iter().all(|value| value.is_finite())
    }

    /// Prepares to score the candidates of one request: inputs below `shared` are the same for all of them and are worked
    /// out here, once. `common`, `[shared]`.
    pub fn request(&self, common: &[f32]) -> Request<'_> {
        let shared = common.len().min(self.shape.inputs);
        let mut base = Vec::new();
        if let Some(first) = self.shape.layers().next() {
            base.resize(first.outputs, 0.0);
            combine(common, self.slice(first.weights, shared * first.outputs), &mut base);
            let biases = self.slice(first.biases, first.outputs);
            base.iter_mut().zip(biases).for_each(|(sum, bias)| *sum += bias);
        }
        let widest = self.shape.hidden.iter().copied().max().unwrap_or(0);
        let linear = dot(common, self.slice(0, shared));
        Request { network: self, shared, base, linear, now: vec![0.0; widest], next: vec![0.0; widest] }
    }

    fn slice(&self, begin: usize, length: usize) -> &[f32] {
        self.parameters.get(begin..begin + length).unwrap_or_default()
    }
}

/// The network with the part of a request that all candidates share.
pub struct Request<'n> {
    network: &'n Network,
    shared: usize,
    /// The first layer's sums over the shared inputs, its biases in them.
    base: Vec<f32>,
    linear: f32,
    now: Vec<f32>,
    next: Vec<f32>,
}

impl Request<'_> {
    /// The score of a candidate by its own inputs, `[inputs − shared]`. Costs a multiplication for each parameter that the
    /// own inputs meet.
    pub fn score(&mut self, own: &[f32]) -> f32 {
        let Self { network, shared, base, linear, now, next } = self;
        let shape = &network.shape;
        let mut score = *linear + dot(own, network.slice(*shared, shape.inputs - *shared));
        for (number, place) in shape.layers().enumerate() {
            let out = next.get_mut(..place.outputs).unwrap_or_default();
            if number == 0 {
                let begin = place.weights + *shared * place.outputs;
                combine(own, network.slice(begin, place.biases - begin), out);
                out.iter_mut().zip(&*base).for_each(|(sum, base)| *sum = (*sum + base).max(0.0));
            } else {
                let from = now.get(..place.inputs).unwrap_or_default();
                combine(from, network.slice(place.weights, place.inputs * place.outputs), out);
                let biases = network.slice(place.biases, place.outputs);
                out.iter_mut().zip(biases).for_each(|(sum, bias)| *sum = (*sum + bias).max(0.0));
            }
            std::mem::swap(now, next);
        }
        let (begin, width) = shape.output();
        score += dot(now.get(..width).unwrap_or_default(), network.slice(begin, width));
        score
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, in double precision.
    fn naive(network: &Network, row: &[f32]) -> f64 {
        let at = |place: usize| f64::from(network.parameters()[place]);
        let mut score: f64 = row.iter().enumerate().map(|(i, value)| f64::from(*value) * at(i)).sum();
        let mut units: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
        for place in network.shape().layers() {
            let unit = |j: usize| {
                let sum: f64 = (0..place.inputs).map(|i| units[i] * at(place.weights + i * place.outputs + j)).sum();
                (sum + at(place.biases + j)).max(0.0)
            };
            units = (0..place.outputs).map(unit).collect();
        }
        let (begin, width) = network.shape().output();
        score += (0..width).map(|j| units[j] * at(begin + j)).sum::<f64>();
        score
    }

    proptest! {
        #[test]
        fn a_score_is_that_of_the_definition_whatever_is_shared(
            inputs in 1usize..30, hidden in prop::collection::vec(1usize..20, 0..3), shared in 0usize..30, seed in 0u64..1000,
        ) {
            let mut network = Network::new(Shape::new(inputs, &hidden), 0, seed);
            let mut random = ChaCha8Rng::seed_from_u64(seed + 1);
            network.parameters_mut().iter_mut().for_each(|value| *value = random.random_range(-0.5..0.5));
            prop_assert!(network.is_sound());
            let row: Vec<f32> = (0..inputs).map(|_| random.random_range(-2.0..2.0)).collect();
            let (common, own) = row.split_at(shared.min(inputs));
            let score = network.request(common).score(own);
            prop_assert!((f64::from(score) - naive(&network, &row)).abs() < 1e-3);
        }
    }

    #[test]
    fn it_begins_as_the_score_that_it_is_given() {
        let network = Network::new(Shape::new(5, &[8, 4]), 1, 7);
        assert_eq!(network.request(&[]).score(&[9.0, 0.75, 3.0, -2.0, 1.0]), 0.75);
    }

    #[test]
    fn parameters_that_do_not_fit_the_shape_are_found() {
        let sound = Network::new(Shape::new(3, &[2]), 0, 1);
        assert!(sound.is_sound());
        let huge = Shape::new(usize::MAX, &[usize::MAX]);
        assert!(!Network { shape: huge, ..sound.clone() }.is_sound());
        let mut short = sound.clone();
        short.parameters.pop();
        assert!(!short.is_sound());
        let mut odd = sound;
        odd.parameters[0] = f32::NAN;
        assert!(!odd.is_sound());
    }
}
