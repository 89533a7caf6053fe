//! A question as it is answered: its own words, those of a scenario, and the rules, put together once before anything is looked
//! up.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Context;
use super::expression::Expression;
use super::rules::{LeftOut, Moved, Rule, RulePlace, RuleQuestion, Shown, compile, shift};
use crate::error::Result;
use crate::record::{
    AppliedScenario, Condition, Diversity, EditorialList, Effort, ExcludeSeen, Filter, Item, ItemId, MaxPer, Query,
    RuleSpec, Scenario, ScenarioVersion, SourceKind, SourceShare, Timestamp,
};
use crate::snapshot::Snapshot;

/// Candidates for each item that is wanted, where rules move or bound some, and the least and the largest number of them.
const MOVED_EACH: usize = 5;
const FEWEST_MOVED: usize = 50;
const MOST_MOVED: usize = 1_000;

/// A scenario, ready to answer.
pub struct Policy {
    applied: AppliedScenario,
    scenario: Scenario,
    rules: Vec<Arc<dyn Rule>>,
}

impl Policy {
    /// Of a version of a scenario; `None` for one that is its deletion.
    pub fn new(version: &ScenarioVersion) -> Option<Self> {
        let scenario = version.scenario.clone()?;
        let rules = scenario.rules.iter().enumerate();
        let rules = rules.map(|(number, rule)| compile(rule, number, &scenario.lists)).collect();
        let applied = AppliedScenario { name: version.name.clone(), version: version.version };
        Some(Self { applied, scenario, rules })
    }
}

/// The rules that a question is answered by: its own, those of the scenario, and those that always hold.
pub fn rules_of(query: &Query, policy: Option<&Policy>, always: &[Arc<dyn Rule>]) -> Vec<Arc<dyn Rule>> {
    let own = |number: usize| Some(format!("query[{number}]"));
    let pins = query.pin.iter().cloned().enumerate().map(|(number, mut pin)| {
        pin.name = pin.name.or_else(|| own(number));
        RuleSpec::Pin(pin)
    });
    let boosts = query.boost.iter().cloned().enumerate().map(|(number, mut boost)| {
        boost.name = boost.name.or_else(|| own(number));
        RuleSpec::Boost(boost)
    });
    let mut rules: Vec<_> = pins.chain(boosts).map(|rule| compile(&rule, 0, &BTreeMap::new())).collect();
    rules.extend(policy.into_iter().flat_map(|policy| &policy.rules).chain(always).cloned());
    rules
}

/// A question with all that it is to be answered by.
pub struct Plan<'a> {
    /// The question, with the scenario's words in it.
    pub query: Cow<'a, Query>,
    /// Items of the pages before.
    pub before: &'a [ItemId],
    policy: Option<Arc<Policy>>,
    rules: Vec<Arc<dyn Rule>>,
    /// What each rule leaves out.
    left_out: Vec<LeftOut>,
    /// Whether there is no time for the ranker.
    is_hasty: bool,
}

/// A question that is answered by nothing but its own filter.
impl<'a> From<&'a Query> for Plan<'a> {
    fn from(query: &'a Query) -> Self {
        let query = Cow::Borrowed(query);
        Self { query, before: &[], policy: None, rules: Vec::new(), left_out: Vec::new(), is_hasty: false }
    }
}

impl<'a> Plan<'a> {
    /// Puts a question together with a scenario and with rules.
    pub fn new(
        query: &'a Query,
        policy: Option<Arc<Policy>>,
        rules: Vec<Arc<dyn Rule>>,
        shown: &dyn Shown,
        now: Timestamp,
    ) -> Result<Self> {
        let question = RuleQuestion { query, now, shown };
        let left_out = rules.iter().map(|rule| rule.leaves_out(&question)).collect::<Result<Vec<_>>>()?;
        let mut plan = Self { policy, rules, left_out, ..Self::from(query) };
        let scenario = plan.policy.as_ref().map(|policy| &policy.scenario);
        let filter = scenario.and_then(|scenario| scenario.filter.as_ref());
        let filters = plan.left_out.iter().filter_map(|left_out| left_out.filter.as_ref());
        if let Some(filter) = narrowed(query.filter.as_ref(), filter, filters) {
            plan.query.to_mut().filter = Some(filter);
        }
        if let Some(scenario) = scenario {
            if query.diversity.is_none() && scenario.diversity.is_some() {
                plan.query.to_mut().diversity = scenario.diversity.clone();
            }
            if let Some(seen) = scenario.exclude_seen.as_ref().filter(|_| query.exclude_seen == ExcludeSeen::default())
            {
                plan.query.to_mut().exclude_seen = seen.clone();
            }
        }
        // An answer without an order of its own is put together under quotas all the same.
        if plan.query.diversity.is_none() && plan.rules.iter().any(|rule| rule.bound().is_some()) {
            let candidates = Some(candidates_to_move(query.limit));
            plan.query.to_mut().diversity = Some(Diversity { candidates, ..Diversity::default() });
        }
        Ok(plan)
    }

