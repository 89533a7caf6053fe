//! HNSW (Malkov & Yashunin 2018) as search wants it: read-only, flat, the same in memory and in the file. The rows have
//! places, near ones side by side; by place there are a table of neighbour lists of one length (the lowest layer) and one of
//! coded vectors; the few nodes of the upper layers are slots in three more tables. Search is ours: greedy descent, then
//! best-first over the lowest layer by codes, and exact f32 scores for those of the found that can be among the answer.
//! `grow` makes graphs, `link` makes every row reachable.

use rayon::prelude::*;

use super::codes::{CodedQuery, Codes, stride, trailer};
use super::frontier::{Frontier, PLACES};
use super::kernel::prefetch;
use super::section::Section;
use super::space::Probe;
use super::top::{Hit, Top};
use super::visited::Walker;

/// Fills a neighbour list to its length; no place and no slot.
pub(super) const NONE: u32 = u32::MAX;

/// The frozen graph over places `0..n`.
pub(super) struct Graph {
    /// `[4]`: neighbours in a list of the lowest layer, the same of the upper layers, the slot where a search begins (or
    /// [`NONE`], if there is one layer only), and the place where it begins on the lowest layer whatever the descent found.
    pub shape: Section<u32>,
    /// `[n]`: the row of a place.
    pub rows: Section<u32>,
    /// By place.
    pub codes: Codes,
    /// `[n, degree]`: places, nearest first, then [`NONE`].
    pub links: Section<u32>,
    /// `[slots]`: the place of a slot. Slots of lower layers come first.
    pub upper_places: Section<u32>,
    /// `[slots]`: the slot of the same place one layer below; [`NONE`] where that is the lowest layer.
    pub upper_below: Section<u32>,
    /// `[slots, upper degree]`: slots of the same layer, then [`NONE`].
    pub upper_links: Section<u32>,
}

/// How far a walk goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breadth {
    /// Hits wanted.
    pub k: usize,
    /// Candidates kept, at least `k`.
    pub ef: usize,
    /// Vectors scored at most; a walk that needs more, or seems to, is given up.
    pub budget: usize,
    /// Vectors that a walk without a filter scores, on average: with the share of rows that a filter lets through it tells
    /// early what this walk will need. 0 for no guess.
    pub usual: usize,
}

/// Which places may be answers, and what share of them that was so far.
pub(super) struct Filter<'a> {
    /// By row; none if all may be.
    allow: Option<&'a dyn Fn(u32) -> bool>,
    /// The row of each place.
    rows: &'a [u32],
    asked: usize,
    allowed: usize,
}

/// So many rows must a filter have judged before its share of rows is believed.
const ENOUGH: usize = 100;

impl Filter<'_> {
    /// Lets all through.
    pub fn none() -> Self {
        Self { allow: None, rows: &[], asked: 0, allowed: 0 }
    }

    #[inline]
    fn admits(&mut self, place: u32) -> bool {
        // Without a filter no row is looked up: that would be a miss of the cache for each place that is kept.
        let Some(allow) = self.allow else { return true };
        let is_allowed = allow(self.rows[place as usize]);
        self.asked += 1;
        self.allowed += usize::from(is_allowed);
        is_allowed
    }

    /// Asks the processor for what [`admits`](Self::admits) will read.
    #[inline]
    fn prefetch(&self, place: u32) {
        if self.allow.is_some() {
            prefetch(&self.rows[place as usize..][..1]);
        }
    }

    /// Whether so few pass that the walk will take more than its budget.
    fn is_hopeless(&self, Breadth { usual, budget, .. }: Breadth) -> bool {
        self.asked >= ENOUGH && usual.saturating_mul(self.asked) > budget.saturating_mul(self.allowed)
    }
}

/// What a walk found, best first, and what it took.
pub(super) struct Walked {
    pub hits: Vec<Hit>,
    /// Vectors scored.
    pub visited: usize,
}

