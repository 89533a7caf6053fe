//! The sieve against scoring everything: the same rows, scores and order, whatever the vectors, the metric and the policy.

use proptest::prelude::*;

use roaring::RoaringBitmap;

use super::*;
use crate::index::ask::{Ask, Listed};
use crate::index::tests::clustered;
use crate::index::top::Hit;

/// Scores everything and sorts.
fn by_force(space: &Space, query: &[f32], ask: Ask<'_>) -> Vec<Hit> {
    let probe = space.probe(query);
    let rows = (0..space.len() as u32).filter(|row| ask.allows(*row));
    let listed = |row: u32| ask.listed.map_or(0.0, |listed| listed.scores[row as usize]);
    let mut hits: Vec<Hit> = rows.map(|row| Hit { row, score: probe.hit(row).score + listed(row) + 0.0 }).collect();
    hits.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap().then(a.row.cmp(&b.row)));
    hits.truncate(ask.k);
    hits
}

/// A sieve that looks at `lead` principal directions first, if there are as many.
fn sieve(space: &Space, lead: Option<usize>) -> Sieve {
    let order = if space.metric == Metric::Dot { by_falling_norm(space.norms.as_slice()) } else { Vec::new() };
    let axes = lead.filter(|lead| *lead <= space.dim).map(|lead| Axes::principal(space, &order, lead).unwrap());
    Sieve::code(space, order, axes.unwrap_or_else(|| Axes::plain(space.dim)))
}

/// Small whole numbers for ties, zeros, magnitudes far apart, and numbers that round.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        (-2i8..3).prop_map(f32::from),
        -3.0f32..3.0,
        (-6i32..6).prop_map(|e| 10f32.powi(e)),
        (-40i32..18).prop_map(|e| -(10f32.powi(e))),
    ]
}

/// Either values of one magnitude, as most vectors have, or of any.
fn vectors() -> impl Strategy<Value = (usize, Vec<f32>)> {
    (1usize..40, any::<bool>()).prop_flat_map(move |(dim, even)| {
        let value = if even { (-2.0f32..2.0).boxed() } else { value().boxed() };
        prop::collection::vec(prop::collection::vec(value, dim), 1..200).prop_map(move |rows| (dim, rows.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_that_belongs_to_the_answer_is_dropped(
        (dim, data) in vectors(), query in prop::collection::vec(value(), 40), from_rows in any::<bool>(),
        metric in prop_oneof![Just(Metric::Dot), Just(Metric::Cosine), Just(Metric::L2)],
        k in 1usize..30, every in 1u32..4, lead in prop_oneof![Just(None), Just(Some(4)), Just(Some(8)), Just(Some(24))],
        listed in prop::collection::btree_map(0u32..200, -3.0f32..3.0, 0..60),
        within in prop::collection::btree_set(0u32..220, 0..220), few in 0usize..30,
    ) {
        let space = Space::new(Rows::new(dim, &data).unwrap(), metric).unwrap();
        let sieve = sieve(&space, lead);
        let query = if from_rows { &data[..dim] } else { &query[..dim] };
        let mut scores = vec![0.0; space.len()];
        let rows: Vec<u32> = listed.keys().copied().filter(|row| (*row as usize) < scores.len()).collect();
        rows.iter().for_each(|row| scores[*row as usize] = listed[row]);
        let allow = |row: u32| row.is_multiple_of(every);
        let listed = Listed { scores: &scores, rows: &rows };
        let (wide, narrow) = (RoaringBitmap::from_iter(&within), RoaringBitmap::from_iter(within.iter().take(few)));
        let asks = [None, Some(&wide), Some(&narrow)].map(|within| Ask::best(k).allow(&allow).within(within));
        for ask in asks.into_iter().chain(asks.map(|ask| ask.listed(listed))) {
            let truth = by_force(&space, query, ask);
            prop_assert_eq!(&sieve.search(&space, query, ask).hits, &truth);
            // Whatever must be reached: all that reach it are there.
            let least = truth.get(truth.len() / 2).map(|hit| hit.score);
            let reaching = sieve.search(&space, query, ask.reaching(least)).hits;
            let reaches = |hit: &&Hit| least.is_none_or(|least| hit.score >= least);
            prop_assert!(reaching.iter().filter(reaches).eq(truth.iter().filter(reaches)));
            // What a search leaves behind does not show in the next, nor in what is asked beside it.
            let together = sieve.search_many(&space, &[(query, ask), (&data[..dim], asks[0]), (query, ask)]);
            prop_assert_eq!(&together[0].hits, &truth);
            prop_assert_eq!(&together[1].hits, &by_force(&space, &data[..dim], asks[0]));
            prop_assert_eq!(&together[2].hits, &truth);
        }
    }
}

#[test]
fn few_vectors_are_scored_and_a_steep_norm_ends_the_scan() {
    let (dim, rows) = (48, 20_000);
    let data = clustered(rows, dim, 2.0, 1);
    let queries = clustered(50, dim, 0.0, 1);
    let space = Space::new(Rows::new(dim, &data).unwrap(), Metric::Dot).unwrap();
    let sieve = Sieve::new(&space, Some(Rows::new(dim, &queries).unwrap())).unwrap();
    for query in queries.chunks_exact(dim) {
        let found = sieve.search(&space, query, Ask::best(10));
        assert_eq!(found.hits, by_force(&space, query, Ask::best(10)));
        assert!(found.sifted < rows / 2 && found.scored < rows / 20, "{} {}", found.sifted, found.scored);
    }
}

#[test]
fn wide_vectors_have_axes_too() {
    // More dimensions than a Gramian is made of: axes come from the inner products of a sample.
    let (dim, rows) = (1100, 700);
    let plain = clustered(rows, 40, 0.5, 3);
    let mut data = vec![0.0f32; rows * dim];
    for (wide, plain) in data.chunks_exact_mut(dim).zip(plain.chunks_exact(40)) {
        wide.iter_mut().step_by(30).zip(plain).for_each(|(to, from)| *to = *from);
    }
    let space = Space::new(Rows::new(dim, &data).unwrap(), Metric::Cosine).unwrap();
    let sieve = Sieve::new(&space, None).unwrap();
    assert!(sieve.lead() < dim && sieve.skew() < 1e-3, "{} {}", sieve.lead(), sieve.skew());
    for query in data.chunks_exact(dim).step_by(97) {
        let found = sieve.search(&space, query, Ask::best(10));
        assert_eq!(found.hits, by_force(&space, query, Ask::best(10)));
        assert!(found.scored < rows / 4, "{}", found.scored);
    }
}
