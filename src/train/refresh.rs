//! Between two trainings an item's factors follow its new events, without those of the past being read again. The item's
//! normal equations at the time of training are α₀ XᵀX + Σ w x xᵀ + penalty; of the sum only the weights' sum is kept, and
//! the mean x xᵀ over all pairs stands for the item's own. A new event adds its term, and the factors move by recursive least
//! squares (Björck 1996, section 3.2; on implicit feedback He et al., SIGIR 2016, section 4.3):
//! Δ = (A + Σ w x xᵀ)⁻¹ Σ w (1 − x·y) x. Item-item lists and low-pass columns stay as trained: they speak of pairs of items.

use rayon::prelude::*;

use super::Model;
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::features::Csr;
use crate::linalg::{Matrix, Rows, add_outer, axpy, dot, gramian, solve_spd};

use super::fold_in::FoldIn;
use super::ials::Equations;

/// So many users stand for all, evenly spaced.
const USERS: usize = 4096;

/// What moves items by their new events.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemRefresh {
    /// XᵀX over all users, then the mean of x xᵀ over all pairs, `[2, factors, factors]`; empty without factors.
    gramian: Vec<f32>,
    /// The sum of each item's confidences, `[n_items]`.
    weights: Vec<f32>,
}

/// A new event of an item.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// The user's factors as they are now, `[factors]`.
    pub user: Vec<f32>,
    /// Its confidence.
    pub weight: f32,
}

/// The model whose items move.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// Layout, scales and confidences.
    pub fold_in: &'a FoldIn,
    /// `[n_items, dim]`.
    pub items: Rows<'a>,
    /// What it was trained with.
    pub train: &'a TrainConfig,
    /// Users that it was trained on.
    pub users: usize,
    /// Pairs of an item on average.
    pub pairs: f32,
}

impl ItemRefresh {
    /// Of a model that was trained on `matrix`; `None` for one whose vectors no event moves.
    ///
    /// # Errors
    /// Those of fold-in.
    pub fn learn(model: &Model, matrix: &Csr) -> Result<Option<Self>> {
        let mix = *model.fold_in.mix();
        if mix.ratings.is_some() || (mix.factors == 0 && !mix.has_popularity) {
            return Ok(None);
        }
        let mut weights = vec![0.0; matrix.n_cols()];
        let able: Vec<usize> = (0..matrix.n_rows()).filter(|row| !matrix.row(*row).0.is_empty()).collect();
        for row in &able {
            let (items, values) = matrix.row(*row);
            for (item, value) in items.iter().zip(values) {
                if let Some(sum) = weights.get_mut(*item as usize) {
                    *sum += value;
                }
            }
        }
        if mix.factors == 0 {
            return Ok(Some(Self { gramian: Vec::new(), weights }));
        }
        let step = able.len().div_ceil(USERS).max(1);
        let sampled: Vec<usize> = able.iter().copied().step_by(step).collect();
        let solve = |row: &usize| {
            let (items, values) = matrix.row(*row);
            let history: Vec<(u32, f32)> = items.iter().copied().zip(values.iter().copied()).collect();
            Ok((model.fold_in.factors(model.items.as_rows(), &history)?, history.len() as f32))
        };
        let solved = sampled.par_iter().map(solve).collect::<Result<Vec<_>>>()?;
        let pairs: f32 = solved.iter().map(|(_, pairs)| pairs).sum();
        let side = mix.factors;
        let rows = Matrix::new(side, solved.iter().flat_map(|(factors, _)| factors).copied().collect())?;
        let scale = able.len() as f32 / sampled.len().max(1) as f32;
        let mut sums: Vec<f32> = gramian(rows.as_rows()).iter().map(|value| scale * value).collect();
        let mut of_pairs = vec![0.0; side * side];
        let ids: Vec<u32> = (0..rows.rows() as u32).collect();
        let shares: Vec<f32> = solved.iter().map(|(_, count)| count / pairs.max(1.0)).collect();
        add_outer(&mut of_pairs, rows.as_rows(), &ids, &shares);
        mirror(&mut of_pairs, side);
        sums.extend(of_pairs);
        Ok(Some(Self { gramian: sums, weights }))
    }

    /// From what was written of it, for `items` items.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not fit, or holds something that is not a number.
    pub fn from_parts(gramian: Vec<f32>, weights: Vec<f32>, items: usize) -> Result<Self> {
        if weights.len() != items {
            return Err(Error::invalid("item_weights", format!("are {}, expected {items}", weights.len())));
        }
        if gramian.iter().chain(&weights).any(|value| !value.is_finite()) {
            return Err(Error::invalid("user_gramian", "holds something that is not a finite number"));
        }
        Ok(Self { gramian, weights })
    }

    /// XᵀX over all users, then the mean over all pairs, `[2, factors, factors]`.
    pub fn gramian(&self) -> &[f32] {
        &self.gramian
    }

