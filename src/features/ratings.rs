//! Explicit ratings as values, apart from what they say about preferences: a low rating is no preference, and yet most of
//! what a model of ratings learns from.

use super::csr::Csr;
use super::interactions::Interactions;
use crate::record::{ItemId, UserId};

/// One rating for each pair, by user and item.
pub struct Ratings {
    pairs: Vec<(UserId, ItemId, f32)>,
}

/// A rating to be foretold: row and column of the training matrix, where they are known there, and the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TestRating {
    /// Who rated, by the order of users; users are what intervals resample.
    pub user: UserId,
    /// The user's row.
    pub row: Option<u32>,
    /// The item's column.
    pub column: Option<u32>,
    /// The rating.
    pub value: f32,
}

/// Ratings to learn from and ratings to be foretold.
pub struct RatedSplit {
    /// In the shape of the training matrix.
    pub train: Csr,
    /// By user.
    pub test: Vec<TestRating>,
}

impl Ratings {
    /// The last rating of each pair, from ratings in the order of time.
    pub fn last_of(mut ratings: Vec<(UserId, ItemId, f32)>) -> Self {
        // Newest first, so that the last of a pair is the one that is kept.
        ratings.reverse();
        ratings.sort_by_key(|(user, item, _)| (*user, *item));
        ratings.dedup_by_key(|(user, item, _)| (*user, *item));
        Self { pairs: ratings }
    }

    /// In the shape of a matrix, `[users, items]`; `None` when there are none.
    pub fn matrix(&self, shape: &Interactions) -> Option<Csr> {
        let mut rows = vec![Vec::new(); shape.users.len()];
        for (user, item, value) in &self.pairs {
            if let (Some(row), Some(column)) = (shape.row_of(*user), shape.column_of(*item))
                && let Some(row) = rows.get_mut(row as usize)
            {
                row.push((column, *value));
            }
        }
        (!self.pairs.is_empty()).then(|| Csr::from_rows(shape.items.len(), rows))
    }
}

impl RatedSplit {
    /// Fits both parts to the training matrix. `None` when one of them is empty.
    pub fn new(learned: &Ratings, measured: &Ratings, train: &Interactions) -> Option<Self> {
        let test = |(user, item, value): &(UserId, ItemId, f32)| TestRating {
            user: *user,
            row: train.row_of(*user),
            column: train.column_of(*item),
            value: *value,
        };
        let test: Vec<TestRating> = measured.pairs.iter().map(test).collect();
        (!test.is_empty()).then_some(Self { train: learned.matrix(train)?, test })
    }
}

impl Interactions {
    /// The same matrix with an empty row and column for every other user and item that has a rating.
    pub fn widened(self, ratings: &Ratings) -> Self {
        let union = |known: &[u32], rated: &mut dyn Iterator<Item = u32>| {
            let mut all: Vec<u32> = known.iter().copied().chain(rated).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let known: Vec<u32> = self.users.iter().map(|user| user.get()).collect();
        let users = union(&known, &mut ratings.pairs.iter().map(|(user, ..)| user.get()));
        let known: Vec<u32> = self.items.iter().map(|item| item.get()).collect();
        let items = union(&known, &mut ratings.pairs.iter().map(|(_, item, _)| item.get()));
        let column = |item: &ItemId| items.binary_search(&item.get()).map_or(0, |column| column as u32);
        let columns: Vec<u32> = self.items.iter().map(column).collect();
        let row = |user: &u32| {
            let Some(row) = self.row_of(UserId::new(*user)) else { return Vec::new() };
            let (ids, values) = self.matrix.row(row as usize);
            ids.iter().filter_map(|id| columns.get(*id as usize)).copied().zip(values.iter().copied()).collect()
        };
        let matrix = Csr::from_rows(items.len(), users.iter().map(row).collect());
        Self {
            users: users.into_iter().map(UserId::new).collect(),
            items: items.into_iter().map(ItemId::new).collect(),
            matrix,
            trend: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rating(user: u32, item: u32, value: f32) -> (UserId, ItemId, f32) {
        (UserId::new(user), ItemId::new(item), value)
    }

    /// User 2 prefers item 4; users 1 and 2 rated items 3 and 4.
    fn interactions() -> (Interactions, Ratings) {
        let known = Interactions {
            users: vec![UserId::new(2)],
            items: vec![ItemId::new(4)],
            matrix: Csr::from_rows(1, vec![vec![(0, 1.0)]]),
            trend: Vec::new(),
        };
        let rated = [rating(2, 4, 1.0), rating(2, 3, 2.0), rating(1, 3, 3.0), rating(2, 4, 5.0)];
        (known, Ratings::last_of(rated.to_vec()))
    }

    #[test]
    fn the_last_rating_of_a_pair_counts() {
        let (known, ratings) = interactions();
        let wide = known.widened(&ratings);
        let matrix = ratings.matrix(&wide).unwrap();
        assert_eq!(matrix.row(1), (&[0, 1][..], &[2.0, 5.0][..]));
    }

    #[test]
    fn who_only_rates_low_has_a_row_but_no_preference() {
        let (known, ratings) = interactions();
        let wide = known.widened(&ratings);
        assert_eq!(wide.users, [UserId::new(1), UserId::new(2)]);
        assert_eq!(wide.items, [ItemId::new(3), ItemId::new(4)]);
        assert_eq!(wide.matrix.row(0), (&[][..], &[][..]));
        assert_eq!(wide.matrix.row(1), (&[1][..], &[1.0][..]));
    }

    #[test]
    fn a_test_rating_of_a_stranger_is_kept() {
        let (known, ratings) = interactions();
        let measured = Ratings::last_of(vec![rating(9, 4, 4.0), rating(2, 8, 1.0)]);
        let wide = known.widened(&ratings);
        let split = RatedSplit::new(&ratings, &measured, &wide).unwrap();
        let places: Vec<_> = split.test.iter().map(|test| (test.row, test.column, test.value)).collect();
        assert_eq!(places, [(Some(1), None, 1.0), (None, Some(1), 4.0)]);
        assert!(RatedSplit::new(&ratings, &Ratings::last_of(Vec::new()), &wide).is_none());
    }

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn widening_keeps_every_preference(
            liked in prop::collection::vec((0u32..6, 0u32..6), 1..12),
            rated in prop::collection::vec((0u32..9, 0u32..9), 0..12),
        ) {
            let weights = crate::features::EventWeights::new(&crate::config::EventsConfig::default());
            let signal = |(user, item): &(u32, u32)| {
                (UserId::new(*user), ItemId::new(*item), crate::features::Signal::Positive(1.0))
            };
            let known = Interactions::from_signals(liked.iter().map(signal).collect(), &weights);
            let ratings = Ratings::last_of(rated.iter().map(|(user, item)| rating(*user, *item, 1.0)).collect());
            let pairs = known.matrix.nnz();
            let wide = known.widened(&ratings);
            prop_assert_eq!(wide.matrix.nnz(), pairs);
            for (user, item) in &liked {
                let (row, column) = (wide.row_of(UserId::new(*user)).unwrap(), wide.column_of(ItemId::new(*item)).unwrap());
                prop_assert!(wide.matrix.row(row as usize).0.contains(&column));
            }
            for (user, item) in &rated {
                prop_assert!(wide.row_of(UserId::new(*user)).is_some() && wide.column_of(ItemId::new(*item)).is_some());
            }
        }
    }
}
