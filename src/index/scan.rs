//! The exact answer: every vector is scored, except those whose norm shows that they cannot be among the best k. Always
//! right, takes any filter at no loss, and is what graphs are measured against.

use super::kernel::prefetch;
use super::space::Space;
use super::top::{Hit, Top};

/// An answer and what it took.
pub(super) struct Scanned {
    pub hits: Vec<Hit>,
    /// Vectors scored.
    pub touched: usize,
}

/// The `k` best rows that `allow` lets through, best first. `allow` is asked only about rows that would enter the answer
/// at that moment.
pub(super) fn scan(space: &Space, query: &[f32], k: usize, allow: &dyn Fn(u32) -> bool) -> Scanned {
    if k == 0 {
        return Scanned { hits: Vec::new(), touched: 0 };
    }
    let probe = space.probe(query);
    let mut top = Top::new(k, space.len());
    let mut offer = |row: u32| {
        let hit = probe.hit(row);
        if top.accepts(hit) && allow(row) {
            top.push(hit);
        }
        top.threshold()
    };

    let order = space.order.as_slice();
    if order.is_empty() {
        for row in 0..space.len() as u32 {
            offer(row);
        }
        return Scanned { hits: top.into_hits(), touched: space.len() };
    }

    let norms = space.norms.as_slice();
    let mut threshold = None;
    let mut touched = 0;
    for (at, row) in order.iter().enumerate() {
        // Norms fall from here on. An equal score could still win by its row, so only a smaller bound stops the scan.
        if threshold.is_some_and(|threshold| probe.bound(norms[*row as usize]) < threshold) {
            break;
        }
        // The order by norm jumps about in memory; this is far enough ahead to hide it.
        if let Some(soon) = order.get(at + 6) {
            prefetch(probe.vector(*soon));
        }
        threshold = offer(*row);
        touched += 1;
    }
    Scanned { hits: top.into_hits(), touched }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Metric;
    use crate::linalg::Rows;

    /// Scores everything and sorts: what `scan` must equal.
    fn sorted(space: &Space, query: &[f32], k: usize, allow: &dyn Fn(u32) -> bool) -> Vec<Hit> {
        let probe = space.probe(query);
        let mut hits: Vec<Hit> = (0..space.len() as u32).filter(|row| allow(*row)).map(|row| probe.hit(row)).collect();
        hits.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap().then(a.row.cmp(&b.row)));
        hits.truncate(k);
        hits
    }

    /// Small whole numbers: many ties and zero vectors; and magnitudes that differ by powers of ten.
    fn vectors() -> impl Strategy<Value = (usize, Vec<f32>)> {
        let value = prop_oneof![(-2i8..3).prop_map(f32::from), (-3.0f32..3.0), (-6i32..6).prop_map(|e| 10f32.powi(e))];
        (1usize..20).prop_flat_map(move |dim| {
            prop::collection::vec(prop::collection::vec(value.clone(), dim), 1..80)
                .prop_map(move |rows| (dim, rows.concat()))
        })
    }

    proptest! {
        #[test]
        fn a_scan_is_a_naive_sort(
            (dim, data) in vectors(), at in 0usize..80, k in 0usize..90, every in 1u32..4, metric in 0usize..3,
        ) {
            let metric = [Metric::Dot, Metric::Cosine, Metric::L2][metric];
            let rows = Rows::new(dim, &data).unwrap();
            let space = Space::new(rows, metric).unwrap();
            let query = rows.row(at % rows.len());
            let allow = |row: u32| row.is_multiple_of(every);
            prop_assert_eq!(scan(&space, query, k, &allow).hits, sorted(&space, query, k, &allow));
        }
    }

    #[test]
    fn long_vectors_end_the_scan_early() {
        let data: Vec<f32> = (1..=1000).map(|row| 1.0 / row as f32).collect();
        let space = Space::new(Rows::new(1, &data).unwrap(), Metric::Dot).unwrap();
        let scanned = scan(&space, &[2.0], 10, &|_| true);
        assert_eq!(scanned.hits.iter().map(|hit| hit.row).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert!(scanned.touched < 20, "{}", scanned.touched);
    }

    #[test]
    fn the_filter_is_asked_only_about_rows_that_would_enter() {
        let data: Vec<f32> = (0..1000).map(|row| 1000.0 - row as f32).collect();
        let space = Space::new(Rows::new(1, &data).unwrap(), Metric::L2).unwrap();
        let asked = std::cell::Cell::new(0);
        let hits = scan(&space, &[1000.0], 3, &|_| {
            asked.set(asked.get() + 1);
            true
        });
        assert_eq!((hits.hits.len(), asked.get()), (3, 3));
    }
}
