//! Learning a network's weights: minibatches of questions, back-propagation, Adam with decoupled weight decay (Kingma &
//! Ba, ICLR 2015; Loshchilov & Hutter, ICLR 2019), dropout (Srivastava et al., JMLR 2014), and early stopping on questions
//! of a later time. Each question's gradient is made by itself and they are added in order, so that weights are the same
//! bit for bit whatever the number of threads.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::network::{Network, Place};
use super::question::Question;
use crate::config::RankerConfig;
use crate::error::{Error, Result};
use crate::linalg::{axpy, combine, dot};
use crate::progress::Progress;

/// Questions of a step.
const BATCH: usize = 32;
const FIRST_DECAY: f64 = 0.9;
const SECOND_DECAY: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Learned weights, and after how many passes they were best.
pub struct Learned {
    /// The network.
    pub network: Network,
    /// Passes.
    pub epochs: usize,
}

/// Learns from `questions`, and stops by `later` ones: the weights are those of the pass after which the loss on them was
/// lowest, which may be before the first. Without later ones all passes are gone through.
///
/// # Errors
/// [`Error::Cancelled`]; [`Error::Invalid`] when the loss runs out of range.
pub fn learn(
    begin: Network,
    questions: &[Question],
    later: &[Question],
    config: &RankerConfig,
    progress: &dyn Progress,
) -> Result<Learned> {
    let mut descent = Descent::new(begin, config);
    let mut best = Learned { network: descent.network.clone(), epochs: 0 };
    let mut lowest = mean_loss(&descent.network, later);
    for epoch in 1..=config.epochs {
        if progress.cancelled() {
            return Err(Error::Cancelled("training the ranker"));
        }
        descent.epoch(questions, epoch as u64);
        if later.is_empty() {
            best.epochs = epoch;
            continue;
        }
        let loss = mean_loss(&descent.network, later);
        tracing::debug!(epoch, loss, "ranker judged on later questions");
        if loss < lowest {
            lowest = loss;
            best = Learned { network: descent.network.clone(), epochs: epoch };
        } else if epoch >= best.epochs + config.patience {
            break;
        }
    }
    if later.is_empty() {
        best.network = descent.network;
    }
    match best.network.is_sound() {
        true => Ok(best),
        false => Err(Error::invalid("ranker.learning_rate", "is so large that the ranker's weights run out of range")),
    }
}

/// The mean loss of questions; 0 without any.
pub fn mean_loss(network: &Network, questions: &[Question]) -> f64 {
    let loss = |question: &Question| {
        let mut request = network.request(&[]);
        let scores: Vec<f32> = (0..question.rows.rows()).map(|place| request.score(question.rows.row(place))).collect();
        question.loss(&scores, &mut Vec::new())
    };
    let losses: Vec<f64> = questions.par_iter().map(loss).collect();
    losses.iter().sum::<f64>() / losses.len().max(1) as f64
}

/// A network on its way.
struct Descent<'c> {
    network: Network,
    config: &'c RankerConfig,
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

impl<'c> Descent<'c> {
    fn new(network: Network, config: &'c RankerConfig) -> Self {
        let parameters = network.parameters().len();
        Self { network, config, first: vec![0.0; parameters], second: vec![0.0; parameters], steps: 0 }
    }

    /// One pass, in an order of its own.
    fn epoch(&mut self, questions: &[Question], epoch: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(self.config.seed);
        random.set_stream(epoch);
        let mut order: Vec<usize> = (0..questions.len()).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, random.random_range(0..=place as u64) as usize);
        }
        for batch in order.chunks(BATCH) {
            let of_question = |place: &usize| -> Vec<f32> {
                let mut random = ChaCha8Rng::seed_from_u64(self.config.seed ^ epoch.rotate_left(32));
                random.set_stream(*place as u64 + 1);
                let question = questions.get(*place);
                question.map(|question| gradient(&self.network, question, self.config, &mut random)).unwrap_or_default()
            };
            let gradients: Vec<Vec<f32>> = batch.par_iter().map(of_question).collect();
            let mut sum = vec![0.0f32; self.network.parameters().len()];
            gradients.iter().for_each(|gradient| axpy(1.0 / batch.len() as f32, gradient, &mut sum));
            self.step(&sum);
        }
    }

    fn step(&mut self, gradient: &[f32]) {
        self.steps = self.steps.saturating_add(1);
        let rate = self.config.learning_rate;
        let (first_left, second_left) = (1.0 - FIRST_DECAY.powi(self.steps), 1.0 - SECOND_DECAY.powi(self.steps));
        let decay = 1.0 - rate * self.config.l2;
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((value, gradient), (first, second)) in self.network.parameters_mut().iter_mut().zip(gradient).zip(moments)
        {
            let gradient = f64::from(*gradient);
            *first = FIRST_DECAY * *first + (1.0 - FIRST_DECAY) * gradient;
            *second = SECOND_DECAY * *second + (1.0 - SECOND_DECAY) * gradient * gradient;
            let step = rate * (*first / first_left) / ((*second / second_left).sqrt() + EPSILON);
            *value = (f64::from(*value) * decay - step) as f32;
        }
    }
}

