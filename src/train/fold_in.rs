//! Fold-in: from a history to a user's vector and scores, the same equations that training solves for a user. A person's
//! newest event counts at once, and people whom training never saw are served like all others. All parts of the blend
//! answer here: factors by solving a small system, the low-pass part and popularity by summing over the history, the
//! item-item lists by adding up rows.

use serde::{Deserialize, Serialize};

use super::ials::{Equations, History, Scratch};
use super::ratings::{RatedFoldIn, RatingScale};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::features::Csr;
use crate::linalg::{Matrix, Rows, axpy, dot, gramian};

/// What the columns of item and user vectors are, and with what the parts are multiplied.
///
/// An item's row is `[factors | low-pass components | popularity]`, already multiplied by the item's scale; a user's is
/// laid out alike and carries the weights below.
/// In a model of ratings an item's row is `[factors | 1 | bias]` and a user's `[factors | mean + bias | 1]`: their inner
/// product is the rating.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Columns of the factors.
    pub factors: usize,
    /// Columns of the graph filter's low-pass part.
    pub components: usize,
    /// Whether the last column is the item's popularity.
    pub has_popularity: bool,
    /// Multiplies the factors' score, together with mass^`mass_exponent`.
    pub ials: f32,
    /// p: the factors' scores grow with (the user's mass)^p.
    pub mass_exponent: f32,
    /// Multiplies the low-pass score.
    pub low_pass: f32,
    /// Multiplies the popularity, together with the mass.
    pub popularity: f32,
    /// The mean confidence of a pair: the mass of a history is its sum of confidences over this.
    pub unit: f32,
    /// Of a model of ratings; histories then hold ratings in place of confidences.
    #[serde(default)]
    pub ratings: Option<RatingScale>,
}

impl Mix {
    /// Length of the vectors. One that was read from a file may claim anything.
    pub fn dim(&self) -> usize {
        let beside = usize::from(self.has_popularity) + self.ratings.map_or(0, |_| 2);
        self.traits().saturating_add(beside)
    }

    /// The first columns, which say what kind an item is: all but popularity and biases.
    pub fn traits(&self) -> usize {
        self.factors.saturating_add(self.components)
    }
}

/// What a blend knows of each item beside its vector, by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemParts {
    /// c: what the item's vector and its entries in the lists are multiplied with (the debiasing of scores, and their trend), `[n_items]`.
    pub scales: Vec<f32>,
    /// degree^−2b of the graph filter, `[n_items]`; empty without components.
    pub degrees: Vec<f32>,
    /// What the confidence of an item is multiplied with in the equations of factors (the item-frequency weighting of
    /// the loss), `[n_items]`; empty stands for 1.
    pub confidences: Vec<f32>,
    /// Item-item weights, `[n_items, n_items]`: the row of a past item holds the items that it speaks for.
    pub lists: Csr,
}

/// Solves histories against the items that it was made from.
#[derive(Clone, Debug)]
pub struct FoldIn {
    mix: Mix,
    gramian: Vec<f32>,
    equations: Option<Equations>,
    rated: Option<RatedFoldIn>,
    parts: ItemParts,
    n_items: usize,
}

