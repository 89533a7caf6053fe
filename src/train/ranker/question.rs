//! What a ranker learns from: questions, each with candidates of which some were taken.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::linalg::Matrix;

/// A question: rows of candidates, and which of them were taken.
#[derive(Clone, Debug)]
pub struct Question {
    /// Inputs of the candidates, `[candidates, inputs]`.
    pub rows: Matrix,
    /// Places of the candidates that were taken, with how many times each counts.
    pub taken: Vec<(u32, f32)>,
    /// The logarithm of how often a candidate was expected to be drawn, `[candidates]`: 0 for one that is there in any
    /// case.
    pub log_expected: Vec<f32>,
}

impl Question {
    /// All candidates as they are.
    pub fn whole(rows: Matrix, taken: Vec<(u32, f32)>) -> Self {
        let log_expected = vec![0.0; rows.rows()];
        Self { rows, taken, log_expected }
    }

    /// Some of the candidates alone.
    pub fn only(&self, places: &[u32]) -> Self {
        let mut rows = Matrix::zeros(places.len(), self.rows.dim());
        let mut taken = Vec::new();
        for (to, from) in places.iter().enumerate() {
            rows.row_mut(to).copy_from_slice(self.rows.row(*from as usize));
            let weight = self.taken.iter().find(|(place, _)| place == from).map(|(_, weight)| (to as u32, *weight));
            taken.extend(weight);
        }
        Self::whole(rows, taken)
    }

    /// The same with `negatives` draws among those that were not taken, the first more often than the last: those are the
    /// ones that the order is about. What is drawn stands for all others by its log-expected count (the logQ correction,
    /// Bengio & Senécal 2008; Yi et al., RecSys 2019).
    pub fn sampled(&self, negatives: usize, seed: u64) -> Self {
        let is_taken = |place: u32| self.taken.iter().any(|(taken, _)| *taken == place);
        let others: Vec<u32> = (0..self.rows.rows() as u32).filter(|place| !is_taken(*place)).collect();
        if others.len() <= negatives {
            return self.clone();
        }
        let weight = |place: u32| 1.0 / f64::from(place + 10).sqrt();
        let mut sum = 0.0;
        let ends: Vec<f64> = others
            .iter()
            .map(|place| {
                sum += weight(*place);
                sum
            })
            .collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut data = Vec::with_capacity((self.taken.len() + negatives) * self.rows.dim());
        let mut log_expected = vec![0.0; self.taken.len()];
        self.taken.iter().for_each(|(place, _)| data.extend_from_slice(self.rows.row(*place as usize)));
        for _ in 0..negatives {
            let at = random.random_range(0.0..sum);
            let Some(place) = others.get(ends.partition_point(|end| *end <= at)).copied() else { continue };
            data.extend_from_slice(self.rows.row(place as usize));
            log_expected.push((negatives as f64 * weight(place) / sum).ln() as f32);
        }
        let mut rows = Matrix::zeros(log_expected.len(), self.rows.dim());
        rows.data_mut().copy_from_slice(&data);
        let taken = (0u32..).zip(&self.taken).map(|(place, (_, weight))| (place, *weight)).collect();
        Self { rows, taken, log_expected }
    }

