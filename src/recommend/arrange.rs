//! The order of an answer as a whole, as the question asks for it: items with their vectors and values, given to the
//! objectives of [`diversity`](super::diversity).

use super::diversity::{Quota, Traits, Values, arrange};
use super::order::Ordered;
use super::visitor::Visitor;
use super::{Catalog, Context};
use crate::features::ValueMix;
use crate::record::{Diversity, ItemId, MaxPer};
use crate::snapshot::Snapshot;

/// The items of an answer so far, by what the question bounds.
pub struct Bounded<'a> {
    catalog: &'a Catalog,
    bounds: Vec<(&'a MaxPer, Quota)>,
    values: Values,
}

impl<'a> Bounded<'a> {
    /// No item yet.
    pub fn new(catalog: &'a Catalog, bounds: impl IntoIterator<Item = &'a MaxPer>) -> Self {
        let bounds = bounds.into_iter().map(|bound| (bound, Quota::new(bound.limit))).collect();
        Self { catalog, bounds, values: Values::default() }
    }

    /// Whether anything is.
    pub fn is_bounded(&self) -> bool {
        !self.bounds.is_empty()
    }

    /// Counts an item if it fits; false if it does not.
    pub fn take(&mut self, item: ItemId) -> bool {
        if self.bounds.is_empty() {
            return true;
        }
        let values = self.values_of(item);
        let fits = self.bounds.iter().zip(&values).all(|((_, quota), values)| quota.fits(values));
        if fits {
            self.bounds.iter_mut().zip(&values).for_each(|((_, quota), values)| quota.count(values));
        }
        fits
    }

    /// Whether one more item fits.
    pub fn fits(&mut self, item: ItemId) -> bool {
        let values = self.values_of(item);
        self.bounds.iter().zip(&values).all(|((_, quota), values)| quota.fits(values))
    }

    /// Counts an item whether it fits or not.
    pub fn count(&mut self, item: ItemId) {
        let values = self.values_of(item);
        self.bounds.iter_mut().zip(&values).for_each(|((_, quota), values)| quota.count(values));
    }

    /// An item's values of each bounded attribute.
    fn values_of(&mut self, item: ItemId) -> Vec<Vec<u32>> {
        let Self { catalog, bounds, values } = self;
        let item = catalog.get(item);
        bounds.iter().map(|(bound, _)| item.map_or(Vec::new(), |item| values.of(item, &bound.key))).collect()
    }

    /// Up to `limit` of the candidates, `best` by falling score, in the order that is wanted.
    pub fn arrange(
        &mut self,
        (context, diversity): (&Context<'_>, &Diversity),
        snapshot: &Snapshot,
        visitor: &Visitor,
        best: Vec<Ordered>,
        limit: usize,
    ) -> Vec<Ordered> {
        // By score alone nothing has to be known of those that are not looked at.
        if diversity.is_by_score() {
            return best.into_iter().filter(|best| self.take(best.item)).take(limit).collect();
        }
        let Self { catalog, bounds, values } = self;
        let scores: Vec<f32> = best.iter().map(|best| best.key as f32).collect();
        let mut of = |key: &str, item: ItemId| catalog.get(item).map_or(Vec::new(), |item| values.of(item, key));
        let calibrated = diversity.calibration.as_ref().map(|calibration| {
            let past = visitor.history.iter().filter_map(|(row, weight)| Some((snapshot.item(*row)?, *weight)));
            let past: Vec<_> = past.map(|(item, weight)| (of(&calibration.key, item), f64::from(weight))).collect();
            let wanted = ValueMix::of(past.iter().map(|(values, weight)| (values.as_slice(), *weight)));
            (best.iter().map(|best| of(&calibration.key, best.item)).collect(), wanted)
        });
        let mut quotas: Vec<(&mut Quota, Vec<Vec<u32>>)> = bounds
            .iter_mut()
            .map(|(bound, quota)| (quota, best.iter().map(|best| of(&bound.key, best.item)).collect()))
            .collect();
        let vectors = best.iter().map(|best| vector(context, snapshot, best.item)).collect();
        let traits = Traits { vectors, calibrated };
        let chosen = arrange(diversity, &scores, &traits, &mut quotas, limit);
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
