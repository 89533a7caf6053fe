//! The best items of a model that is one inner product plus one sparse list. The index adds the lists' scores to its own,
//! so the answer is the true one whenever the index is exact.

use super::listed::ListScores;
use crate::index::{Ask, Hit, Searched, Top, VectorIndex};
use crate::linalg::Rows;

/// The best rows that `ask` wants, by inner product with `vector` plus list score; equal scores by row. With a zero vector
/// only the lists speak: items that none of them speaks for are left out.
pub fn best(index: &VectorIndex, vector: &[f32], lists: &ListScores, ask: Ask<'_>) -> (Vec<(u32, f32)>, Searched) {
    if is_zero(vector) {
        return (by_lists(lists, ask), Searched::lists_alone());
    }
    let (hits, searched) = index.traced(vector, ask.listed(lists.listed()));
    (pairs(hits), searched)
}

fn is_zero(vector: &[f32]) -> bool {
    vector.iter().all(|value| *value == 0.0)
}

fn by_lists(lists: &ListScores, ask: Ask<'_>) -> Vec<(u32, f32)> {
    let mut best = Top::new(ask.k, lists.touched().len());
    let favoured = lists.touched().iter().filter(|row| lists.get(**row) > 0.0);
    favoured.for_each(|row| best.offer(Hit { row: *row, score: lists.get(*row) }, |row| ask.allows(row)));
    pairs(best.into_hits())
}

fn pairs(hits: Vec<Hit>) -> Vec<(u32, f32)> {
    hits.into_iter().map(|hit| (hit.row, hit.score)).collect()
}

/// The same for many vectors, `[n, dim]`, which share their way through the index. `asked` has the lists of each, and what
/// is wanted of it.
pub fn best_of_many<'a>(
    index: &VectorIndex,
    vectors: Rows<'_>,
    asked: impl Fn(usize) -> (&'a ListScores, Ask<'a>) + Sync,
) -> Vec<Vec<(u32, f32)>> {
    let hits = index.answer_many(vectors, |at| {
        let (lists, ask) = asked(at);
        ask.listed(lists.listed())
    });
    let scored = |(at, hits): (usize, Vec<Hit>)| {
        let (lists, ask) = asked(at);
        if is_zero(vectors.row(at)) { by_lists(lists, ask) } else { pairs(hits) }
    };
    hits.into_iter().enumerate().map(scored).collect()
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
            prop_assert_eq!(best(&index, vector, &lists, Ask::best(k).allow(&allow)).0, by_force(&index, vector, &lists, k, &allow));
        }
    }

    #[test]
    fn an_item_of_the_lists_alone_wins_over_what_the_index_found() {
        let index = index(1, &[3.0, 2.0, 1.0, -9.0]);
        let lists = ListScores::sum(4, [(3, 12.5)].into_iter());
        assert_eq!(best(&index, &[1.0], &lists, Ask::best(2)).0, [(3, 3.5), (0, 3.0)]);
        assert_eq!(best(&index, &[1.0], &lists, Ask::best(2).allow(&|row| row != 3)).0, [(0, 3.0), (1, 2.0)]);
    }

    #[test]
    fn items_that_the_lists_speak_against_make_room_for_others() {
        let index = index(1, &[5.0, 4.0, 3.0, 2.0, 1.0]);
        let lists = ListScores::sum(5, [(0, -9.0), (1, -9.0), (2, -2.5)].into_iter());
        assert_eq!(best(&index, &[1.0], &lists, Ask::best(2)).0, [(3, 2.0), (4, 1.0)]);
    }

    #[test]
    fn a_vector_that_says_nothing_leaves_the_word_to_the_lists() {
        let index = index(1, &[1.0, 2.0, 3.0, 4.0]);
        let lists = ListScores::sum(4, [(1, 0.5), (2, -0.5), (3, 0.75)].into_iter());
        assert_eq!(best(&index, &[0.0], &lists, Ask::best(4)).0, [(3, 0.75), (1, 0.5)]);
    }

    #[test]
    fn the_policy_is_asked_only_about_rows_that_would_enter() {
        let data: Vec<f32> = (0..1000).map(|row| 1000.0 - row as f32).collect();
        let index = index(1, &data);
        let lists = ListScores::sum(1000, (500..1000).map(|row| (row, 1.0)));
        let asked = Cell::new(0);
        let allow = |_| {
            asked.set(asked.get() + 1);
            true
        };
        best(&index, &[1.0], &lists, Ask::best(3).allow(&allow));
        // Three of those that the lists favour most, and the three of the answer.
        assert!(asked.get() <= 6, "{}", asked.get());
    }
}
