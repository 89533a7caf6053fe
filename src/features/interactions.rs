//! The interaction matrix: users × items, confidence weights, one entry a pair, from the events at one point in time.

use super::csr::Csr;
use super::weights::{EventWeights, Signal};
use crate::record::{ItemId, UserId};

/// A sparse matrix of preferences whose rows and columns are the users and items that have any.
pub struct Interactions {
    /// The user of each row, ascending.
    pub users: Vec<UserId>,
    /// The item of each column, ascending.
    pub items: Vec<ItemId>,
    /// Weights, `[users, items]`.
    pub matrix: Csr,
    /// Whether people turn to each item of late (above 1) or leave it, `[items]`; empty where nobody knows.
    pub trend: Vec<f32>,
}

impl Interactions {
    /// The row of a user.
    pub fn row_of(&self, user: UserId) -> Option<u32> {
        self.users.binary_search(&user).ok().map(|row| row as u32)
    }

    /// The column of an item.
    pub fn column_of(&self, item: ItemId) -> Option<u32> {
        self.items.binary_search(&item).ok().map(|column| column as u32)
    }

    /// The same with columns for these items, too, whether anybody has a preference for them or not.
    pub fn with_items(self, items: impl IntoIterator<Item = ItemId>) -> Self {
        let mut all = self.items.clone();
        all.extend(items);
        all.sort_unstable();
        all.dedup();
        let moved: Vec<u32> =
            self.items.iter().filter_map(|item| all.binary_search(item).ok()).map(|column| column as u32).collect();
        let row = |row: usize| {
            let (columns, weights) = self.matrix.row(row);
            columns.iter().zip(weights).filter_map(|(column, weight)| Some((*moved.get(*column as usize)?, *weight)))
        };
        let rows = (0..self.matrix.n_rows()).map(|place| row(place).collect()).collect();
        let mut trend = vec![1.0; if self.trend.is_empty() { 0 } else { all.len() }];
        for (column, value) in moved.iter().zip(&self.trend) {
            if let Some(slot) = trend.get_mut(*column as usize) {
                *slot = *value;
            }
        }
        Self { users: self.users, matrix: Csr::from_rows(all.len(), rows), items: all, trend }
    }

    /// Reduces signals, given in the order of time, to one weight a pair.
    pub fn from_signals(mut signals: Vec<(UserId, ItemId, Signal)>, weights: &EventWeights) -> Self {
        // Stable: events of one pair stay in the order of time.
        signals.sort_by_key(|(user, item, _)| (*user, *item));
        let mut pairs: Vec<(UserId, ItemId, f32)> = Vec::new();
        for pair in signals.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            if let (Some((user, item, _)), Some(weight)) =
                (pair.first(), weights.combine(pair.iter().map(|(.., signal)| *signal)))
            {
                pairs.push((*user, *item, weight));
            }
        }
        drop(signals);
        let mut items: Vec<ItemId> = pairs.iter().map(|(_, item, _)| *item).collect();
        items.sort_unstable();
        items.dedup();
        let mut users = Vec::new();
        let mut rows = Vec::new();
        for of_user in pairs.chunk_by(|a, b| a.0 == b.0) {
            users.extend(of_user.first().map(|(user, ..)| *user));
            let column = |item| items.binary_search(&item).map(|column| column as u32);
            rows.push(of_user.iter().filter_map(|(_, item, weight)| Some((column(*item).ok()?, *weight))).collect());
        }
        let matrix = Csr::from_rows(items.len(), rows);
        Self { users, items, matrix, trend: Vec::new() }
    }

    /// The same preferences of some users only, with the items that they have.
    pub fn of_users(&self, is_wanted: impl Fn(UserId) -> bool) -> Self {
        let rows: Vec<usize> = (0..self.users.len()).filter(|row| is_wanted(self.users[*row])).collect();
        let mut place = vec![None; self.matrix.n_cols()];
        for column in rows.iter().flat_map(|row| self.matrix.row(*row).0) {
            place[*column as usize] = Some(0);
        }
        let mut items = Vec::new();
        for (slot, item) in place.iter_mut().zip(&self.items).filter(|(slot, _)| slot.is_some()) {
            *slot = Some(items.len() as u32);
            items.push(*item);
        }
        let row = |row: &usize| {
            let (columns, weights) = self.matrix.row(*row);
            columns
                .iter()
                .zip(weights)
                .filter_map(|(column, weight)| Some((place[*column as usize]?, *weight)))
                .collect()
        };
        let matrix = Csr::from_rows(items.len(), rows.iter().map(row).collect());
        let kept = place.iter().zip(&self.trend).filter(|(slot, _)| slot.is_some());
        let trend = kept.map(|(_, value)| *value).collect();
        Self { users: rows.iter().map(|row| self.users[*row]).collect(), items, matrix, trend }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EventsConfig;

    #[test]
    fn rows_and_columns_are_those_that_have_a_preference() {
        let weights = EventWeights::new(&EventsConfig::default());
        let signal = |user, item, signal| (UserId::new(user), ItemId::new(item), signal);
        let interactions = Interactions::from_signals(
            vec![
                signal(7, 9, Signal::Positive(1.0)),
                signal(3, 9, Signal::Positive(2.0)),
                signal(5, 4, Signal::Ignored),
                signal(7, 2, Signal::Positive(1.0)),
                signal(3, 8, Signal::Positive(1.0)),
                signal(3, 8, Signal::Negative),
                signal(7, 9, Signal::Positive(3.0)),
            ],
            &weights,
        );
        assert_eq!(interactions.users, [UserId::new(3), UserId::new(7)]);
        assert_eq!(interactions.items, [ItemId::new(2), ItemId::new(9)]);
        assert_eq!(interactions.matrix.row(0), (&[1][..], &[2.0][..]));
        assert_eq!(interactions.matrix.row(1), (&[0, 1][..], &[1.0, 3.0][..]));
        assert_eq!(interactions.row_of(UserId::new(7)), Some(1));
        assert_eq!(interactions.column_of(ItemId::new(8)), None);

        let part = interactions.of_users(|user| user == UserId::new(3));
        assert_eq!((part.users, part.items), (vec![UserId::new(3)], vec![ItemId::new(9)]));
        assert_eq!(part.matrix.row(0), (&[0][..], &[2.0][..]));
    }

    #[test]
    fn more_columns_leave_every_preference_with_its_item() {
        let weights = EventWeights::new(&EventsConfig::default());
        let signal = |user, item| (UserId::new(user), ItemId::new(item), Signal::Positive(item as f32));
        let narrow = Interactions::from_signals(vec![signal(0, 5), signal(0, 7), signal(1, 7)], &weights);
        let wide = narrow.with_items([6, 9, 5, 1].map(ItemId::new));
        assert_eq!(wide.items, [1, 5, 6, 7, 9].map(ItemId::new));
        assert_eq!(wide.matrix.row(0), (&[1, 3][..], &[5.0, 7.0][..]));
        assert_eq!(wide.matrix.row(1), (&[3][..], &[7.0][..]));
        assert_eq!(wide.matrix.n_cols(), 5);
    }
}
