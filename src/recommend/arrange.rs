//! The order of an answer as a whole, as the question asks for it: items with their vectors and values, given to the
//! objectives of [`diversity`](super::diversity).

use rustc_hash::FxHashMap;

use super::Context;
use super::diversity::{ByScore, Calibration, Candidates, Determinant, Marginal, Mix, Objective, Quota, choose};
use super::order::Ordered;
use super::visitor::Visitor;
use crate::linalg::dot;
use crate::record::{CATEGORIES, Diversity, Item, ItemId, MaxPer, Value};
use crate::snapshot::Snapshot;

/// The items of an answer so far, by what the question bounds.
pub struct Bounded<'a> {
    context: &'a Context<'a>,
    bound: Option<(&'a MaxPer, Quota)>,
    values: Values,
}

impl<'a> Bounded<'a> {
    /// No item yet.
    pub fn new(context: &'a Context<'a>, diversity: Option<&'a Diversity>) -> Self {
        let bound = diversity.and_then(|diversity| diversity.max_per.as_ref());
        Self { context, bound: bound.map(|bound| (bound, Quota::new(bound.limit))), values: Values::default() }
    }

    /// Whether anything is.
    pub fn is_bounded(&self) -> bool {
        self.bound.is_some()
    }

    /// Counts an item if it fits; false if it does not.
    pub fn take(&mut self, item: ItemId) -> bool {
        let Some((bound, quota)) = &mut self.bound else { return true };
        let values = self.context.catalog.get(item).map_or(Vec::new(), |item| self.values.of(item, &bound.key));
        let fits = quota.fits(&values);
        if fits {
            quota.count(&values);
        }
        fits
    }

    /// Up to `limit` of the candidates, `best` by falling score, in the order that is wanted.
    pub fn arrange(
        &mut self,
        diversity: &Diversity,
        snapshot: &Snapshot,
        visitor: &Visitor,
        best: Vec<Ordered>,
        limit: usize,
    ) -> Vec<Ordered> {
        let Self { context, bound, values } = self;
        let scores: Vec<f32> = best.iter().map(|best| best.rank.unwrap_or(best.score)).collect();
        let vectors: Vec<&[f32]> = best.iter().map(|best| vector(context, snapshot, best.item)).collect();
        let lengths: Vec<f32> = vectors.iter().map(|vector| dot(vector, vector).sqrt()).collect();
        let alike = |a: usize, b: usize| {
            // New items may stand in a space of their own; nothing is known of how like others they are.
            let product = if vectors[a].len() == vectors[b].len() { lengths[a] * lengths[b] } else { 0.0 };
            if product > 0.0 { dot(vectors[a], vectors[b]) / product } else { 0.0 }
        };
        let candidates = Candidates { scores: &scores, alike: &alike };
        let mut of =
            |key: &str, item: ItemId| context.catalog.get(item).map_or(Vec::new(), |item| values.of(item, key));
        let bounded =
            bound.as_ref().map(|(bound, _)| best.iter().map(|best| of(&bound.key, best.item)).collect::<Vec<_>>());

        let calibrated = diversity.calibration.as_ref().map(|calibration| {
            let past = visitor.history.iter().filter_map(|(row, weight)| Some((snapshot.item(*row)?, *weight)));
            let past: Vec<_> = past.map(|(item, weight)| (of(&calibration.key, item), f64::from(weight))).collect();
            let wanted = Mix::of(past.iter().map(|(values, weight)| (values.as_slice(), *weight)));
            let values: Vec<_> = best.iter().map(|best| of(&calibration.key, best.item)).collect();
            (values, wanted, calibration.weight)
        });
        let mut objective: Box<dyn Objective + '_> = match (diversity.mmr, diversity.dpp, &calibrated) {
            (Some(weight), ..) => Box::new(Marginal::new(&candidates, weight)),
            (_, Some(weight), _) => Box::new(Determinant::new(&candidates, weight)),
            (_, _, Some((values, wanted, weight))) => Box::new(Calibration::new(&candidates, values, wanted, *weight)),
            _ => Box::new(ByScore),
        };
        let quota = bound.as_mut().zip(bounded.as_deref()).map(|((_, quota), values)| (quota, values));
        let chosen = choose(objective.as_mut(), best.len(), limit, quota);
        chosen.into_iter().filter_map(|at| best.get(at).copied()).collect()
    }
}

/// Where the model has an item: a row of the snapshot, or what a newer item has beside it. Empty where it knows nothing.
fn vector<'a>(context: &'a Context<'_>, snapshot: &'a Snapshot, item: ItemId) -> &'a [f32] {
    match (snapshot.row(item), context.fresh.get(item)) {
        (Some(row), _) => snapshot.vectors().row(row as usize),
        (None, Some(fresh)) => fresh.vector,
        (None, None) => &[],
    }
}

/// Values of attributes by numbers, given out as they come.
#[derive(Default)]
struct Values(FxHashMap<String, u32>);

impl Values {
    /// The values of an item's attribute, each once.
    fn of(&mut self, item: &Item, key: &str) -> Vec<u32> {
        let mut values: Vec<u32> = if key == CATEGORIES {
            item.categories.iter().map(|category| self.number(category)).collect()
        } else {
            let values = item.attributes.get(key).map_or(&[][..], Value::each);
            values.iter().map(|value| self.number(&value.display())).collect()
        };
        values.sort_unstable();
        values.dedup();
        values
    }

    fn number(&mut self, text: &str) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(text.to_owned()).or_insert(next)
    }
}
