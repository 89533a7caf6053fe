//! The operator's rules. What a rule does belongs to one of four steps, and the steps follow each other in this order,
//! wherever the rules stand in their list:
//!
//! 1. **Leave out** ([`Rule::leaves_out`]): `exclude`, `only_new`, `frequency_cap`, `no_repeat`. Before anything is searched, so
//!    that others come in their place. Nothing that is left out comes back by a later step.
//! 2. **Put in place** ([`Rule::places`]): `pin`, then `slot`. These items are settled, and are candidates no more.
//! 3. **Move** ([`Rule::moves`]): `boost` and `bury`, among the candidates of each source; what is buried comes after all
//!    others of the answer, too.
//! 4. **Bound** ([`Rule::bound`]): `max_per`, while the other places are filled. Items in slots and fallbacks are bounded with
//!    them; pinned items are not, but count.

mod compile;
mod leave_out;
mod shift;

use std::sync::Arc;

pub use compile::compile;
pub use shift::{Moved, shift};

use crate::error::Result;
use crate::record::{Filter, ItemId, MaxPer, Query, Timestamp};

/// A rule: takes part in one or more of the steps. See [`crate::Engine::set_rules`] for rules of one's own.
pub trait Rule: Send + Sync {
    /// How an answer calls it, such as `boost:new`.
    fn label(&self) -> &str;

    /// What it keeps out of the answer to a question. An error becomes that of the answer.
    fn leaves_out(&self, question: &RuleQuestion<'_>) -> Result<LeftOut> {
        let _ = question;
        Ok(LeftOut::default())
    }

    /// The positions that it fills at this time.
    fn places(&self, now: Timestamp) -> Vec<RulePlace> {
        let _ = now;
        Vec::new()
    }

    /// Which items it moves, and by what it multiplies their odds: above 1 they come sooner, below 1 later, 0 buries them.
    fn moves(&self) -> Option<(&Filter, f64)> {
        None
    }

    /// How many items may have the same value of an attribute.
    fn bound(&self) -> Option<&MaxPer> {
        None
    }

    /// Whether it looks at what has been shown, which is then noted.
    fn looks_at_shown(&self) -> bool {
        false
    }
}

/// A question as rules see it.
pub struct RuleQuestion<'a> {
    /// The question.
    pub query: &'a Query,
    /// When it is asked.
    pub now: Timestamp,
    /// What has been shown before.
    pub shown: &'a dyn Shown,
}

/// What is kept out of an answer.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeftOut {
    /// Items that fulfil this.
    pub filter: Option<Filter>,
    /// These items.
    pub items: Vec<ItemId>,
}

/// A position that a rule fills.
#[derive(Clone, Debug, PartialEq)]
pub struct RulePlace {
    /// Counted from 0, over all pages.
    pub position: usize,
    /// External ids: the first one that may be shown and is not in the answer yet takes the position.
    pub items: Arc<[String]>,
    /// Whether it is settled before those that are not, and is not bounded by `max_per`.
    pub is_pin: bool,
}

/// Knows what has been shown to whom.
pub trait Shown: Send + Sync {
    /// The items that were shown to a user so often, or more, since a time.
    fn shown(&self, user: &str, since: Timestamp, times: u32) -> Result<Vec<ShownItem>>;
}

/// An item that was shown to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownItem {
    /// Which.
    pub item: ItemId,
    /// How often since the user's last event with it, and since the time asked for.
    pub unanswered: u32,
}
