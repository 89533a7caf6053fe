//! The order of an answer as a whole, as the question asks for it: items with their vectors and values, given to the
//! objectives of [`diversity`](super::diversity).

use super::Context;
use super::diversity::{Quota, Traits, Values, arrange};
use super::order::Ordered;
use super::visitor::Visitor;
use crate::features::ValueMix;
use crate::record::{Diversity, ItemId, MaxPer};
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
        let mut of =
            |key: &str, item: ItemId| context.catalog.get(item).map_or(Vec::new(), |item| values.of(item, key));
        let calibrated = diversity.calibration.as_ref().map(|calibration| {
            let past = visitor.history.iter().filter_map(|(row, weight)| Some((snapshot.item(*row)?, *weight)));
            let past: Vec<_> = past.map(|(item, weight)| (of(&calibration.key, item), f64::from(weight))).collect();
            let wanted = ValueMix::of(past.iter().map(|(values, weight)| (values.as_slice(), *weight)));
            (best.iter().map(|best| of(&calibration.key, best.item)).collect(), wanted)
        });
        let bounded = bound.as_ref().map(|(bound, _)| best.iter().map(|best| of(&bound.key, best.item)).collect());
        let vectors = best.iter().map(|best| vector(context, snapshot, best.item)).collect();
        let traits = Traits { vectors, bounded, calibrated };
        let quota = bound.as_mut().map(|(_, quota)| quota);
        let chosen = arrange(diversity, &scores, &traits, quota, limit);
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
