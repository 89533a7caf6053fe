//! The report: users of all hold-outs together, with intervals, comparisons and slices.

use super::evaluator::{Fold, FoldSlice, Measured, answer_length, metric_names};
use super::permutation::{holm, p_values};
use super::report::{Comparison, CurvePoint, Difference, Estimate, ListFigures, ModelReport, Report, Slice, SliceKind};
use super::resample::{Column, Interval, Part, Resampled};
use crate::config::EvaluateConfig;
use crate::record::UserId;

/// The report of hold-outs that were measured with the same models in the same order.
pub fn report(folds: &[Fold], cutoffs: &[usize], config: &EvaluateConfig) -> Report {
    let users = Users::of(folds);
    let measured = folds.first().and_then(|fold| fold.models.first());
    let metrics = measured.map_or_else(|| metric_names(cutoffs), |measured| measured.names.clone());
    let models: Vec<Vec<&Measured>> = (0..folds.first().map_or(0, |fold| fold.models.len()))
        .map(|model| folds.iter().filter_map(|fold| fold.models.get(model)).collect())
        .collect();
    let values: Vec<Vec<f32>> = (0..models.len())
        .flat_map(|model| (0..metrics.len()).map(move |metric| (model, metric)))
        .map(|(model, metric)| users.means(folds, model, metric))
        .collect();
    let tests = Tests::of(&values, models.len(), metrics.len(), config);

    let mut columns: Vec<Column> = values.into_iter().map(Column::Mean).collect();
    let shared = Sliced { folds, users: &users, cutoffs, metrics: &metrics };
    let n_slices = folds.first().map_or(0, |fold| fold.slices.len());
    let mut slices: Vec<(Slice, SliceColumns)> =
        (0..n_slices).filter_map(|slice| shared.slice(slice, models.len(), &mut columns)).collect();
    let resampled = Resampled::of(&columns, users.0.len(), config);
    let estimate = |name: &String, column: usize| {
        let Interval { mean, low, high } = resampled.interval(column);
        Estimate { name: name.clone(), mean, low, high }
    };
    for (slice, of_models) in &mut slices {
        let figures = of_models.iter().map(|of| of.iter().map(|(name, column)| estimate(name, *column)).collect());
        slice.figures = figures.collect();
    }
    let model = |(place, folds): (usize, &Vec<&Measured>)| ModelReport {
        name: folds.first().map(|model| model.name.clone()).unwrap_or_default(),
        metrics: metrics.iter().enumerate().map(|(at, name)| estimate(name, place * metrics.len() + at)).collect(),
        curve: curve(folds),
        lists: lists(folds),
        exposure: mean_curve(folds.iter().map(|model| model.exposure.as_slice())),
    };
    let models: Vec<ModelReport> = models.iter().enumerate().map(model).collect();
    let training = |size: usize| {
        let sizes = folds.iter().filter_map(|fold| fold.training.get(size));
        mean(sizes.map(|size| *size as f64)).round() as u64
    };
    Report {
        split: folds.first().map(|fold| fold.split.clone()).unwrap_or_default(),
        folds: folds.len() as u64,
        training_users: training(0),
        training_items: training(1),
        training_pairs: training(2),
        users: users.0.len() as u64,
        test_pairs: folds.iter().map(|fold| fold.pairs[0]).sum(),
        dropped_pairs: folds.iter().map(|fold| fold.pairs[1]).sum(),
        cutoffs: cutoffs.iter().map(|k| *k as u64).collect(),
        confidence: config.confidence,
        bootstrap: config.bootstrap as u64,
        permutations: config.permutations as u64,
        seed: config.seed,
        comparisons: tests.comparisons(&models, &metrics, &resampled),
        models,
        slice_k: answer_length(cutoffs) as u64,
        slices: slices.into_iter().map(|(slice, _)| slice).collect(),
        training_exposure: mean_curve(folds.iter().map(|fold| fold.training_exposure.as_slice())),
    }
}

/// The test users of all hold-outs, ascending: a user's place is the number by which users are resampled.
struct Users(Vec<UserId>);

impl Users {
    fn of(folds: &[Fold]) -> Self {
        let mut users: Vec<UserId> = folds.iter().flat_map(|fold| &fold.users).copied().collect();
        users.sort_unstable();
        users.dedup();
        Self(users)
    }

