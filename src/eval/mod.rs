//! How good is a model on what it has not seen? Every test user is ranked over the whole catalogue, seen items excluded;
//! no negatives are sampled (Krichene & Rendle, KDD 2020). Means come with bootstrap intervals over users, and with the
//! baseline in the same run.

mod bootstrap;
mod lists;
mod metric;
mod ratings;
mod report;
mod scorer;
mod top;

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

pub use metric::{HitRate, Map, Metric, Mrr, Ndcg, Recall, RecallMin};
pub use ratings::{RatingErrors, RatingPredictor, RatingReport, evaluate_ratings};
pub use report::{Estimate, ListFigures, ModelReport, Report};
pub use scorer::{PopularityScorer, Scorer};

use crate::config::EvaluateConfig;
use crate::error::{Error, Result};
use crate::features::Holdout;
use crate::progress::{Progress, Step};

/// Measures scorers on the same test users. The first is the baseline that the others are compared with, pair by pair.
/// Errors: [`Error::Cancelled`].
pub fn evaluate(
    holdout: &Holdout,
    scorers: &[&dyn Scorer],
    config: &EvaluateConfig,
    progress: &dyn Progress,
) -> Result<Report> {
    let mut cutoffs = config.cutoffs.clone();
    cutoffs.sort_unstable();
    cutoffs.dedup();
    let metrics: [&dyn Metric; 6] = [&Recall, &RecallMin, &Ndcg, &Map, &Mrr, &HitRate];
    let names = cutoffs.iter().flat_map(|k| metrics.iter().map(move |metric| format!("{}@{k}", metric.name())));
    let names: Vec<String> = names.collect();
    let popularity = lists::item_counts(&holdout.train.matrix);
    let done = AtomicUsize::new(0);
    let total = holdout.test.len() * scorers.len();

    let mut models = Vec::new();
    let mut columns: Vec<Vec<Vec<f32>>> = Vec::new();
    for scorer in scorers {
        let rankings = rank_users(holdout, *scorer, cutoffs.last().copied().unwrap_or(1), progress, &done, total)?;
        let values = |metric: &dyn Metric, k: usize| -> Vec<f32> {
            let users = rankings.iter().zip(&holdout.test);
            users.map(|(ranked, (_, held))| metric.value(ranked.get(..k).unwrap_or(ranked), held, k) as f32).collect()
        };
        columns.push(cutoffs.iter().flat_map(|k| metrics.iter().map(|metric| values(*metric, *k))).collect());
        let figures = cutoffs.iter().map(|k| lists::figures(&rankings, *k, &popularity)).collect();
        models.push(ModelReport { name: scorer.name().to_owned(), metrics: Vec::new(), lists: figures });
    }

    let intervals = bootstrap::intervals(&columns, config);
    for (model, estimates) in models.iter_mut().zip(intervals.means) {
        model.metrics = named(&names, estimates);
    }
    let differences = intervals.differences.into_iter().map(|estimates| named(&names, estimates)).collect();
    Ok(Report {
        split: holdout.split.clone(),
        training_users: holdout.train.users.len() as u64,
        training_items: holdout.train.items.len() as u64,
        training_pairs: holdout.train.matrix.nnz() as u64,
        users: holdout.test.len() as u64,
        test_pairs: holdout.pairs(),
        dropped_pairs: holdout.dropped,
        cutoffs: cutoffs.iter().map(|k| *k as u64).collect(),
        confidence: config.confidence,
        bootstrap: config.bootstrap as u64,
        seed: config.seed,
        models,
        differences,
    })
}

fn named(names: &[String], estimates: Vec<(f64, f64, f64)>) -> Vec<Estimate> {
    let pairs = names.iter().zip(estimates);
    pairs.map(|(name, (mean, low, high))| Estimate { name: name.clone(), mean, low, high }).collect()
}

