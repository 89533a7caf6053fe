//! What a user's list is like by what is known of the items: how different they are, and how near their mix of categories
//! is to that of the user's past.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::features::{Csr, Holdout, ValueMix};
use crate::linalg::{Matrix, axpy, dot};

/// Mean distance of two items of a list, 1 minus the cosine of their vectors (Ziegler et al. 2005).
const BY_VECTORS: &str = "vector_diversity";
/// The same by categories; items without any do not count.
const BY_CATEGORIES: &str = "category_diversity";
/// The divergence of a list's mix of categories from that of the user's training pairs (Steck 2018, eq. 6).
const CALIBRATION: &str = "calibration_error";

/// What is known of the items of a hold-out: the same for all models, so that their lists are judged alike.
pub struct Character<'a> {
    /// `[columns, dim]`: the vectors of one model.
    vectors: &'a Matrix,
    lengths: Vec<f32>,
    /// `[columns]`: the numbers of their categories, each once.
    categories: Option<Vec<Vec<u32>>>,
}

impl<'a> Character<'a> {
    /// By vectors, `[columns, dim]`, and by categories, `[columns]`, where there are any.
    pub fn new(vectors: &'a Matrix, categories: Option<Vec<Vec<u32>>>) -> Self {
        let length = |column: usize| {
            let vector = vectors.row(column);
            dot(vector, vector).sqrt()
        };
        Self { vectors, lengths: (0..vectors.rows()).into_par_iter().map(length).collect(), categories }
    }

    /// The names of the figures.
    pub fn names(&self) -> &'static [&'static str] {
        if self.categories.is_some() { &[BY_VECTORS, BY_CATEGORIES, CALIBRATION] } else { &[BY_VECTORS] }
    }

    /// Every figure of each test user's first `k` items, for each `k` of `cutoffs`, ascending: `[cutoff × figure][user]`. A
    /// list of which nothing can be said, for want of categories or of a second item, has 0.
    pub fn columns(&self, rankings: &[Vec<u32>], cutoffs: &[usize], holdout: &Holdout) -> Vec<Vec<f32>> {
        let users = rankings.par_iter().zip(&holdout.test);
        let of_users: Vec<Vec<f32>> = users
            .map(|(ranked, (row, _))| {
                let by_vectors = self.by_vectors(ranked);
                let Some(categories) = &self.categories else {
                    return cutoffs.iter().map(|k| at(&by_vectors, *k)).collect();
                };
                let by_categories = by_categories(categories, ranked);
                let wanted = past(categories, &holdout.train.matrix, *row as usize);
                let error = |k: usize| {
                    let list = ranked.iter().take(k).map(|column| (of(categories, *column), 1.0));
                    wanted.divergence(&ValueMix::of(list)) as f32
                };
                cutoffs.iter().flat_map(|k| [at(&by_vectors, *k), at(&by_categories, *k), error(*k)]).collect()
            })
            .collect();
        let columns = cutoffs.len() * self.names().len();
        (0..columns).map(|column| of_users.iter().filter_map(|of| of.get(column)).copied().collect()).collect()
    }

    /// After each item of a list. With vᵢ of length 1, the cosines of all pairs of n items sum to (‖Σ vᵢ‖² − n) / 2.
    fn by_vectors(&self, ranked: &[u32]) -> Vec<f64> {
        let mut sum = vec![0.0; self.vectors.dim()];
        let known = |column: &u32| {
            let length = self.lengths.get(*column as usize).copied().filter(|length| *length > 0.0)?;
            let vector = self.vectors.row(*column as usize);
            let cosines = f64::from(dot(&sum, vector) / length);
            axpy(1.0 / length, vector, &mut sum);
            Some(cosines)
        };
        distances(ranked.iter().map(known))
    }
}

fn of(categories: &[Vec<u32>], column: u32) -> &[u32] {
    categories.get(column as usize).map_or(&[], Vec::as_slice)
}

fn at(distances: &[f64], k: usize) -> f32 {
    distances.get(k.min(distances.len()).wrapping_sub(1)).copied().unwrap_or(0.0) as f32
}

fn past(categories: &[Vec<u32>], matrix: &Csr, row: usize) -> ValueMix {
    let (columns, weights) = matrix.row(row);
    ValueMix::of(columns.iter().zip(weights).map(|(column, weight)| (of(categories, *column), f64::from(*weight))))
}

fn by_categories(categories: &[Vec<u32>], ranked: &[u32]) -> Vec<f64> {
    let mut sums: FxHashMap<u32, f64> = FxHashMap::default();
    let known = |column: &u32| {
        let own = of(categories, *column);
        let share = 1.0 / (own.len() as f64).sqrt();
        let cosines = own.iter().filter_map(|category| sums.get(category)).sum::<f64>() * share;
        own.iter().for_each(|category| *sums.entry(*category).or_default() += share);
        (!own.is_empty()).then_some(cosines)
    };
    distances(ranked.iter().map(known))
}

/// Mean distances after each item of a list, from the sum of its cosines with those before it; nothing for an item of which
/// nothing is known.
fn distances(cosines: impl Iterator<Item = Option<f64>>) -> Vec<f64> {
    let (mut items, mut sum) = (0.0, 0.0);
    let mean = |cosines: Option<f64>| {
        if let Some(cosines) = cosines {
            items += 1.0;
            sum += cosines;
        }
        let pairs = items * (items - 1.0) / 2.0;
        if pairs > 0.0 { 1.0 - sum / pairs } else { 0.0 }
    };
    cosines.map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Interactions;
    use crate::record::{ItemId, UserId};

    #[test]
    fn figures_of_a_list_are_those_of_all_its_pairs() {
        let items = [[3.0, 0.0], [0.0, 2.0], [1.0, 1.0], [0.0, 0.0]];
        let mut vectors = Matrix::zeros(4, 2);
        vectors.data_mut().copy_from_slice(items.as_flattened());
        let categories = vec![vec![0], vec![0, 1], vec![1], vec![]];
        let train = Interactions {
            users: vec![UserId::new(0)],
            items: (0..4).map(ItemId::new).collect(),
            matrix: Csr::from_rows(4, vec![vec![(0, 3.0), (2, 1.0)]]),
            trend: Vec::new(),
        };
        let holdout =
            Holdout { train, test: vec![(0, vec![1])], dropped: 0, split: String::new(), left_out: Default::default() };
        let character = Character::new(&vectors, Some(categories));
        let columns = character.columns(&[vec![3, 0, 1, 2]], &[1, 2, 4], &holdout);
        let value = |k: usize, figure: usize| f64::from(columns[k * 3 + figure][0]);
        assert_eq!([value(0, 0), value(0, 1), value(1, 0)], [0.0; 3], "no pair, no distance");
        let half = 0.5f64.sqrt();
        assert!((value(2, 0) - (1.0 - (0.0 + half + half) / 3.0)).abs() < 1e-6);
        assert!((value(2, 1) - (1.0 - (half + 0.0 + half) / 3.0)).abs() < 1e-6);
        // The past is ¾ and ¼; the list has nothing, then all of the first, then half and half.
        let error = |q: [f64; 2]| {
            let part = |(p, q): (f64, f64)| p * (p / (0.99 * q + 0.01 * p)).ln();
            [0.75, 0.25].into_iter().zip(q).map(part).sum::<f64>()
        };
        for (k, q) in [[0.0, 0.0], [1.0, 0.0], [0.5, 0.5]].into_iter().enumerate() {
            assert!((value(k, 2) - error(q)).abs() < 1e-5, "{k}: {} for {}", value(k, 2), error(q));
        }
    }
}