    fn number(&self, user: UserId) -> Option<u32> {
        self.0.binary_search(&user).ok().map(|number| number as u32)
    }

    /// A metric's mean over the hold-outs that each user is tested in.
    fn means(&self, folds: &[Fold], model: usize, metric: usize) -> Vec<f32> {
        let (mut sums, mut counts) = (vec![0.0f32; self.0.len()], vec![0.0f32; self.0.len()]);
        for fold in folds {
            let column = fold.models.get(model).and_then(|model| model.columns.get(metric));
            for (user, value) in fold.users.iter().zip(column.into_iter().flatten()) {
                let number = self.number(*user).map_or(usize::MAX, |number| number as usize);
                if let (Some(sum), Some(count)) = (sums.get_mut(number), counts.get_mut(number)) {
                    *sum += value;
                    *count += 1.0;
                }
            }
        }
        sums.iter().zip(counts).map(|(sum, count)| sum / count.max(1.0)).collect()
    }
}

/// A p-value as it is, and corrected for all pairs of models.
type PValue = (Option<f64>, Option<f64>);

/// The tests of every pair of models.
struct Tests {
    pairs: Vec<(usize, usize)>,
    /// `[pair][metric]`.
    p: Vec<Vec<PValue>>,
}

impl Tests {
    fn of(values: &[Vec<f32>], models: usize, metrics: usize, config: &EvaluateConfig) -> Self {
        let pairs: Vec<(usize, usize)> = (0..models).flat_map(|a| (a + 1..models).map(move |b| (a, b))).collect();
        let column = |model: usize, metric: usize| values.get(model * metrics + metric).map_or(&[][..], Vec::as_slice);
        let difference = |(a, b): (usize, usize), metric: usize| -> Vec<f32> {
            column(b, metric).iter().zip(column(a, metric)).map(|(b, a)| b - a).collect()
        };
        let differences: Vec<Vec<f32>> =
            pairs.iter().flat_map(|pair| (0..metrics).map(|metric| difference(*pair, metric))).collect();
        let plain = p_values(&differences, config);
        let mut p: Vec<Vec<PValue>> =
            plain.chunks(metrics.max(1)).map(|of| of.iter().map(|p| (*p, None)).collect()).collect();
        for metric in 0..metrics {
            let of_metric: Option<Vec<f64>> = p.iter().map(|pair| pair.get(metric)?.0).collect();
            for (pair, corrected) in p.iter_mut().zip(of_metric.map(|p| holm(&p)).unwrap_or_default()) {
                pair.get_mut(metric).into_iter().for_each(|slot| slot.1 = Some(corrected));
            }
        }
        Self { pairs, p }
    }

    fn comparisons(&self, models: &[ModelReport], metrics: &[String], resampled: &Resampled) -> Vec<Comparison> {
        let name = |model: usize| models.get(model).map(|model| model.name.clone()).unwrap_or_default();
        let of_pair = |((a, b), p): (&(usize, usize), &Vec<PValue>)| {
            let column = |model: &usize, metric| model * metrics.len() + metric;
            let of_metric = |(metric, (name, p)): (usize, (&String, &PValue))| {
                let Interval { mean, low, high } = resampled.difference(column(a, metric), column(b, metric));
                Difference { name: name.clone(), mean, low, high, p: p.0, p_holm: p.1 }
            };
            let metrics = metrics.iter().zip(p).enumerate().map(of_metric).collect();
            Comparison { a: name(*a), b: name(*b), metrics }
        };
        self.pairs.iter().zip(&self.p).map(of_pair).collect()
    }
}

/// For each model the metrics of a slice, each with the number of the column that it is resampled from.
type SliceColumns = Vec<Vec<(String, usize)>>;

/// Slices over all hold-outs.
struct Sliced<'a> {
    folds: &'a [Fold],
    users: &'a Users,
    cutoffs: &'a [usize],
    metrics: &'a [String],
}

