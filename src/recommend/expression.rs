//! A filter as set algebra over ranges of terms: what is read from the item index, and what is made of it.

use std::collections::BTreeSet;

use super::matches::Matches;
use crate::error::Result;
use crate::record::{
    CATEGORIES, Condition, CountRange, Filter, IsEmptyCondition, Match, MatchCondition, RangeCondition, Value,
    ValuesCountCondition,
};
use crate::store::{TermRange, Terms};

/// Sets of items.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expression<'a> {
    /// Every item that there is.
    All,
    /// The items that have a term in a range.
    Terms(TermRange),
    /// The items with these external ids.
    Ids(&'a BTreeSet<String>),
    /// The items of all these sets; of none of them if there are none.
    Both(Vec<Expression<'a>>),
    /// The items of any of these sets.
    Either(Vec<Expression<'a>>),
    /// The items of the first set that are not in the second.
    Except(Box<Expression<'a>>, Box<Expression<'a>>),
}

impl<'a> Expression<'a> {
    /// The items that pass a filter and belong to a category; `None` where neither says anything.
    pub fn of(filter: Option<&'a Filter>, category: Option<&str>) -> Option<Self> {
        let filter = filter.filter(|filter| !filter.is_empty()).map(of_filter);
        let category = category.map(|name| any(CATEGORIES, &[Value::from(name)]));
        match (filter, category) {
            (Some(filter), Some(category)) => Some(Self::Both(vec![category, filter])),
            (filter, category) => filter.or(category),
        }
    }

    /// Its value, when those of its leaves are known. Costs the set algebra: some microseconds a million items.
    pub fn evaluate(&self, all: &Matches, leaf: &mut dyn FnMut(Leaf<'_>) -> Result<Matches>) -> Result<Matches> {
        self.combine(&mut |part| match part {
            Self::All => Ok(all.clone()),
            Self::Terms(range) => leaf(Leaf::Terms(range)),
            Self::Ids(ids) => leaf(Leaf::Ids(ids)),
            made => made.evaluate(all, leaf),
        })
    }

    /// What its parts, each as `part` finds it, are together. One that is not made of others is its own part.
    pub fn combine(&self, part: &mut dyn FnMut(&Self) -> Result<Matches>) -> Result<Matches> {
        match self {
            Self::Both(sets) => {
                let mut both: Option<Matches> = None;
                for set in sets {
                    let set = part(set)?;
                    both = Some(both.map_or_else(|| set.clone(), |both| both.and(&set)));
                }
                Ok(both.unwrap_or_default())
            }
            Self::Either(sets) => sets.iter().try_fold(Matches::default(), |either, set| Ok(either.or(&part(set)?))),
            Self::Except(set, other) => Ok(part(set)?.minus(&part(other)?)),
            Self::All | Self::Terms(_) | Self::Ids(_) => part(self),
        }
    }

    /// The expression, to be kept; `None` if it names items, whose dense ids terms do not tell.
    pub fn owned(&self) -> Option<Expression<'static>> {
        let all = |sets: &[Self]| -> Option<Vec<_>> { sets.iter().map(Self::owned).collect() };
        Some(match self {
            Self::All => Expression::All,
            Self::Terms(range) => Expression::Terms(range.clone()),
            Self::Ids(_) => return None,
            Self::Both(sets) => Expression::Both(all(sets)?),
            Self::Either(sets) => Expression::Either(all(sets)?),
            Self::Except(set, other) => Expression::Except(Box::new(set.owned()?), Box::new(other.owned()?)),
        })
    }

    /// How many ranges and lists of names are in it.
    pub fn leaves(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Terms(_) | Self::Ids(_) => 1,
            Self::Both(sets) | Self::Either(sets) => sets.iter().map(Self::leaves).sum(),
            Self::Except(set, other) => set.leaves() + other.leaves(),
        }
    }

    /// Whether an item that is there and has these terms is among the items; of those that are named none is.
    pub fn holds(&self, terms: &Terms) -> bool {
        match self {
            Self::All => true,
            Self::Terms(range) => terms.meet(range),
            Self::Ids(_) => false,
            Self::Both(sets) => !sets.is_empty() && sets.iter().all(|set| set.holds(terms)),
            Self::Either(sets) => sets.iter().any(|set| set.holds(terms)),
            Self::Except(set, other) => set.holds(terms) && !other.holds(terms),
        }
    }

    fn none() -> Self {
        Self::Either(Vec::new())
    }

    fn all_but(other: Self) -> Self {
        Self::Except(Box::new(Self::All), Box::new(other))
    }
}

/// What an expression does not know itself.
pub enum Leaf<'a> {
    /// The items that have a term in a range.
    Terms(&'a TermRange),
    /// The items with these external ids.
    Ids(&'a BTreeSet<String>),
}

fn of_filter(filter: &Filter) -> Expression<'_> {
    let mut sets: Vec<_> = filter.must.iter().map(of_condition).collect();
    if !filter.should.is_empty() {
        sets.push(Expression::Either(filter.should.iter().map(of_condition).collect()));
    }
    let passing = match sets.len() {
        0 => Expression::All,
        1 => sets.remove(0),
        _ => Expression::Both(sets),
    };
    if filter.must_not.is_empty() {
        return passing;
    }
    let unwanted = Expression::Either(filter.must_not.iter().map(of_condition).collect());
    Expression::Except(Box::new(passing), Box::new(unwanted))
}

fn of_condition(condition: &Condition) -> Expression<'_> {
    match condition {
        Condition::Nested(filter) => of_filter(filter),
        Condition::HasId(ids) => Expression::Ids(&ids.has_id),
        Condition::IsEmpty(IsEmptyCondition { is_empty }) => {
            counted(&is_empty.key, &CountRange { lte: Some(0), ..CountRange::default() })
        }
        Condition::ValuesCount(ValuesCountCondition { key, values_count }) => counted(key, values_count),
        Condition::Match(MatchCondition { key, matches }) => match matches {
            Match::Value(value) => any(key, std::slice::from_ref(value)),
            Match::Any(values) => any(key, values),
            Match::Except(values) => {
                let present = TermRange::counted(key, 0..=u32::MAX).map_or_else(Expression::none, Expression::Terms);
                Expression::Except(Box::new(present), Box::new(any(key, values)))
            }
        },
        Condition::Range(RangeCondition { key, range }) => {
            TermRange::between(key, range).map_or_else(Expression::none, Expression::Terms)
        }
    }
}

fn any<'a>(key: &str, values: &[Value]) -> Expression<'a> {
    let mut sets: Vec<_> =
        values.iter().filter_map(|value| TermRange::equal(key, value)).map(Expression::Terms).collect();
    if sets.len() == 1 { sets.remove(0) } else { Expression::Either(sets) }
}

/// The index knows nothing of an item without the key, whose count is 0: it is found as what has no greater count.
fn counted<'a>(key: &str, counts: &CountRange) -> Expression<'a> {
    let Some(counts) = counts.inclusive() else { return Expression::none() };
    let terms = |counts| TermRange::counted(key, counts).map_or_else(Expression::none, Expression::Terms);
    match (*counts.start(), counts.end().checked_add(1)) {
        (0, None) => Expression::All,
        (0, Some(more)) => Expression::all_but(terms(more..=u32::MAX)),
        _ => terms(counts),
    }
}
