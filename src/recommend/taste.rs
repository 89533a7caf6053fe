//! What a visitor likes: a vector that is read or solved, the lists of past items, and what is foretold from a profile; and
//! what that says of items, known and new.

use super::Context;
use super::allowed::Allowed;
use super::best;
use super::explore::{self, Candidate, Draw};
use super::fresh::FreshItem;
use super::listed::ListScores;
use super::visitor::Visitor;
use crate::error::Result;
use crate::index::{Hit, Top};
use crate::linalg::dot;
use crate::record::{Because, Degraded, Evidence, ItemId, Prior, Query, Source};
use crate::snapshot::Snapshot;
use crate::store::Side;

/// What a visitor likes, for this question: a vector, what the lists of past items say, and where the vector comes from.
pub struct Taste<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) vector: Vec<f32>,
    /// What vector and lists come from: the visitor's history; where there is none, what is foretold.
    past: Vec<(u32, f32)>,
    /// What the lists say, and what is foretold of a newcomer beside it.
    pub(super) lists: ListScores,
    /// What those like the visitor have, the largest first: where a profile is all that is known, rows and shares; beside a
    /// newcomer's history, rows and parts of scores.
    foretold: Vec<(u32, f32)>,
    evidence: Option<Evidence>,
    /// Where the visitor is among new items.
    among_new: Vec<f32>,
    source: Source,
}

impl<'a> Taste<'a> {
    /// With the vector of the snapshot if it has seen all there is to see, else with one folded in from the history. An
    /// explained answer is always folded in: its parts sum to the score exactly.
    pub fn of(context: &Context<'a>, visitor: &Visitor) -> Result<std::result::Result<Self, Degraded>> {
        let Some(snapshot) = context.snapshot else { return Ok(Err(Degraded::NoSnapshot)) };
        let (vectors, fold_in) = (snapshot.vectors(), snapshot.fold_in());
        let mut vector = Vec::with_capacity(vectors.dim());
        let past = visitor.history.clone();
        let mut source = Source::Personal;
        let stored = visitor.user.filter(|_| !visitor.is_folded_in);
        let is_there = stored.map_or(Ok(false), |user| {
            context.store.factor(Side::Users, snapshot.manifest().id, user.get(), &mut vector)
        })?;
        if !is_there || vector.len() != vectors.dim() {
            if visitor.history.is_empty() {
                if let Some(taste) = Self::of_profile(context, snapshot, visitor)? {
                    return Ok(Ok(taste));
                }
                let unknown = visitor.user.is_none() && !visitor.is_fresh;
                return Ok(Err(if unknown { Degraded::UnknownUser } else { Degraded::NoHistory }));
            }
            vector.clear();
            vector.resize(vectors.dim(), 0.0);
            fold_in.solve(vectors, &past, &mut vector)?;
            if visitor.is_fresh {
                source = Source::FoldIn;
            }
        }
        let taste = Self::new(context, snapshot, vector, past, source);
        // Whom the snapshot knows has a vector from events alone, and keeps it when more come.
        Ok(Ok(if visitor.is_known { taste } else { taste.with_prior(visitor) }))
    }

    /// A newcomer's taste, blended with what is foretold: the less, the more events there are.
    fn with_prior(self, visitor: &Visitor) -> Self {
        let (cold, fold_in) = (self.snapshot.cold(), self.snapshot.fold_in());
        let pairs = fold_in.mass(&self.past);
        let foretold = cold.prior_scores(&visitor.profile, pairs, |row| self.known_score(row));
        if foretold.is_empty() {
            return self;
        }
        let of = if visitor.profile.is_empty() { Prior::Everybody } else { Prior::Profile };
        let evidence = Some(Evidence { pairs: pairs.into(), prior: cold.prior_weight(pairs).into(), of });
        let listed = fold_in.listed(&self.past).chain(foretold.iter().copied());
        let lists = ListScores::sum(self.snapshot.vectors().len(), listed);
        Self { lists, foretold, evidence, ..self }
    }

    /// From the profile alone; `None` where it says nothing.
    fn of_profile(context: &Context<'_>, snapshot: &'a Snapshot, visitor: &Visitor) -> Result<Option<Self>> {
        let (vectors, fold_in) = (snapshot.vectors(), snapshot.fold_in());
        if visitor.profile.is_empty() {
            return Ok(None);
        }
        let past = snapshot.cold().prior_history(&visitor.profile, fold_in.mix().unit);
        let mut vector = vec![0.0; vectors.dim()];
        fold_in.solve(vectors, &past, &mut vector)?;
        let foretold = snapshot.cold().foretold(&visitor.profile);
        let taste = Self::new(context, snapshot, vector, past, Source::Profile);
        let evidence = Some(Evidence { pairs: 0.0, prior: 1.0, of: Prior::Profile });
        Ok(Some(Self { foretold, evidence, ..taste }).filter(|taste| !taste.foretold.is_empty()))
    }

    fn new(
        context: &Context<'_>,
        snapshot: &'a Snapshot,
        vector: Vec<f32>,
        past: Vec<(u32, f32)>,
        source: Source,
    ) -> Self {
        let fold_in = snapshot.fold_in();
        let lists = ListScores::sum(snapshot.vectors().len(), fold_in.listed(&past));
        let among_new = match context.fresh.is_empty() {
            true => Vec::new(),
            false => snapshot.cold().visitor(&vector, &past, fold_in.mix().unit),
        };
        Self { snapshot, vector, past, lists, among_new, foretold: Vec::new(), evidence: None, source }
    }

