//! Two lists in one: team-draft interleaving (Radlinski, Kurup & Joachims, CIKM 2008). In each round a coin says who
//! chooses first; each side then adds its best item that is not there yet. A click is credited to the side whose item it
//! was. As every user sees both sides at once, far fewer of them are needed than for two separate groups.

use rustc_hash::FxHashSet;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::mismatch::p_value_with;

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Team {
    /// The control.
    First,
    /// What is compared with it.
    Second,
}

/// Drafts up to `limit` items from two ranked lists: places in the lists, and whose item it is. At the places of `settled` both
/// have the same item, which stays there and is nobody's: it belongs to no choice. `seed` stands for the coin. `admit` is asked
/// for each item, by its place, that a side would take, which is then in the list, or refused: then the side takes its next one
/// that is not. What is refused once is refused for good.
pub fn team_draft<T: std::hash::Hash + Eq>(
    first: &[T],
    second: &[T],
    settled: &[usize],
    limit: usize,
    seed: u64,
    admit: &mut dyn FnMut(Team, usize) -> bool,
) -> Vec<(Option<Team>, usize)> {
    let mut drafted = Vec::with_capacity(limit);
    let mut taken: FxHashSet<&T> = settled.iter().filter_map(|place| first.get(*place)).collect();
    let settle = |drafted: &mut Vec<(Option<Team>, usize)>| {
        while drafted.len() < limit && settled.contains(&drafted.len()) {
            drafted.push((None, drafted.len()));
        }
    };
    settle(&mut drafted);
    let (mut next_first, mut next_second) = (0, 0);
    for round in 0u64.. {
        let before = drafted.len();
        let first_begins = xxh3_64_with_seed(&round.to_le_bytes(), seed) & 1 == 0;
        let order = if first_begins { [Team::First, Team::Second] } else { [Team::Second, Team::First] };
        for team in order {
            let (list, next) = match team {
                Team::First => (first, &mut next_first),
                Team::Second => (second, &mut next_second),
            };
            if drafted.len() >= limit {
                break;
            }
            while let Some(item) = list.get(*next) {
                let place = *next;
                *next += 1;
                if !taken.contains(item) && admit(team, place) {
                    taken.insert(item);
                    drafted.push((Some(team), place));
                    settle(&mut drafted);
                    break;
                }
            }
        }
        if drafted.len() == before || drafted.len() >= limit {
            break;
        }
    }
    drafted
}

/// What one user's clicks say: by how many more of them fell to the second side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Preferences {
    /// Users who clicked more items of the first side.
    pub first: u64,
    /// Users who clicked more items of the second side.
    pub second: u64,
    /// Users who clicked as many of both, at least one.
    pub ties: u64,
}

impl Preferences {
    /// Counts a user with so many clicks on either side.
    pub fn add(&mut self, first: u64, second: u64) {
        match first.cmp(&second) {
            std::cmp::Ordering::Greater => self.first += 1,
            std::cmp::Ordering::Less => self.second += 1,
            std::cmp::Ordering::Equal if first > 0 => self.ties += 1,
            std::cmp::Ordering::Equal => {}
        }
    }

    /// Δ of Chapelle et al. (TOIS 2012, eq. 1): the share of users who prefer the second side, ties counted half, less ½.
    pub fn lead(&self) -> f64 {
        let all = self.first + self.second + self.ties;
        if all == 0 { 0.0 } else { (self.second as f64 + self.ties as f64 / 2.0) / all as f64 - 0.5 }
    }

    /// The always-valid p-value of a sign test against no preference; ties say nothing.
    pub fn p(&self) -> f64 {
        p_value_with(&[self.first, self.second], &[0.5, 0.5], SIGN_CONCENTRATION)
    }
}

