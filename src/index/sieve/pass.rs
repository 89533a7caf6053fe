//! One query's way through the sieve.

use std::collections::BinaryHeap;

use roaring::RoaringBitmap;

use super::Sieve;
use super::head::Head;
use super::kernel::{Form, PANEL, Panel};
use super::probe::Probe;
use crate::index::ask::{Ask, Listed};
use crate::index::kernel::prefetch;
use crate::index::space::Space;
use crate::index::top::{Hit, Ranked, Top};

/// An answer and what it took.
pub struct Scanned {
    pub hits: Vec<Hit>,
    /// Vectors whose lead was looked at.
    pub sifted: usize,
    /// Vectors whose exact score was needed.
    pub scored: usize,
}

/// Nothing to add.
const NOTHING: [f32; PANEL] = [0.0; PANEL];

impl Sieve {
    /// The rows that `ask` wants, best first, equal scores by row: all of them and no others.
    pub fn search(&self, space: &Space, query: &[f32], ask: Ask<'_>) -> Scanned {
        let mut pass = Pass::new(self, space, query, ask);
        pass.advance(0..self.panels());
        pass.finish()
    }

    /// The answers to many queries, in their order: they share the way through the vectors.
    pub fn search_many(&self, space: &Space, asks: &[(&[f32], Ask<'_>)]) -> Vec<Scanned> {
        let mut passes: Vec<Pass<'_>> = asks.iter().map(|(query, ask)| Pass::new(self, space, query, *ask)).collect();
        let mut going: Vec<usize> = (0..passes.len()).collect();
        for first in (0..self.panels()).step_by(SHARED) {
            going.retain(|at| passes[*at].advance(first..self.panels().min(first + SHARED)));
            if going.is_empty() {
                break;
            }
        }
        passes.into_iter().map(Pass::finish).collect()
    }

    pub fn panels(&self) -> usize {
        self.bounds.as_slice().len() / (4 * PANEL)
    }

    /// What is added to each bound, `[panels, 64]`, where nothing comes from elsewhere.
    fn extra(&self) -> Vec<f32> {
        self.working.extras.take().unwrap_or_else(|| match self.shift.as_slice() {
            [] => vec![0.0; self.panels() * PANEL],
            shift => shift.to_vec(),
        })
    }

    /// The places of some rows, one bit each.
    fn places_of(&self, rows: &RoaringBitmap) -> Vec<u64> {
        let places = self.places();
        let mut bits = vec![0u64; self.panels()];
        for row in rows {
            let Some(place) = places.get(row as usize).map(|place| *place as usize) else { break };
            if let Some(word) = bits.get_mut(place / PANEL) {
                *word |= 1 << (place % PANEL);
            }
        }
        bits
    }
}

/// Where more than one row in so many matches a filter, it is asked about rows that would enter the answer. Where fewer do,
/// their places are found first and all others passed over.
const LAZY: usize = 8;
/// For each row that is wanted, so many that gain most by scores from elsewhere are asked about first.
const SEEDS: usize = 8;
/// Matches of a panel that are not worth sifting all of it.
const FEW: u32 = 6;
/// So many panels before such matches are looked at, their codes are fetched.
const AHEAD: usize = 4;
/// Panels that queries of a batch go through one after the other, so that they find them in the cache.
const SHARED: usize = 4;

/// Where a query stands.
struct Pass<'a> {
    sieve: &'a Sieve,
    head: &'a Head,
    probe: Probe<'a>,
    rows: usize,
    ask: Ask<'a>,
    form: Form,
    top: Top,
    /// Which places match the filter, one bit each; none where all do, or where it is asked row by row.
    matches: Option<Vec<u64>>,
    /// `[panels, 64]`: what is added to each bound, where scores come from elsewhere. What was scored before anything else
    /// has negative infinity there: it is not scored again.
    extra: Option<Vec<f32>>,
    /// The place from which on inner products alone cannot help.
    end: usize,
    sifted: usize,
    scored: usize,
}

impl<'a> Pass<'a> {
    fn new(sieve: &'a Sieve, space: &'a Space, query: &[f32], ask: Ask<'a>) -> Self {
        let few = ask.within.filter(|rows| rows.len() < (space.len() / LAZY) as u64);
        let ask = if few.is_some() { Ask { within: None, ..ask } } else { ask };
        let mut pass = Self {
            matches: few.map(|rows| sieve.places_of(rows)),
            sieve,
            head: sieve.head(),
            probe: Probe::new(sieve, space.probe(query)),
            rows: space.len(),
            ask,
            form: Form::of_this_processor(),
            top: Top::new(ask.k, space.len()),
            extra: None,
            end: usize::MAX,
            sifted: 0,
            scored: 0,
        };
        if let Some(listed) = ask.listed {
            pass.add(listed);
        }
        pass
    }