    /// The sum of each item's confidences.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// What to add to the vector of a known item after these new events, which stand for `events` in all. Costs
    /// events · factors² + factors³ / 3.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an item that is not there, for factors of another length, and when numbers run out of range.
    pub fn shift(&self, base: Base<'_>, row: u32, new: &[NewEvent], events: usize) -> Result<Vec<f32>> {
        let Base { fold_in, items, train, users: n_users, pairs } = base;
        let mix = fold_in.mix();
        let mut shift = vec![0.0; mix.dim()];
        let (place, parts) = (row as usize, fold_in.parts());
        let (Some(before), true) = (self.weights.get(place), items.dim() == mix.dim() && place < items.len()) else {
            return Err(Error::invalid("item", format!("{row} is not among the {} of the model", self.weights.len())));
        };
        let scale = parts.scales.get(place).copied().unwrap_or(1.0);
        if mix.has_popularity
            && let Some(popularity) = shift.last_mut()
        {
            *popularity = scale * events as f32 / pairs.max(1.0);
        }
        let side = mix.factors;
        if side == 0 || new.is_empty() {
            return Ok(shift);
        }
        if self.gramian.len() != 2 * side * side || new.iter().any(|event| event.user.len() != side) {
            return Err(Error::invalid("factors", format!("of users have not the length {side}")));
        }
        let (all, of_pairs) = self.gramian.split_at(side * side);
        let confidence = parts.confidences.get(place).copied().unwrap_or(1.0);
        let weights: Vec<f32> = {
            let each = events as f32 / new.len() as f32;
            new.iter().map(|event| confidence * event.weight * each).collect()
        };
        let y: Vec<f32> = items.row(place).iter().take(side).map(|value| value / scale).collect();
        let users = Matrix::new(side, new.iter().flat_map(|event| &event.user).copied().collect())?;
        let ids: Vec<u32> = (0..new.len() as u32).collect();
        let unobserved = train.unobserved_weight as f32;
        let mut system: Vec<f32> =
            all.iter().zip(of_pairs).map(|(all, mean)| unobserved * all + confidence * before * mean).collect();
        add_outer(&mut system, users.as_rows(), &ids, &weights);
        // The count of its pairs under the mean confidence is near enough for a penalty.
        let known = (before / mix.unit.max(f32::MIN_POSITIVE)) as usize + events;
        let penalty = Equations::new(all, side, n_users, train).penalty(known) as f32;
        system.iter_mut().step_by(side + 1).for_each(|value| *value += penalty.max(f32::MIN_POSITIVE));
        let mut delta = vec![0.0; side];
        for (place, weight) in weights.iter().enumerate() {
            let user = users.row(place);
            axpy(weight * (1.0 - dot(user, &y)), user, &mut delta);
        }
        solve_spd(&mut system, &mut delta, side)?;
        shift.iter_mut().zip(&delta).for_each(|(to, from)| *to += scale * from);
        Ok(shift)
    }
}

/// Copies the lower triangle to the upper.
fn mirror(a: &mut [f32], side: usize) {
    for i in 0..side {
        for j in 0..i {
            if let Some(value) = a.get(i * side + j).copied()
                && let Some(slot) = a.get_mut(j * side + i)
            {
                *slot = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelKind;
    use crate::progress::Silent;
    use crate::train::{TrainingData, train};

    /// Two groups of users, each with items of its own.
    fn model() -> (Model, Csr, TrainConfig) {
        let rows =
            (0..40u32).map(|user| (0..6).map(|at| (user % 2 * 8 + (user / 2 + at) % 8, 1.0)).collect()).collect();
        let matrix = Csr::from_rows(16, rows);
        let config = TrainConfig { model: ModelKind::Ials, dimension: 4, epochs: 8, ..TrainConfig::default() };
        let data = TrainingData { matrix: &matrix, trend: &[], validation: &[], ratings: None, warm: None };
        let (model, settled) = train(&data, &config, &Silent).unwrap();
        (model, matrix, settled)
    }

    fn base<'a>(model: &'a Model, train: &'a TrainConfig) -> Base<'a> {
        Base { fold_in: &model.fold_in, items: model.items.as_rows(), train, users: 40, pairs: 15.0 }
    }

    #[test]
    fn an_item_moves_towards_those_who_take_it_now_and_away_from_nobody_else() {
        let (model, matrix, config) = model();
        let refresh = ItemRefresh::learn(&model, &matrix).unwrap().unwrap();
        let factors = |user: usize| {
            let (items, weights) = matrix.row(user);
            let history: Vec<(u32, f32)> = items.iter().copied().zip(weights.iter().copied()).collect();
            model.fold_in.factors(model.items.as_rows(), &history).unwrap()
        };
        // Item 0 is of the even users; now odd ones take it.
        let new: Vec<NewEvent> = (0..10).map(|at| NewEvent { user: factors(2 * at + 1), weight: 1.0 }).collect();
        let shift = refresh.shift(base(&model, &config), 0, &new, 10).unwrap();
        let score = |user: usize, moved: bool| {
            let vector = model.users.row(user);
            dot(vector, model.items.row(0)) + if moved { dot(vector, &shift) } else { 0.0 }
        };
        for user in 0..40 {
            let gain = score(user, true) - score(user, false);
            assert!(if user % 2 == 1 { gain > 0.1 } else { gain.abs() < 0.1 }, "user {user}: {gain}");
        }
    }

    #[test]
    fn what_was_expected_moves_little() {
        let (model, matrix, config) = model();
        let refresh = ItemRefresh::learn(&model, &matrix).unwrap().unwrap();
        let (items, weights) = matrix.row(0);
        let history: Vec<(u32, f32)> = items.iter().copied().zip(weights.iter().copied()).collect();
        let user = model.fold_in.factors(model.items.as_rows(), &history).unwrap();
        let of = |row: u32| {
            let new = [NewEvent { user: user.clone(), weight: 1.0 }];
            let shift = refresh.shift(base(&model, &config), row, &new, 1).unwrap();
            dot(&shift, &shift).sqrt()
        };
        assert!(of(items[0]) < 0.7 * of(8), "{} {}", of(items[0]), of(8));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        assert!(ItemRefresh::from_parts(Vec::new(), vec![1.0; 3], 4).is_err());
        assert!(ItemRefresh::from_parts(vec![f32::NAN], vec![1.0; 3], 3).is_err());
    }
}