impl FoldIn {
    /// From the layout, the Gramian of the unscaled factors, `[factors, factors]`, both triangles, what is known of each
    /// item, and the settled configuration that the model was trained with ([`crate::train::settle`]).
    ///
    /// # Errors
    /// [`Error::Invalid`] when the parts do not fit one another or hold something that is not a number, or when the
    /// configuration leaves the weights of factors to the data, which is not known here.
    pub fn new(mix: Mix, gramian: Vec<f32>, parts: ItemParts, config: &TrainConfig) -> Result<Self> {
        let n_items = parts.scales.len();
        // Ratings that were not given say nothing: no Gramian.
        let side = if mix.ratings.is_some() { 0 } else { mix.factors };
        if gramian.len() != side * side {
            let square = format!("{side} × {side}");
            return Err(Error::invalid("gramian", format!("has {} numbers, expected {square}", gramian.len())));
        }
        if ![0, n_items].contains(&parts.confidences.len()) {
            return Err(Error::invalid("confidences", format!("are {}, expected {n_items}", parts.confidences.len())));
        }
        let numbers = [&gramian, &parts.scales, &parts.degrees, &parts.confidences];
        if numbers.into_iter().flatten().any(|value| !value.is_finite()) {
            return Err(Error::invalid("gramian", "or a scale of an item is not a finite number"));
        }
        if parts.scales.iter().any(|scale| *scale <= 0.0) {
            return Err(Error::invalid("scales", "hold one that is not positive"));
        }
        let degrees = if mix.components > 0 { n_items } else { 0 };
        if parts.degrees.len() != degrees {
            return Err(Error::invalid("degrees", format!("are {}, expected {degrees}", parts.degrees.len())));
        }
        if parts.lists.n_rows() > n_items || parts.lists.n_cols() > n_items {
            return Err(Error::invalid("lists", format!("name items beyond the {n_items} that there are")));
        }
        if mix.dim() == 0 || !(mix.unit.is_finite() && mix.unit > 0.0) {
            return Err(Error::invalid("mix", "has no columns or no unit of confidence"));
        }
        if mix.ratings.is_some() && (mix.components > 0 || mix.has_popularity) {
            return Err(Error::invalid("mix", "has other columns beside those of a model of ratings"));
        }
        let rated = mix.ratings.map(|scale| RatedFoldIn::new(mix.factors, scale, &config.ratings)).transpose()?;
        let equations = if mix.factors == 0 || rated.is_some() {
            None
        } else if config.unobserved_weight == 0.0 || config.regularization == 0.0 {
            return Err(Error::invalid("train", "is not settled: fold-in needs the weights that training chose"));
        } else {
            Some(Equations::new(&gramian, mix.factors, n_items, config))
        };
        Ok(Self { mix, gramian, equations, rated, parts, n_items })
    }

    /// Multiplies the scores of each item by `factors`, `[n_items]`, for items that are multiplied with them, too.
    pub fn scale(&mut self, factors: &[f32]) {
        self.parts.scales.iter_mut().zip(factors).for_each(|(scale, factor)| *scale *= factor);
        self.parts.lists = self.parts.lists.scaled(&vec![1.0; self.parts.lists.n_rows()], factors);
    }

    /// For factors alone, `[n_items, dim]`: sums their Gramian first.
    ///
    /// # Errors
    /// As [`FoldIn::new`].
    pub fn from_factors(items: Rows<'_>, config: &TrainConfig) -> Result<Self> {
        let mix = Mix { factors: items.dim(), ials: 1.0, unit: 1.0, ..Mix::default() };
        let parts = ItemParts { scales: vec![1.0; items.len()], ..ItemParts::default() };
        Self::new(mix, gramian(items), parts, config)
    }

    /// The layout and the weights.
    pub fn mix(&self) -> &Mix {
        &self.mix
    }

    /// The Gramian of the unscaled factors, `[factors, factors]`, to be kept beside the items.
    pub fn gramian(&self) -> &[f32] {
        &self.gramian
    }

    /// What is known of each item beside its vector.
    pub fn parts(&self) -> &ItemParts {
        &self.parts
    }

    /// The vector, `out`, `[dim]`, of a user with this `history` of (row of `items`, confidence); zero for an empty one.
    /// An item named twice counts twice. A model of ratings takes (row of `items`, rating), and somebody without any has
    /// the mean.
    ///
    /// # Errors
    /// [`Error::Invalid`] when `items` or `out` have not the shape this was made for, an item is not among them, or a
    /// confidence is not a positive number.
    pub fn solve(&self, items: Rows<'_>, history: &[(u32, f32)], out: &mut [f32]) -> Result<()> {
        self.check(items, history)?;
        if out.len() != self.mix.dim() {
            return Err(Error::invalid("factors", format!("have length {}, expected {}", out.len(), self.mix.dim())));
        }
        if let Some(rated) = &self.rated {
            return rated.solve(items, history, out);
        }
        out.fill(0.0);
        if history.is_empty() {
            return Ok(());
        }
        let (factors, rest) = out.split_at_mut(self.mix.factors);
        if let Some(equations) = &self.equations {
            let past = Past::gather(self, items, history)?;
            past.history().right_side(factors);
            equations.solve_row(past.history(), factors, &mut Scratch::default())?;
        }
        self.finish(items, history, factors, rest);
        Ok(())
    }