    /// The same question for the page after these items.
    pub fn after(self, before: &'a [ItemId]) -> Self {
        Self { before, ..self }
    }

    /// The same question, at so much effort: without the ranker below full effort.
    pub fn at(self, effort: Effort) -> Self {
        Self { is_hasty: effort != Effort::Full, ..self }
    }

    /// Whether the ranker is left out for want of time.
    pub fn is_hasty(&self) -> bool {
        self.is_hasty
    }

    /// The scenario, by name and version.
    pub fn applied(&self) -> Option<&AppliedScenario> {
        self.policy.as_ref().map(|policy| &policy.applied)
    }

    /// Whether there is any rule.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Whether the answer changes only when something is written: rules and editorial lists look at the clock, and
    /// at what was shown.
    pub fn lasts(&self) -> bool {
        let seen = &self.query.exclude_seen;
        let is_list = |source: &SourceKind| matches!(source, SourceKind::List(_));
        let has_lists = self.sources().iter().any(|of| is_list(&of.source)) || self.fallback().iter().any(is_list);
        !self.has_rules() && !has_lists && !matches!(seen, ExcludeSeen::Some(policy) if policy.window.is_some())
    }

    /// Whether what the answer shows is to be noted.
    pub fn looks_at_shown(&self) -> bool {
        self.rules.iter().any(|rule| rule.looks_at_shown())
    }

    /// Whether the ranker is asked.
    pub(super) fn is_ranked(&self) -> bool {
        !self.is_hasty && self.wants_ranker()
    }

    /// Whether the ranker would be asked if there were time, and there is none.
    pub(super) fn lacks_ranker(&self) -> bool {
        self.is_hasty && self.wants_ranker()
    }

    fn wants_ranker(&self) -> bool {
        self.scenario().is_none_or(|scenario| scenario.ranker)
    }

    /// The sources and their shares; none where the configuration says what is beside personal candidates.
    pub(super) fn sources(&self) -> &[SourceShare] {
        self.scenario().map_or(&[], |scenario| &scenario.sources)
    }

    /// What fills the places that are left.
    pub(super) fn fallback(&self) -> &[SourceKind] {
        self.scenario().map_or(&[SourceKind::Popular, SourceKind::Latest], |scenario| &scenario.fallback)
    }

    /// An editorial list.
    pub(super) fn list(&self, name: &str) -> Option<&EditorialList> {
        self.scenario()?.lists.get(name)
    }

    /// How many candidates an answer of so many items is chosen from.
    pub(super) fn candidates(&self, limit: usize) -> usize {
        match &self.query.diversity {
            Some(diversity) => diversity.candidates(limit),
            None if self.moves() => candidates_to_move(limit),
            None => limit,
        }
    }

    /// What bounds an answer.
    pub fn bounds(&self) -> impl Iterator<Item = &MaxPer> {
        let own = self.query.diversity.as_ref().and_then(|diversity| diversity.max_per.as_ref());
        own.into_iter().chain(self.rules.iter().filter_map(|rule| rule.bound()))
    }

    /// The items that rules leave out one by one, and those of the pages before.
    pub(super) fn left_out(&self) -> impl Iterator<Item = ItemId> {
        self.left_out.iter().flat_map(|left_out| &left_out.items).chain(self.before).copied()
    }

    /// The positions that rules fill, pins first, each with the number of its rule.
    pub(super) fn places(&self, now: Timestamp) -> Vec<(usize, RulePlace)> {
        let numbered = self.rules.iter().enumerate();
        let mut places: Vec<_> = numbered
            .flat_map(|(number, rule)| rule.places(now).into_iter().map(move |place| (number, place)))
            .collect();
        places.sort_by_key(|(_, place)| !place.is_pin);
        places
    }

    /// Whether a rule moves items.
    pub(super) fn moves(&self) -> bool {
        self.rules.iter().any(|rule| rule.moves().is_some())
    }

