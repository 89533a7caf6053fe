//! From a rule as it is written down to one that is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::leave_out::{Excluding, LeavingShown, OnlyNew};
use super::shift::Moving;
use super::{Rule, RulePlace};
use crate::record::{EditorialList, MaxPer, RuleSpec, Timestamp};

/// The rule that a scenario with these lists means by the `number`-th of its rules.
pub fn compile(spec: &RuleSpec, number: usize, lists: &BTreeMap<String, EditorialList>) -> Arc<dyn Rule> {
    let label = spec.label(number);
    match spec {
        RuleSpec::Boost(rule) => Arc::new(Moving::new(label, rule.filter.clone(), rule.factor)),
        RuleSpec::Bury(rule) => Arc::new(Moving::new(label, rule.filter.clone(), 0.0)),
        RuleSpec::Exclude(rule) => Arc::new(Excluding::new(label, rule.filter.clone())),
        RuleSpec::OnlyNew(rule) => Arc::new(OnlyNew::new(label, rule.within)),
        RuleSpec::FrequencyCap(rule) => Arc::new(LeavingShown::new(label, rule.within, rule.shown)),
        RuleSpec::NoRepeat(rule) => Arc::new(LeavingShown::new(label, rule.within, 0)),
        RuleSpec::MaxPer(rule) => Arc::new(Bounding { label, bound: rule.bound() }),
        RuleSpec::Pin(rule) => {
            let list = EditorialList { items: vec![rule.item.clone()], start: None, end: None };
            Arc::new(Placing::new(label, list, vec![rule.position], true))
        }
        RuleSpec::Slot(rule) => {
            let list = lists.get(&rule.list).cloned().unwrap_or_default();
            Arc::new(Placing::new(label, list, rule.positions.clone(), false))
        }
    }
}

/// `max_per`.
struct Bounding {
    label: String,
    bound: MaxPer,
}

impl Rule for Bounding {
    fn label(&self) -> &str {
        &self.label
    }

    fn bound(&self) -> Option<&MaxPer> {
        Some(&self.bound)
    }
}

/// `pin` and `slot`.
struct Placing {
    label: String,
    items: Arc<[String]>,
    shown: EditorialList,
    positions: Vec<usize>,
    is_pin: bool,
}

impl Placing {
    fn new(label: String, mut list: EditorialList, positions: Vec<usize>, is_pin: bool) -> Self {
        let items = std::mem::take(&mut list.items).into();
        Self { label, items, shown: list, positions, is_pin }
    }
}

impl Rule for Placing {
    fn label(&self) -> &str {
        &self.label
    }

    fn places(&self, now: Timestamp) -> Vec<RulePlace> {
        if !self.shown.is_shown(now) {
            return Vec::new();
        }
        let place =
            |position: &usize| RulePlace { position: *position, items: Arc::clone(&self.items), is_pin: self.is_pin };
        self.positions.iter().map(place).collect()
    }
}
