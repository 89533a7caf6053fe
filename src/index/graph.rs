//! HNSW (Malkov & Yashunin 2018) as search wants it: read-only, flat, the same in memory and in the file. The rows have
//! places, near ones side by side; by place there are a table of neighbour lists of one length (the lowest layer) and one of
//! coded vectors; the few nodes of the upper layers are slots in three more tables. Search is ours: greedy descent, then
//! best-first over the lowest layer by codes, and exact f32 scores for those of the found that can be among the answer.
//! `grow` makes graphs, `link` makes every row reachable.

use std::cell::Cell;

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

/// So many rows must a filter have judged before its share of rows is believed.
const ENOUGH: usize = 100;

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

    /// Walks towards the query. Nodes that `allow` refuses are walked through, but are no candidates for the answer: a filter
    /// narrows the answer and not the paths to it. `None` if the budget is spent or will be, or fewer than `k` rows were
    /// found: then the exact scan is the better way.
    ///
    /// Every row is reachable from the begin of the walk, so with `ef` and budget of at least `n` the answer is exact.
    pub fn walk(
        &self,
        probe: &Probe<'_>,
        breadth: Breadth,
        walker: &mut Walker,
        allow: &dyn Fn(u32) -> bool,
    ) -> Option<Walked> {
        let query = self.codes.query(probe.metric(), probe.query());
        let rows = self.rows.as_slice();
        let (asked, allowed) = (Cell::new(0usize), Cell::new(0usize));
        let Breadth { k, usual, budget, .. } = breadth;
        let admit = |place: u32| {
            let admitted = allow(rows[place as usize]);
            asked.set(asked.get() + 1);
            allowed.set(allowed.get() + usize::from(admitted));
            admitted
        };
        let hopeless =
            || asked.get() >= ENOUGH && usual.saturating_mul(asked.get()) > budget.saturating_mul(allowed.get());
        let visited = self.explore(&query, breadth.ef, budget, walker, admit, hopeless)?;
        let hits = self.finish(probe, &query, k, &walker.frontier);
        (hits.len() >= k).then_some(Walked { hits, visited })
    }

    /// Fills the walker's frontier with the best `ef` that `admit` lets through, by codes. Returns how many vectors were
    /// scored; `None` if that would have been more than `budget`, or once `hopeless` says so.
    pub fn explore(
        &self,
        query: &CodedQuery,
        ef: usize,
        budget: usize,
        walker: &mut Walker,
        mut admit: impl FnMut(u32) -> bool,
        hopeless: impl Fn() -> bool,
    ) -> Option<usize> {
        let (degree, root) = (self.shape.as_slice()[0] as usize, self.shape.as_slice()[3]);
        let links = self.links.as_slice();
        let mut scored = 0;
        let descent = self.descend(query, walker, &mut scored);
        let Walker { visited, frontier, fresh, products, scores } = walker;
        let places = links.len() / degree.max(1);
        visited.next_walk(places);
        frontier.begin(ef);
        fresh.clear();
        fresh.extend([descent, root].into_iter().filter(|place| visited.enter(*place)));
        loop {
            scored += fresh.len();
            if scored > budget {
                return None;
            }
            self.codes.score(query, fresh, products, scores);
            for (place, score) in fresh.iter().zip(&*scores) {
                if frontier.accepts(*score) {
                    frontier.insert(*place, *score, admit(*place));
                }
            }
            if hopeless() {
                return None;
            }
            let Some(place) = frontier.expand() else { return Some(scored) };
            // The list that is likely read next.
            if let Some(next) = frontier.peek() {
                prefetch(&links[next as usize * degree..(next as usize + 1) * degree]);
            }
            fresh.clear();
            for place in &links[place as usize * degree..(place as usize + 1) * degree] {
                // NONE is none either.
                if *place as usize >= places {
                    break;
                }
                if visited.enter(*place) {
                    prefetch(self.codes.record(*place));
                    fresh.push(*place);
                }
            }
        }
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
