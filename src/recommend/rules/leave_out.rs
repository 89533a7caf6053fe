//! `exclude`, `only_new`, `frequency_cap` and `no_repeat`.

use super::{LeftOut, Rule, RuleQuestion};
use crate::error::Result;
use crate::record::{Bound, Condition, Filter, Range, RangeCondition, Span, TIME, Timestamp};

/// The bounds of `only_new` move in steps of this part of its window: a filter that is the same for a while stays a bitmap in memory.
const STEPS: i64 = 1_024;

/// Leaves out the items that fulfil a filter.
pub struct Excluding {
    label: String,
    left_out: LeftOut,
}

impl Excluding {
    /// By this filter.
    pub fn new(label: String, filter: Filter) -> Self {
        Self { label, left_out: LeftOut { filter: Some(filter), items: Vec::new() } }
    }
}

impl Rule for Excluding {
    fn label(&self) -> &str {
        &self.label
    }

    fn leaves_out(&self, _: &RuleQuestion<'_>) -> Result<LeftOut> {
        Ok(self.left_out.clone())
    }
}

/// Leaves out what was published longer ago, or nobody knows when.
pub struct OnlyNew {
    label: String,
    within: Span,
}

impl OnlyNew {
    /// Longer ago than this.
    pub fn new(label: String, within: Span) -> Self {
        Self { label, within }
    }
}

impl Rule for OnlyNew {
    fn label(&self) -> &str {
        &self.label
    }

    fn leaves_out(&self, question: &RuleQuestion<'_>) -> Result<LeftOut> {
        let step = (self.within.millis() / STEPS).max(1);
        let since = question.now.before(self.within).millis().div_euclid(step) * step;
        let since = Timestamp::from_millis(since).unwrap_or(Timestamp::MIN);
        let range = Range { gte: Some(Bound::Time(since)), ..Range::default() };
        let is_new = Condition::Range(RangeCondition { key: TIME.into(), range });
        Ok(LeftOut { filter: Some(Filter { must_not: vec![is_new], ..Filter::default() }), items: Vec::new() })
    }
}

/// Leaves out what the user was shown.
pub struct LeavingShown {
    label: String,
    within: Span,
    unanswered: u32,
}

impl LeavingShown {
    /// Within this span, and so often since the user's last event with it; 0 for ever shown.
    pub fn new(label: String, within: Span, unanswered: u32) -> Self {
        Self { label, within, unanswered }
    }
}

impl Rule for LeavingShown {
    fn label(&self) -> &str {
        &self.label
    }

    fn looks_at_shown(&self) -> bool {
        true
    }

    fn leaves_out(&self, question: &RuleQuestion<'_>) -> Result<LeftOut> {
        let Some(user) = &question.query.user else { return Ok(LeftOut::default()) };
        let shown = question.shown.shown(user, question.now.before(self.within), self.unanswered)?;
        let is_enough = |unanswered: u32| unanswered >= self.unanswered;
        let items = shown.into_iter().filter(|shown| is_enough(shown.unanswered)).map(|shown| shown.item).collect();
        Ok(LeftOut { filter: None, items })
    }
}
