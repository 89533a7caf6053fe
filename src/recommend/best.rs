//! The best items of a model that is one inner product plus one sparse list: candidates from the dense index and from the
//! lists, each scored exactly.
//!
//! The answer is the true one whenever the index is exact, by the argument of the threshold algorithm (Fagin, Lotem & Naor
//! 2001). Let δ be the last score of the index's best k. An item outside them has an inner product of at most δ (and of at
//! most the product of both lengths), so its score is at most that plus what the lists say for it: only touched items
//! whose bound reaches the answer need their inner product.
//! Untouched items outside are worth at most δ. If that could still enter the answer, because lists speak against items
//! that the index found, the best k of the untouched ones are asked for, and no more: none beyond them can enter.
//!
//! An item that an approximate index misses may be missing here too; those that are found have exact scores and order.

use rustc_hash::FxHashSet;

use super::listed::ListScores;
use super::nearest::Nearest;
use crate::index::VectorIndex;

/// The `k` best rows that `allow` lets through, by inner product with `vector` plus list score; equal scores by row. With
/// a zero vector only the lists speak: items that none of them speaks for are left out.
///
/// Costs one search of the index, or two; an addition for each touched row, and an inner product for the few that may be
/// among the best. `allow` is asked only about rows that would enter the answer.
pub fn best(
    index: &VectorIndex,
    vector: &[f32],
    lists: &ListScores,
    k: usize,
    allow: &dyn Fn(u32) -> bool,
) -> Vec<(u32, f32)> {
    let mut best = Nearest::new(k);
    if vector.iter().all(|value| *value == 0.0) {
        let favoured = lists.touched().iter().filter(|row| lists.get(**row) > 0.0);
        favoured.for_each(|row| best.offer(*row, lists.get(*row), allow));
        return best.finish();
    }

    let found = index.search(vector, k, allow);
    for hit in &found {
        best.offer(hit.row, score(hit.score, lists.get(hit.row)), |_| true);
    }
    let Some(last) = found.last().filter(|_| found.len() == k && !lists.touched().is_empty()) else {
        return best.finish();
    };

    let found: FxHashSet<u32> = found.iter().map(|hit| hit.row).collect();
    let Some(scorer) = index.scorer(vector) else { return best.finish() };
    let mut touched = lists.touched().to_vec();
    if touched.len() > k {
        // Those that the lists favour most come first: they raise what the others have to beat.
        touched.select_nth_unstable_by(k, |a, b| lists.get(*b).total_cmp(&lists.get(*a)));
    }
    for row in touched {
        let listed = lists.get(row);
        let bound = score(last.score.min(scorer.bound(row)), listed);
        if best.worst().is_none_or(|(_, worst)| bound >= worst)
            && !found.contains(&row)
            && let Some(product) = scorer.score(row)
        {
            best.offer(row, score(product, listed), allow);
        }
    }

    let is_settled = |(row, worst): (u32, f32)| last.score < worst || (last.score == worst && last.row >= row);
    if !best.worst().is_some_and(is_settled) {
        let untouched = index.search(vector, k, &|row| !lists.touches(row) && allow(row));
        for hit in untouched.iter().filter(|hit| !found.contains(&hit.row)) {
            best.offer(hit.row, hit.score, |_| true);
        }
    }
    best.finish()
}

/// The score of an item from both parts. Adding 0 turns −0 into +0: they are equal, so rows decide.
pub fn score(product: f32, listed: f32) -> f32 {
    product + listed + 0.0
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{IndexConfig, Metric};
    use crate::linalg::{Rows, dot};
    use crate::progress::Silent;

    fn index(dim: usize, data: &[f32]) -> VectorIndex {
        let rows = Rows::new(dim, data).unwrap();
        VectorIndex::build(rows, Metric::Dot, &IndexConfig::default(), None, &Silent).unwrap()
    }

    /// Scores everything and sorts.
    fn by_force(
        index: &VectorIndex,
        vector: &[f32],
        lists: &ListScores,
        k: usize,
        allow: &dyn Fn(u32) -> bool,
    ) -> Vec<(u32, f32)> {
        let total = |row: u32| (row, score(dot(vector, index.vectors().row(row as usize)), lists.get(row)));
        let mut all: Vec<_> = (0..index.vectors().len() as u32).filter(|row| allow(*row)).map(total).collect();
        all.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
        all.truncate(k);
        all
    }

    /// Small whole numbers for ties and cancelling parts, others for rounding.
    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![(-2i8..3).prop_map(f32::from), -3.0f32..3.0]
    }

    proptest! {
        #[test]
        fn the_best_are_those_of_all_items_scored(
            (dim, data) in (1usize..6).prop_flat_map(|dim| {
                prop::collection::vec(prop::collection::vec(value(), dim), 1..60).prop_map(move |rows| (dim, rows.concat()))
            }),
            vector in prop::collection::vec(value(), 6),
            parts in prop::collection::vec((0u32..60, prop_oneof![value(), -20.0f32..0.0]), 0..80),
            k in 1usize..20,
            every in 1u32..4,
        ) {
            let index = index(dim, &data);
            let vector = &vector[..dim];
            prop_assume!(vector.iter().any(|value| *value != 0.0));
            let lists = ListScores::sum(index.vectors().len(), parts.into_iter());
            let allow = |row: u32| row.is_multiple_of(every);
            prop_assert_eq!(best(&index, vector, &lists, k, &allow), by_force(&index, vector, &lists, k, &allow));
        }
    }

    #[test]
    fn an_item_of_the_lists_alone_wins_over_what_the_index_found() {
        let index = index(1, &[3.0, 2.0, 1.0, -9.0]);
        let lists = ListScores::sum(4, [(3, 12.5)].into_iter());
        assert_eq!(best(&index, &[1.0], &lists, 2, &|_| true), [(3, 3.5), (0, 3.0)]);
        assert_eq!(best(&index, &[1.0], &lists, 2, &|row| row != 3), [(0, 3.0), (1, 2.0)]);
    }

    #[test]
    fn items_that_the_lists_speak_against_make_room_for_others() {
        let index = index(1, &[5.0, 4.0, 3.0, 2.0, 1.0]);
        let lists = ListScores::sum(5, [(0, -9.0), (1, -9.0), (2, -2.5)].into_iter());
        assert_eq!(best(&index, &[1.0], &lists, 2, &|_| true), [(3, 2.0), (4, 1.0)]);
    }

    #[test]
    fn a_vector_that_says_nothing_leaves_the_word_to_the_lists() {
        let index = index(1, &[1.0, 2.0, 3.0, 4.0]);
        let lists = ListScores::sum(4, [(1, 0.5), (2, -0.5), (3, 0.75)].into_iter());
        assert_eq!(best(&index, &[0.0], &lists, 4, &|_| true), [(3, 0.75), (1, 0.5)]);
    }

    #[test]
    fn the_policy_is_asked_only_about_rows_that_would_enter() {
        let data: Vec<f32> = (0..1000).map(|row| 1000.0 - row as f32).collect();
        let index = index(1, &data);
        let lists = ListScores::sum(1000, (500..1000).map(|row| (row, 1.0)));
        let asked = Cell::new(0);
        best(&index, &[1.0], &lists, 3, &|_| {
            asked.set(asked.get() + 1);
            true
        });
        assert_eq!(asked.get(), 3);
    }
}
