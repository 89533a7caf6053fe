//! Metrics, slices and lists against naive ones.

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
    let rows = |row: usize| seen.iter().filter(move |(user, _)| *user as usize == row).map(|(_, item)| (*item, 1.0));
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
    let train = Interactions { users: users_of, items: items_of, matrix, trend: Vec::new() };
    Holdout { train, test, dropped: 0, split: String::new(), left_out: Default::default() }
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
    let difference = report.comparisons[0].metric("ndcg@10").unwrap();
    assert!(difference.low > 0.0 && difference.p.unwrap() < 0.001, "{difference:?}");
    let again = evaluate(&holdout, &[&bad, &good], &EvaluateConfig::default(), &Silent).unwrap();
    assert_eq!(report, again, "the same seed resamples the same users");
}

/// 40 users of different activity, 37 items of different popularity, and a table of scores.
fn skewed() -> (Holdout, Table) {
    let at = |user: u32, place: u32| (user, (place * place + user * 5) % 37 % (9 + user % 29));
    let seen: Vec<_> = (0..40).flat_map(|user| (0..1 + user % 13).map(move |place| at(user, place))).collect();
    let held: Vec<_> =
        (0..40).flat_map(|user| [(user, user * 7 % 37), (user, user % 5), (user, 36 - user % 30)]).collect();
    let scores = |user: u32| (0..37u32).map(|item| ((item * 11 + user * 3) % 23) as f32).collect();
    (holdout(40, 37, &seen, &held), Table((0..40).map(scores).collect()))
}

fn of_kind(report: &Report, kind: SliceKind) -> Vec<&Slice> {
    report.slices.iter().filter(|slice| slice.kind == kind).collect()
}

#[test]
fn slices_cover_every_user_and_every_pair_once() {
    let (holdout, table) = skewed();
    let config = EvaluateConfig { bootstrap: 50, permutations: 0, ..EvaluateConfig::default() };
    let report = evaluate(&holdout, &[&table], &config, &Silent).unwrap();
    let activity = of_kind(&report, SliceKind::UserActivity);
    assert_eq!(activity.iter().map(|slice| slice.users).sum::<u64>(), report.users);
    assert_eq!(activity.iter().map(|slice| slice.pairs).sum::<u64>(), report.test_pairs);
    assert!(activity.windows(2).all(|pair| pair[0].to < pair[1].from), "{activity:?}");
    let deciles = of_kind(&report, SliceKind::ItemPopularity);
    assert_eq!(deciles.iter().map(|slice| slice.items.unwrap()).sum::<u64>(), 37);
    assert_eq!(deciles.iter().map(|slice| slice.pairs).sum::<u64>(), report.test_pairs);
    assert!(deciles.iter().all(|slice| (3..=4).contains(&slice.items.unwrap())), "{deciles:?}");
    assert!(deciles.windows(2).all(|pair| pair[0].to <= pair[1].from), "{deciles:?}");
}

#[test]
fn figures_of_slices_are_those_of_their_users_and_items() {
    let (holdout, table) = skewed();
    let config = EvaluateConfig { cutoffs: vec![4, 30], bootstrap: 200, permutations: 0, ..EvaluateConfig::default() };
    let report = evaluate(&holdout, &[&table], &config, &Silent).unwrap();
    assert_eq!(report.slice_k, 4);
    let matrix = &holdout.train.matrix;
    let counts: Vec<usize> =
        (0..37).map(|item| (0..40).filter(|row| matrix.row(*row).0.contains(&item)).count()).collect();
    let found = |row: u32, item: u32| {
        let seen = matrix.row(row as usize).0;
        textbook(&table.0[row as usize], seen, &[item], 4)[0]
    };
    // The naive head: the fewest most popular items that have 80 % of the pairs.
    let mut order: Vec<usize> = (0..37).collect();
    order.sort_by_key(|item| (std::cmp::Reverse(counts[*item]), std::cmp::Reverse(*item)));
    let sums: Vec<usize> = order
        .iter()
        .scan(0, |sum, item| {
            *sum += counts[*item];
            Some(*sum)
        })
        .collect();
    let head = sums.iter().position(|sum| *sum as f64 >= 0.8 * matrix.nnz() as f64).unwrap() + 1;
    let tail = &order[head..];
    let pairs = holdout.test.iter().flat_map(|(row, held)| held.iter().map(move |item| (*row, *item)));
    let in_tail: Vec<_> = pairs.filter(|(_, item)| tail.contains(&(*item as usize))).collect();
    let expected = in_tail.iter().map(|(row, item)| found(*row, *item)).sum::<f64>() / in_tail.len() as f64;
    let slice = of_kind(&report, SliceKind::LongTail)[0];
    assert_eq!((slice.items, slice.pairs), (Some(tail.len() as u64), in_tail.len() as u64));
    let estimate = &slice.figures[0][0];
    assert!((estimate.mean - expected).abs() < 1e-6 && estimate.low < expected && expected < estimate.high);

    let new: Vec<_> = holdout.test.iter().filter(|(row, _)| matrix.row(*row as usize).0.len() <= 5).collect();
    let recall =
        |(row, held): &&(u32, Vec<u32>)| held.iter().map(|item| found(*row, *item)).sum::<f64>() / held.len() as f64;
    let expected = new.iter().map(recall).sum::<f64>() / new.len() as f64;
    let slice = of_kind(&report, SliceKind::NewUsers)[0];
    assert_eq!((slice.users, slice.figures[0][0].name.as_str()), (new.len() as u64, "recall@4"));
    assert!((slice.figures[0][0].mean - expected).abs() < 1e-6);
}