/// The derivatives of one question's loss by all parameters, with dropout drawn from `random`.
fn gradient(network: &Network, question: &Question, config: &RankerConfig, random: &mut ChaCha8Rng) -> Vec<f32> {
    let layers: Vec<Place> = network.shape().layers().collect();
    let n = question.rows.rows();
    // Units of every hidden layer of every candidate; 0 for a unit that is left out.
    let mut units: Vec<Vec<f32>> = layers.iter().map(|place| vec![0.0; n * place.outputs]).collect();
    let mut scores = vec![0.0; n];
    let kept = 1.0 / (1.0 - config.dropout as f32);
    for (row, score) in scores.iter_mut().enumerate() {
        let inputs = question.rows.row(row);
        *score = dot(inputs, at(network, 0, inputs.len()));
        let mut below: &[f32] = inputs;
        for (place, units) in layers.iter().zip(&mut units) {
            let Some(out) = units.get_mut(row * place.outputs..(row + 1) * place.outputs) else { continue };
            combine(below, at(network, place.weights, place.inputs * place.outputs), out);
            for (unit, bias) in out.iter_mut().zip(at(network, place.biases, place.outputs)) {
                let is_kept = config.dropout == 0.0 || random.random_range(0.0..1.0) >= config.dropout;
                *unit = if is_kept { (*unit + bias).max(0.0) * kept } else { 0.0 };
            }
            below = out;
        }
        let (begin, width) = network.shape().output();
        if width > 0 {
            *score += dot(below, at(network, begin, width));
        }
    }
    let mut slopes = Vec::new();
    question.loss(&scores, &mut slopes);

    let mut gradient = vec![0.0; network.parameters().len()];
    for (row, slope) in slopes.iter().enumerate() {
        let inputs = question.rows.row(row);
        axpy(*slope, inputs, part(&mut gradient, 0, inputs.len()));
        let (begin, width) = network.shape().output();
        let mut above: Vec<f32> = at(network, begin, width).iter().map(|weight| slope * weight).collect();
        for (number, place) in layers.iter().enumerate().rev() {
            let of = |number: usize| -> &[f32] {
                let (Some(place), Some(units)) = (layers.get(number), units.get(number)) else { return &[] };
                units.get(row * place.outputs..(row + 1) * place.outputs).unwrap_or_default()
            };
            let out = of(number);
            if number + 1 == layers.len() {
                axpy(*slope, out, part(&mut gradient, begin, width));
            }
            // What a unit that is off would have done does not count; the others were made larger for those left out.
            above.iter_mut().zip(out).for_each(|(slope, unit)| *slope = if *unit > 0.0 { *slope * kept } else { 0.0 });
            let below = if number == 0 { inputs } else { of(number - 1) };
            axpy(1.0, &above, part(&mut gradient, place.biases, place.outputs));
            let weights = part(&mut gradient, place.weights, place.inputs * place.outputs);
            for (value, weights) in below.iter().zip(weights.chunks_exact_mut(place.outputs)) {
                if *value != 0.0 {
                    axpy(*value, &above, weights);
                }
            }
            if number > 0 {
                let weights = at(network, place.weights, place.inputs * place.outputs);
                above = weights.chunks_exact(place.outputs).map(|weights| dot(weights, &above)).collect();
            }
        }
    }
    gradient
}

fn at(network: &Network, begin: usize, length: usize) -> &[f32] {
    network.parameters().get(begin..begin + length).unwrap_or_default()
}