    /// The loss of some scores, and its derivatives by them: for each candidate taken, the softmax cross-entropy of it
    /// against all that were not, as many times as it counts; divided by the number of those taken. So weights count between questions,
    /// most of which have a single take, and not only within one.
    pub fn loss(&self, scores: &[f32], slopes: &mut Vec<f32>) -> f64 {
        slopes.clear();
        slopes.resize(scores.len(), 0.0);
        let shifted: Vec<f64> =
            scores.iter().zip(&self.log_expected).map(|(score, log)| f64::from(*score) - f64::from(*log)).collect();
        let highest = shifted.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if self.taken.is_empty() || !highest.is_finite() {
            return 0.0;
        }
        let mut masses: Vec<f64> = shifted.iter().map(|score| (score - highest).exp()).collect();
        let mut own = Vec::with_capacity(self.taken.len());
        for (place, weight) in &self.taken {
            if let Some(mass) = masses.get_mut(*place as usize) {
                own.push((*place as usize, f64::from(*weight) / self.taken.len() as f64, *mass));
            }
        }
        own.iter().for_each(|(place, ..)| masses.get_mut(*place).into_iter().for_each(|mass| *mass = 0.0));
        let others: f64 = masses.iter().sum();
        let (mut loss, mut pull) = (0.0, 0.0);
        for (place, weight, mass) in own {
            let all = (mass + others).max(f64::MIN_POSITIVE);
            loss -= weight * (mass / all).max(f64::MIN_POSITIVE).ln();
            pull += weight / all;
            if let Some(slope) = slopes.get_mut(place) {
                *slope += (weight * (mass / all - 1.0)) as f32;
            }
        }
        slopes.iter_mut().zip(&masses).for_each(|(slope, mass)| *slope += (mass * pull) as f32);
        loss
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slopes_are_the_differences_of_the_loss(
            scores in prop::collection::vec(-3f32..3.0, 2..12), taken in 1usize..3, logs in prop::collection::vec(-2f32..2.0, 12),
        ) {
            let n = scores.len();
            let mut question = Question::whole(Matrix::zeros(n, 1), Vec::new());
            question.taken = (0..taken.min(n - 1)).map(|place| (place as u32, 1.0 + place as f32)).collect();
            let free = question.taken.len();
            question.log_expected.iter_mut().zip(&logs).skip(free).for_each(|(to, log)| *to = *log);
            let (mut slopes, mut scratch) = (Vec::new(), Vec::new());
            question.loss(&scores, &mut slopes);
            for place in 0..n {
                let at = |by: f32| {
                    let mut moved = scores.clone();
                    moved[place] += by;
                    moved
                };
                let (up, down) = (question.loss(&at(0.01), &mut scratch), question.loss(&at(-0.01), &mut scratch));
                prop_assert!(((up - down) / 0.02 - f64::from(slopes[place])).abs() < 2e-3);
            }
        }
    }

    #[test]
    fn what_counts_more_pulls_more_though_it_is_the_only_take_of_its_question() {
        let pull = |taken: &[(u32, f32)]| {
            let mut slopes = Vec::new();
            Question::whole(Matrix::zeros(4, 1), taken.to_vec()).loss(&[0.0; 4], &mut slopes);
            slopes[2]
        };
        let ratio = |taken: &[(u32, f32)], other: &[(u32, f32)]| pull(taken) / pull(other);
        assert!((ratio(&[(2, 5.0)], &[(2, 1.0)]) - 5.0).abs() < 1e-5);
        assert!((ratio(&[(1, 4.0), (2, 5.0)], &[(1, 4.0), (2, 1.0)]) - 5.0).abs() < 1e-5);
    }

    #[test]
    fn sampled_negatives_give_the_loss_of_all_in_the_mean() {
        let mut rows = Matrix::zeros(300, 1);
        (0..300).for_each(|place| rows.row_mut(place)[0] = ((place * 37) % 101) as f32 / 50.0);
        let whole = Question::whole(rows, vec![(4, 1.0)]);
        let loss = |question: &Question| {
            let scores: Vec<f32> = (0..question.rows.rows()).map(|place| question.rows.row(place)[0]).collect();
            question.loss(&scores, &mut Vec::new())
        };
        let expected = loss(&whole);
        let sampled = (0..200).map(|seed| loss(&whole.sampled(60, seed))).sum::<f64>() / 200.0;
        assert!((sampled - expected).abs() < 0.05, "{sampled} for {expected}");
        assert_eq!(whole.sampled(60, 1).rows.rows(), 61);
        assert_eq!(whole.sampled(500, 1).rows.rows(), 300);
    }
}
