//! The places that a walk has found and may still go on from, best first, in one array: who is new is put where it belongs,
//! who has been gone on from is marked. It keeps what is no worse than the `ef`-th of those that may be answers; the walk
//! ends when all that is kept has been gone on from.

/// A place and what the walk knows of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub score: f32,
    /// The place in the lower bits; above it, whether it may be an answer and whether the walk has gone on from it.
    tagged: u32,
}

/// Places are below this.
pub(super) const PLACES: usize = 1 << 30;
const ANSWER: u32 = 1 << 30;
const EXPANDED: u32 = 1 << 31;

impl Entry {
    #[inline]
    pub fn place(self) -> u32 {
        self.tagged & !(ANSWER | EXPANDED)
    }

    #[inline]
    fn is_answer(self) -> bool {
        self.tagged & ANSWER != 0
    }
}

/// See the head of this file.
#[derive(Default)]
pub(super) struct Frontier {
    entries: Vec<Entry>,
    ef: usize,
    answers: usize,
    /// All before this one have been gone on from.
    next: usize,
}

impl Frontier {
    /// Forgets everything.
    pub fn begin(&mut self, ef: usize) {
        self.entries.clear();
        (self.ef, self.answers, self.next) = (ef.max(1), 0, 0);
    }

    /// Whether a score is good enough to be kept.
    #[inline]
    pub fn accepts(&self, score: f32) -> bool {
        // Once there are `ef` answers, the last entry is one.
        self.answers < self.ef || self.entries.last().is_some_and(|last| score > last.score)
    }

    /// Puts in a place that [`accepts`](Self::accepts) let through. Whether the walk will go on from it next, or nearly so.
    #[inline]
    pub fn insert(&mut self, place: u32, score: f32, answer: bool) -> bool {
        let at = self.entries.partition_point(|entry| entry.score >= score);
        self.entries.insert(at, Entry { score, tagged: place | if answer { ANSWER } else { 0 } });
        self.next = self.next.min(at);
        if answer {
            self.answers += 1;
            if self.answers > self.ef {
                // The last entry was the last answer.
                self.entries.pop();
                self.answers -= 1;
            }
            if self.answers == self.ef {
                // What lies behind the last answer will never be needed.
                while self.entries.last().is_some_and(|last| !last.is_answer()) {
                    self.entries.pop();
                }
            }
        }
        at <= self.next + 1
    }

    /// The best place from which the walk has not gone on yet; it is marked.
    #[inline]
    pub fn expand(&mut self) -> Option<u32> {
        while let Some(entry) = self.entries.get_mut(self.next) {
            self.next += 1;
            if entry.tagged & EXPANDED == 0 {
                entry.tagged |= EXPANDED;
                return Some(entry.place());
            }
        }
        None
    }

    /// The places from which the walk has not gone on, best first, without marking them.
    #[inline]
    pub fn waiting(&self) -> impl Iterator<Item = u32> {
        let rest = self.entries.get(self.next..).unwrap_or_default();
        rest.iter().filter(|entry| entry.tagged & EXPANDED == 0).map(|entry| entry.place())
    }

    /// Those that may be answers, best first.
    pub fn answers(&self) -> impl Iterator<Item = Entry> {
        self.entries.iter().copied().filter(|entry| entry.is_answer())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Beside a list of all that was offered, sorted anew each time.
        #[test]
        fn it_keeps_what_is_no_worse_than_the_last_answer(
            offers in prop::collection::vec((-9i8..9, prop::bool::weighted(0.6), any::<bool>()), 0..120), ef in 1usize..12,
        ) {
            let mut frontier = Frontier::default();
            frontier.begin(ef);
            let (mut kept, mut expanded) = (Vec::<(i8, u32, bool)>::new(), std::collections::BTreeSet::new());
            for (place, (score, answer, go)) in offers.into_iter().enumerate() {
                let place = place as u32;
                let answers: Vec<i8> = kept.iter().filter(|kept| kept.2).map(|kept| kept.0).collect();
                let accepts = answers.len() < ef || score > answers[ef - 1];
                prop_assert_eq!(frontier.accepts(f32::from(score)), accepts);
                if accepts {
                    frontier.insert(place, f32::from(score), answer);
                    kept.push((score, place, answer));
                    kept.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
                    let last = kept.iter().enumerate().filter(|(_, kept)| kept.2).nth(ef - 1).map(|(at, _)| at);
                    kept.truncate(last.map_or(kept.len(), |last| last + 1));
                }
                let found: Vec<u32> = frontier.answers().map(Entry::place).collect();
                prop_assert_eq!(found, kept.iter().filter(|kept| kept.2).map(|kept| kept.1).collect::<Vec<_>>());
                let waiting: Vec<u32> = kept.iter().map(|kept| kept.1).filter(|place| !expanded.contains(place)).collect();
                prop_assert_eq!(&frontier.waiting().collect::<Vec<_>>(), &waiting);
                let due = waiting.first().copied();
                if go {
                    prop_assert_eq!(frontier.expand(), due);
                    expanded.extend(due);
                }
            }
        }
    }
}
