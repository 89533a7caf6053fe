//! Which items users had an event with by when, whatever it said of their taste: answers leave those out, and who comes back is
//! asked about the others.

use rustc_hash::FxHashMap;

use super::transitions::note_latest;
use crate::record::{ItemId, Timestamp, UserId};

/// What some users did, each in the order of time.
pub struct Touches(FxHashMap<UserId, Vec<(Timestamp, ItemId)>>);

impl Touches {
    /// Those of some users among events in the order of time.
    pub fn of(
        users: impl IntoIterator<Item = UserId>,
        events: impl Iterator<Item = (Timestamp, UserId, ItemId)>,
    ) -> Self {
        let mut of_users: FxHashMap<UserId, Vec<_>> = users.into_iter().map(|user| (user, Vec::new())).collect();
        for (time, user, item) in events {
            of_users.entry(user).and_modify(|touched| touched.push((time, item)));
        }
        Self(of_users)
    }

    /// The items that a user had an event with before a time, ascending.
    pub fn before(&self, user: UserId, at: Timestamp) -> Vec<ItemId> {
        let earlier = self.of_user(user).iter().take_while(|(time, _)| *time < at);
        let mut items: Vec<ItemId> = earlier.map(|(_, item)| *item).collect();
        items.sort_unstable();
        items.dedup();
        items
    }

    /// Rows of the items that a user had an event with last before a time, as serving reads them: the newest first, those of one
    /// moment in the order of items, each once.
    pub fn latest(&self, user: UserId, at: Timestamp, row: impl Fn(ItemId) -> Option<u32>) -> Vec<u32> {
        let of_user = self.of_user(user);
        let earlier = of_user.get(..of_user.partition_point(|(time, _)| *time < at)).unwrap_or_default();
        let mut latest = Vec::new();
        for moment in earlier.chunk_by(|a, b| a.0 == b.0).rev() {
            let mut items: Vec<ItemId> = moment.iter().map(|(_, item)| *item).collect();
            items.sort_unstable();
            items.into_iter().for_each(|item| note_latest(&mut latest, row(item)));
        }
        latest
    }

    /// When a user first had an event with one of some items, ascending, from a time on.
    pub fn first(&self, user: UserId, from: Timestamp, items: &[ItemId]) -> Option<Timestamp> {
        let of_user = self.of_user(user);
        let later = of_user.get(of_user.partition_point(|(time, _)| *time < from)..)?;
        later.iter().find(|(_, item)| items.binary_search(item).is_ok()).map(|(time, _)| *time)
    }

    fn of_user(&self, user: UserId) -> &[(Timestamp, ItemId)] {
        self.0.get(&user).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_is_known_before_and_the_first_of_the_others_is_found() {
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let event = |millis, user, item| (at(millis), UserId::new(user), ItemId::new(item));
        let events = [event(1, 7, 3), event(2, 8, 9), event(2, 7, 1), event(4, 7, 3), event(5, 7, 2)];
        let touches = Touches::of([UserId::new(7)], events.into_iter());
        let before = |user, millis| touches.before(UserId::new(user), at(millis));
        assert_eq!(before(7, 2), [ItemId::new(3)]);
        assert_eq!(before(7, 5), [ItemId::new(1), ItemId::new(3)]);
        assert!(before(8, 5).is_empty());
        let row = |item: ItemId| (item != ItemId::new(2)).then_some(item.get());
        let latest = |millis| touches.latest(UserId::new(7), at(millis), row);
        assert_eq!([latest(1), latest(4), latest(9)], [vec![], vec![1, 3], vec![3, 1]]);
        let first = |from, items: &[u32]| {
            let items: Vec<ItemId> = items.iter().copied().map(ItemId::new).collect();
            touches.first(UserId::new(7), at(from), &items).map(Timestamp::millis)
        };
        assert_eq!(
            [first(1, &[2, 3]), first(2, &[2, 3]), first(2, &[2]), first(2, &[9])],
            [Some(1), Some(4), Some(5), None]
        );
    }
}
