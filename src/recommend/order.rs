//! The order of candidates: that of retrieval, unless the snapshot has a ranker that passed its gate, or the library's user
//! has put in one of their own.

use rustc_hash::FxHashSet;

use super::Context;
use super::allowed::Allowed;
use super::best;
use super::plan::Plan;
use super::served::Seen;
use super::source::{CandidateSource, Next};
use super::taste::Taste;
use super::visitor::Visitor;
use crate::error::{Error, Result};
use crate::features::likeliest;
use crate::features::table::{FactTable, Known, UserState};
use crate::index::Ask;
use crate::linalg::{Matrix, Rows};
use crate::record::{Attributes, Item, ItemId, Source, Timestamp};
use crate::train::ranker::{Candidates, LearnedRanker, following, joined};

/// Puts candidates in order in place of the snapshot's ranker: see [`crate::Engine::set_ranker`].
pub trait Ranker: Send + Sync {
    /// A score for each candidate, the larger the better; equal ones stay in the order of retrieval. It is called while an
    /// answer waits, by many threads at once. An error becomes that of the answer.
    fn score(&self, question: &RankerQuestion<'_>) -> Result<Vec<f32>>;
}

/// Candidates of one question.
pub struct RankerQuestion<'a> {
    /// External id of the user, if one was named.
    pub user: Option<&'a str>,
    /// When it is asked.
    pub now: Timestamp,
    /// Under which circumstances.
    pub context: &'a Attributes,
    /// The candidates, in the order of retrieval.
    pub items: &'a [&'a Item],
    /// What retrieval says of each.
    pub scores: &'a [f32],
}

/// A candidate in its place.
#[derive(Clone, Copy)]
pub struct Ordered {
    /// Which.
    pub item: ItemId,
    /// The score of retrieval.
    pub score: f32,
    /// The score of the ranker, where one was asked.
    pub rank: Option<f32>,
    /// By what it is in order: the largest is first.
    pub key: f64,
}

impl Ordered {
    /// In the order of retrieval.
    pub fn retrieved((item, score): (ItemId, f32)) -> Self {
        Self { item, score, rank: None, key: f64::from(score) }
    }
}

impl<'a> Context<'a> {
    /// How many personal candidates an answer is chosen from.
    pub(super) fn candidates(&self, plan: &Plan<'_>) -> usize {
        let wanted = plan.candidates(plan.query.limit);
        let asks = plan.is_ranked() && self.has_ranker();
        if asks { wanted.max(self.config.ranker.candidates) } else { wanted }
    }

    /// Whether there is a ranker to ask.
    pub(super) fn has_ranker(&self) -> bool {
        self.ranker.is_some() || self.learned().is_some()
    }

    fn learned(&self) -> Option<(&'a LearnedRanker, &'a FactTable)> {
        self.snapshot?.ranker().zip(self.facts).filter(|_| self.config.ranker.enabled)
    }
}

