//! What is taken of somebody of whom little is known: which items the like of them have, foretold from the profile; where there
//! is no profile, what everybody has. It gives way to events: with n pairs of their own it has k / (n + k) of the say (empirical
//! Bayes), and k is chosen on people whom a model has not seen.

use super::ColdStart;
use super::map::ProfileMap;
use super::ridge::Sparse;
use crate::error::Result;
use crate::features::Csr;
use crate::linalg::Matrix;

/// Items of which it is foretold whether users have them: those with the most users.
const ITEMS: usize = 512;
/// So many of them, the likeliest, make a history.
const HISTORY: usize = 64;
/// Fewer pairs than this are as good as none.
const LEAST_PAIRS: f32 = 1e-3;

/// The items that the most users have, ascending.
pub fn items(by_item: &Csr) -> Vec<u32> {
    let users = |item: &u32| by_item.row(*item as usize).0.len();
    let mut items: Vec<u32> = (0..by_item.n_rows() as u32).filter(|item| users(item) > 0).collect();
    items.sort_by_key(|item| (std::cmp::Reverse(users(item)), *item));
    items.truncate(ITEMS);
    items.sort_unstable();
    items
}

/// The share of each of `items` in each user's confidences, `[n_users, items]`.
pub fn shares(matrix: &Csr, items: &[u32]) -> Matrix {
    let mut shares = Matrix::zeros(matrix.n_rows(), items.len());
    for user in 0..matrix.n_rows() {
        let (ids, weights) = matrix.row(user);
        let mass: f32 = weights.iter().sum();
        for (id, weight) in ids.iter().zip(weights) {
            if let Ok(place) = items.binary_search(id) {
                shares.row_mut(user)[place] = weight / mass;
            }
        }
    }
    shares
}

/// The mean of each column over the users with any pair, `[items]`.
pub fn mean_shares(shares: &Matrix, matrix: &Csr) -> Vec<f32> {
    let mut sums = vec![0.0f64; shares.dim()];
    let able = (0..matrix.n_rows()).filter(|user| !matrix.row(*user).0.is_empty());
    let mut count = 0.0;
    for user in able {
        count += 1.0;
        sums.iter_mut().zip(shares.row(user)).for_each(|(sum, share)| *sum += f64::from(*share));
    }
    sums.into_iter().map(|sum| (sum / f64::max(count, 1.0)) as f32).collect()
}

/// What makes shares as large as scores: the standard deviation of the scores of what is foretold, over that of the shares. 1 where
/// all scores are the same, 0 where all shares are.
pub fn scale(foretold: &[(u32, f32)], score: impl Fn(u32) -> f32) -> f32 {
    let scores = deviation(foretold.iter().map(|(row, _)| score(*row)).collect());
    let shares = deviation(foretold.iter().map(|(_, share)| *share).collect());
    match (scores > 0.0, shares > 0.0) {
        (_, false) => 0.0,
        (false, true) => 1.0,
        (true, true) => (scores / shares) as f32,
    }
}

fn deviation(values: Vec<f32>) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / count;
    (values.into_iter().map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

impl ColdStart {
    /// Rows of items with the shares that they have for the like of a user with this encoded profile, the largest first; for
    /// everybody where the profile is empty.
    pub fn foretold(&self, profile: &[(u32, f32)]) -> Vec<(u32, f32)> {
        let shares = match &self.users {
            Some(map) if !profile.is_empty() => map.vector_of(profile),
            _ => self.prior_shares.clone(),
        };
        let mut foretold: Vec<(u32, f32)> =
            self.prior_items.iter().copied().zip(shares).filter(|(_, share)| *share > 0.0).collect();
        foretold.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        foretold
    }

    /// What stands for a history of one pair of a user with this encoded profile, of (row, confidence); `unit` is the mean
    /// confidence.
    pub fn prior_history(&self, profile: &[(u32, f32)], unit: f32) -> Vec<(u32, f32)> {
        let mut history = self.foretold(profile);
        history.truncate(HISTORY);
        history.iter_mut().for_each(|(_, share)| *share *= unit);
        history
    }

    /// What is added to the scores of items for a user with this encoded profile and `pairs` pairs of their own, by row. Of
    /// the sum, where both parts vary alike over what is foretold, the prior has k / (pairs + k). Empty where it has no say.
    pub fn prior_scores(&self, profile: &[(u32, f32)], pairs: f32, score: impl Fn(u32) -> f32) -> Vec<(u32, f32)> {
        if self.prior_pairs <= 0.0 {
            return Vec::new();
        }
        let mut foretold = self.foretold(profile);
        let factor = self.prior_pairs / pairs.max(LEAST_PAIRS) * scale(&foretold, score);
        foretold.iter_mut().for_each(|(_, share)| *share *= factor);
        foretold.retain(|(_, part)| part.is_finite() && *part > 0.0);
        foretold
    }

    /// k / (n + k): the say of what is foretold beside n pairs.
    pub fn prior_weight(&self, pairs: f32) -> f32 {
        let pairs = pairs.max(LEAST_PAIRS);
        self.prior_pairs / (self.prior_pairs + pairs)
    }
}

/// Unit vectors, `[n, n]`: items by which a map of shares is judged.
pub fn axes(n: usize) -> Matrix {
    let mut axes = Matrix::zeros(n, n);
    axes.data_mut().iter_mut().step_by(n + 1).for_each(|value| *value = 1.0);
    axes
}

/// Learns which items users of a profile have; `None` when there is too little to learn from.
///
/// # Errors
/// Those of [`ProfileMap::learn`].
pub fn learn(
    encoder: crate::features::ProfileEncoder,
    rows: &[Sparse],
    evidence: Vec<f32>,
    shares: &Matrix,
    ridge: f64,
    seed: u64,
) -> Result<Option<ProfileMap>> {
    let probes = axes(shares.dim());
    let examples = super::Examples {
        encoder,
        rows,
        unaware: Vec::new(),
        evidence,
        vectors: shares.as_rows(),
        listed: None,
        gramian: Vec::new(),
        probes: &probes,
    };
    ProfileMap::learn(examples, ridge, seed)
}
