//! Exploration: some places of an answer are drawn for new items, whose scores nobody can be sure of yet (Thompson
//! sampling; Chapelle & Li, NIPS 2011). A draw is a function of the seed, the question and what is known of the one who
//! asks, so that an answer can be repeated; drawing many times tells with which probability an item would have entered.

use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::ExploreConfig;
use crate::record::ItemId;

/// Candidates of a draw: those that may score the highest.
const MAX_CANDIDATES: usize = 256;
/// A candidate may score so many standard deviations above its mean.
const REACH: f32 = 2.0;
/// Draws behind a propensity; the first is the one that counts.
const DRAWS: u64 = 128;

/// A new item with its score for the one who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Which.
    pub item: ItemId,
    /// Its expected score.
    pub mean: f32,
    /// How far off that may be.
    pub deviation: f32,
}

/// A drawn item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// Which.
    pub item: ItemId,
    /// Its expected score.
    pub score: f32,
    /// The share of all draws that it was in.
    pub propensity: f64,
}

/// What came of a draw.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Draw {
    /// What is shown, the highest draw first.
    pub drawn: Vec<Drawn>,
    /// What would have been shown each time, of all the draws that tell propensities.
    pub rounds: Vec<Vec<ItemId>>,
}

/// So many places of an answer of this length are for new items.
pub fn places(config: &ExploreConfig, limit: usize) -> usize {
    ((config.share * limit as f64).round() as usize).min(limit)
}

/// Draws `count` of the candidates, the highest draw first. `request` stands for the question.
pub fn draw(mut candidates: Vec<Candidate>, count: usize, seed: u64, request: u64) -> Draw {
    if count == 0 || candidates.is_empty() {
        return Draw::default();
    }
    let reach = |candidate: &Candidate| candidate.mean + REACH * candidate.deviation;
    candidates.sort_unstable_by(|a, b| reach(b).total_cmp(&reach(a)).then(a.item.cmp(&b.item)));
    candidates.truncate(MAX_CANDIDATES.max(count));
    let mut first = Vec::new();
    let mut rounds = Vec::with_capacity(DRAWS as usize);
    let mut entered: FxHashMap<ItemId, u32> = FxHashMap::default();
    for round in 0..DRAWS {
        let key = xxh3_64_with_seed(&round.to_le_bytes(), seed ^ request);
        let sampled = |candidate: &Candidate| candidate.mean + candidate.deviation * normal(key, candidate.item);
        let mut drawn: Vec<(f32, Candidate)> = candidates.iter().map(|c| (sampled(c), *c)).collect();
        drawn.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.item.cmp(&b.1.item)));
        drawn.truncate(count);
        drawn.iter().for_each(|(_, candidate)| *entered.entry(candidate.item).or_default() += 1);
        rounds.push(drawn.iter().map(|(_, candidate)| candidate.item).collect());
        if round == 0 {
            first = drawn;
        }
    }
    let propensity = |item| f64::from(entered.get(&item).copied().unwrap_or(0)) / DRAWS as f64;
    let drawn = |(_, c): (f32, Candidate)| Drawn { item: c.item, score: c.mean, propensity: propensity(c.item) };
    Draw { drawn: first.into_iter().map(drawn).collect(), rounds }
}

/// A standard normal number (Box & Muller 1958).
fn normal(key: u64, item: ItemId) -> f32 {
    let bits = xxh3_64_with_seed(&item.get().to_le_bytes(), key);
    // Two numbers in (0, 1] and [0, 1).
    let radius = ((bits >> 32) + 1) as f64 / (1u64 << 32) as f64;
    let angle = (bits & 0xffff_ffff) as f64 / (1u64 << 32) as f64;
    ((-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(deviation: f32) -> Vec<Candidate> {
        (0..30).map(|item| Candidate { item: ItemId::new(item), mean: item as f32 / 30.0, deviation }).collect()
    }

    #[test]
    fn what_is_sure_is_drawn_by_its_score() {
        let drawn = draw(candidates(0.0), 3, 1, 2).drawn;
        assert_eq!(drawn.iter().map(|drawn| drawn.item.get()).collect::<Vec<_>>(), [29, 28, 27]);
        assert!(drawn.iter().all(|drawn| drawn.propensity == 1.0));
    }

    #[test]
    fn a_draw_repeats_itself_and_another_question_draws_others() {
        let first = draw(candidates(0.5), 3, 1, 2);
        assert_eq!(first, draw(candidates(0.5), 3, 1, 2));
        let others = (3..13).map(|request| draw(candidates(0.5), 3, 1, request));
        assert!(others.filter(|other| *other != first).count() >= 8);
    }

    #[test]
    fn propensities_are_how_often_items_are_drawn() {
        let mut counts = [0.0; 30];
        let mut stated = [(0.0, 0.0); 30];
        for request in 0..2000 {
            for drawn in draw(candidates(0.3), 3, 7, request).drawn {
                counts[drawn.item.index()] += 1.0 / 2000.0;
                let (sum, times) = &mut stated[drawn.item.index()];
                *sum += drawn.propensity;
                *times += 1.0;
            }
        }
        for (count, (sum, times)) in counts.iter().zip(stated).filter(|(_, (_, times))| *times > 50.0) {
            assert!((count - sum / times).abs() < 0.05, "drawn {count}, stated {}", sum / times);
        }
        assert!(counts[29] > counts[0] && counts[15] > 0.0);
    }
}