    /// Goes through some panels. False once no vector from there on can enter the answer by its inner product alone.
    fn advance(&mut self, panels: std::ops::Range<usize>) -> bool {
        let lead = self.sieve.lead();
        let (bounds, _) = self.sieve.bounds.as_slice().as_chunks::<PANEL>();
        let (bounds, _) = bounds.as_chunks::<4>();
        let codes = self.sieve.lead.as_slice();
        let falls = !self.sieve.order.as_slice().is_empty();
        let mut found = [0.0; PANEL];
        for at in panels {
            let threshold = self.threshold();
            let (Some(bounds), Some(codes)) = (bounds.get(at), codes.get(at * lead * PANEL..(at + 1) * lead * PANEL))
            else {
                return false;
            };
            // An equal score could still win by its row, so only a smaller bound ends the scan.
            if falls && threshold.is_some_and(|threshold| self.probe.exact.bound(bounds[1][0]) < threshold) {
                self.end = at * PANEL;
                return false;
            }
            let first = at * PANEL;
            let matches = self.matches.as_ref().map_or(u64::MAX, |matches| matches.get(at).copied().unwrap_or(0));
            if matches == 0 {
                continue;
            }
            let here = matches & u64::MAX >> (PANEL - (self.rows - first).min(PANEL));
            self.sifted += here.count_ones() as usize;
            if here.count_ones() <= FEW {
                self.advance_singly(at, here, &bounds[1]);
                continue;
            }
            let (extra, least) = (self.extra(at), self.least());
            let head = self.head.panel(at, extra);
            let is_head = head.is_some();
            let passed = if let Some(panel) = head {
                here & self.form.sift(panel, &self.probe.full, least, &mut found)
            } else {
                here & self.form.sift(Panel { codes, bounds, extra }, self.probe.lead(), least, &mut found)
            };
            // Most panels end here: nothing more is laid out for them.
            if passed == 0 {
                continue;
            }
            if !is_head {
                bits(passed).for_each(|item| prefetch(self.codes(first + item)));
            }
            let mut near = Near::default();
            for item in bits(passed) {
                let place = first + item;
                let closer = if is_head { found[item] } else { self.full_bound(place, bounds[1][item]) + extra[item] };
                let bound = found[item].min(closer);
                if bound >= least {
                    prefetch(self.probe.exact.vector(self.sieve.row(place)));
                    near.push(bound, item);
                }
            }
            while let Some((bound, item)) = near.pop_greatest() {
                if bound < self.least() {
                    break;
                }
                self.score(first + item, false);
            }
        }
        true
    }

    /// A panel of which so few are matches that they are sooner looked at one by one.
    fn advance_singly(&mut self, panel: usize, here: u64, norms: &[f32; PANEL]) {
        // Codes of matches far apart are in no cache: those of panels to come are on their way meanwhile.
        let later = self.matches.as_ref().and_then(|matches| matches.get(panel + AHEAD)).copied().unwrap_or(0);
        if later.count_ones() <= FEW {
            bits(later).for_each(|item| prefetch(self.codes((panel + AHEAD) * PANEL + item)));
        }
        for item in bits(here) {
            let place = panel * PANEL + item;
            // Infinity and its opposite make no number: what was scored before stays out.
            if self.full_bound(place, norms[item]) + self.extra(panel)[item] >= self.least() {
                self.score(place, false);
            }
        }
    }

    /// What is added to the bounds of a panel.
    fn extra(&self, panel: usize) -> &[f32; PANEL] {
        let numbers = self.extra.as_deref().unwrap_or(self.sieve.shift.as_slice());
        numbers.as_chunks::<PANEL>().0.get(panel).unwrap_or(&NOTHING)
    }

    /// What a bound must reach. Until a threshold is known, all do but those of what was scored before.
    fn least(&self) -> f32 {
        self.threshold().map_or(f32::MIN, |threshold| self.probe.threshold(threshold))
    }

    /// What a score must reach, as far as that is known.
    fn threshold(&self) -> Option<f32> {
        match (self.top.threshold(), self.ask.least) {
            (Some(threshold), Some(least)) => Some(threshold.max(least)),
            (threshold, least) => threshold.or(least),
        }
    }

    fn is_match(&self, place: usize) -> bool {
        let word = self.matches.as_ref().map_or(u64::MAX, |matches| matches.get(place / PANEL).copied().unwrap_or(0));
        word >> (place % PANEL) & 1 == 1
    }

