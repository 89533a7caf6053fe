//! People and things whose tastes are known, because they are drawn. Everything is a function of the seed, the day and
//! the number of who is concerned, so that all policies meet the same people with the same luck.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Latent dimensions of tastes and items.
const DIMENSION: usize = 8;
pub const CATEGORIES: usize = 12;
const FIRST_ITEMS: usize = 300;
const ITEMS_A_DAY: usize = 10;
const FIRST_USERS: usize = 400;
const USERS_A_DAY: usize = 6;
/// Probability that somebody does not come back after a day.
const LEAVING: f64 = 0.012;
/// Standard deviation of a day's step of a taste.
const DAILY_DRIFT: f64 = 0.03;
/// An item's appeal falls by so much a day.
const AGEING: f64 = 0.02;
/// Share of people whose tastes are drawn anew at the planted drift.
const CONVERTED: f64 = 0.7;
/// How much the fashion of a category moves at the planted drift, as a standard deviation.
const FASHION: f64 = 0.8;

type Vector = [f64; DIMENSION];

/// What a random stream is for: streams of different purposes have nothing in common.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Setup = 1,
    Item,
    User,
    Step,
    Drift,
    Visit,
    Search,
    Policy,
}

/// A stream of its own for each purpose, day and number.
pub fn stream(seed: u64, purpose: Purpose, day: usize, number: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    let words = [seed, purpose as u64, day as u64, number as u64];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

pub struct Item {
    pub category: usize,
    pub born: usize,
    vector: Vector,
    quality: f64,
}

pub struct User {
    pub present: bool,
    taste: Vector,
}

/// The state of the world on one day.
pub struct Population {
    pub seed: u64,
    pub day: usize,
    pub items: Vec<Item>,
    pub users: Vec<User>,
    centres: Vec<Vector>,
    fashion: Vec<f64>,
}

impl Population {
    pub fn new(seed: u64) -> Self {
        let mut rng = stream(seed, Purpose::Setup, 0, 0);
        let centres = (0..CATEGORIES).map(|_| unit(normal(&mut rng, 1.0))).collect();
        let mut new =
            Self { seed, day: 0, items: Vec::new(), users: Vec::new(), centres, fashion: vec![0.0; CATEGORIES] };
        new.arrive(FIRST_ITEMS, FIRST_USERS);
        new
    }

    /// The next day: tastes drift, people leave and arrive, items are published. `planted`: many change their minds at
    /// once, and other categories are in fashion.
    pub fn next_day(&mut self, planted: bool) {
        self.day += 1;
        for (number, user) in self.users.iter_mut().enumerate() {
            let mut rng = stream(self.seed, Purpose::Step, self.day, number);
            user.present &= !rng.random_bool(LEAVING);
            let step = normal(&mut rng, DAILY_DRIFT);
            user.taste = unit(std::array::from_fn(|place| user.taste[place] + step[place]));
        }
        if planted {
            let mut rng = stream(self.seed, Purpose::Drift, self.day, 0);
            for fashion in &mut self.fashion {
                *fashion += FASHION * rng.sample::<f64, _>(StandardNormal);
            }
            for user in &mut self.users {
                let converted = rng.random_bool(CONVERTED);
                let taste = taste(&self.centres, &mut rng);
                if converted {
                    user.taste = taste;
                }
            }
        }
        self.arrive(ITEMS_A_DAY, USERS_A_DAY);
    }

    fn arrive(&mut self, items: usize, users: usize) {
        for number in self.items.len()..self.items.len() + items {
            let mut rng = stream(self.seed, Purpose::Item, 0, number);
            let category = rng.random_range(0..CATEGORIES);
            let noise = normal(&mut rng, 0.25);
            let vector = std::array::from_fn(|place| self.centres[category][place] + noise[place]);
            let quality = 0.7 * rng.sample::<f64, _>(StandardNormal);
            self.items.push(Item { category, born: self.day, vector, quality });
        }
        for number in self.users.len()..self.users.len() + users {
            let taste = taste(&self.centres, &mut stream(self.seed, Purpose::User, 0, number));
            self.users.push(User { present: true, taste });
        }
    }

    /// The probability that `user` takes `item` when seeing it, today.
    pub fn attraction(&self, user: usize, item: usize) -> f64 {
        let (taste, item) = (&self.users[user].taste, &self.items[item]);
        let liking: f64 = taste.iter().zip(&item.vector).map(|(a, b)| a * b).sum();
        let age = (self.day - item.born) as f64;
        let utility = 3.0 * liking + item.quality + self.fashion[item.category] - AGEING * age;
        1.0 / (1.0 + (3.2 - utility).exp())
    }
}

/// Two categories that somebody likes, one more than the other, and something of his own.
fn taste(centres: &[Vector], rng: &mut ChaCha8Rng) -> Vector {
    let (first, second) = (rng.random_range(0..centres.len()), rng.random_range(0..centres.len()));
    let own = normal(rng, 0.2);
    unit(std::array::from_fn(|place| centres[first][place] + 0.6 * centres[second][place] + own[place]))
}

fn normal(rng: &mut ChaCha8Rng, deviation: f64) -> Vector {
    std::array::from_fn(|_| deviation * rng.sample::<f64, _>(StandardNormal))
}

fn unit(vector: Vector) -> Vector {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    vector.map(|x| x / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seed: u64, days: usize, planted: Option<usize>) -> Population {
        let mut population = Population::new(seed);
        for day in 1..=days {
            population.next_day(planted == Some(day));
        }
        population
    }

    fn attractions(population: &Population) -> Vec<f64> {
        (0..50)
            .flat_map(|user| (0..50).map(move |item| (user, item)))
            .map(|(u, i)| population.attraction(u, i))
            .collect()
    }

    fn mean_change(a: &Population, b: &Population) -> f64 {
        let (a, b) = (attractions(a), attractions(b));
        a.iter().zip(&b).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn the_seed_decides_everything() {
        assert_eq!(attractions(&after(7, 9, Some(5))), attractions(&after(7, 9, Some(5))));
        assert_ne!(attractions(&after(7, 9, Some(5))), attractions(&after(8, 9, Some(5))));
    }

    #[test]
    fn a_planted_drift_changes_more_than_a_day_does() {
        let before = after(7, 4, None);
        assert!(mean_change(&before, &after(7, 5, Some(5))) > 3.0 * mean_change(&before, &after(7, 5, None)));
    }

    #[test]
    fn people_and_things_come_and_people_go() {
        let later = after(7, 10, None);
        assert_eq!(later.items.len(), FIRST_ITEMS + 10 * ITEMS_A_DAY);
        assert_eq!(later.users.len(), FIRST_USERS + 10 * USERS_A_DAY);
        assert!(later.users.iter().any(|user| !user.present));
        assert!(later.items.iter().any(|item| item.born == 10));
    }

    #[test]
    fn people_differ_in_what_they_like() {
        let population = Population::new(7);
        let best = |user| {
            (0..FIRST_ITEMS).max_by(|a, b| population.attraction(user, *a).total_cmp(&population.attraction(user, *b)))
        };
        let mut favourites: Vec<_> = (0..100).map(best).collect();
        favourites.sort_unstable();
        favourites.dedup();
        assert!(favourites.len() > 20);
    }
}
