//! What is known of the one who asks: stored events and the session, reduced to preferences by the code that training
//! uses, and the set of items that count as seen.

use xxhash_rust::xxh3::Xxh3;

use super::Context;
use crate::error::Result;
use crate::features::{History, RatingHistory, note_latest};
use crate::record::{Attributes, ExcludeSeen, ItemId, Query, SeenPolicy, SessionItem, Timestamp, UserId};
use crate::store::Side;

/// The one who asks.
pub struct Visitor {
    /// The stored user; `None` for an unknown id or an anonymous visitor.
    pub user: Option<UserId>,
    /// Whether the snapshot has a vector of the user.
    pub is_known: bool,
    /// The profile of a user that the snapshot has no vector of, as its map sees it; empty where it says nothing.
    pub profile: Vec<(u32, f32)>,
    /// Preferences, for a model of ratings ratings, by row of the snapshot, of the latest `recommend.history` events: what a vector is folded in from, at a
    /// cost that grows with them. Of a user whose stored vector answers it is all events: that vector came from all, and
    /// the item-item lists speak for all of them too, as they did in training.
    pub history: Vec<(u32, f32)>,
    /// Rows of the latest items, the newest first.
    pub latest: Vec<u32>,
    /// Under which circumstances.
    pub context: Attributes,
    /// Items of the session, the oldest first, with the type of each event.
    pub session: Vec<(ItemId, String)>,
    /// Items that are left out as seen.
    pub seen: Vec<ItemId>,
    /// Whether there is something that the user's vector in the snapshot has not seen.
    pub is_fresh: bool,
    /// Whether the vector is solved from the history: for all that is fresh, and for all that is explained.
    pub is_folded_in: bool,
}

impl Visitor {
    /// Reads the user's events and adds the session after them, as if it happened now.
    pub fn gather(
        context: &Context<'_>,
        user: Option<&str>,
        (session, circumstances): (&[SessionItem], &Attributes),
        exclude_seen: &ExcludeSeen,
        explain: bool,
    ) -> Result<Self> {
        let seen_rule = SeenRule::new(exclude_seen, context.now);
        let mut seen = Vec::new();
        let mut latest = Vec::new();
        let row = |item| context.snapshot.and_then(|snapshot| snapshot.row(item));
        let recommend = &context.config.recommend;
        let mut weight = recommend.session_weight;
        // Ages count from the snapshot's newest event, as they did in training.
        let newest = context.snapshot.and_then(|snapshot| snapshot.manifest().newest_event);
        let mut past = if context.snapshot.is_some_and(|snapshot| snapshot.fold_in().mix().ratings.is_some()) {
            Past::Ratings(context.weights.ratings())
        } else {
            Past::Preferences(context.weights.history(newest.map_or(context.now, |newest| newest.min(context.now))))
        };
        let mut visited = Vec::new();
        for entry in session.iter().rev() {
            if let Some(item) = context.store.item_id(&entry.item)? {
                visited.push((item, entry.kind.clone()));
                seen.extend(seen_rule.holds(&entry.kind, context.now).then_some(item));
                past.add_session(item, entry, context.now, weight as f32);
                note_latest(&mut latest, row(item));
                weight *= recommend.session_fading;
            }
        }
        let name = user;
        let user = user.map_or(Ok(None), |user| context.store.user_id(user))?;
        let is_known = match (user, context.snapshot) {
            (Some(user), Some(snapshot)) => {
                context.store.has_factor(Side::Users, snapshot.manifest().id, user.get())?
            }
            _ => false,
        };
        let is_fresh = !session.is_empty() || user.is_some_and(context.is_stale);
        let is_folded_in = is_fresh || explain;
        let has_lists = context.snapshot.is_some_and(|snapshot| snapshot.fold_in().parts().lists.nnz() > 0);
        let mut has_events = false;
        if let Some(user) = user {
            let mut left = if has_lists && !is_folded_in { usize::MAX } else { context.config.recommend.history };
            context.store.user_history_before(user, context.known_until, usize::MAX, &mut |event| {
                has_events = true;
                seen.extend(seen_rule.holds(event.kind, event.time).then_some(event.item));
                if left > 0 {
                    left -= 1;
                    note_latest(&mut latest, row(event.item));
                    past.add(event.item, event.kind, event.value, event.time);
                }
            })?;
        }
        // In hindsight a vector may be of what came later.
        let is_known = is_known && (has_events || context.known_until.is_none());
        let profile = if is_known { Vec::new() } else { profile(context, name)? };
        let history = past.finish().into_iter().filter_map(|(item, value)| Some((row(item)?, value))).collect();
        visited.reverse();
        let (context, session) = (circumstances.clone(), visited);
        Ok(Self { user, is_known, profile, history, latest, context, session, seen, is_fresh, is_folded_in })
    }
}