/// The best `k` unseen columns of every test user, the best first. Memory: one catalogue of scores for each thread.
fn rank_users(
    holdout: &Holdout,
    scorer: &dyn Scorer,
    k: usize,
    progress: &dyn Progress,
    done: &AtomicUsize,
    total: usize,
) -> Result<Vec<Vec<u32>>> {
    const REPORT_EVERY: usize = 256;
    let matrix = &holdout.train.matrix;
    let rank = |buffers: &mut (Vec<f32>, Vec<u32>), (row, _): &(u32, Vec<u32>)| {
        if progress.cancelled() {
            return Err(Error::Cancelled("evaluation"));
        }
        let (scores, order) = buffers;
        scores.resize(matrix.n_cols(), 0.0);
        scorer.score(*row as usize, scores);
        let ranked = top::unseen(scores, matrix.row(*row as usize).0, k, order);
        let finished = done.fetch_add(1, Ordering::Relaxed) + 1;
        if finished.is_multiple_of(REPORT_EVERY) || finished == total {
            progress.report(&Step::Evaluating { done: finished, total });
        }
        Ok(ranked)
    };
    holdout.test.par_iter().map_init(|| (Vec::new(), Vec::new()), rank).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::features::{Csr, Interactions};
    use crate::progress::Silent;
    use crate::record::{ItemId, UserId};

    struct Table(Vec<Vec<f32>>);

    impl Scorer for Table {
        fn name(&self) -> &str {
            "table"
        }
        fn score(&self, row: usize, out: &mut [f32]) {
            out.copy_from_slice(&self.0[row]);
        }
    }

    fn holdout(users: usize, items: usize, seen: &[(u32, u32)], held: &[(u32, u32)]) -> Holdout {
        let rows =
            |row: usize| seen.iter().filter(move |(user, _)| *user as usize == row).map(|(_, item)| (*item, 1.0));
        let rows = (0..users).map(|row| {
            let mut row: Vec<_> = rows(row).collect();
            row.sort_by_key(|(item, _)| *item);
            row.dedup();
            row
        });
        let matrix = Csr::from_rows(items, rows.collect());
        let users_of = (0..users as u32).map(UserId::new).collect();
        let items_of = (0..items as u32).map(ItemId::new).collect();
        let test = (0..users as u32).filter_map(|user| {
            let mut of_user: Vec<_> =
                held.iter().filter(|pair| pair.0 == user && !seen.contains(pair)).map(|p| p.1).collect();
            of_user.sort_unstable();
            of_user.dedup();
            (!of_user.is_empty()).then_some((user, of_user))
        });
        let test = test.collect();
        let train = Interactions { users: users_of, items: items_of, matrix };
        Holdout { train, test, dropped: 0, split: String::new() }
    }

    /// The textbook, one user at a time, by a full sort: recall, recall_min, ndcg, map, mrr, hit.
    fn textbook(scores: &[f32], seen: &[u32], held: &[u32], k: usize) -> [f64; 6] {
        let mut order: Vec<u32> = (0..scores.len() as u32).filter(|item| !seen.contains(item)).collect();
        order.sort_by(|a, b| scores[*b as usize].partial_cmp(&scores[*a as usize]).unwrap().then(a.cmp(b)));
        order.truncate(k);
        let (mut hits, mut gain, mut precision, mut first) = (0.0, 0.0, 0.0, 0.0);
        for (rank, item) in order.iter().enumerate() {
            if held.contains(item) {
                hits += 1.0;
                gain += 1.0 / (rank as f64 + 2.0).log2();
                precision += hits / (rank as f64 + 1.0);
                if first == 0.0 {
                    first = 1.0 / (rank as f64 + 1.0);
                }
            }
        }
        let most = held.len().min(k);
        let ideal: f64 = (0..most).map(|rank| 1.0 / (rank as f64 + 2.0).log2()).sum();
        let n = held.len() as f64;
        [hits / n, hits / most as f64, gain / ideal, precision / most as f64, first, f64::from(u8::from(hits > 0.0))]
    }

    proptest! {
        #[test]
        fn the_figures_are_those_of_the_textbook(
            scores in proptest::collection::vec(proptest::collection::vec(0u8..20, 12), 5),
            seen in proptest::collection::vec((0u32..5, 0u32..12), 0..20),
            held in proptest::collection::vec((0u32..5, 0u32..12), 1..20),
        ) {
            let holdout = holdout(5, 12, &seen, &held);
            prop_assume!(!holdout.test.is_empty());
            let table = Table(scores.iter().map(|row| row.iter().map(|score| f32::from(*score)).collect()).collect());
            let config = EvaluateConfig { cutoffs: vec![3, 5, 100], bootstrap: 0, ..EvaluateConfig::default() };
            let report = evaluate(&holdout, &[&table], &config, &Silent).unwrap();
            for k in [3, 5, 100] {
                let mut sums = [0.0; 6];
                for (row, of_user) in &holdout.test {
                    let seen = holdout.train.matrix.row(*row as usize).0;
                    let values = textbook(&table.0[*row as usize], seen, of_user, k);
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                }
                for (name, sum) in ["recall", "recall_min", "ndcg", "map", "mrr", "hit_rate"].iter().zip(sums) {
                    let expected = sum / holdout.test.len() as f64;
                    let mean = report.models[0].metric(&format!("{name}@{k}")).unwrap().mean;
                    prop_assert!((mean - expected).abs() < 1e-6, "{name}@{k}: {mean} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn coverage_gini_and_popularity_describe_the_lists() {
        let seen = [(0, 0), (1, 0), (2, 1)];
        let holdout = holdout(3, 4, &seen, &[(0, 3), (1, 3), (2, 3)]);
        let table = Table(vec![vec![0.0, 1.0, 2.0, 3.0]; 3]);
        let config = EvaluateConfig { cutoffs: vec![1], bootstrap: 0, ..EvaluateConfig::default() };
        let report = evaluate(&holdout, &[&table], &config, &Silent).unwrap();
        let figures = &report.models[0].lists[0];
        assert_eq!((figures.k, figures.coverage, figures.mean_popularity), (1, 0.25, 0.0));
        assert!((figures.gini - 0.75).abs() < 1e-12, "one of four items gets everything: {}", figures.gini);
    }

    #[test]
    fn intervals_hold_the_mean_and_a_better_model_is_told_apart() {
        let held: Vec<_> = (0..60).map(|user| (user, user % 7)).collect();
        let holdout = holdout(60, 20, &[], &held);
        let bad = Table((0..60).map(|_| (0..20).map(|item| item as f32).collect()).collect());
        let good = Table(
            (0..60)
                .map(|user| {
                    (0..20).map(|item| f32::from(u8::from(item == user % 7 || user % 5 == 0 && item == 9))).collect()
                })
                .collect(),
        );
        let report = evaluate(&holdout, &[&bad, &good], &EvaluateConfig::default(), &Silent).unwrap();
        for model in &report.models {
            for estimate in &model.metrics {
                assert!(estimate.low <= estimate.mean && estimate.mean <= estimate.high, "{estimate:?}");
            }
        }
        let difference = report.differences[0].iter().find(|estimate| estimate.name == "ndcg@10").unwrap();
        assert!(difference.low > 0.0, "{difference:?}");
        let again = evaluate(&holdout, &[&bad, &good], &EvaluateConfig::default(), &Silent).unwrap();
        assert_eq!(report, again, "the same seed resamples the same users");
    }
}
