//! Segments against a plain map and every vector scored.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::progress::Silent;

#[derive(Clone, Debug)]
enum Change {
    Set(u32, Vec<f32>),
    Remove(u32),
    Copy(Extent),
    Replace(Extent),
    GiveUp(Extent),
    Search(Vec<f32>, usize, u32),
}

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![1 => Just(Extent::Whole), 2 => Just(Extent::Recent)]
}

fn change() -> impl Strategy<Value = Change> {
    let vector = || prop::collection::vec(prop_oneof![(-2i8..3).prop_map(f32::from), -2.0f32..2.0], 3);
    prop_oneof![
        6 => (0u32..40, vector()).prop_map(|(id, vector)| Change::Set(id, vector)),
        3 => (0u32..40).prop_map(Change::Remove),
        1 => extent().prop_map(Change::Copy),
        2 => extent().prop_map(Change::Replace),
        1 => extent().prop_map(Change::GiveUp),
        4 => (vector(), 1usize..12, 1u32..4).prop_map(|(query, k, every)| Change::Search(query, k, every)),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_living_are_found_and_no_others(
        changes in prop::collection::vec(change(), 1..160),
        metric in prop_oneof![Just(Metric::Dot), Just(Metric::Cosine), Just(Metric::L2)],
    ) {
        let mut segments = Segments::new(metric, 3).unwrap();
        let mut truth: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
        let mut copied: [Option<Copied>; 2] = [None, None];
        for change in changes {
            match change {
                Change::Set(id, vector) => {
                    segments.set(id, &vector).unwrap();
                    truth.insert(id, vector);
                }
                Change::Remove(id) => {
                    segments.remove(id);
                    truth.remove(&id);
                }
                Change::Copy(extent) => copied[extent as usize] = Some(segments.copy(extent)),
                Change::Replace(extent) => {
                    if let Some(copied) = copied[extent as usize].take() {
                        segments.replace(copied.freeze(&exactly(), &Silent).unwrap());
                    }
                }
                Change::GiveUp(extent) => {
                    copied[extent as usize] = None;
                    segments.give_up(extent);
                }
                Change::Search(query, k, every) => {
                    let scorer = space::Scorer::new(metric, &query);
                    let allowed = truth.iter().filter(|(id, _)| id.is_multiple_of(every));
                    let mut expected: Vec<(u32, f32)> =
                        allowed.map(|(id, vector)| (*id, scorer.score(vector, space::euclidean(vector) as f32))).collect();
                    expected.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
                    expected.truncate(k);
                    let allow = |id: u32| id.is_multiple_of(every);
                    let matches: RoaringBitmap = (0..40).filter(|id| allow(*id)).collect();
                    for ask in [Ask::best(k).allow(&allow), Ask::best(k).within(Some(&matches))] {
                        let found = segments.search(&query, ask);
                        let found: Vec<_> = found.iter().map(|hit| (hit.row, hit.score)).collect();
                        prop_assert_eq!(found, expected.clone());
                    }
                }
            }
            prop_assert_eq!(segments.len(), truth.len());
        }
    }
}

#[test]
fn a_vector_that_no_index_takes_changes_nothing() {
    let mut segments = Segments::new(Metric::Dot, 2).unwrap();
    segments.set(7, &[1.0, 2.0]).unwrap();
    assert!(segments.set(7, &[f32::NAN, 0.0]).is_err() && segments.set(7, &[1.0]).is_err());
    assert_eq!(segments.search(&[1.0, 0.0], Ask::best(5)), [Hit { row: 7, score: 1.0 }]);
}
