//! Hold-outs of data without times. A pair drawn at random leaves what is most like it in the training part, so that models
//! win by knowing what goes together; what a user takes tomorrow is less like what the user has. Here half of the users lose
//! pairs at random and the other half a block: an item with those of the user's others that are nearest to it (blocked
//! cross-validation, Roberts et al., Ecography 2017). Settings that serve both serve a future that nobody has seen.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::csr::Csr;
use super::holdout::{Draw, PairFold, Splitter};
use super::interactions::Interactions;
use super::log::TimedSignal;
use super::svd::truncated_svd;
use crate::error::Result;
use crate::linalg::{Matrix, dot};
use crate::progress::Progress;
use crate::record::{ItemId, UserId};

/// Coarse enough that items without common users can be near, too.
const COMPONENTS: usize = 64;
const SEED: u64 = 42;
/// Apart from the seeds of [`PairFold`].
const BLOCKS: u64 = 1 << 32;
/// What is drawn for a user beside its items, whose numbers are less.
const SIDE: u64 = u32::MAX as u64 - 1;
const ROUNDING: u64 = (u32::MAX as u64) << 32;

/// The folds of some data.
pub struct BlockFolds {
    draw: Draw,
    folds: u64,
    items: Vec<ItemId>,
    /// Where each item is among the others: unit vectors, `[n_items, COMPONENTS]`.
    places: Matrix,
}

impl BlockFolds {
    /// Folds of what `data` is made from, each measuring one pair in `folds`.
    ///
    /// # Errors
    /// Those of [`truncated_svd`].
    pub fn new(data: &Interactions, draw: Draw, folds: u64, progress: &dyn Progress) -> Result<Self> {
        let roots = |matrix: &Csr| -> Vec<f32> {
            let mass = |row: usize| matrix.row(row).1.iter().sum::<f32>().max(f32::MIN_POSITIVE);
            (0..matrix.n_rows()).map(|row| mass(row).sqrt().recip()).collect()
        };
        let normalised = data.matrix.scaled(&roots(&data.matrix), &roots(&data.matrix.transpose()));
        let svd = truncated_svd(&normalised, COMPONENTS, SEED, progress)?;
        let mut places = svd.right;
        for item in 0..data.items.len() {
            let row = places.row_mut(item);
            row.iter_mut().zip(&svd.values).for_each(|(place, value)| *place *= *value as f32);
            let length = dot(row, row).sqrt().max(f32::MIN_POSITIVE);
            row.iter_mut().for_each(|place| *place /= length);
        }
        Ok(Self { draw, folds: folds.max(1), items: data.items.clone(), places })
    }

    /// One of them. A user's blocks in several folds can have pairs in common.
    pub fn fold(&self, fold: u64) -> BlockFold<'_> {
        BlockFold { of: self, fold }
    }

    /// A number for a user and something else, the same at every call.
    fn drawn(&self, user: UserId, what: u64) -> u64 {
        let key = [u64::from(user.get()).to_le_bytes(), what.to_le_bytes()].concat();
        xxh3_64_with_seed(&key, BLOCKS + self.draw as u64)
    }

    /// Cosine of two items; 0 where one is not in the data.
    fn likeness(&self, a: ItemId, b: ItemId) -> f32 {
        let column = |item| self.items.binary_search(&item).ok();
        column(a).zip(column(b)).map_or(0.0, |(a, b)| dot(self.places.row(a), self.places.row(b)))
    }

    /// The items of a user that are held out together: one that is drawn and the nearest to it.
    fn block(&self, user: UserId, items: &[ItemId], fold: u64) -> Vec<ItemId> {
        let wanted = items.len() as f64 / self.folds as f64;
        let up = (self.drawn(user, ROUNDING | fold) as f64) < wanted.fract() * u64::MAX as f64;
        let drawn = |item: &&ItemId| self.drawn(user, u64::from(item.get()) << 32 | fold);
        // What nobody likes is like nothing.
        let is_known = |item: &&ItemId| self.items.binary_search(item).is_ok();
        let Some(seed) = items.iter().filter(is_known).min_by_key(drawn) else { return Vec::new() };
        let mut near: Vec<(f32, ItemId)> = items.iter().map(|item| (self.likeness(*seed, *item), *item)).collect();
        near.sort_by(|a, b| (b.1 == *seed).cmp(&(a.1 == *seed)).then(b.0.total_cmp(&a.0)).then(a.1.cmp(&b.1)));
        near.into_iter().take(wanted as usize + usize::from(up)).map(|(_, item)| item).collect()
    }
}

