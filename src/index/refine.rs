//! Chooses the neighbours of every node anew. Insertion chose among what the graph held at that time, and dropped links by
//! distance alone; here each node searches the whole graph with a wide frontier and keeps of what it finds those that no kept
//! one is nearer to (the heuristic of Malkov & Yashunin 2018, algorithm 4); then it is offered who chose it, and the same
//! rule decides who stays (as in Vamana, Subramanya et al., NeurIPS 2019). The graph that is searched does not change
//! meanwhile: no locks, and the outcome does not depend on the order of work.

use rayon::prelude::*;

use super::codes::CodedQuery;
use super::graph::{Breadth, Filter, Graph, NONE};
use super::grow::{CHUNK, Meter};
use super::plan::GraphForm;
use super::visited::{Pool, Walker};
use crate::config::Metric;
use crate::error::Result;

/// The new neighbour lists, `[n, degree]`. `done` half steps of the meter lie behind.
pub(super) fn refine(
    graph: &Graph,
    metric: Metric,
    form: GraphForm,
    ef: usize,
    done: usize,
    meter: &Meter<'_>,
) -> Result<Vec<u32>> {
    let degree = graph.shape.as_slice()[0] as usize;
    let old = graph.links.as_slice();
    let chooser = Chooser { graph, metric, form, longest: graph.codes.longest(), degree };
    let pool = Pool::default();
    let mut chosen = vec![NONE; old.len()];
    for (chunk, lists) in chosen.chunks_mut(CHUNK * degree).enumerate() {
        let first = chunk * CHUNK;
        lists.par_chunks_mut(degree).enumerate().for_each(|(at, list)| {
            let place = first + at;
            let known = &old[place * degree..(place + 1) * degree];
            pool.with(|walker| chooser.search(place as u32, ef, known, list, walker));
        });
        meter.halves(done + (first + CHUNK).min(old.len() / degree))?;
    }

    let raw = metric == Metric::Dot && form == GraphForm::Raw;
    let choosers = choosers(&chosen, degree);
    let mut links = vec![NONE; old.len()];
    links.par_chunks_mut(degree).enumerate().for_each(|(place, list)| {
        let own = chosen[place * degree..(place + 1) * degree].iter().copied().take_while(|other| *other != NONE);
        let mut candidates: Vec<u32> = own.collect();
        let kept = candidates.len();
        for chooser in choosers.of(place) {
            if !candidates[..kept].contains(chooser) {
                candidates.push(*chooser);
            }
        }
        // Under a raw inner product the rule would leave next to nothing: a long vector is nearer to all than they are to
        // each other. So there it decides only where not all have room.
        if raw && candidates.len() <= degree {
            list.iter_mut().zip(candidates).for_each(|(to, candidate)| *to = candidate);
        } else {
            pool.with(|walker| chooser.choose(place as u32, &mut candidates, list, walker));
        }
    });
    Ok(links)
}

/// Who chose whom, by the chosen.
struct Choosers {
    /// `[n + 1]`: where those of a place begin.
    starts: Vec<usize>,
    places: Vec<u32>,
}

impl Choosers {
    fn of(&self, place: usize) -> &[u32] {
        &self.places[self.starts[place]..self.starts[place + 1]]
    }
}

fn choosers(chosen: &[u32], degree: usize) -> Choosers {
    let count = chosen.len() / degree.max(1);
    let mut starts = vec![0; count + 1];
    for place in chosen.iter().filter(|place| **place != NONE) {
        starts[*place as usize + 1] += 1;
    }
    for at in 0..count {
        starts[at + 1] += starts[at];
    }
    let mut places = vec![NONE; starts[count]];
    let mut next = starts.clone();
    for (at, place) in chosen.iter().enumerate().filter(|(_, place)| **place != NONE) {
        places[next[*place as usize]] = (at / degree) as u32;
        next[*place as usize] += 1;
    }
    Choosers { starts, places }
}

struct Chooser<'a> {
    graph: &'a Graph,
    metric: Metric,
    form: GraphForm,
    longest: f32,
    degree: usize,
}

impl Chooser<'_> {
    fn query(&self, place: u32, into: &mut CodedQuery) {
        self.graph.codes.as_query(place, self.metric, self.form, self.longest, into);
    }

    /// Searches for a place's own vector and chooses among what is found and what it is linked to.
    fn search(&self, place: u32, ef: usize, known: &[u32], list: &mut [u32], walker: &mut Walker) {
        let mut query = CodedQuery::default();
        self.query(place, &mut query);
        let breadth = Breadth { k: ef, ef, budget: usize::MAX, usual: 0 };
        self.graph.explore(&query, breadth, walker, &mut Filter::none());
        let found = walker.frontier.answers().map(|entry| entry.place()).filter(|other| *other != place);
        let mut candidates: Vec<u32> = found.collect();
        for other in known.iter().take_while(|other| **other != NONE) {
            if !candidates.contains(other) {
                candidates.push(*other);
            }
        }
        self.choose(place, &mut candidates, list, walker);
    }

    /// Fills `list` with those of the candidates to which `place` is nearer than any that was taken before, nearest first.
    fn choose(&self, place: u32, candidates: &mut [u32], list: &mut [u32], walker: &mut Walker) {
        let codes = &self.graph.codes;
        let Walker { products, scores, .. } = walker;
        let mut query = CodedQuery::default();
        self.query(place, &mut query);
        codes.score(&query, candidates, products, scores);
        let mut ranked: Vec<(f32, u32)> = scores.iter().copied().zip(candidates.iter().copied()).collect();
        ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        // The place itself comes first in what a candidate is compared with, then those that were taken.
        let mut taken = vec![place];
        for (_, candidate) in ranked {
            if taken.len() > self.degree {
                break;
            }
            self.query(candidate, &mut query);
            codes.score(&query, &taken, products, scores);
            if scores[1..].iter().all(|score| *score <= scores[0]) {
                taken.push(candidate);
            }
        }
        list.fill(NONE);
        list.iter_mut().zip(&taken[1..]).for_each(|(to, taken)| *to = *taken);
    }
}