impl Visitor {
    /// The items that count as seen, and nothing else of what [`gather`](Self::gather) reads.
    pub fn seen(
        context: &Context<'_>,
        user: Option<&str>,
        session: &[SessionItem],
        exclude_seen: &ExcludeSeen,
    ) -> Result<Vec<ItemId>> {
        let rule = SeenRule::new(exclude_seen, context.now);
        let mut seen = Vec::new();
        if !rule.on {
            return Ok(seen);
        }
        for entry in session.iter().filter(|entry| rule.holds(&entry.kind, context.now)) {
            seen.extend(context.store.item_id(&entry.item)?);
        }
        if let Some(user) = user.map_or(Ok(None), |user| context.store.user_id(user))? {
            context.store.user_history_before(user, context.known_until, usize::MAX, &mut |event| {
                seen.extend(rule.holds(event.kind, event.time).then_some(event.item));
            })?;
        }
        Ok(seen)
    }

    /// Stands for a question of this visitor: another one, or the same one once something is known more, is another number.
    pub fn request(&self, query: &Query) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(query.user.as_deref().unwrap_or_default().as_bytes());
        for entry in &query.session {
            hash.update(&[0]);
            hash.update(entry.item.as_bytes());
        }
        for number in [query.limit, self.seen.len(), self.history.len()] {
            hash.update(&(number as u64).to_le_bytes());
        }
        hash.digest()
    }
}

/// What is known of a user beside events, as the snapshot's map sees it. Empty where no attribute has a column: the absence
/// of all that others have is no profile.
fn profile(context: &Context<'_>, name: Option<&str>) -> Result<Vec<(u32, f32)>> {
    let map = context.snapshot.and_then(|snapshot| snapshot.cold().users.as_ref());
    let Some((map, name)) = map.zip(name) else { return Ok(Vec::new()) };
    let known = context.store.user(name)?.filter(|user| !user.attributes.is_empty());
    Ok(known.map_or_else(Vec::new, |user| map.encoder().encode((&user).into())))
}

/// What the model wants to know of the past.
enum Past<'a> {
    Preferences(History<'a>),
    Ratings(RatingHistory<'a>),
}

impl Past<'_> {
    fn add(&mut self, item: ItemId, kind: &str, value: Option<f64>, time: Timestamp) {
        match self {
            Self::Preferences(history) => history.add(item, kind, value, time),
            Self::Ratings(ratings) => ratings.add(item, kind, value),
        }
    }

    /// An event of the session.
    fn add_session(&mut self, item: ItemId, entry: &SessionItem, now: Timestamp, weight: f32) {
        match self {
            Self::Preferences(history) => history.add_weighed(item, &entry.kind, entry.value, weight),
            Self::Ratings(_) => self.add(item, &entry.kind, entry.value, now),
        }
    }

    fn finish(self) -> Vec<(ItemId, f32)> {
        match self {
            Self::Preferences(history) => {
                history.finish().into_iter().map(|preference| (preference.item, preference.weight)).collect()
            }
            Self::Ratings(ratings) => ratings.finish(),
        }
    }
}

struct SeenRule<'a> {
    on: bool,
    types: &'a [String],
    since: Timestamp,
}

impl<'a> SeenRule<'a> {
    fn new(exclude_seen: &'a ExcludeSeen, now: Timestamp) -> Self {
        match exclude_seen {
            ExcludeSeen::All(on) => Self { on: *on, types: &[], since: Timestamp::MIN },
            ExcludeSeen::Some(SeenPolicy { types, window }) => {
                Self { on: true, types, since: window.map_or(Timestamp::MIN, |window| now.before(window)) }
            }
        }
    }

    fn holds(&self, kind: &str, time: Timestamp) -> bool {
        self.on && time >= self.since && (self.types.is_empty() || self.types.iter().any(|wanted| wanted == kind))
    }
}