impl Taste<'_> {
    /// Candidates, given in the order of retrieval, with the best of what people take next after what the visitor did last: where
    /// a ranker is asked, which is to weigh them, too.
    pub(super) fn with_next(
        &self,
        context: &Context<'_>,
        visitor: &Visitor,
        found: Vec<(ItemId, f32)>,
        most: usize,
        allowed: &Allowed<'_>,
    ) -> Vec<(ItemId, f32)> {
        if context.ranker.is_none() && self.learned_ranker(context, visitor).is_none() {
            return found;
        }
        let next = Next.candidates(context, visitor, context.config.ranker.next, allowed);
        let next: Vec<ItemId> = next.into_iter().map(|(item, _)| item).collect();
        joined(found, &next, most, |item| Some(self.score(context, item)?.0))
    }

    /// The snapshot's ranker, if it orders for this visitor. It has seen nobody and nothing of which no event is known: what is
    /// foretold of those keeps its order. One of whom less is known than of those it has learned from is left to retrieval.
    fn learned_ranker<'a>(
        &self,
        context: &Context<'a>,
        visitor: &Visitor,
    ) -> Option<(&'a LearnedRanker, &'a FactTable)> {
        let pairs = visitor.history.len();
        context.learned().filter(|(ranker, _)| self.source() != Source::Profile && ranker.ranks(pairs))
    }

    /// Candidates, given in the order of retrieval, in the order of the answer.
    pub(super) fn order(
        &self,
        context: &Context<'_>,
        user: Option<&str>,
        visitor: &Visitor,
        mut found: Vec<(ItemId, f32)>,
    ) -> Result<Vec<Ordered>> {
        let learned = self.learned_ranker(context, visitor);
        let is_new =
            |item: ItemId| learned.is_some() && context.fresh.get(item).is_some_and(|fresh| fresh.row.is_none());
        if context.ranker.is_some() {
            // What has been deleted meanwhile has no place.
            found.retain(|(item, _)| context.catalog.get(*item).is_some());
        }
        let scores = match (context.ranker, learned) {
            _ if found.is_empty() => None,
            (Some(ranker), _) => Some(self.asked(context, ranker, (user, &visitor.context), &found)?),
            (None, Some((ranker, facts))) => Some(self.learned(context, ranker, facts, visitor, &found)?),
            (None, None) => None,
        };
        let rank = |place: usize| scores.as_ref().and_then(|scores| scores.get(place)).copied();
        let ordered = found.iter().enumerate().map(|(place, found)| match rank(place) {
            Some(rank) => Ordered { rank: Some(rank), key: f64::from(rank), ..Ordered::retrieved(*found) },
            None => Ordered::retrieved(*found),
        });
        let mut ordered: Vec<Ordered> = ordered.collect();
        let key = |of: &Ordered| of.rank.unwrap_or(f32::NEG_INFINITY);
        if context.ranker.is_some() || !ordered.iter().any(|of| is_new(of.item)) {
            ordered.sort_by(|a, b| key(b).total_cmp(&key(a)));
            return Ok(ordered);
        }
        // New items keep their places, the others are put in order among theirs.
        let mut known: Vec<Ordered> = ordered.iter().filter(|of| !is_new(of.item)).copied().collect();
        known.sort_by(|a, b| key(b).total_cmp(&key(a)));
        let mut last = known.first().map_or(0.0, |of| of.key);
        let mut known = known.into_iter();
        let placed = ordered.into_iter().filter_map(|of| match is_new(of.item) {
            true => Some(Ordered { rank: None, key: last, ..of }),
            false => known.next().inspect(|of| last = of.key),
        });
        Ok(placed.collect())
    }

    fn asked(
        &self,
        context: &Context<'_>,
        ranker: &dyn Ranker,
        (user, circumstances): (Option<&str>, &Attributes),
        found: &[(ItemId, f32)],
    ) -> Result<Vec<f32>> {
        let items: Vec<&Item> =
            found.iter().filter_map(|(item, _)| context.catalog.get(*item)).map(|of| &**of).collect();
        let scores: Vec<f32> = found.iter().map(|(_, score)| *score).collect();
        let question =
            RankerQuestion { user, now: context.now, context: circumstances, items: &items, scores: &scores };
        let given = ranker.score(&question)?;
        if given.len() != items.len() || given.iter().any(|score| score.is_nan()) {
            let reason =
                format!("gave {} scores for {} candidates, or one that is not a number", given.len(), items.len());
            return Err(Error::invalid("ranker", reason));
        }
        Ok(given)
    }

    fn learned(
        &self,
        context: &Context<'_>,
        ranker: &LearnedRanker,
        facts: &FactTable,
        visitor: &Visitor,
        found: &[(ItemId, f32)],
    ) -> Result<Vec<f32>> {
        let table = ranker.table().table();
        let moment = context.moment();
        let mut state = match visitor.user {
            Some(user) => UserState::read(context.store, table, user, moment, context.known_until)?,
            None => UserState::default(),
        };
        for (item, kind) in &visitor.session {
            state.visit(table.past_event(*item, kind, moment, None));
        }
        let items: Vec<ItemId> = found.iter().map(|(item, _)| *item).collect();
        let parts = Parts::of(self, found);
        let inputs = match self.usual(context, visitor, found.len()) {
            Some(usual) => parts.candidates(self).inputs_among(&Parts::of(self, &usual).candidates(self)),
            None => parts.candidates(self).inputs(),
        };
        let follows = following(self.snapshot.next(), |item| self.snapshot.row(item), state.past(), &items);
        let (request, mut rows) = (state.request(moment, &visitor.context, &[]), Matrix::zeros(0, 1));
        {
            let counters = context.store.item_counters();
            let known = Known { items: facts, counters: &counters };
            ranker.rows(&inputs, follows, &request, known, &items, &mut rows);
            if context.known_until.is_none() && context.served.is_wanted() {
                Seen { candidates: &items, rows: &rows, state: &state, facts, counters: &counters }
                    .log(context, visitor);
            }
        }
        Ok(ranker.score_rows(&inputs, &rows))
    }

    /// What is found where nothing narrows it, as in training: retrieval's with the best of what comes next; `None` where that is
    /// what was found.
    fn usual(&self, context: &Context<'_>, visitor: &Visitor, found: usize) -> Option<Vec<(ItemId, f32)>> {
        let (index, wanted) = (self.snapshot.index(), context.config.ranker.candidates);
        let seen = visitor.seen.iter().filter_map(|item| self.snapshot.row(*item));
        let known: FxHashSet<u32> = visitor.history.iter().map(|(row, _)| *row).chain(seen).collect();
        if found >= wanted.min(index.vectors().len().saturating_sub(known.len())) {
            return None;
        }
        let is_new = |row: u32| !known.contains(&row);
        let (best, _) = best::best(index, &self.vector, &self.lists, Ask::best(wanted).allow(&is_new));
        let next = likeliest(self.snapshot.next(), visitor.latest.iter().copied(), is_new, context.config.ranker.next);
        let best = joined(best, &next, wanted, |row| Some(self.known_score(row)));
        let items = best.into_iter().filter_map(|(row, score)| Some((self.snapshot.item(row)?, score)));
        Some(items.collect()).filter(|usual: &Vec<_>| !usual.is_empty())
    }
}

/// What the model knows of candidates.
struct Parts<'a> {
    items: Vec<&'a [f32]>,
    totals: Vec<f32>,
    lists: Vec<f32>,
}

impl<'a> Parts<'a> {
    fn of(taste: &Taste<'a>, found: &[(ItemId, f32)]) -> Self {
        let vectors: Rows<'a> = taste.snapshot.vectors();
        let rows: Vec<Option<u32>> = found.iter().map(|(item, _)| taste.snapshot.row(*item)).collect();
        Self {
            items: rows.iter().map(|row| row.map_or(&[][..], |row| vectors.row(row as usize))).collect(),
            totals: found.iter().map(|(_, score)| *score).collect(),
            lists: rows.iter().map(|row| row.map_or(0.0, |row| taste.lists.get(row))).collect(),
        }
    }

    fn candidates<'b>(&'b self, taste: &'b Taste<'a>) -> Candidates<'b> {
        Candidates {
            mix: taste.snapshot.fold_in().mix(),
            vector: &taste.vector,
            items: self.items.clone(),
            totals: &self.totals,
            lists: &self.lists,
        }
    }
}