fn part(gradient: &mut [f32], begin: usize, length: usize) -> &mut [f32] {
    gradient.get_mut(begin..begin + length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::network::Shape;
    use super::*;
    use crate::linalg::Matrix;
    use crate::progress::Silent;

    fn drawn(random: &mut ChaCha8Rng, n: usize, inputs: usize) -> Matrix {
        Matrix::new(inputs, (0..n * inputs).map(|_| random.random_range(-1.0..1.0)).collect()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_gradient_is_the_finite_difference(
            inputs in 1usize..6, hidden in prop::collection::vec(1usize..5, 0..3), seed in 0u64..500,
        ) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut network = Network::new(Shape::new(inputs, &hidden), 0, seed);
            network.parameters_mut().iter_mut().for_each(|value| *value = random.random_range(-1.0..1.0));
            let question = Question::whole(drawn(&mut random, 6, inputs), vec![(0, 1.0), (3, 2.0)]);
            let config = RankerConfig { dropout: 0.0, ..RankerConfig::default() };
            let gradient = gradient(&network, &question, &config, &mut random);
            let one = std::slice::from_ref(&question);
            let (mut wrong, mut corners) = (0, 0);
            for (place, slope) in gradient.iter().enumerate() {
                let loss = |by: f32| {
                    let mut moved = network.clone();
                    moved.parameters_mut()[place] += by;
                    mean_loss(&moved, one)
                };
                let (middle, by) = (loss(0.0), 2e-3f32);
                let (up, down) = ((loss(by) - middle) / f64::from(by), (middle - loss(-by)) / f64::from(by));
                // Across a unit's corner the two sides differ.
                let is_corner = (up - down).abs() > 0.02;
                wrong += usize::from(!is_corner && ((up + down) / 2.0 - f64::from(*slope)).abs() > 0.012);
                corners += usize::from(is_corner);
            }
            prop_assert!(corners * 2 < gradient.len());
            prop_assert_eq!(wrong, 0);
        }
    }

    /// Of twelve candidates the one is taken for which two inputs have the same sign and are large: no linear model sees it.
    fn questions(n: usize, seed: u64) -> Vec<Question> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let question = |_| {
            let rows = drawn(&mut random, 12, 3);
            let value = |row: &u32| rows.row(*row as usize)[1] * rows.row(*row as usize)[2];
            let taken = (0..12).max_by(|a, b| value(a).total_cmp(&value(b))).unwrap();
            Question::whole(rows, vec![(taken, 1.0)])
        };
        (0..n).map(question).collect()
    }

    fn config() -> RankerConfig {
        RankerConfig { learning_rate: 0.01, dropout: 0.1, l2: 0.001, ..RankerConfig::default() }
    }

    #[test]
    fn hidden_layers_learn_what_a_linear_model_cannot() {
        let (train, later) = (questions(600, 1), questions(200, 2));
        let loss = |hidden: &[usize]| {
            let begin = Network::new(Shape::new(3, hidden), 0, 5);
            mean_loss(&learn(begin, &train, &later, &config(), &Silent).unwrap().network, &later)
        };
        let (linear, deep) = (loss(&[]), loss(&[16, 8]));
        assert!(linear > 2.2 && deep < 1.6, "linear {linear}, with hidden layers {deep}");
    }

    #[test]
    fn weights_are_the_same_whatever_the_number_of_threads() {
        let train = questions(100, 3);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let begin = || Network::new(Shape::new(3, &[8]), 0, 5);
            pool.install(|| learn(begin(), &train, &questions(30, 4), &config(), &Silent).unwrap().network)
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn noise_is_not_learned_when_later_questions_do_not_have_it() {
        let mut random = ChaCha8Rng::seed_from_u64(9);
        let mut noise = |n| -> Vec<Question> {
            (0..n)
                .map(|_| Question::whole(drawn(&mut random, 20, 12), vec![(random.random_range(0..20), 1.0)]))
                .collect()
        };
        let (train, later) = (noise(20), noise(300));
        let begin = Network::new(Shape::new(12, &[32]), 0, 5);
        let begun = mean_loss(&begin, &later);
        let config = RankerConfig { epochs: 200, patience: 10, ..config() };
        let learned = learn(begin, &train, &later, &config, &Silent).unwrap();
        assert!(learned.epochs < 200, "stops early");
        assert!(mean_loss(&learned.network, &later) <= begun);
    }
}
