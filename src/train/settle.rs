//! The settings that a configuration leaves to the data. One set of fixed numbers cannot serve both a dense and a sparse
//! catalogue: what is a mild penalty for one wipes out the other. These rules depend on how many users, items and pairs
//! there are and on nothing else, cost one look at the matrix, and are where tuning begins.

use crate::config::{ModelKind, TrainConfig};
use crate::features::Csr;

/// Dimensions are rounded up to whole registers.
const DIMENSION_STEP: usize = 16;
/// Past this, time and memory grow faster than what the factors gain.
const MAX_DIMENSION: usize = 256;
/// The same for the graph filter's components, which cost less.
const MAX_COMPONENTS: usize = 512;
/// The share of the noise's largest singular value that the penalty takes away.
const NOISE_SHARE: f64 = 1.0 / 3.0;
/// Best for fold-in, of .001 to .05, on a dense and on a sparse catalogue alike. The gradients of a pair that is ranked well
/// already fade sooner under BPR than under softmax, and the penalty must not outlast them.
const BPR_PENALTY: f64 = 0.003;
const SOFTMAX_PENALTY: f64 = 0.02;

/// `config` with every setting that is 0 chosen for `matrix`, `[n_users, n_items]`; the others stay. Settling twice
/// changes nothing. A model is served with the settled configuration it was trained with, so that fold-in solves the
/// same equations. With N users, M items, P pairs, counting only those who have any, and w̄ the mean confidence:
///
/// - `dimension`: √P / 4 in steps of 16, at most 256 and no more than the smaller side needs.
/// - `unobserved_weight`: α₀ = w̄ √(P / NM), halfway, geometrically, between two extremes: a pair without an event weighs
///   as much as one with (1), and all of them together weigh as much as all pairs with an event (the density). Models
///   learned by gradient descent are folded in with the second: their negatives have as much to say as the pairs.
/// - `sgd.regularization`: a constant for each loss.
/// - `regularization`: λ such that a typical row's penalty is a third of w̄ (√(P/N) + √(P/M)). That sum is the largest
///   singular value of pure noise of this density (Marchenko & Pastur 1967), and alternating least squares lowers every
///   singular value by the penalty (Srebro, Rennie & Jaakkola 2004), so that what noise adds is mostly taken away. It is
///   less than the largest singular value of any such data: the factors cannot all shrink to zero.
pub fn settle(config: &TrainConfig, matrix: &Csr) -> TrainConfig {
    let shape = Shape::of(matrix);
    let mut settled = config.clone();
    if settled.dimension == 0 {
        settled.dimension = shape.dimension();
    }
    if settled.filter.components == 0 {
        settled.filter.components = shape.components();
    }
    if settled.unobserved_weight == 0.0 {
        settled.unobserved_weight = shape.unobserved_weight(settled.model);
    }
    if settled.regularization == 0.0 {
        settled.regularization = shape.regularization(settled.unobserved_weight, settled.regularization_exponent);
    }
    if settled.sgd.regularization == 0.0 {
        settled.sgd.regularization = match settled.model {
            ModelKind::Bpr => BPR_PENALTY,
            ModelKind::Softmax => SOFTMAX_PENALTY,
            _ => 0.0,
        };
    }
    settled
}

/// How much data there is; every number at least 1, so that no rule divides by zero.
struct Shape {
    users: f64,
    items: f64,
    pairs: f64,
    mean_weight: f64,
}

impl Shape {
    fn of(matrix: &Csr) -> Self {
        let mut seen = vec![false; matrix.n_cols()];
        let (mut users, mut weight) = (0, 0.0);
        for row in 0..matrix.n_rows() {
            let (ids, weights) = matrix.row(row);
            users += usize::from(!ids.is_empty());
            weight += weights.iter().map(|weight| f64::from(*weight)).sum::<f64>();
            for &id in ids {
                seen[id as usize] = true;
            }
        }
        let items = seen.iter().filter(|seen| **seen).count();
        let pairs = matrix.nnz().max(1) as f64;
        let mean_weight = if weight > 0.0 { weight / pairs } else { 1.0 };
        Self { users: users.max(1) as f64, items: items.max(1) as f64, pairs, mean_weight }
    }

    fn components(&self) -> usize {
        let wanted = (self.pairs.sqrt() / 2.0).min(self.users / 4.0).min(self.items / 4.0) as usize;
        wanted.next_multiple_of(DIMENSION_STEP).clamp(DIMENSION_STEP, MAX_COMPONENTS)
    }

    fn dimension(&self) -> usize {
        let wanted = (self.pairs.sqrt() / 4.0).min(self.users).min(self.items) as usize;
        wanted.next_multiple_of(DIMENSION_STEP).clamp(DIMENSION_STEP, MAX_DIMENSION)
    }

