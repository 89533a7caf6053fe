//! An answer from its parts: what the sources give, under quotas and shares, with what fills the places that are left, and with
//! what rules put in between.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::Context;
use super::allowed::Allowed;
use super::arrange::Bounded;
use super::explore::{self, Draw};
use super::lists::latest;
use super::order::Ordered;
use super::places::Placed;
use super::plan::{Movers, Plan};
use super::similar::nearest;
use super::source::{CandidateSource, Next};
use super::taste::Taste;
use super::turns::{interleave, turns};
use super::visitor::Visitor;
use crate::error::Result;
use crate::record::{ItemId, RecommendedItem, Source, SourceKind, SourceShare};

/// An item on its way into an answer.
#[derive(Clone, Copy)]
pub struct Chosen {
    item: ItemId,
    score: f64,
    rank: Option<f32>,
    source: Source,
    propensity: Option<f64>,
}

impl Chosen {
    fn new(item: ItemId, score: f64, source: Source) -> Self {
        Self { item, score, rank: None, source, propensity: None }
    }
}

/// In what share of all draws an item is shown: because it is drawn, or because it has one of so many places among the personal
/// candidates, the best first, that are not drawn. Whoever stands behind one that is drawn moves up.
fn inclusion(rounds: &[Vec<ItemId>], best: &[Ordered], places: usize) -> FxHashMap<ItemId, f64> {
    let mut included = FxHashMap::default();
    for round in rounds {
        let sure = best.iter().map(|best| best.item).filter(|item| !round.contains(item)).take(places);
        for item in round.iter().copied().chain(sure) {
            *included.entry(item).or_default() += 1.0 / rounds.len() as f64;
        }
    }
    included
}

/// An answer in the making.
pub struct Assembly<'a> {
    context: &'a Context<'a>,
    plan: &'a Plan<'a>,
    visitor: &'a Visitor,
    allowed: Allowed<'a>,
    taste: Option<&'a Taste<'a>>,
    bounded: Bounded<'a>,
    placed: Placed,
    movers: Movers,
    chosen: Vec<Chosen>,
}

