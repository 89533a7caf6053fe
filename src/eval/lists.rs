//! What the lists look like, apart from hits.

use rayon::prelude::*;

use super::ground::Ground;
use super::report::ListFigures;
use crate::features::Csr;

/// Diversity is measured on at most so many users.
const DIVERSITY_USERS: usize = 1000;
/// Steps of a Lorenz curve.
const LORENZ_STEPS: usize = 50;

/// In how many users' rows each item is.
pub fn item_counts(matrix: &Csr) -> Vec<u32> {
    let mut counts = vec![0; matrix.n_cols()];
    for row in 0..matrix.n_rows() {
        for column in matrix.row(row).0 {
            if let Some(count) = counts.get_mut(*column as usize) {
                *count += 1;
            }
        }
    }
    counts
}

/// Figures of all users' first `k` items, for each `k` of `cutoffs`, ascending.
pub fn figures(rankings: &[Vec<u32>], cutoffs: &[usize], ground: &Ground<'_>) -> Vec<ListFigures> {
    let popularity = &ground.popularity;
    let users = ground.holdout.train.matrix.n_rows().max(1) as f64;
    // An item that no training user has is as surprising as one that a single user has.
    let surprise = |count: u32| (users / f64::from(count.max(1))).log2();
    let diversity = diversity(rankings, cutoffs, ground);
    let of_cutoff = |(k, diversity): (&usize, f64)| {
        let (mut total, mut popular, mut surprising) = (0u64, 0u64, 0.0);
        for column in rankings.iter().flat_map(|ranked| ranked.iter().take(*k)) {
            let count = popularity.get(*column as usize).copied().unwrap_or(0);
            total += 1;
            popular += u64::from(count);
            surprising += surprise(count);
        }
        let listed = listed(rankings, *k, popularity.len());
        ListFigures {
            k: *k as u64,
            coverage: listed.iter().filter(|count| **count > 0).count() as f64 / listed.len().max(1) as f64,
            mean_popularity: popular as f64 / total.max(1) as f64,
            gini: gini(listed),
            novelty: surprising / total.max(1) as f64,
            diversity,
        }
    };
    cutoffs.iter().zip(diversity).map(of_cutoff).collect()
}

/// How often each item is among the first `k`.
pub fn listed(rankings: &[Vec<u32>], k: usize, items: usize) -> Vec<u64> {
    let mut listed = vec![0; items];
    for column in rankings.iter().flat_map(|ranked| ranked.iter().take(k)) {
        if let Some(count) = listed.get_mut(*column as usize) {
            *count += 1;
        }
    }
    listed
}

/// The share of the whole that the smallest 0 %, 2 %, … 100 % of the counts have, between counts in proportion.
pub fn lorenz(mut counts: Vec<u64>) -> Vec<f64> {
    counts.sort_unstable();
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let mut sums = vec![0.0];
    sums.extend(counts.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum as f64 / total)
    }));
    let at = |step: usize| {
        let place = counts.len() as f64 * step as f64 / LORENZ_STEPS as f64;
        let (below, above) = (sums.get(place as usize), sums.get((place as usize + 1).min(counts.len())));
        below.zip(above).map_or(0.0, |(below, above)| below + (above - below) * place.fract())
    };
    (0..=LORENZ_STEPS).map(at).collect()
}

/// 0 when all are equal, towards 1 when one has everything.
fn gini(mut counts: Vec<u64>) -> f64 {
    counts.sort_unstable();
    let (n, total) = (counts.len() as f64, counts.iter().sum::<u64>() as f64);
    if total == 0.0 {
        return 0.0;
    }
    let weighted: f64 = counts.iter().enumerate().map(|(place, count)| (place + 1) as f64 * *count as f64).sum();
    2.0 * weighted / (n * total) - (n + 1.0) / n
}

/// The mean over users of the mean distance of two items of a list. With vᵢ an item's training users as a vector of
/// length 1, the cosines of all pairs of n items sum to (‖Σ vᵢ‖² − Σ ‖vᵢ‖²) / 2, so that no pair is looked at.
fn diversity(rankings: &[Vec<u32>], cutoffs: &[usize], ground: &Ground<'_>) -> Vec<f64> {
    let every = rankings.len().div_ceil(DIVERSITY_USERS).max(1);
    let rows = ground.holdout.train.matrix.n_rows();
    let of_list = |sum: &mut Vec<f32>, ranked: &Vec<u32>| -> Vec<Option<f64>> {
        sum.resize(rows, 0.0);
        // ‖Σ vᵢ‖² and Σ ‖vᵢ‖², after each item.
        let (mut of_sum, mut of_each) = (0.0, 0.0);
        let mut after = vec![(0.0, 0.0)];
        for column in ranked {
            let users = ground.users_of(*column);
            let share = 1.0 / (users.len().max(1) as f32).sqrt();
            let own = f64::from(u8::from(!users.is_empty()));
            let mut product = 0.0;
            for user in users {
                if let Some(slot) = sum.get_mut(*user as usize) {
                    product += f64::from(*slot) * f64::from(share);
                    *slot += share;
                }
            }
            of_sum += 2.0 * product + own;
            of_each += own;
            after.push((of_sum, of_each));
        }
        ranked.iter().flat_map(|column| ground.users_of(*column)).for_each(|user| {
            if let Some(slot) = sum.get_mut(*user as usize) {
                *slot = 0.0;
            }
        });
        let distance = |k: &usize| {
            let items = ranked.len().min(*k);
            let (of_sum, of_each) = after.get(items).copied().filter(|_| items > 1)?;
            Some(1.0 - (of_sum - of_each) / (items * (items - 1)) as f64)
        };
        cutoffs.iter().map(distance).collect()
    };
    let sampled: Vec<&Vec<u32>> = rankings.iter().step_by(every).collect();
    let distances: Vec<Vec<Option<f64>>> =
        sampled.into_par_iter().map_init(Vec::new, |sum, ranked| of_list(sum, ranked)).collect();
    let mean = |place: usize| {
        let of_users = || distances.iter().filter_map(|of_user| of_user.get(place).copied().flatten());
        of_users().sum::<f64>() / of_users().count().max(1) as f64
    };
    (0..cutoffs.len()).map(mean).collect()
}