    fn unobserved_weight(&self, model: ModelKind) -> f64 {
        let density = self.pairs / (self.users * self.items);
        let exponent = if matches!(model, ModelKind::Bpr | ModelKind::Softmax) { 1.0 } else { 0.5 };
        self.mean_weight * density.powf(exponent)
    }

    fn regularization(&self, unobserved_weight: f64, exponent: f64) -> f64 {
        let (per_user, per_item) = (self.pairs / self.users, self.pairs / self.items);
        let penalty = NOISE_SHARE * self.mean_weight * (per_user.sqrt() + per_item.sqrt());
        let user_mass = per_user + unobserved_weight * self.items;
        let item_mass = per_item + unobserved_weight * self.users;
        // The typical row is between a typical user and a typical item.
        penalty / (user_mass * item_mass).sqrt().powf(exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FilterConfig;
    use crate::linalg::dot;
    use crate::progress::Silent;
    use crate::train::ials::{Model, ials};

    /// 30 users with 4 of 20 items each.
    fn matrix(weight: f32) -> Csr {
        let row = |user: u32| (0..4).map(|k| ((user * 7 + k * k) % 20, weight)).collect();
        Csr::from_rows(20, (0..30).map(row).collect())
    }

    #[test]
    fn what_is_given_stays_and_settling_twice_changes_nothing() {
        let given = TrainConfig {
            dimension: 7,
            unobserved_weight: 0.5,
            regularization: 0.25,
            filter: FilterConfig { components: 3, ..FilterConfig::default() },
            ..TrainConfig::default()
        };
        assert_eq!(settle(&given, &matrix(1.0)), given);
        let settled = settle(&TrainConfig::default(), &matrix(1.0));
        assert_eq!(settle(&settled, &matrix(1.0)), settled);
    }

    #[test]
    fn the_rules_are_as_documented() {
        let settled = settle(&TrainConfig { regularization_exponent: 0.0, ..TrainConfig::default() }, &matrix(1.0));
        assert_eq!(settled.dimension, 16);
        assert!((settled.unobserved_weight - (120.0f64 / 600.0).sqrt()).abs() < 1e-12);
        assert!((settled.regularization - (4f64.sqrt() + 6f64.sqrt()) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn behind_gradient_descent_all_pairs_without_an_event_weigh_like_those_with_one() {
        for model in [ModelKind::Bpr, ModelKind::Softmax] {
            let settled = settle(&TrainConfig { model, ..TrainConfig::default() }, &matrix(3.0));
            assert!((settled.unobserved_weight * 600.0 - 3.0 * 120.0).abs() < 1e-3, "{}", settled.unobserved_weight);
        }
    }

    #[test]
    fn the_exponent_leaves_a_typical_penalty_as_it_is() {
        let with = |exponent| {
            let config = TrainConfig { regularization_exponent: exponent, ..TrainConfig::default() };
            let settled = settle(&config, &matrix(1.0));
            let alpha = settled.unobserved_weight;
            settled.regularization * ((4.0 + alpha * 20.0) * (6.0 + alpha * 30.0)).sqrt().powf(exponent)
        };
        assert!((with(0.0) - with(1.0)).abs() < 1e-12 && (with(0.0) - with(0.5)).abs() < 1e-12);
    }

    #[test]
    fn confidences_in_another_unit_give_the_same_scores() {
        let config = TrainConfig { regularization_exponent: 0.0, ..TrainConfig::default() };
        let one = ials(&matrix(1.0), &config, &Silent).unwrap();
        let ten = ials(&matrix(10.0), &config, &Silent).unwrap();
        for (user, item) in (0..30).flat_map(|user| (0..20).map(move |item| (user, item))) {
            let score = |model: &Model| dot(model.users.row(user), model.items.row(item));
            let (one, ten) = (score(&one), score(&ten));
            assert!((one - ten).abs() < 1e-3, "{one} and {ten}");
        }
    }

    #[test]
    fn the_least_data_is_learned_too() {
        let matrix = Csr::from_rows(2, vec![vec![(0, 1.0)], vec![(1, 1.0)]]);
        let model = ials(&matrix, &TrainConfig::default(), &Silent).unwrap();
        let score = |user: usize, item: usize| dot(model.users.row(user), model.items.row(item));
        assert!(score(0, 0) > score(0, 1) + 0.1, "{} and {}", score(0, 0), score(0, 1));
        assert!(score(1, 1) > score(1, 0) + 0.1, "{} and {}", score(1, 1), score(1, 0));
    }

    #[test]
    fn nothing_at_all_still_settles_to_a_valid_configuration() {
        let settled = settle(&TrainConfig::default(), &Csr::default());
        assert!(settled.validate().is_ok() && settled.regularization > 0.0);
    }
}
