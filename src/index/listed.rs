//! The best rows by inner product plus scores from elsewhere, where a graph finds those of the largest inner product. (The
//! exact scan needs none of this: it adds the scores to its bounds.)
//!
//! The argument is that of the threshold algorithm (Fagin, Lotem & Naor 2001). Let δ be the last score of the graph's best k.
//! A row outside them has an inner product of at most δ (and of at most the product of both lengths), so its score is at
//! most that plus what is added to it: of the listed rows only those whose bound reaches the answer need their inner
//! product. Rows that are not listed are worth at most δ. If that could still enter the answer, because scores count against
//! what the graph found, the best k of the rows that are not listed are asked for, and no more: none beyond them can enter.
//!
//! What a graph misses may be missing here too; what is found has its exact score and place.

use rustc_hash::FxHashSet;

use super::ask::{Ask, Listed};
use super::space::Probe;
use super::top::{Hit, Top};

/// The answer to `ask` by `search`, which answers without listed scores.
pub(super) fn answer(
    probe: &Probe<'_>,
    ask: Ask<'_>,
    listed: Listed<'_>,
    search: impl Fn(Ask<'_>) -> Vec<Hit>,
) -> Vec<Hit> {
    let alone = Ask { listed: None, ..ask };
    let total = |hit: Hit| Hit { score: hit.score + listed.score(hit.row) + 0.0, ..hit };
    let mut top = Top::new(ask.k, probe.rows());
    let mut offer = |hit: Hit, known: bool| {
        top.offer(hit, |row| known || ask.allows(row));
        top.worst()
    };
    let found = search(alone);
    let mut worst = None;
    for hit in &found {
        worst = offer(total(*hit), true);
    }
    let Some(last) = found.last().filter(|_| found.len() == ask.k) else { return top.into_hits() };

    let found: FxHashSet<u32> = found.iter().map(|hit| hit.row).collect();
    let mut rows: Vec<u32> = listed.rows.iter().copied().filter(|row| (*row as usize) < probe.rows()).collect();
    if rows.len() > ask.k {
        // Those that gain most come first: they raise what the others have to beat.
        rows.select_nth_unstable_by(ask.k, |a, b| listed.score(*b).total_cmp(&listed.score(*a)));
    }
    for row in rows {
        let bound = last.score.min(probe.bound_of(row)) + listed.score(row) + 0.0;
        if worst.is_none_or(|worst| bound >= worst.score) && !found.contains(&row) {
            worst = offer(total(probe.hit(row)), false);
        }
    }

    let is_settled = |worst: Hit| last.score < worst.score || (last.score == worst.score && last.row >= worst.row);
    if !worst.is_some_and(is_settled) {
        let listed: FxHashSet<u32> = listed.rows.iter().copied().collect();
        let others =
            search(alone.allow(&|row| !listed.contains(&row) && ask.allow.is_none_or(|allow| allow.allows(row))));
        for hit in others.into_iter().filter(|hit| !found.contains(&hit.row)) {
            offer(hit, true);
        }
    }
    top.into_hits()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Metric;
    use crate::index::sieve::Sieve;
    use crate::index::space::Space;
    use crate::linalg::Rows;

    /// Small whole numbers for ties and cancelling parts, others for rounding.
    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![(-2i8..3).prop_map(f32::from), -3.0f32..3.0]
    }

    proptest! {
        #[test]
        fn with_a_search_that_misses_nothing_the_answer_is_exact(
            (dim, data) in (1usize..6).prop_flat_map(|dim| {
                prop::collection::vec(prop::collection::vec(value(), dim), 1..60).prop_map(move |rows| (dim, rows.concat()))
            }),
            query in prop::collection::vec(value(), 6),
            listed in prop::collection::btree_map(0u32..60, prop_oneof![value(), -20.0f32..0.0], 0..60),
            k in 1usize..20, every in 1u32..4,
        ) {
            let space = Space::new(Rows::new(dim, &data).unwrap(), Metric::Dot).unwrap();
            let sieve = Sieve::new(&space, None).unwrap();
            let mut scores = vec![0.0; space.len()];
            let rows: Vec<u32> = listed.keys().copied().filter(|row| (*row as usize) < scores.len()).collect();
            rows.iter().for_each(|row| scores[*row as usize] = listed[row]);
            let listed = Listed { scores: &scores, rows: &rows };
            let allow = |row: u32| row.is_multiple_of(every);
            let ask = Ask::best(k).allow(&allow);
            let query = &query[..dim];
            let found = answer(&space.probe(query), ask, listed, |ask| sieve.search(&space, query, ask).hits);
            prop_assert_eq!(found, sieve.search(&space, query, ask.listed(listed)).hits);
        }
    }
}