    /// The factors of a user with this `history` as training solves them, `[factors]`, not weighed against other parts yet; empty
    /// in a model without.
    ///
    /// # Errors
    /// As [`FoldIn::solve`].
    pub fn factors(&self, items: Rows<'_>, history: &[(u32, f32)]) -> Result<Vec<f32>> {
        self.check(items, history)?;
        let mut factors = vec![0.0; if self.equations.is_some() { self.mix.factors } else { 0 }];
        if let Some(equations) = self.equations.as_ref().filter(|_| !history.is_empty()) {
            let past = Past::gather(self, items, history)?;
            past.history().right_side(&mut factors);
            equations.solve_row(past.history(), &mut factors, &mut Scratch::default())?;
        }
        Ok(factors)
    }

    /// The vector of a user whose factors training has solved already: they are weighed, the other columns are added.
    /// `out`, `[dim]`, has the factors in its first columns.
    pub fn complete(&self, items: Rows<'_>, history: &[(u32, f32)], out: &mut [f32]) {
        let (factors, rest) = out.split_at_mut(self.mix.factors);
        rest.fill(0.0);
        self.finish(items, history, factors, rest);
    }

    /// What the item-item lists say of a history, as (row of an item, part of its score): one part for each past item
    /// that speaks for it.
    pub fn listed<'a>(&'a self, history: &'a [(u32, f32)]) -> impl Iterator<Item = (u32, f32)> + 'a {
        history.iter().flat_map(|&(past, weight)| {
            let weight = weight / self.mix.unit;
            let (items, values) = self.parts.lists.row(past as usize);
            items.iter().zip(values).map(move |(&item, &value)| (item, weight * value))
        })
    }

    /// Adds what the item-item lists say to `out`, `[n_items]`.
    pub fn add_lists(&self, history: &[(u32, f32)], out: &mut [f32]) {
        for (item, part) in self.listed(history) {
            if let Some(score) = out.get_mut(item as usize) {
                *score += part;
            }
        }
    }

    /// Why `target` has its score for a user with this `history`: a part for each past item, in the order of the history,
    /// that sum to the whole score. The factors' parts are wᵢ yₜᵀ A⁻¹ yᵢ (Hu, Koren & Volinsky 2008, section 5); all
    /// other parts of the blend are sums over the history by themselves. What a foretold rating owes to the mean and the
    /// item's bias is shared alike by all past items.
    ///
    /// # Errors
    /// As [`FoldIn::solve`], and [`Error::Invalid`] when the target is not among the items.
    pub fn explain(&self, items: Rows<'_>, history: &[(u32, f32)], target: u32) -> Result<Vec<(u32, f64)>> {
        self.check(items, history)?;
        self.check_item("target", target)?;
        self.explain_vector(items, history, items.row(target as usize), Some(target))
    }

    /// The same for an item with another vector, or one that is not among the items. What lists say goes by its row.
    ///
    /// # Errors
    /// As [`FoldIn::solve`], and [`Error::Invalid`] when the vector has another length.
    pub fn explain_vector(
        &self,
        items: Rows<'_>,
        history: &[(u32, f32)],
        vector: &[f32],
        row: Option<u32>,
    ) -> Result<Vec<(u32, f64)>> {
        self.check(items, history)?;
        if vector.len() != self.mix.dim() {
            let lengths = format!("has length {}, expected {}", vector.len(), self.mix.dim());
            return Err(Error::invalid("target", lengths));
        }
        if history.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(rated) = &self.rated {
            return rated.explain(items, history, vector);
        }
        let mut parts: Vec<(u32, f64)> = history.iter().map(|&(id, _)| (id, 0.0)).collect();
        let (target_factors, rest) = vector.split_at(self.mix.factors);
        let (target_components, popularity) = rest.split_at(self.mix.components);
        if let Some(equations) = &self.equations {
            // A is symmetric: one solution for the target serves all past items.
            let past = Past::gather(self, items, history)?;
            let mut view = target_factors.to_vec();
            equations.solve_row(past.history(), &mut view, &mut Scratch::default())?;
            let scale = f64::from(self.mix.ials) * f64::from(self.mass(history)).powf(self.mix.mass_exponent.into());
            for (place, part) in parts.iter_mut().enumerate() {
                let weight = past.weights.get(place).copied().unwrap_or(0.0);
                part.1 += scale * f64::from(weight) * f64::from(dot(&view, past.rows.row(place)));
            }
        }
        for (&(id, weight), part) in history.iter().zip(&mut parts) {
            let weight = f64::from(weight / self.mix.unit);
            if self.mix.components > 0 {
                let components = &items.row(id as usize)[self.mix.factors..][..self.mix.components];
                let scale = f64::from(self.mix.low_pass) * f64::from(self.component_scale(id));
                part.1 += weight * scale * f64::from(dot(components, target_components));
            }
            let popularity = popularity.first().copied().unwrap_or(0.0);
            part.1 += weight * f64::from(self.mix.popularity) * f64::from(popularity);
            let (listed, values) = self.parts.lists.row(id as usize);
            if let Some(value) = row.and_then(|row| listed.binary_search(&row).ok()).and_then(|place| values.get(place))
            {
                part.1 += weight * f64::from(*value);
            }
        }
        Ok(parts)
    }