impl<'a> Assembly<'a> {
    /// With what rules have placed, and nothing else yet.
    pub fn new(
        context: &'a Context<'a>,
        plan: &'a Plan<'a>,
        visitor: &'a Visitor,
        allowed: Allowed<'a>,
        taste: Option<&'a Taste<'a>>,
        (placed, bounded): (Placed, Bounded<'a>),
    ) -> Result<Self> {
        let movers = plan.movers(context)?;
        Ok(Self { context, plan, visitor, allowed, taste, bounded, placed, movers, chosen: Vec::new() })
    }

    /// Places that are still free.
    pub fn missing(&self) -> usize {
        self.plan.query.limit.saturating_sub(self.placed.len() + self.chosen.len())
    }

    /// As the configuration says: personal candidates, at the end what people take next, and new items that are drawn.
    pub fn by_configuration(&mut self, taste: &Taste<'_>, best: Vec<(u32, f32)>) -> Result<()> {
        let (context, open) = (self.context, self.missing());
        let config = &context.config.recommend;
        let places = explore::places(&config.explore, open);
        let is_explored = places > 0;
        let (mut drawn, rounds) = self.drawn(taste, places);
        drawn.retain(|drawn| self.bounded.take(drawn.item));
        let (mut best, mut buried) = self.personal(taste, best)?;
        let next_places = (config.next_share * open as f64).round() as usize;
        let included = inclusion(&rounds, &best, open.saturating_sub(places + next_places));
        let propensity = |item: ItemId| included.get(&item).copied();
        drawn.iter_mut().for_each(|of| of.propensity = propensity(of.item).or(of.propensity));
        for list in [&mut best, &mut buried] {
            list.retain(|best| drawn.iter().all(|drawn| drawn.item != best.item));
        }
        let mut next = Next.candidates(context, self.visitor, next_places, &self.allowed);
        let places = open.saturating_sub(drawn.len() + next.len());
        let best = self.arranged(taste, (best, buried), places);
        next.retain(|(item, _)| drawn.iter().chain(&best).all(|other| other.item != *item) && self.bounded.take(*item));
        let next = next.into_iter().map(|(item, score)| Chosen::new(item, f64::from(score), Next.source()));
        let sure = best
            .into_iter()
            .chain(next)
            .map(|of| Chosen { propensity: is_explored.then(|| propensity(of.item).unwrap_or(1.0)), ..of });
        self.chosen.extend(sure.chain(drawn));
        Ok(())
    }

    /// By the shares of a scenario's sources.
    pub fn by_shares(&mut self, sources: &[SourceShare], best: Vec<(u32, f32)>) -> Result<()> {
        let open = self.missing();
        let shares: Vec<f64> = sources.iter().map(|source| source.share).collect();
        let turns = turns(&shares, open);
        let mut used: FxHashSet<ItemId> = FxHashSet::default();
        let mut best = Some(best);
        let (mut rounds, mut included) = (Vec::new(), FxHashMap::default());
        let mut queues: Vec<VecDeque<Chosen>> = Vec::with_capacity(sources.len());
        let mut left: Vec<VecDeque<Chosen>> = Vec::with_capacity(sources.len());
        for (at, SourceShare { source, .. }) in sources.iter().enumerate() {
            let places = turns.iter().filter(|turn| **turn == at).count();
            let (first, more) = match (source, self.taste) {
                (SourceKind::Personal, Some(taste)) => {
                    let (mut best, mut buried) = self.personal(taste, best.take().unwrap_or_default())?;
                    included = inclusion(&rounds, &best, places);
                    for list in [&mut best, &mut buried] {
                        list.retain(|best| !used.contains(&best.item));
                    }
                    let more: Vec<Ordered> = best.iter().chain(&buried).copied().collect();
                    let first = self.arranged(taste, (best, buried), places);
                    (first, more.into_iter().map(|of| self.of_model(taste, of)).collect())
                }
                (SourceKind::Personal, None) => (Vec::new(), VecDeque::new()),
                (SourceKind::Explore, taste) => {
                    let mut drawn = Vec::new();
                    if let Some(taste) = taste {
                        (drawn, rounds) = self.drawn(taste, places);
                    }
                    drawn.retain(|of| !used.contains(&of.item) && self.bounded.take(of.item));
                    (drawn, VecDeque::new())
                }
                (source, _) => {
                    let mut more: VecDeque<Chosen> = self.candidates(source, open + self.plan.candidates(open))?.into();
                    (self.take(&mut more, places, &used), more)
                }
            };
            used.extend(first.iter().map(|of| of.item));
            queues.push(first.into());
            left.push(more);
        }
        // What one cannot fill goes to the others, the first first.
        for (queue, left) in queues.iter_mut().zip(&mut left) {
            let missing = open.saturating_sub(used.len());
            let more = self.take(left, missing, &used);
            used.extend(more.iter().map(|of| of.item));
            queue.extend(more);
        }
        self.chosen = interleave(&shares, queues);
        if sources.iter().any(|source| source.source == SourceKind::Explore) {
            // Where some are drawn, others move up; what a draw does not touch is sure.
            let propensity = |of: &Chosen| included.get(&of.item).copied().or(of.propensity).or(Some(1.0));
            self.chosen.iter_mut().for_each(|of| of.propensity = propensity(of));
        }
        Ok(())
    }

    /// Fills the places that are left, by one list after the other.
    pub fn fill(&mut self) -> Result<()> {
        let plan = self.plan;
        for source in plan.fallback() {
            let missing = self.missing();
            if missing == 0 {
                break;
            }
            let used: FxHashSet<ItemId> = self.chosen.iter().map(|of| of.item).collect();
            self.allowed.exclude(used.iter().copied());
            // Where values are bounded some will not fit.
            let wanted = if self.bounded.is_bounded() { plan.query.limit } else { missing };
            let mut candidates = self.candidates(source, plan.candidates(wanted).max(missing))?.into();
            let taken = self.take(&mut candidates, missing, &used);
            self.chosen.extend(taken);
        }
        Ok(())
    }

    /// The items of the answer, in their order.
    pub fn items(mut self) -> Result<Vec<RecommendedItem>> {
        let (context, plan) = (self.context, self.plan);
        let Self { movers, chosen, .. } = &mut self;
        chosen.sort_by_cached_key(|of| movers.bury(of.item));
        let chosen = std::mem::take(&mut self.chosen);
        let page = self.placed.page(chosen.into_iter().map(|of| (of, None)).collect(), |place| {
            (Chosen::new(place.item, self.score(place.item), place.source()), Some(place.rule))
        });
        let mut items = Vec::with_capacity(page.len());
        for (of, rule) in page {
            let Some(mut entry) = context.entry(of.item, of.score, of.source) else { continue };
            entry.rank = of.rank.map(f64::from);
            entry.propensity = of.propensity;
            entry.rules.extend(rule.and_then(|rule| plan.label(rule)));
            entry.rules.extend(self.movers.rules(of.item).filter_map(|rule| plan.label(rule)));
            if plan.query.explain
                && let Some(taste) = self.taste.filter(|taste| is_of_model(taste, context, &of))
            {
                entry.because = Some(taste.because(context, self.visitor, of.item)?);
            }
            items.push(entry);
        }
        Ok(items)
    }

    /// Personal candidates in the order of the answer, as rules move them; and those that they bury.
    fn personal(&self, taste: &Taste<'_>, best: Vec<(u32, f32)>) -> Result<(Vec<Ordered>, Vec<Ordered>)> {
        let (context, plan, allowed) = (self.context, self.plan, &self.allowed);
        let query = &*plan.query;
        let wanted = context.candidates(plan);
        let best = match taste.source() {
            Source::Profile => taste.by_profile(wanted, allowed),
            _ => taste.with_fresh(context, best, wanted, allowed),
        };
        let ordered = match plan.is_ranked() {
            true => {
                let best = taste.with_next(context, self.visitor, best, wanted, allowed);
                taste.order(context, query.user.as_deref(), self.visitor, best)?
            }
            false => best.into_iter().map(Ordered::retrieved).collect(),
        };
        let ordered = ordered.into_iter().map(|of| (of, of.key)).collect();
        let moved = self.movers.moved(ordered, |of| of.item).into_iter().take(plan.candidates(query.limit));
        let (buried, kept): (Vec<_>, Vec<_>) = moved.partition(|moved| moved.is_buried);
        let keyed = |moved: Vec<super::rules::Moved<Ordered>>| {
            moved.into_iter().map(|moved| Ordered { key: moved.key, ..moved.of }).collect()
        };
        Ok((keyed(kept), keyed(buried)))
    }

    /// So many of personal candidates in the order that is wanted; buried ones only where there are too few others.
    fn arranged(
        &mut self,
        taste: &Taste<'_>,
        (best, buried): (Vec<Ordered>, Vec<Ordered>),
        places: usize,
    ) -> Vec<Chosen> {
        let mut arranged = Vec::with_capacity(places);
        for candidates in [best, buried] {
            let missing = places.saturating_sub(arranged.len());
            match &self.plan.query.diversity {
                Some(diversity) => {
                    let (snapshot, visitor, wanted) = (taste.snapshot, self.visitor, (self.context, diversity));
                    arranged.extend(self.bounded.arrange(wanted, snapshot, visitor, candidates, missing));
                }
                None => arranged.extend(candidates.into_iter().take(missing)),
            }
        }
        arranged.into_iter().map(|of| self.of_model(taste, of)).collect()
    }

    fn of_model(&self, taste: &Taste<'_>, Ordered { item, score, rank, .. }: Ordered) -> Chosen {
        let source = self.context.fresh.get(item).map_or(taste.source(), |fresh| taste.source_of(fresh));
        Chosen { rank, ..Chosen::new(item, f64::from(score), source) }
    }

    /// New items for so many places, and what each of many draws would have been.
    fn drawn(&self, taste: &Taste<'_>, places: usize) -> (Vec<Chosen>, Vec<Vec<ItemId>>) {
        let Draw { drawn, rounds } = taste.drawn(self.context, self.visitor, &self.plan.query, places, &self.allowed);
        let chosen = drawn.into_iter().map(|drawn| Chosen {
            propensity: Some(drawn.propensity),
            ..Chosen::new(drawn.item, f64::from(drawn.score), Source::Explore)
        });
        (chosen.collect(), rounds)
    }

    /// Candidates of a source that is no model, as rules move them.
    fn candidates(&self, source: &SourceKind, limit: usize) -> Result<Vec<Chosen>> {
        let (context, allowed) = (self.context, &self.allowed);
        let of = |source: Source| move |(item, score): (ItemId, f64)| Chosen::new(item, score, source);
        let wide = |(item, score): (ItemId, f32)| (item, f64::from(score));
        let candidates: Vec<Chosen> = match source {
            SourceKind::Personal | SourceKind::Explore => Vec::new(),
            SourceKind::Popular => {
                context.popular.top(limit, context.now, allowed).into_iter().map(of(Source::Popular)).collect()
            }
            SourceKind::Latest => latest(context, limit, allowed).into_iter().map(of(Source::Latest)).collect(),
            SourceKind::Next => {
                let next = Next.candidates(context, self.visitor, limit, allowed);
                next.into_iter().map(wide).map(of(Source::Next)).collect()
            }
            SourceKind::Similar => {
                let last = self.visitor.latest.first();
                let near = context
                    .snapshot
                    .zip(last)
                    .and_then(|(snapshot, row)| nearest(context, snapshot, snapshot.item(*row)?, limit, allowed));
                near.unwrap_or_default().into_iter().map(wide).map(of(Source::Similar)).collect()
            }
            SourceKind::List(name) => return self.listed(name),
        };
        let keyed = candidates.into_iter().map(|of| (of, of.score)).collect();
        Ok(self.movers.moved(keyed, |of| of.item).into_iter().map(|moved| moved.of).collect())
    }

    /// The items of an editorial list that may be shown, in its order.
    fn listed(&self, name: &str) -> Result<Vec<Chosen>> {
        let context = self.context;
        let Some(list) = self.plan.list(name).filter(|list| list.is_shown(context.now)) else { return Ok(Vec::new()) };
        let mut chosen = Vec::new();
        for name in &list.items {
            if let Some(item) = context.store.item_id(name)?.filter(|item| self.allowed.allows_item(*item)) {
                chosen.push(Chosen::new(item, self.score(item), Source::List));
            }
        }
        Ok(chosen)
    }

    /// What the model says of an item that somebody else has chosen; 0 where it says nothing.
    fn score(&self, item: ItemId) -> f64 {
        let score = self.taste.and_then(|taste| taste.score(self.context, item));
        score.map_or(0.0, |(score, _)| f64::from(score))
    }

    /// The first of some candidates that are not used and fit; those that are looked at are gone.
    fn take(&mut self, from: &mut VecDeque<Chosen>, count: usize, used: &FxHashSet<ItemId>) -> Vec<Chosen> {
        let mut taken: Vec<Chosen> = Vec::with_capacity(count);
        while taken.len() < count
            && let Some(of) = from.pop_front()
        {
            let is_used = used.contains(&of.item) || taken.iter().any(|other| other.item == of.item);
            if !is_used && self.bounded.take(of.item) {
                taken.push(of);
            }
        }
        taken
    }
}

/// Whether the score of an item is the model's, and so has parts.
fn is_of_model(taste: &Taste<'_>, context: &Context<'_>, of: &Chosen) -> bool {
    match of.source {
        Source::Personal | Source::FoldIn | Source::New | Source::Explore | Source::Profile => true,
        Source::Pin | Source::List => taste.score(context, of.item).is_some(),
        _ => false,
    }
}
