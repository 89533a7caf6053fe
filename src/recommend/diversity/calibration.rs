//! Calibrated recommendations (Steck, RecSys 2018): the list has the user's mix of categories.

use rustc_hash::FxHashMap;

use super::{Candidates, Objective, relevance};
use crate::features::ValueMix;

/// (1 − λ) · relevance of the list − λ · the divergence of its mix from the user's. Of a candidate only its own values are
/// looked at: what the others add to the divergence is worked out once for each place.
pub(super) struct Calibration<'a> {
    relevance: Vec<f64>,
    values: &'a [Vec<u32>],
    weight: f64,
    /// The values of the user's mix, each with its share and what the list has of it, in items.
    wanted: Vec<(f64, f64)>,
    /// Where a value stands there.
    places: FxHashMap<u32, usize>,
    /// Items of the list that have values.
    items: f64,
    /// The divergence of the list as it is.
    unchanged: f64,
    /// The divergence, and each value's part in it, with one more item that has none of them.
    diluted: (f64, Vec<f64>),
}

impl<'a> Calibration<'a> {
    /// `values`, `[n]`, are those of the candidates; `weight` is λ, 0 to 1.
    pub fn new(candidates: &Candidates<'_>, values: &'a [Vec<u32>], wanted: &ValueMix, weight: f64) -> Self {
        let shares = wanted.shares();
        let mut new = Self {
            relevance: relevance(candidates.scores),
            values,
            weight,
            places: shares.iter().enumerate().map(|(place, (value, _))| (*value, place)).collect(),
            wanted: shares.into_iter().map(|(_, share)| (share, 0.0)).collect(),
            items: 0.0,
            unchanged: 0.0,
            diluted: (0.0, Vec::new()),
        };
        new.work_out();
        new
    }

    fn work_out(&mut self) {
        let parts = |items: f64| {
            let part = move |(share, has): &(f64, f64)| ValueMix::part(*share, has / items);
            self.wanted.iter().map(part).collect::<Vec<f64>>()
        };
        let (now, diluted) = (parts(self.items.max(1.0)), parts(self.items + 1.0));
        self.unchanged = now.iter().sum();
        self.diluted = (diluted.iter().sum(), diluted);
    }
}

impl Objective for Calibration<'_> {
    fn gain(&self, at: usize) -> f64 {
        let values = &self.values[at];
        let each = 1.0 / values.len() as f64;
        let (diluted, parts) = &self.diluted;
        let change = |value: &u32| {
            let place = *self.places.get(value)?;
            let ((share, has), part) = (self.wanted[place], parts[place]);
            Some(ValueMix::part(share, (has + each) / (self.items + 1.0)) - part)
        };
        let divergence = match values.is_empty() {
            true => self.unchanged,
            false => diluted + values.iter().filter_map(change).sum::<f64>(),
        };
        (1.0 - self.weight) * self.relevance[at] - self.weight * divergence
    }

    fn take(&mut self, at: usize) {
        let values = &self.values[at];
        for value in values {
            if let Some(place) = self.places.get(value) {
                self.wanted[*place].1 += 1.0 / values.len() as f64;
            }
        }
        self.items += f64::from(u8::from(!values.is_empty()));
        self.work_out();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gains_are_those_of_the_whole_list_measured_anew(
            values in prop::collection::vec(prop::collection::btree_set(0u32..6, 0..4), 2..12),
            past in prop::collection::vec(prop::collection::btree_set(0u32..6, 0..4), 0..8), weight in 0.0f64..1.0,
        ) {
            let listed = |sets: &[std::collections::BTreeSet<u32>]| -> Vec<Vec<u32>> {
                sets.iter().map(|set| set.iter().copied().collect()).collect()
            };
            let (values, past) = (listed(&values), listed(&past));
            let mix = |of: &[Vec<u32>]| ValueMix::of(of.iter().map(|values| (values.as_slice(), 1.0)));
            let wanted = mix(&past);
            let scores: Vec<f32> = (0..values.len()).map(|at| -(at as f32)).collect();
            let candidates = Candidates { scores: &scores, alike: &|_, _| 0.0 };
            let mut calibration = Calibration::new(&candidates, &values, &wanted, weight);
            let mut taken: Vec<Vec<u32>> = Vec::new();
            for at in 0..values.len() {
                for (other, candidate) in values.iter().enumerate().skip(at) {
                    let with: Vec<Vec<u32>> = taken.iter().chain([candidate]).cloned().collect();
                    let expected = (1.0 - weight) * calibration.relevance[other] - weight * wanted.divergence(&mix(&with));
                    prop_assert!((calibration.gain(other) - expected).abs() < 1e-9);
                }
                calibration.take(at);
                taken.push(values[at].clone());
            }
        }
    }
}