#[test]
fn novelty_and_diversity_are_those_of_all_pairs() {
    let (holdout, table) = skewed();
    let config = EvaluateConfig { cutoffs: vec![3, 8], bootstrap: 0, permutations: 0, ..EvaluateConfig::default() };
    let report = evaluate(&holdout, &[&table], &config, &Silent).unwrap();
    let matrix = &holdout.train.matrix;
    let users = |item: u32| (0..40).filter(|row| matrix.row(*row).0.contains(&item)).collect::<Vec<_>>();
    let distance = |a: u32, b: u32| {
        let (a, b) = (users(a), users(b));
        let both = a.iter().filter(|user| b.contains(user)).count() as f64;
        1.0 - both / ((a.len() * b.len()) as f64).sqrt().max(1.0)
    };
    for (figures, k) in report.models[0].lists.iter().zip([3, 8]) {
        let (mut novelty, mut diversity) = (Vec::new(), Vec::new());
        for (row, _) in &holdout.test {
            let scores = &table.0[*row as usize];
            let ranked = top::unseen(scores, matrix.row(*row as usize).0, k, &mut Vec::new());
            novelty.extend(ranked.iter().map(|item| (40.0 / users(*item).len().max(1) as f64).log2()));
            let pairs = ranked.iter().enumerate().flat_map(|(place, a)| ranked[..place].iter().map(move |b| (*a, *b)));
            let distances: Vec<f64> = pairs.map(|(a, b)| distance(a, b)).collect();
            diversity.push(distances.iter().sum::<f64>() / distances.len() as f64);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!((figures.novelty - mean(&novelty)).abs() < 1e-9, "{figures:?}");
        assert!((figures.diversity - mean(&diversity)).abs() < 1e-5, "{figures:?} {}", mean(&diversity));
    }
}

#[test]
fn exposure_is_a_lorenz_curve() {
    assert_eq!(lists::lorenz(vec![3; 7])[25], 0.5);
    let one_has_all = lists::lorenz([vec![0; 99], vec![5]].concat());
    assert_eq!((one_has_all[49], one_has_all[50]), (0.0, 1.0));
    assert_eq!(lists::lorenz(Vec::new()).len(), 51);
}

#[test]
fn hold_outs_that_are_measured_together_count_a_user_once() {
    let table = Table(vec![vec![3.0, 2.0, 1.0]; 2]);
    let config = EvaluateConfig { cutoffs: vec![1], bootstrap: 0, permutations: 0, ..EvaluateConfig::default() };
    let mut evaluator = Evaluator::new(&config);
    // User 0 is tested twice, with a hit and without; user 1 once, with a hit.
    for holdout in [holdout(2, 3, &[(0, 2), (1, 2)], &[(0, 0), (1, 0)]), holdout(2, 3, &[(0, 2), (1, 2)], &[(0, 1)])] {
        let ground = evaluator.begin(&holdout);
        evaluator.measure(&ground, None, &table, &Silent).unwrap();
    }
    let report = evaluator.report();
    assert_eq!((report.folds, report.users, report.test_pairs), (2, 2, 3));
    assert_eq!(report.models[0].metric("recall@1").unwrap().mean, 0.75);
}
