//! Fold-in: a user's factors from their history against fixed items, the same equations that training solves for a
//! user. A person's newest event counts at once, and people whom training never saw are served like all others.

use super::ials::{Equations, History};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::linalg::{Rows, dot, gramian};

/// Solves histories against the items whose Gramian it was made from.
#[derive(Clone, Debug)]
pub struct FoldIn {
    gramian: Vec<f32>,
    equations: Equations,
    n_items: usize,
}

impl FoldIn {
    /// From the Gramian of the items, `[dim, dim]`, both triangles, their number, and the settled configuration that
    /// they were trained with ([`crate::train::settle`]).
    ///
    /// # Errors
    /// [`Error::Invalid`] when the Gramian is not square or holds something that is not a number, or when the
    /// configuration leaves the weights to the data, which is not known here.
    pub fn new(gramian: Vec<f32>, n_items: usize, config: &TrainConfig) -> Result<Self> {
        let dim = gramian.len().isqrt();
        if dim == 0 || dim * dim != gramian.len() {
            return Err(Error::invalid("gramian", format!("has {} numbers, expected a square", gramian.len())));
        }
        if gramian.iter().any(|value| !value.is_finite()) {
            return Err(Error::invalid("gramian", "holds something that is not a finite number"));
        }
        if config.unobserved_weight == 0.0 || config.regularization == 0.0 {
            return Err(Error::invalid("train", "is not settled: fold-in needs the weights that training chose"));
        }
        let equations = Equations::new(&gramian, dim, n_items, config);
        Ok(Self { gramian, equations, n_items })
    }

    /// From the items themselves, `[n_items, dim]`: sums their Gramian first.
    ///
    /// # Errors
    /// As [`FoldIn::new`].
    pub fn from_items(items: Rows<'_>, config: &TrainConfig) -> Result<Self> {
        Self::new(gramian(items), items.len(), config)
    }

    /// The Gramian of the items, `[dim, dim]`, to be kept beside them.
    pub fn gramian(&self) -> &[f32] {
        &self.gramian
    }

    /// The factors, `out`, `[dim]`, of a user with this `history` of (row of `items`, confidence); zero for an empty
    /// one. An item named twice counts twice. Costs dim³ / 3 + |history| dim² / 2 multiply-adds.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `items` or `out` have not the shape this was made for, an item is not among them, or a
    /// confidence is not a positive number.
    pub fn solve(&self, items: Rows<'_>, history: &[(u32, f32)], out: &mut [f32]) -> Result<()> {
        let (ids, weights) = self.check(items, history)?;
        if out.len() != self.equations.dim() {
            return Err(Error::invalid("factors", format!("have length {}, expected {}", out.len(), items.dim())));
        }
        let past = History { rows: items, ids: &ids, weights: &weights };
        past.right_side(out);
        if ids.is_empty() {
            return Ok(());
        }
        self.equations.solve(past, out, &mut vec![0.0; self.gramian.len()])
    }

    /// Why `target` has its score for a user with this `history`: a part wᵢ yₜᵀ A⁻¹ yᵢ for each past item, in the order
    /// of the history, that sum to the inner product of the folded-in factors with the target's (Hu, Koren & Volinsky
    /// 2008, section 5).
    ///
    /// # Errors
    /// As [`FoldIn::solve`], and [`Error::Invalid`] when the target is not among the items.
    pub fn explain(&self, items: Rows<'_>, history: &[(u32, f32)], target: u32) -> Result<Vec<(u32, f64)>> {
        let (ids, weights) = self.check(items, history)?;
        self.check_item("target", target)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // A is symmetric: one solution for the target serves all past items.
        let mut view = items.row(target as usize).to_vec();
        let past = History { rows: items, ids: &ids, weights: &weights };
        self.equations.solve(past, &mut view, &mut vec![0.0; self.gramian.len()])?;
        let part = |&(id, weight): &(u32, f32)| (id, f64::from(weight) * f64::from(dot(&view, items.row(id as usize))));
        Ok(history.iter().map(part).collect())
    }

    fn check(&self, items: Rows<'_>, history: &[(u32, f32)]) -> Result<(Vec<u32>, Vec<f32>)> {
        if (items.len(), items.dim()) != (self.n_items, self.equations.dim()) {
            let (found, expected) = ((items.len(), items.dim()), (self.n_items, self.equations.dim()));
            return Err(Error::invalid("items", format!("are {found:?} in rows and dimension, expected {expected:?}")));
        }
        for &(id, weight) in history {
            self.check_item("history", id)?;
            if !(weight.is_finite() && weight > 0.0) {
                return Err(Error::invalid(
                    "history",
                    format!("gives item {id} the confidence {weight}, expected a positive number"),
                ));
            }
        }
        Ok(history.iter().copied().unzip())
    }

    fn check_item(&self, field: &str, id: u32) -> Result<()> {
        if id as usize >= self.n_items {
            return Err(Error::invalid(field, format!("names item {id}, but there are {}", self.n_items)));
        }
        Ok(())
    }
}