    /// Scores the vector at a place, and takes it if it is among the best and allowed, which may be known already.
    fn score(&mut self, place: usize, is_allowed: bool) {
        let row = self.sieve.row(place);
        self.scored += 1;
        let mut hit = self.probe.exact.hit(row);
        if let Some(listed) = self.ask.listed {
            hit.score = hit.score + listed.score(row) + 0.0;
        }
        if self.top.accepts(hit) && (is_allowed || self.ask.allows(row)) {
            self.top.push(hit);
        }
    }

    /// A bound of the inner product by the codes of all dimensions; infinite where there are none.
    #[inline]
    fn full_bound(&self, place: usize, norm: f32) -> f32 {
        let full = &self.probe.full;
        let (code_bounds, _) = self.sieve.code_bounds.as_slice().as_chunks::<2>();
        let Some([worth, error]) = code_bounds.get(place) else { return f32::INFINITY };
        let sum = (self.form.product(self.codes(place), &full.codes) - full.excess) as f32;
        full.scale * worth * sum + full.per_norm * norm + full.per_error * error
    }

    /// The codes of all dimensions of the vector at a place; empty where there are none.
    #[inline]
    fn codes(&self, place: usize) -> &[u8] {
        let dim = self.probe.exact.dim();
        self.sieve.codes.as_slice().get(place * dim..(place + 1) * dim).unwrap_or_default()
    }

    /// Adds scores from elsewhere to the bounds. Those that these favour most are scored at once: they raise what all others
    /// have to beat.
    fn add(&mut self, listed: Listed<'_>) {
        let places = self.sieve.places();
        let place = |row: &u32| places.get(*row as usize).map(|place| *place as usize);
        let mut extra = self.sieve.extra();
        for row in listed.rows {
            if let Some(slot) = place(row).and_then(|place| extra.get_mut(place)) {
                *slot += listed.score(*row);
            }
        }
        // Some of them are what the user has seen: as many as are wanted are to be left. A heap puts in order no more than are
        // looked at.
        let favoured = listed.rows.iter().map(|row| Ranked(Hit { row: *row, score: listed.score(*row) }));
        let mut favoured: BinaryHeap<Ranked> = favoured.collect();
        let mut left = self.ask.k;
        for _ in 0..self.ask.k.saturating_mul(SEEDS) {
            let Some(Ranked(Hit { row, .. })) = favoured.pop().filter(|_| left > 0) else { break };
            let place = place(&row).filter(|place| self.is_match(*place) && self.ask.allows(row));
            if let Some(place) = place {
                self.score(place, true);
                extra[place] = f32::NEG_INFINITY;
                left -= 1;
            }
        }
        self.extra = Some(extra);
    }

    /// The answer. Beyond the place where the scan ended only what is added to a score can still bring a row into it.
    fn finish(mut self) -> Scanned {
        if let (Some(listed), Some(mut extra)) = (self.ask.listed, self.extra.take()) {
            let places = self.sieve.places();
            let (bounds, _) = self.sieve.bounds.as_slice().as_chunks::<PANEL>();
            for row in listed.rows {
                let Some(place) = places.get(*row as usize).map(|place| *place as usize) else { continue };
                let (Some(norms), Some(added)) = (bounds.get(place / PANEL * 4 + 1), extra.get(place).copied()) else {
                    continue;
                };
                let (norm, threshold) = (norms[place % PANEL], self.threshold().unwrap_or(f32::MIN));
                if place >= self.end
                    && self.is_match(place)
                    && self.probe.exact.bound(norm) + added >= threshold
                    && self.full_bound(place, norm) + added >= self.least()
                {
                    self.score(place, false);
                }
                extra[place] = self.sieve.shift.as_slice().get(place).copied().unwrap_or(0.0);
            }
            self.sieve.working.extras.give(extra);
        }
        Scanned { hits: self.top.into_hits(), sifted: self.sifted, scored: self.scored }
    }
}

/// Vectors of a panel that may enter the answer. The most promising are scored first: they raise what others have to reach.
struct Near {
    bounds: [(f32, u8); PANEL],
    count: usize,
}

impl Default for Near {
    fn default() -> Self {
        Self { bounds: [(0.0, 0); PANEL], count: 0 }
    }
}

impl Near {
    fn push(&mut self, bound: f32, item: usize) {
        self.bounds[self.count] = (bound, item as u8);
        self.count += 1;
    }

    fn pop_greatest(&mut self) -> Option<(f32, usize)> {
        let bounds = &mut self.bounds[..self.count];
        let mut greatest = 0;
        for at in 1..bounds.len() {
            if bounds[at].0 > bounds[greatest].0 {
                greatest = at;
            }
        }
        self.count = self.count.checked_sub(1)?;
        bounds.swap(greatest, self.count);
        let (bound, item) = bounds[self.count];
        Some((bound, item.into()))
    }
}

/// The places of the bits that are set, the lowest first.
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros() as usize);
        set &= set.wrapping_sub(1);
        bit
    })
}