/// One fold: a hold-out of random pairs for half of the users, of a block for the others.
pub struct BlockFold<'a> {
    of: &'a BlockFolds,
    fold: u64,
}

impl Splitter for BlockFold<'_> {
    fn is_test(&self, events: &[TimedSignal]) -> Vec<bool> {
        let Self { of, fold } = *self;
        let mut is_test = PairFold { draw: of.draw, folds: of.folds, fold }.is_test(events);
        let has_block = |user: UserId| of.drawn(user, SIDE).is_multiple_of(2);
        let mut places: Vec<(UserId, ItemId, usize)> = Vec::new();
        for (place, event) in events.iter().enumerate().filter(|(_, event)| has_block(event.user)) {
            places.push((event.user, event.item, place));
        }
        places.sort_unstable();
        for of_user in places.chunk_by(|a, b| a.0 == b.0) {
            let mut items: Vec<ItemId> = of_user.iter().map(|(_, item, _)| *item).collect();
            items.dedup();
            let mut block = of_user.first().map_or_else(Vec::new, |(user, ..)| of.block(*user, &items, fold));
            block.sort_unstable();
            for (_, item, place) in of_user {
                if let Some(slot) = is_test.get_mut(*place) {
                    *slot = block.binary_search(item).is_ok();
                }
            }
        }
        is_test
    }

    fn describe(&self) -> String {
        let (part, folds) = (self.fold + 1, self.of.folds);
        format!(
            "pairs of half of the users drawn at random, of the others in blocks, part {part} of {folds} is for testing"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EventsConfig;
    use crate::features::{EventWeights, Signal};
    use crate::progress::Silent;
    use crate::record::Timestamp;

    /// 200 users with six of each of two of five genres of 30 items.
    fn events() -> Vec<TimedSignal> {
        let pair = |user: u32, k: u32| {
            let genre = if k < 6 { user % 5 } else { (user / 5) % 5 };
            genre * 30 + (user * 7 + k * 11) % 30
        };
        let event = |user, item| TimedSignal {
            time: Timestamp::MIN,
            user: UserId::new(user),
            item: ItemId::new(item),
            signal: Signal::Positive(1.0),
            session: None,
        };
        (0..200).flat_map(|user| (0..12).map(move |k| event(user, pair(user, k)))).collect()
    }

    fn folds(events: &[TimedSignal]) -> BlockFolds {
        let signals = events.iter().map(|event| (event.user, event.item, event.signal)).collect();
        let weights = EventWeights::new(&EventsConfig::default());
        BlockFolds::new(&Interactions::from_signals(signals, &weights), Draw::Validation, 4, &Silent).unwrap()
    }

    #[test]
    fn half_of_the_users_lose_items_of_one_kind() {
        let events = events();
        let folds = folds(&events);
        let is_test = folds.fold(0).is_test(&events);
        let (mut whole, mut mixed) = (0, 0);
        for user in (0..200).filter(|user| user % 5 != (user / 5) % 5) {
            let held = events.iter().zip(&is_test).filter(|(event, held)| **held && event.user.get() == user);
            let genres: Vec<u32> = held.map(|(event, _)| event.item.get() / 30).collect();
            let count = if genres.iter().all(|genre| Some(genre) == genres.first()) { &mut whole } else { &mut mixed };
            *count += usize::from(genres.len() >= 3);
        }
        assert!(whole > 60, "{whole} users lost a block, {mixed} from both genres");
        assert!(mixed > 30, "{whole} users lost a block, {mixed} from both genres");
    }

    #[test]
    fn a_fold_measures_its_share_and_each_fold_another_part() {
        let events = events();
        let folds = folds(&events);
        let (first, second) = (folds.fold(0).is_test(&events), folds.fold(1).is_test(&events));
        for held in [&first, &second] {
            let share = held.iter().filter(|held| **held).count() as f64 / events.len() as f64;
            assert!((0.22..0.28).contains(&share), "{share}");
        }
        let both = first.iter().zip(&second).filter(|(first, second)| **first && **second).count();
        assert!(both * 3 < events.len() / 4, "{both} of {} pairs are held out twice", events.len());
        assert_eq!(first, self::folds(&events).fold(0).is_test(&events), "the same at every call");
    }

    #[test]
    fn all_events_of_a_pair_are_on_one_side() {
        let once = events();
        let folds = folds(&once);
        let twice: Vec<TimedSignal> = once.iter().chain(&once).copied().collect();
        let is_test = folds.fold(0).is_test(&twice);
        assert_eq!(is_test[..once.len()], is_test[once.len()..]);
    }
}