    /// Where its vector comes from.
    pub(super) fn source(&self) -> Source {
        self.source
    }

    /// How far it goes by events and how far by what is foretold; `None` where it goes by events alone.
    pub(super) fn evidence(&self) -> Option<Evidence> {
        self.evidence
    }

    /// The score of an item, the inner product and what the lists say, and where it comes from; `None` for an item that the
    /// model cannot place.
    pub fn score(&self, context: &Context<'_>, item: ItemId) -> Option<(f32, Source)> {
        if let Some(fresh) = context.fresh.get(item) {
            return Some((self.fresh_score(fresh), self.source_of(fresh)));
        }
        Some((self.known_score(self.snapshot.row(item)?), self.source))
    }

    pub(super) fn known_score(&self, row: u32) -> f32 {
        best::score(dot(&self.vector, self.snapshot.vectors().row(row as usize)), self.lists.get(row))
    }

    fn fresh_score(&self, fresh: FreshItem<'_>) -> f32 {
        fresh.row.map_or(0.0, |row| self.known_score(row)) + dot(&self.among_new, fresh.vector)
    }

    pub(super) fn source_of(&self, fresh: FreshItem<'_>) -> Source {
        if fresh.row.is_some() { self.source } else { Source::New }
    }

    /// The best of the index together with those of the delta segment. Costs one inner product for each item in it.
    pub(super) fn with_fresh(
        &self,
        context: &Context<'_>,
        best: Vec<(u32, f32)>,
        limit: usize,
        allowed: &Allowed<'_>,
    ) -> Vec<(ItemId, f32)> {
        let indexed = best.into_iter().filter_map(|(row, score)| Some((self.snapshot.item(row)?, score)));
        if context.fresh.is_empty() {
            return indexed.collect();
        }
        let mut best = Top::new(limit, limit);
        indexed.for_each(|(item, score)| best.offer(Hit { row: item.get(), score }, |_| true));
        // A vector that says nothing leaves the word to the lists.
        let is_silent = self.vector.iter().all(|value| *value == 0.0);
        for fresh in context.fresh.iter() {
            let score = self.fresh_score(fresh);
            if !is_silent || score > 0.0 {
                best.offer(Hit { row: fresh.item.get(), score }, |_| allowed.allows_item(fresh.item));
            }
        }
        best.into_hits().into_iter().map(|hit| (ItemId::new(hit.row), hit.score)).collect()
    }

    /// The score's parts by past item, the largest first; none where a profile is all that is known.
    pub fn because(&self, context: &Context<'_>, visitor: &Visitor, item: ItemId) -> Result<Vec<Because>> {
        if visitor.history.is_empty() {
            return Ok(Vec::new());
        }
        let (fold_in, vectors) = (self.snapshot.fold_in(), self.snapshot.vectors());
        let history = &self.past;
        let row = self.snapshot.row(item);
        let of_row = || match row {
            Some(row) => fold_in.explain(vectors, history, row),
            None => Ok(history.iter().map(|(row, _)| (*row, 0.0)).collect()),
        };
        let parts = match context.fresh.get(item) {
            None => of_row()?,
            Some(fresh) => match self.snapshot.cold().parts(fresh.vector, history, fold_in.mix().unit) {
                None => fold_in.explain_vector(vectors, history, &fresh.now(self.snapshot), row)?,
                Some(moved) => {
                    of_row()?.into_iter().zip(moved).map(|(part, moved)| (part.0, part.1 + moved.1)).collect()
                }
            },
        };
        // What is owed to what was foretold is shared alike by the visitor's own items.
        let foretold = row.and_then(|row| self.foretold.iter().find(|(of, _)| *of == row));
        let share = foretold.map_or(0.0, |(_, part)| f64::from(*part)) / parts.len().max(1) as f64;
        let mut because: Vec<_> = parts
            .into_iter()
            .map(|(row, weight)| (row, weight + share))
            .filter_map(|(row, weight)| {
                let item = context.catalog.get(self.snapshot.item(row)?)?.id.clone();
                Some(Because { item, weight })
            })
            .collect();
        because.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        Ok(because)
    }

    /// What those like the visitor have most, where a profile is all that is known: which items they have is surer than what
    /// the model makes of that.
    pub(super) fn by_profile(&self, limit: usize, allowed: &Allowed<'_>) -> Vec<(ItemId, f32)> {
        let items = self.foretold.iter().filter_map(|(row, share)| Some((self.snapshot.item(*row)?, *share)));
        items.filter(|(item, _)| allowed.allows_item(*item)).take(limit).collect()
    }

    /// New items for so many places.
    pub(super) fn drawn(
        &self,
        context: &Context<'_>,
        visitor: &Visitor,
        query: &Query,
        places: usize,
        allowed: &Allowed<'_>,
    ) -> Draw {
        let config = &context.config.recommend.explore;
        if places == 0 {
            return Draw::default();
        }
        let is_new = |fresh: &FreshItem<'_>| fresh.row.is_none() && fresh.events < config.events;
        let new = context.fresh.iter().filter(|fresh| is_new(fresh) && allowed.allows_item(fresh.item));
        let candidates = new.map(|fresh| Candidate {
            item: fresh.item,
            mean: self.fresh_score(fresh),
            deviation: self.snapshot.cold().score_variance(&self.among_new, fresh.events).max(0.0).sqrt(),
        });
        // Beside the draw that was shown one in hindsight must be another, or both would hold the same items too often.
        let seed = if context.known_until.is_some() { !config.seed } else { config.seed };
        explore::draw(candidates.collect(), places, seed, visitor.request(query))
    }
}
