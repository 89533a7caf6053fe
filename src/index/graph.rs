//! HNSW (Malkov & Yashunin 2018) as search wants it: read-only, flat, the same in memory and in the file. The lowest layer
//! is a table of neighbour lists of one length; the few nodes of the upper layers are slots in three more tables. Search is
//! ours: greedy descent, then best-first over the lowest layer with exact f32 scores. `grow` makes graphs, `link` makes every
//! row reachable.

use std::collections::BinaryHeap;

use super::kernel::prefetch;
use super::section::Section;
use super::space::Probe;
use super::top::{Hit, Ranked, Top};
use super::visited::Visited;

/// Fills a neighbour list to its length; no row and no slot.
pub(super) const NONE: u32 = u32::MAX;

/// The frozen graph over rows `0..n`.
pub(super) struct Graph {
    /// `[4]`: neighbours in a list of the lowest layer, the same of the upper layers, the slot where a search begins (or
    /// [`NONE`], if there is one layer only), and the row where it begins on the lowest layer whatever the descent found.
    pub shape: Section<u32>,
    /// `[n, degree]`: rows, nearest first, then [`NONE`].
    pub links: Section<u32>,
    /// `[slots]`: the row of a slot. Slots of lower layers come first.
    pub upper_rows: Section<u32>,
    /// `[slots]`: the slot of the same row one layer below; [`NONE`] where that is the lowest layer.
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
    /// Walks towards the query. Nodes that `allow` refuses are walked through, but are no candidates for the answer: a filter
    /// narrows the answer and not the paths to it. `None` if the budget is spent or will be, or fewer than `k` rows were
    /// found: then the exact scan is the better way.
    ///
    /// Every row is reachable from the begin of the walk, so with `ef` and budget of at least `n` the answer is exact.
    pub fn walk(
        &self,
        probe: &Probe<'_>,
        breadth: Breadth,
        visited: &mut Visited,
        allow: &dyn Fn(u32) -> bool,
    ) -> Option<Walked> {
        let Breadth { k, ef, budget, usual } = breadth;
        let (degree, root) = (self.shape.as_slice()[0] as usize, self.shape.as_slice()[3]);
        let links = self.links.as_slice();
        let mut scored = 0;
        let mut candidates = BinaryHeap::with_capacity(2 * ef);
        let mut top = Top::new(ef, ef);
        let (mut asked, mut allowed) = (0usize, 0usize);
        let mut admit = |row: u32| {
            let admitted = allow(row);
            (asked, allowed) = (asked + 1, allowed + usize::from(admitted));
            (admitted, asked >= ENOUGH && usual.saturating_mul(asked) > budget.saturating_mul(allowed))
        };

        visited.next_walk(links.len() / degree.max(1));
        let descent = self.descend(probe, &mut scored);
        for row in [descent, root] {
            if visited.enter(row) {
                scored += 1;
                let hit = probe.hit(row);
                candidates.push(Ranked(hit));
                if top.accepts(hit) && admit(row).0 {
                    top.push(hit);
                }
            }
        }

        let mut fresh = Vec::with_capacity(degree);
        while let Some(Ranked(candidate)) = candidates.pop() {
            if top.threshold().is_some_and(|threshold| candidate.score < threshold) {
                break;
            }
            let start = candidate.row as usize * degree;
            fresh.clear();
            for row in links[start..start + degree].iter().take_while(|row| **row != NONE) {
                if visited.enter(*row) {
                    prefetch(probe.vector(*row));
                    fresh.push(*row);
                }
            }
            scored += fresh.len();
            if scored > budget {
                return None;
            }
            for row in &fresh {
                let hit = probe.hit(*row);
                if top.accepts(hit) {
                    candidates.push(Ranked(hit));
                    let (admitted, hopeless) = admit(*row);
                    if hopeless {
                        return None;
                    }
                    if admitted {
                        top.push(hit);
                    }
                }
            }
        }
        if top.len() < k {
            return None;
        }
        let mut hits = top.into_hits();
        hits.truncate(k);
        Some(Walked { hits, visited: scored })
    }

    /// Greedily down the upper layers: the row from which the lowest one is entered.
    fn descend(&self, probe: &Probe<'_>, scored: &mut usize) -> u32 {
        let shape = self.shape.as_slice();
        let (degree, mut slot, root) = (shape[1] as usize, shape[2], shape[3]);
        let (rows, below, links) =
            (self.upper_rows.as_slice(), self.upper_below.as_slice(), self.upper_links.as_slice());
        if slot == NONE {
            return root;
        }
        let mut best = probe.hit(rows[slot as usize]);
        *scored += 1;
        loop {
            let start = slot as usize * degree;
            let mut next = slot;
            for neighbour in links[start..start + degree].iter().take_while(|neighbour| **neighbour != NONE) {
                let hit = probe.hit(rows[*neighbour as usize]);
                *scored += 1;
                // Ranked scores only rise, so the descent ends.
                if !hit.score.is_nan() && Ranked(hit) > Ranked(best) {
                    (best, next) = (hit, *neighbour);
                }
            }
            if next != slot {
                slot = next;
            } else if below[slot as usize] != NONE {
                slot = below[slot as usize];
            } else {
                return rows[slot as usize];
            }
        }
    }

    /// Checks a graph that comes from a file: every number in it is a row or slot that exists, and descents end.
    pub fn check(&self, rows: usize) -> Result<(), &'static str> {
        let &[degree, upper_degree, entry, root] = self.shape.as_slice() else {
            return Err("the shape of its graph is not four numbers");
        };
        let slots = self.upper_rows.as_slice().len();
        let within =
            |numbers: &[u32], end: usize| numbers.iter().all(|number| *number == NONE || (*number as usize) < end);
        if degree == 0 || upper_degree == 0 {
            return Err("its graph has neighbour lists of no length");
        }
        if root as usize >= rows || !within(&[entry], slots) {
            return Err("its graph begins nowhere");
        }
        if !within(self.links.as_slice(), rows) || !within(self.upper_links.as_slice(), slots) {
            return Err("its graph links to nowhere");
        }
        if self.upper_rows.as_slice().iter().any(|row| *row as usize >= rows) {
            return Err("an upper layer of its graph names a row that is none");
        }
        let mut below = self.upper_below.as_slice().iter().enumerate();
        if below.any(|(slot, below)| *below != NONE && *below as usize >= slot) {
            return Err("the layers of its graph do not lead down");
        }
        Ok(())
    }
}
