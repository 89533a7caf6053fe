//! `boost` and `bury`.

use super::Rule;
use crate::record::Filter;

/// Moves the items that fulfil a filter.
pub struct Moving {
    label: String,
    filter: Filter,
    factor: f64,
}

impl Moving {
    /// By a factor of their odds; 0 buries.
    pub fn new(label: String, filter: Filter, factor: f64) -> Self {
        Self { label, filter, factor }
    }
}

impl Rule for Moving {
    fn label(&self) -> &str {
        &self.label
    }

    fn moves(&self) -> Option<(&Filter, f64)> {
        Some((&self.filter, self.factor))
    }
}

/// Something that rules move.
pub struct Moved<T> {
    /// What.
    pub of: T,
    /// By what it is in order, the largest first.
    pub key: f64,
    /// Whether it comes after all that is not.
    pub is_buried: bool,
}

/// Moves candidates, given by falling keys. Keys are taken on the scale of their standard deviation, and what multiplies odds
/// adds its logarithm. `factors` gives those of each candidate that is touched.
pub fn shift<T>(candidates: Vec<(T, f64)>, factors: impl Fn(&T) -> Option<f64>) -> Vec<Moved<T>> {
    let deviation = deviation(candidates.iter().map(|(_, key)| *key));
    let moved = |(of, key): (T, f64)| match factors(&of) {
        None => Moved { of, key, is_buried: false },
        Some(factor) if factor > 0.0 => Moved { of, key: key + deviation * factor.ln(), is_buried: false },
        Some(_) => Moved { of, key, is_buried: true },
    };
    let mut moved: Vec<Moved<T>> = candidates.into_iter().map(moved).collect();
    moved.sort_by(|a, b| a.is_buried.cmp(&b.is_buried).then(b.key.total_cmp(&a.key)));
    moved
}

/// The standard deviation of numbers; 1 where they are all the same, or not finite.
fn deviation(numbers: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = numbers.clone().count().max(1) as f64;
    let mean = numbers.clone().sum::<f64>() / count;
    let deviation = (numbers.map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt();
    if deviation > 0.0 && deviation.is_finite() { deviation } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_of_the_untouched_stays_and_the_scale_of_scores_does_not_matter(
            mut keys in prop::collection::vec(-50i32..50, 1..40),
            touched in prop::collection::vec(prop_oneof![Just(None), Just(Some(0.0)), (0.1f64..10.0).prop_map(Some)], 40),
            exponent in -6i32..6,
        ) {
            keys.sort_by_key(|key| std::cmp::Reverse(*key));
            // Powers of two and small whole numbers: no rounding makes or breaks a tie.
            let order = |scale: f64| {
                let scaled = keys.iter().map(|key| f64::from(*key) * scale).enumerate().collect();
                let moved = shift(scaled, |at| touched[*at]).into_iter();
                moved.map(|moved| (moved.of, moved.is_buried)).collect::<Vec<(usize, bool)>>()
            };
            let plain = order(1.0);
            prop_assert_eq!(plain.len(), keys.len());
            let untouched: Vec<usize> = plain.iter().map(|(at, _)| *at).filter(|at| touched[*at].is_none()).collect();
            prop_assert!(untouched.is_sorted());
            for (at, buried) in &plain {
                prop_assert_eq!(*buried, touched[*at] == Some(0.0));
            }
            prop_assert!(plain.is_sorted_by_key(|(_, buried)| *buried));
            prop_assert_eq!(&order(2f64.powi(exponent)), &plain);
        }

        #[test]
        fn a_factor_above_one_never_lowers_and_one_below_never_raises(
            mut keys in prop::collection::vec(-50.0f64..50.0, 1..40), at in 0usize..40, factor in 0.01f64..100.0,
        ) {
            keys.sort_by(|a, b| b.total_cmp(a));
            let at = at % keys.len();
            let candidates = keys.iter().copied().enumerate().collect();
            let order: Vec<usize> = shift(candidates, |of| (*of == at).then_some(factor)).into_iter().map(|m| m.of).collect();
            let place = order.iter().position(|of| *of == at).unwrap();
            let is_right = if factor >= 1.0 { place <= at } else { place >= at };
            prop_assert!(is_right);
        }
    }
}
