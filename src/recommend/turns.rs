//! Several sources in one list, each with its share of the places, as evenly as whole places allow.

use std::collections::VecDeque;

/// Whose turn it is at each of `count` places, by shares: always that of the source which lacks the most of its share until
/// there, of equal ones the first. So among the first `k` places each has its share of them, rounded up or down.
pub fn turns(shares: &[f64], count: usize) -> Vec<usize> {
    let mut turns = Turns::new(shares);
    (0..count).filter_map(|_| turns.next(|_| true)).collect()
}

/// The items of all queues in the order of turns; a queue that is empty is passed over.
pub fn interleave<T>(shares: &[f64], mut queues: Vec<VecDeque<T>>) -> Vec<T> {
    let mut turns = Turns::new(shares);
    let mut list = Vec::with_capacity(queues.iter().map(VecDeque::len).sum());
    while let Some(at) = turns.next(|at| queues.get(at).is_some_and(|queue| !queue.is_empty())) {
        list.extend(queues.get_mut(at).and_then(VecDeque::pop_front));
    }
    list
}

struct Turns {
    shares: Vec<f64>,
    taken: Vec<f64>,
    places: f64,
}

impl Turns {
    fn new(shares: &[f64]) -> Self {
        let sum: f64 = shares.iter().sum();
        Self { shares: shares.iter().map(|share| share / sum).collect(), taken: vec![0.0; shares.len()], places: 0.0 }
    }

    /// The next of those that have something.
    fn next(&mut self, has_some: impl Fn(usize) -> bool) -> Option<usize> {
        self.places += 1.0;
        let mut most: Option<(usize, f64)> = None;
        for (at, (share, taken)) in self.shares.iter().zip(&self.taken).enumerate() {
            let lacks = share * self.places - taken;
            if has_some(at) && most.is_none_or(|(_, most)| lacks > most + 1e-9) {
                most = Some((at, lacks));
            }
        }
        let (at, _) = most?;
        *self.taken.get_mut(at)? += 1.0;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_hold_to_a_place(shares in prop::collection::vec(0.05f64..5.0, 1..6), count in 0usize..60) {
            let turns = turns(&shares, count);
            prop_assert_eq!(turns.len(), count);
            let sum: f64 = shares.iter().sum();
            for (at, share) in shares.iter().enumerate() {
                let given = turns.iter().filter(|turn| **turn == at).count() as f64;
                // Not more than one place too many or, with several sources, as many too few as there are others.
                prop_assert!(given < share / sum * count as f64 + 1.0, "{given}");
                prop_assert!(given > share / sum * count as f64 - shares.len() as f64, "{given}");
            }
        }

        #[test]
        fn nothing_is_lost_and_each_keeps_its_order(
            (shares, lengths) in (1usize..6).prop_flat_map(|n| (prop::collection::vec(0.05f64..5.0, n), prop::collection::vec(0usize..9, n))),
        ) {
            let queue = |(at, length): (usize, &usize)| (0..*length).map(|place| (at, place)).collect();
            let list = interleave(&shares, lengths.iter().enumerate().map(queue).collect());
            prop_assert_eq!(list.len(), lengths.iter().sum::<usize>());
            for (at, length) in lengths.iter().enumerate() {
                let own: Vec<usize> = list.iter().filter(|(of, _)| *of == at).map(|(_, place)| *place).collect();
                prop_assert_eq!(own, (0..*length).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn sources_alternate() {
        assert_eq!(turns(&[0.6, 0.4], 5), [0, 1, 0, 1, 0]);
        assert_eq!(turns(&[3.0, 1.0], 8), [0, 0, 1, 0, 0, 0, 1, 0]);
    }
}