impl Graph {
    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let Self { shape, rows, codes, links, upper_places, upper_below, upper_links } = self;
        let numbers = [shape, rows, links, upper_places, upper_below, upper_links];
        numbers.into_iter().map(Section::bytes).sum::<usize>() + codes.records.bytes() + codes.centre.bytes()
    }

    /// Walks towards the query. Nodes that `allow` refuses (none if there is none) are walked through, but are no candidates for
    /// the answer: a filter narrows the answer and not the paths to it. `None` if the budget is spent or will be, or fewer than `k` rows were
    /// found: then the exact scan is the better way.
    ///
    /// Every row is reachable from the begin of the walk, so with `ef` and budget of at least `n` the answer is exact.
    pub fn walk(
        &self,
        probe: &Probe<'_>,
        breadth: Breadth,
        walker: &mut Walker,
        allow: Option<&dyn Fn(u32) -> bool>,
    ) -> Option<Walked> {
        let query = self.codes.query(probe.metric(), probe.query());
        let mut filter = Filter { allow, rows: self.rows.as_slice(), asked: 0, allowed: 0 };
        let visited = self.explore(&query, breadth, walker, &mut filter)?;
        let hits = self.finish(probe, &query, breadth.k, &walker.frontier);
        (hits.len() >= breadth.k).then_some(Walked { hits, visited })
    }

    /// Fills the walker's frontier with the best `ef` that the filter lets through, by codes. Returns how many vectors were
    /// scored; `None` if that would have been more than the budget, or once the filter makes that likely.
    pub fn explore(
        &self,
        query: &CodedQuery,
        breadth: Breadth,
        walker: &mut Walker,
        filter: &mut Filter<'_>,
    ) -> Option<usize> {
        let root = self.shape.as_slice()[3];
        let mut scored = 0;
        let descent = self.descend(query, walker, &mut scored);
        let Walker { visited, frontier, fresh, products, scores } = walker;
        visited.next_walk(self.rows.as_slice().len());
        frontier.begin(breadth.ef);
        fresh.clear();
        fresh.extend([descent, root].into_iter().filter(|place| visited.enter(*place)));
        loop {
            scored += fresh.len();
            if scored > breadth.budget {
                return None;
            }
            self.codes.score(query, fresh, products, scores);
            for (place, score) in fresh.iter().zip(&*scores) {
                if frontier.accepts(*score) && frontier.insert(*place, *score, filter.admits(*place)) {
                    prefetch(self.list(*place));
                }
            }
            if filter.is_hopeless(breadth) {
                return None;
            }
            let Some(place) = frontier.expand() else { return Some(scored) };
            fresh.clear();
            for place in self.neighbours(place) {
                if visited.enter(place) {
                    prefetch(self.codes.record(place));
                    filter.prefetch(place);
                    fresh.push(place);
                }
            }
            // While these are scored, what the next step will read is on its way, unless one of them comes before it; and the
            // list of the step after that.
            let mut waiting = frontier.waiting();
            if let Some(next) = waiting.next() {
                for place in self.neighbours(next).filter(|place| !visited.contains(*place)) {
                    prefetch(self.codes.record(place));
                    filter.prefetch(place);
                }
            }
            if let Some(later) = waiting.next() {
                prefetch(self.list(later));
            }
        }
    }

    /// The neighbour list of a place, to its full length.
    #[inline]
    fn list(&self, place: u32) -> &[u32] {
        let degree = self.shape.as_slice()[0] as usize;
        &self.links.as_slice()[place as usize * degree..(place as usize + 1) * degree]
    }

    /// The neighbours of a place, nearest first.
    #[inline]
    fn neighbours(&self, place: u32) -> impl Iterator<Item = u32> {
        let places = self.rows.as_slice().len();
        // NONE is no place either.
        self.list(place).iter().copied().take_while(move |place| (*place as usize) < places)
    }

    /// The best `k` of what was found, by exact scores. Those whose codes show that they cannot be among them are not read.
    fn finish(&self, probe: &Probe<'_>, query: &CodedQuery, k: usize, frontier: &Frontier) -> Vec<Hit> {
        let rows = self.rows.as_slice();
        for entry in frontier.answers().take(k) {
            prefetch(probe.vector(rows[entry.place() as usize]));
        }
        let mut top = Top::new(k, k.min(rows.len()));
        for entry in frontier.answers() {
            let place = entry.place();
            let bound = self.codes.finished(query, entry.score + self.codes.error(query, place));
            if top.threshold().is_some_and(|threshold| bound < threshold) {
                continue;
            }
            top.offer(probe.hit(rows[place as usize]), |_| true);
        }
        top.into_hits()
    }

    /// Greedily down the upper layers: the place where the lowest one is entered.
    fn descend(&self, query: &CodedQuery, walker: &mut Walker, scored: &mut usize) -> u32 {
        let shape = self.shape.as_slice();
        let (degree, mut slot, root) = (shape[1] as usize, shape[2], shape[3]);
        let (places, below, links) =
            (self.upper_places.as_slice(), self.upper_below.as_slice(), self.upper_links.as_slice());
        if slot == NONE {
            return root;
        }
        let Walker { fresh, products, scores, .. } = walker;
        self.codes.score(query, &[places[slot as usize]], products, scores);
        let mut best = scores[0];
        *scored += 1;
        loop {
            let list = &links[slot as usize * degree..(slot as usize + 1) * degree];
            let list = list.split(|neighbour| *neighbour == NONE).next().unwrap_or_default();
            fresh.clear();
            for neighbour in list {
                let place = places[*neighbour as usize];
                prefetch(self.codes.record(place));
                fresh.push(place);
            }
            self.codes.score(query, fresh, products, scores);
            *scored += fresh.len();
            let mut next = slot;
            for (neighbour, score) in list.iter().zip(&*scores) {
                // Scores only rise, so the descent ends.
                if *score > best {
                    (best, next) = (*score, *neighbour);
                }
            }
            if next != slot {
                slot = next;
            } else if below[slot as usize] != NONE {
                slot = below[slot as usize];
            } else {
                return places[slot as usize];
            }
        }
    }

    /// Checks what a walk relies on in a graph that comes from a file: it begins somewhere, descents end, and every place has
    /// a row. Links of the lowest layer that lead nowhere are not followed, so they can wait for [`check_all`](Self::check_all).
    pub fn check_bounds(&self, rows: usize) -> Result<(), &'static str> {
        let &[degree, upper_degree, entry, root] = self.shape.as_slice() else {
            return Err("the shape of its graph is not four numbers");
        };
        let slots = self.upper_places.as_slice().len();
        let within =
            |numbers: &[u32], end: usize| numbers.iter().all(|number| *number == NONE || (*number as usize) < end);
        if degree == 0 || upper_degree == 0 || rows > PLACES {
            return Err("its graph has neighbour lists of no length, or too many places");
        }
        if root as usize >= rows || !within(&[entry], slots) {
            return Err("its graph begins nowhere");
        }
        if !within(self.upper_links.as_slice(), slots) {
            return Err("an upper layer of its graph links to nowhere");
        }
        let mut named = self.upper_places.as_slice().iter().chain(self.rows.as_slice());
        if named.any(|row| *row as usize >= rows) {
            return Err("its graph names a row that is none");
        }
        let mut below = self.upper_below.as_slice().iter().enumerate();
        if below.any(|(slot, below)| *below != NONE && *below as usize >= slot) {
            return Err("the layers of its graph do not lead down");
        }
        Ok(())
    }

    /// Checks what only answers rely on: every link leads to a place, every row has one place, and codes are numbers.
    pub fn check_all(&self) -> Result<(), &'static str> {
        let rows = self.rows.as_slice();
        if self.links.as_slice().par_iter().any(|link| *link != NONE && *link as usize >= rows.len()) {
            return Err("its graph links to nowhere");
        }
        let mut seen = fixedbitset::FixedBitSet::with_capacity(rows.len());
        if rows.iter().any(|row| seen.put(*row as usize)) {
            return Err("its graph does not name every row once");
        }
        let trailers = self.codes.records.as_slice().par_chunks_exact(stride(self.codes.dim)).map(trailer);
        if !trailers.all(|(scale, length)| scale.is_finite() && length.is_finite()) {
            return Err("its graph has coded vectors that are none");
        }
        if self.codes.centre.as_slice().iter().any(|value| !value.is_finite()) {
            return Err("the mean of its vectors is not finite");
        }
        Ok(())
    }
}
