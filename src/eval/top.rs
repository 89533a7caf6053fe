//! The best few of a catalogue of scores.

/// The `k` best unseen columns, the best first; equal scores by column, NaN last. `seen` is ascending; `order` is a
/// buffer. Reads every score once and sorts little more than `k`.
pub fn unseen(scores: &[f32], seen: &[u32], k: usize, order: &mut Vec<u32>) -> Vec<u32> {
    order.clear();
    if k == 0 {
        return Vec::new();
    }
    let value = |score: f32| if score.is_nan() { f32::NEG_INFINITY } else { score };
    let score = |column: &u32| scores.get(*column as usize).map_or(f32::NEG_INFINITY, |score| value(*score));
    let better = |a: &u32, b: &u32| score(b).total_cmp(&score(a)).then(a.cmp(b));
    // The score of the k-th best of the columns until now: a later one must be above it, an equal one loses by its number.
    let mut least: Option<f32> = None;
    for (column, of_column) in (0u32..).zip(scores) {
        let is_behind = least.is_some_and(|least| value(*of_column).total_cmp(&least).is_le());
        if is_behind || seen.binary_search(&column).is_ok() {
            continue;
        }
        order.push(column);
        if order.len() >= 2 * k {
            let (_, last, _) = order.select_nth_unstable_by(k - 1, better);
            least = Some(score(last));
            order.truncate(k);
        }
    }
    order.sort_unstable_by(better);
    order.truncate(k);
    order.clone()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_are_the_first_of_all_sorted(
            scores in prop::collection::vec(
                prop::sample::select(vec![-1.0f32, -0.0, 0.0, 0.5, 2.0, 3.0, f32::NAN, f32::NEG_INFINITY]), 0..80),
            seen in prop::collection::btree_set(0u32..80, 0..30),
            k in 0usize..30,
        ) {
            let seen: Vec<u32> = seen.into_iter().collect();
            let mut all: Vec<u32> = (0..scores.len() as u32).filter(|column| !seen.contains(column)).collect();
            let score = |column: &u32| {
                let score = scores[*column as usize];
                if score.is_nan() { f32::NEG_INFINITY } else { score }
            };
            all.sort_by(|a, b| score(b).total_cmp(&score(a)));
            all.truncate(k);
            prop_assert_eq!(unseen(&scores, &seen, k, &mut Vec::new()), all);
        }
    }
}