    /// The filters that the answer needs as sets, that of the question first.
    pub fn filters(&self) -> impl Iterator<Item = (Option<&Filter>, Option<&str>)> {
        let own = (self.query.filter.as_ref(), self.query.category.as_deref());
        std::iter::once(own)
            .chain(self.rules.iter().filter_map(|rule| rule.moves()).map(|(filter, _)| (Some(filter), None)))
    }

    /// The rules that move one item, by its metadata: their numbers and factors. For a few items; [`movers`](Self::movers) are
    /// for many.
    pub(super) fn moving<'i>(&'i self, item: &'i Item) -> impl Iterator<Item = (usize, f64)> + 'i {
        let moves = self.rules.iter().enumerate().filter_map(|(number, rule)| Some((number, rule.moves()?)));
        moves.filter(|(_, (filter, _))| filter.matches(item)).map(|(number, (_, factor))| (number, factor))
    }

    /// Which items rules move.
    pub(super) fn movers(&self, context: &Context<'_>) -> Result<Movers> {
        let (filters, rows) = (context.catalog.filters(), context.snapshot.map(Snapshot::rows));
        let mut movers = Vec::new();
        for (number, rule) in self.rules.iter().enumerate() {
            if let Some((filter, factor)) = rule.moves()
                && let Some(expression) = Expression::of(Some(filter), None)
            {
                let matches = filters.fulfilling(context.store, &expression, rows)?;
                movers.push(Mover { rule: number, factor, items: matches.ids });
            }
        }
        Ok(Movers(movers))
    }

    /// How answers call a rule.
    pub(super) fn label(&self, number: usize) -> Option<String> {
        self.rules.get(number).map(|rule| rule.label().to_owned())
    }

    /// The rules that keep an item out, put it at a position or move it.
    pub fn concerning(&self, context: &Context<'_>, item: ItemId) -> Vec<String> {
        let Some(record) = context.catalog.get(item) else { return Vec::new() };
        let concerns = |(rule, left_out): &(&Arc<dyn Rule>, &LeftOut)| {
            left_out.items.contains(&item)
                || left_out.filter.as_ref().is_some_and(|filter| filter.matches(record))
                || rule.places(context.now).iter().any(|place| place.items.contains(&record.id))
                || rule.moves().is_some_and(|(filter, _)| filter.matches(record))
        };
        let rules = self.rules.iter().zip(&self.left_out).filter(concerns);
        rules.map(|(rule, _)| rule.label().to_owned()).collect()
    }

    fn scenario(&self) -> Option<&Scenario> {
        self.policy.as_ref().map(|policy| &policy.scenario)
    }
}

/// How many candidates rules choose from.
fn candidates_to_move(limit: usize) -> usize {
    (MOVED_EACH * limit).clamp(FEWEST_MOVED, MOST_MOVED).max(limit)
}

/// The rules that move items, and which.
pub struct Movers(Vec<Mover>);

struct Mover {
    rule: usize,
    factor: f64,
    items: Arc<RoaringBitmap>,
}

impl Movers {
    /// Candidates, given by falling keys, as rules move them.
    pub fn moved<T>(&self, candidates: Vec<(T, f64)>, item: impl Fn(&T) -> ItemId) -> Vec<Moved<T>> {
        if self.0.is_empty() {
            return candidates.into_iter().map(|(of, key)| Moved { of, key, is_buried: false }).collect();
        }
        shift(candidates, |of| self.of(item(of)).map(|mover| mover.factor).reduce(|product, factor| product * factor))
    }

    /// Whether an item is buried.
    pub fn bury(&self, item: ItemId) -> bool {
        self.of(item).any(|mover| mover.factor == 0.0)
    }

    /// The numbers of the rules that move an item.
    pub fn rules(&self, item: ItemId) -> impl Iterator<Item = usize> {
        self.of(item).map(|mover| mover.rule)
    }

    fn of(&self, item: ItemId) -> impl Iterator<Item = &Mover> {
        self.0.iter().filter(move |mover| mover.items.contains(item.get()))
    }
}

/// A question's filter, and a scenario's, without what fulfils any of some others; `None` where only the question says something.
fn narrowed<'a>(
    own: Option<&Filter>,
    scenario: Option<&Filter>,
    left_out: impl Iterator<Item = &'a Filter>,
) -> Option<Filter> {
    let nested = |filter: &Filter| Condition::Nested(filter.clone());
    let must_not: Vec<Condition> = left_out.map(nested).collect();
    if scenario.is_none() && must_not.is_empty() {
        return None;
    }
    let must = scenario.into_iter().chain(own).filter(|filter| !filter.is_empty()).map(nested).collect();
    Some(Filter { must, must_not, ..Filter::default() })
}
