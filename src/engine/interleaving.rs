//! Two variants' answers in one list. `max_per` bounds it as it bounds any other: an item has to fit beside all that are there,
//! whoever chose them, by what bounds the side that takes it.

use xxhash_rust::xxh3::xxh3_64;

use super::treatment::Treated;
use super::{Engine, read};
use crate::error::Result;
use crate::experiment::{Team, team_draft};
use crate::recommend::Bounded;
use crate::record::{Answer, Assignment, Effort, Experiment, ItemId, Query, RecommendedItem, Source, Variant};

impl Engine {
    /// Items of two variants in turns; what both have pinned to a position stays there and is nobody's. What the answer says
    /// beside its items is the control's.
    pub(super) fn interleaved(&self, query: &Query, before: &[ItemId], experiment: &Experiment) -> Result<Treated> {
        let [first, second] = experiment.design.variants.as_slice() else {
            return self.usual(query, before, Effort::Full);
        };
        let of = |variant: &Variant, before: &[ItemId]| {
            self.answer_as(query, before, variant, variant.snapshot, Effort::Full)
        };
        let (Some(one), Some(two)) = (of(first, before)?, of(second, before)?) else {
            return self.usual(query, before, Effort::Full);
        };
        let mut draft = Draft::new(query.limit, xxh3_64(one.answer.recommendation_id.as_bytes()));
        self.extend(&mut draft, [&one, &two])?;
        let has_ended = [&one, &two].iter().all(|side| side.answer.items.len() < query.limit);
        let is_bounded = [&one, &two].iter().any(|side| !side.bounds.is_empty());
        if draft.missing() > 0 && is_bounded && !has_ended {
            // So much was passed over that both lists are through: each side goes on with what it would show next.
            let before: Vec<ItemId> = before.iter().copied().chain(draft.ids.iter().flatten().copied()).collect();
            if let (Some(one), Some(two)) = (of(first, &before)?, of(second, &before)?) {
                self.extend(&mut draft, [&one, &two])?;
            }
        }
        let name = |team: Team| match team {
            Team::First => first.name.clone(),
            Team::Second => second.name.clone(),
        };
        let (items, teams) = draft.end();
        let teams = teams.into_iter().map(|team| team.map(name)).collect();
        let experiment = Some(Assignment { id: experiment.id.clone(), variant: None });
        let answer = Answer { items, experiment, ..one.answer };
        Ok(Treated { teams, is_noted: one.is_noted || two.is_noted, ..Treated::new(answer, query.limit) })
    }

    /// Goes on with the items of two answers, none of which is in the draft.
    fn extend(&self, draft: &mut Draft, [one, two]: [&Treated; 2]) -> Result<()> {
        let ids = |side: &Treated| {
            let items = side.answer.items.iter();
            items.map(|item| self.inner.store.item_id(&item.item)).collect::<Result<Vec<_>>>()
        };
        let (of_one, of_two) = (ids(one)?, ids(two)?);
        let catalog = read(&self.inner.catalog);
        let one = Side { items: &one.answer.items, ids: of_one, bounded: Bounded::new(&catalog, &one.bounds) };
        let two = Side { items: &two.answer.items, ids: of_two, bounded: Bounded::new(&catalog, &two.bounds) };
        draft.extend(one, two);
        Ok(())
    }
}

/// One of the two lists.
struct Side<'a> {
    items: &'a [RecommendedItem],
    /// `None` for what has been deleted meanwhile.
    ids: Vec<Option<ItemId>>,
    /// What is in the draft, by what bounds this side.
    bounded: Bounded<'a>,
}

impl Side<'_> {
    fn id(&self, place: usize) -> Option<ItemId> {
        self.ids.get(place).copied().flatten()
    }

    /// Whether an item may be taken: a pinned one always.
    fn admits(&mut self, place: usize) -> bool {
        let is_pinned = self.items.get(place).is_some_and(|item| item.source == Source::Pin);
        is_pinned || self.id(place).is_none_or(|item| self.bounded.fits(item))
    }
}

/// A list in the making.
struct Draft {
    limit: usize,
    seed: u64,
    items: Vec<RecommendedItem>,
    ids: Vec<Option<ItemId>>,
    /// Whose item each is.
    teams: Vec<Option<Team>>,
    /// What both have pinned further on.
    later: Vec<RecommendedItem>,
}

impl Draft {
    /// Of so many items; `seed` stands for the coin.
    fn new(limit: usize, seed: u64) -> Self {
        Self { limit, seed, items: Vec::new(), ids: Vec::new(), teams: Vec::new(), later: Vec::new() }
    }

    fn missing(&self) -> usize {
        self.limit.saturating_sub(self.items.len())
    }

    fn extend<'a>(&mut self, mut one: Side<'a>, mut two: Side<'a>) {
        let (first, second) = (one.items, two.items);
        let is_pinned = |(a, b): (&RecommendedItem, &RecommendedItem)| {
            a.item == b.item && a.source == Source::Pin && b.source == Source::Pin
        };
        let both = first.iter().zip(second).enumerate();
        let pinned: Vec<usize> = both.filter(|(_, items)| is_pinned(*items)).map(|(place, _)| place).collect();
        let there: Vec<Option<ItemId>> = pinned.iter().map(|place| one.id(*place)).chain(self.ids.clone()).collect();
        for item in there.into_iter().flatten() {
            one.bounded.count(item);
            two.bounded.count(item);
        }
        let mut admit = |team: Team, place: usize| {
            let (own, other) = match team {
                Team::First => (&mut one, &mut two),
                Team::Second => (&mut two, &mut one),
            };
            let is_admitted = own.admits(place);
            if let Some(item) = own.id(place).filter(|_| is_admitted) {
                own.bounded.count(item);
                other.bounded.count(item);
            }
            is_admitted
        };
        // Of each draft other coins.
        let seed = self.seed.wrapping_add(self.items.len() as u64);
        let names = |items: &[RecommendedItem]| items.iter().map(|item| item.item.clone()).collect::<Vec<_>>();
        let drafted = team_draft(&names(first), &names(second), &pinned, self.missing(), seed, &mut admit);
        let later = pinned.iter().filter(|pinned| drafted.iter().all(|of| *of != (None, **pinned)));
        self.later = later.filter_map(|place| first.get(*place)).cloned().collect();
        for (team, place) in drafted {
            let side = if team == Some(Team::Second) { &two } else { &one };
            if let Some(item) = side.items.get(place) {
                self.items.push(item.clone());
                self.ids.push(side.id(place));
                self.teams.push(team);
            }
        }
    }

    /// The items and whose they are. A list that is too short ends with what is pinned further on.
    fn end(mut self) -> (Vec<RecommendedItem>, Vec<Option<Team>>) {
        let missing = self.missing();
        self.items.extend(self.later.into_iter().take(missing));
        self.teams.resize(self.items.len(), None);
        (self.items, self.teams)
    }
}