    /// The sum of a history's confidences, in units of the mean one.
    pub fn mass(&self, history: &[(u32, f32)]) -> f32 {
        history.iter().map(|(_, weight)| weight).sum::<f32>() / self.mix.unit
    }

    /// degree^−2b over the item's scale: turns its scaled components into what the user sums up.
    fn component_scale(&self, item: u32) -> f32 {
        let of = |values: &[f32]| values.get(item as usize).copied().unwrap_or(1.0);
        of(&self.parts.degrees) / of(&self.parts.scales)
    }

    fn finish(&self, items: Rows<'_>, history: &[(u32, f32)], factors: &mut [f32], rest: &mut [f32]) {
        let mass = self.mass(history);
        let scale = self.mix.ials * mass.powf(self.mix.mass_exponent);
        factors.iter_mut().for_each(|value| *value *= scale);
        let (components, popularity) = rest.split_at_mut(self.mix.components);
        if !components.is_empty() {
            for &(id, weight) in history {
                let scale = self.mix.low_pass * weight / self.mix.unit * self.component_scale(id);
                axpy(scale, &items.row(id as usize)[self.mix.factors..], components);
            }
        }
        popularity.iter_mut().for_each(|value| *value = self.mix.popularity * mass);
    }

    fn check(&self, items: Rows<'_>, history: &[(u32, f32)]) -> Result<()> {
        if (items.len(), items.dim()) != (self.n_items, self.mix.dim()) {
            let (found, expected) = ((items.len(), items.dim()), (self.n_items, self.mix.dim()));
            return Err(Error::invalid("items", format!("are {found:?} in rows and dimension, expected {expected:?}")));
        }
        for &(id, weight) in history {
            self.check_item("history", id)?;
            if !weight.is_finite() || (weight <= 0.0 && self.rated.is_none()) {
                let (what, wanted) =
                    if self.rated.is_some() { ("rating", "finite") } else { ("confidence", "positive") };
                return Err(Error::invalid(
                    "history",
                    format!("gives item {id} the {what} {weight}, expected a {wanted} number"),
                ));
            }
        }
        Ok(())
    }

    fn check_item(&self, field: &str, id: u32) -> Result<()> {
        if id as usize >= self.n_items {
            return Err(Error::invalid(field, format!("names item {id}, but there are {}", self.n_items)));
        }
        Ok(())
    }
}

/// The unscaled factors of a history's items, side by side.
struct Past {
    rows: Matrix,
    ids: Vec<u32>,
    weights: Vec<f32>,
}

impl Past {
    fn gather(fold_in: &FoldIn, items: Rows<'_>, history: &[(u32, f32)]) -> Result<Self> {
        let confidence = |id: u32| fold_in.parts.confidences.get(id as usize).copied().unwrap_or(1.0);
        let mut data = Vec::with_capacity(history.len() * fold_in.mix.factors);
        for &(id, _) in history {
            let scale = fold_in.parts.scales.get(id as usize).copied().unwrap_or(1.0);
            data.extend(items.row(id as usize).iter().take(fold_in.mix.factors).map(|value| value / scale));
        }
        Ok(Self {
            rows: Matrix::new(fold_in.mix.factors, data)?,
            ids: (0..history.len() as u32).collect(),
            weights: history.iter().map(|(id, weight)| weight * confidence(*id)).collect(),
        })
    }

    fn history(&self) -> History<'_> {
        History { rows: self.rows.as_rows(), ids: &self.ids, weights: &self.weights }
    }
}