/// Preferences of one in ten users or more are what is looked for.
const SIGN_CONCENTRATION: f64 = 50.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    proptest! {
        #[test]
        fn a_draft_is_without_repeats_fair_and_in_each_sides_order(
            first in proptest::collection::hash_set(0..40u32, 0..20), second in proptest::collection::hash_set(0..40u32, 0..20),
            pins in proptest::collection::btree_set(0..12usize, 0..4), limit in 1..25usize, seed: u64,
        ) {
            let (mut first, mut second) = (Vec::from_iter(first), Vec::from_iter(second));
            let mut settled = Vec::new();
            for place in pins {
                if place <= first.len().min(second.len()) {
                    first.insert(place, 100 + place as u32);
                    second.insert(place, 100 + place as u32);
                    settled.push(place);
                }
            }
            let drafted = team_draft(&first, &second, &settled, limit, seed, &mut |_, _| true);
            let item = |(team, place): &(Option<Team>, usize)| match team {
                Some(Team::Second) => second[*place],
                _ => first[*place],
            };
            for (place, of) in drafted.iter().enumerate() {
                prop_assert_eq!(of.0.is_none(), settled.contains(&place));
                prop_assert!(of.0.is_some() || item(of) == 100 + place as u32);
            }
            let items: FxHashSet<u32> = drafted.iter().map(item).collect();
            prop_assert_eq!(items.len(), drafted.len());
            let all: FxHashSet<u32> = first.iter().chain(&second).copied().collect();
            prop_assert_eq!(drafted.len(), limit.min(all.len()));
            for team in [Team::First, Team::Second] {
                let places: Vec<usize> = drafted.iter().filter(|(of, _)| *of == Some(team)).map(|(_, place)| *place).collect();
                prop_assert!(places.is_sorted());
            }
        }

        #[test]
        fn whoever_passes_over_an_item_takes_the_next_that_fits(
            first in proptest::collection::hash_set(0..40u32, 0..20), second in proptest::collection::hash_set(0..40u32, 0..20),
            most in 1..4u32, limit in 1..25usize, seed: u64,
        ) {
            let (first, second) = (Vec::from_iter(first), Vec::from_iter(second));
            let list = |team| if team == Team::First { &first } else { &second };
            // Six kinds of items, of each so many at most.
            let mut counts = [0u32; 6];
            let mut admit = |team, place: usize| {
                let count = &mut counts[list(team)[place] as usize % 6];
                let fits = *count < most;
                *count += u32::from(fits);
                fits
            };
            let drafted = team_draft(&first, &second, &[], limit, seed, &mut admit);
            let (mut counts, mut taken, mut turns) = ([0u32; 6], FxHashSet::default(), [0i64; 2]);
            for (team, place) in &drafted {
                let team = team.unwrap();
                let fits = |item: &&u32| counts[**item as usize % 6] < most && !taken.contains(*item);
                prop_assert_eq!(list(team).iter().find(fits), Some(&list(team)[*place]), "the best that fits");
                let other = if team == Team::First { Team::Second } else { Team::First };
                turns[team as usize] += 1;
                if list(other).iter().any(|item| fits(&item)) {
                    prop_assert!((turns[team as usize] - turns[other as usize]).abs() <= 1, "in turns while both have some");
                } else {
                    turns[other as usize] = turns[team as usize];
                }
                counts[list(team)[*place] as usize % 6] += 1;
                taken.insert(list(team)[*place]);
            }
            let left = [&first, &second].into_iter().flatten().filter(|item| counts[**item as usize % 6] < most && !taken.contains(*item));
            prop_assert!(drafted.len() == limit || left.count() == 0, "short only where nothing fits");
        }

        #[test]
        fn while_both_have_items_the_sides_are_one_apart_at_most(seed: u64, limit in 1..10usize) {
            let (first, second): (Vec<u32>, Vec<u32>) = ((0..10).collect(), (20..30).collect());
            let drafted = team_draft(&first, &second, &[], limit, seed, &mut |_, _| true);
            let lead = drafted.iter().filter(|(team, _)| *team == Some(Team::First)).count() as i64 * 2 - limit as i64;
            prop_assert!(lead.abs() <= 1);
        }
    }

    /// Users click the items they like, whoever chose them; the second side likes what users like a little more often.
    fn preferences(users: usize, better: f64, seed: u64) -> Preferences {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut preferences = Preferences::default();
        for _ in 0..users {
            let (mut first, mut second) = (0, 0);
            let list = |offset: u32| (0..10).map(|n| offset + n).collect::<Vec<u32>>();
            for (team, _) in team_draft(&list(0), &list(5), &[], 10, random.random(), &mut |_, _| true) {
                let clicked = random.random::<f64>() < 0.2 * if team == Some(Team::Second) { better } else { 1.0 };
                *(if team == Some(Team::First) { &mut first } else { &mut second }) += u64::from(clicked);
            }
            preferences.add(first, second);
        }
        preferences
    }

    #[test]
    fn equal_sides_are_found_equal_and_a_better_one_better() {
        let found = (0..400).filter(|seed| {
            // Ten looks.
            (1..=10).any(|look| preferences(look * 200, 1.0, *seed).p() < 0.05)
        });
        let found = found.count();
        println!("interleaving of equal sides: {found} of 400 find a preference at any of 10 looks");
        assert!(found <= 20, "{found}");
        let better = preferences(2_000, 1.3, 1);
        assert!(better.p() < 0.001 && better.lead() > 0.03, "{better:?} {}", better.p());
    }
}