impl Sliced<'_> {
    /// A slice, still without figures, and for each model the columns that these are resampled from.
    fn slice(&self, slice: usize, models: usize, columns: &mut Vec<Column>) -> Option<(Slice, SliceColumns)> {
        let parts: Vec<&FoldSlice> = self.folds.iter().filter_map(|fold| fold.slices.get(slice)).collect();
        let first = parts.first()?;
        let bounds = || parts.iter().filter_map(|part| part.bounds);
        let in_folds = self.folds.iter().zip(&parts);
        let mut users: Vec<UserId> = in_folds
            .flat_map(|(fold, part)| part.users.iter().filter_map(|(place, _)| fold.users.get(*place as usize)))
            .copied()
            .collect();
        users.sort_unstable();
        users.dedup();
        let pairs = parts.iter().flat_map(|part| &part.users).map(|(_, pairs)| u64::from(*pairs)).sum();
        let whole = Slice {
            kind: first.kind,
            number: first.number as u64,
            from: bounds().map(|(from, _)| from).min().unwrap_or(0),
            to: bounds().map(|(_, to)| to).max().unwrap_or(0),
            items: first
                .items
                .map(|_| mean(parts.iter().filter_map(|part| part.items).map(|n| n as f64)).round() as u64),
            users: users.len() as u64,
            pairs,
            figures: Vec::new(),
        };
        let k = answer_length(self.cutoffs);
        let names: &[&str] = match first.kind {
            SliceKind::UserActivity | SliceKind::NewUsers => &["recall", "ndcg"],
            SliceKind::ItemPopularity | SliceKind::LongTail => &["recall"],
        };
        let mut of_model = |model| {
            let column = |name: &&str| {
                let name = format!("{name}@{k}");
                columns.push(Column::Ratio(self.ratio(slice, model, &name)));
                (name, columns.len() - 1)
            };
            names.iter().map(column).collect()
        };
        let figures = if pairs > 0 { (0..models).map(&mut of_model).collect() } else { Vec::new() };
        Some((whole, figures))
    }

    fn ratio(&self, slice: usize, model: usize, name: &String) -> Vec<Part> {
        let metric = self.metrics.iter().position(|metric| metric == name).unwrap_or(0);
        let in_fold = |fold: &Fold| -> Option<Vec<Part>> {
            let (part, model) = (fold.slices.get(slice)?, fold.models.get(model)?);
            let (column, hits) = (model.columns.get(metric)?, model.hits.get(slice)?);
            let one = |(at, (place, pairs)): (usize, &(u32, u32))| {
                let user = self.users.number(*fold.users.get(*place as usize)?)?;
                Some(match part.items {
                    Some(_) => Part { user, of: *hits.get(at)? as f32, over: *pairs as f32 },
                    None => Part { user, of: *column.get(*place as usize)?, over: 1.0 },
                })
            };
            Some(part.users.iter().enumerate().filter_map(one).collect())
        };
        self.folds.iter().filter_map(in_fold).flatten().collect()
    }
}

fn curve(folds: &[&Measured]) -> Vec<CurvePoint> {
    let at = |(place, point): (usize, &CurvePoint)| {
        let of =
            |value: fn(&CurvePoint) -> f64| mean(folds.iter().filter_map(|model| model.curve.get(place)).map(value));
        CurvePoint { k: point.k, recall: of(|point| point.recall), ndcg: of(|point| point.ndcg) }
    };
    folds.first().map(|first| first.curve.iter().enumerate().map(at).collect()).unwrap_or_default()
}

fn lists(folds: &[&Measured]) -> Vec<ListFigures> {
    let at = |(place, lists): (usize, &ListFigures)| {
        let of =
            |value: fn(&ListFigures) -> f64| mean(folds.iter().filter_map(|model| model.lists.get(place)).map(value));
        ListFigures {
            k: lists.k,
            coverage: of(|lists| lists.coverage),
            mean_popularity: of(|lists| lists.mean_popularity),
            gini: of(|lists| lists.gini),
            novelty: of(|lists| lists.novelty),
            diversity: of(|lists| lists.diversity),
        }
    };
    folds.first().map(|first| first.lists.iter().enumerate().map(at).collect()).unwrap_or_default()
}

fn mean_curve<'a>(curves: impl Iterator<Item = &'a [f64]> + Clone) -> Vec<f64> {
    let points = curves.clone().next().map_or(0, <[f64]>::len);
    (0..points).map(|place| mean(curves.clone().filter_map(|curve| curve.get(place)).copied())).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
