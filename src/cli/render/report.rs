//! Evaluations: each metric of two models side by side, with the paired difference, its interval and p-value; then all
//! other pairs in short, what the lists look like, and slices where they are wanted.

use super::{count, table as empty, weights};
use crate::config::{ModelKind, TrainConfig};
use crate::engine::{Evaluation, SnapshotComparison, Trained};
use crate::eval::{Comparison, Difference, ListFigures, ModelReport, RatingReport, Report, Slice, SliceKind};

/// An evaluation of settings.
pub fn evaluation(evaluation: &Evaluation, slices: bool) -> String {
    let mut text = conditions(&evaluation.report);
    for model in std::iter::once(&evaluation.trained).chain(&evaluation.compared) {
        let Trained { name, train, half_life, train_seconds, loss } = model;
        text += &format!("{name}: trained in {train_seconds:.2} s");
        let (dimension, epochs) = size(train);
        text += &format!(", dimension {dimension}, {epochs} epochs, seed {}", train.seed);
        text += &half_life.map(|span| format!(", events halved every {span}")).unwrap_or_default();
        text += &loss.map(|loss| format!(", loss {loss:.6}")).unwrap_or_default();
        text.push('\n');
        if let Some(weights) = weights(train) {
            text += &format!("weights  {weights}\n");
        }
    }
    if let Some(ranker) = &evaluation.ranker {
        text += &format!("ranker  {}\n", super::snapshot::ranker(ranker));
    }
    if let Some(ratings) = &evaluation.ratings {
        text += &format!("\n{}\n", rating_errors(ratings));
    }
    text + &figures(&evaluation.report, 0, slices)
}

/// A comparison of snapshots.
pub fn comparison(comparison: &SnapshotComparison, slices: bool) -> String {
    let between = comparison.report.comparisons.len().saturating_sub(1);
    conditions(&comparison.report) + &figures(&comparison.report, between, slices)
}

/// Length of the factors and number of passes; each kind of model has its own.
fn size(train: &TrainConfig) -> (usize, usize) {
    match train.model {
        ModelKind::Bpr | ModelKind::Softmax => (train.sgd.dimension, train.sgd.epochs),
        ModelKind::Ratings => (train.ratings.dimension, train.ratings.epochs),
        _ => (train.dimension, train.epochs),
    }
}

fn rating_errors(report: &RatingReport) -> String {
    let mut table = empty(&RatingReport::COLUMNS, &[1, 3, 5]);
    for row in report.rows() {
        table.add_row(row);
    }
    let (ratings, users, unknown) = (count(report.ratings), count(report.users), count(report.unknown));
    format!(
        "{ratings} test ratings of {users} users, {unknown} of them with a user or item not seen before\n{}",
        table.trim_fmt()
    )
}

fn conditions(report: &Report) -> String {
    format!(
        "split {} · {} users, {} test pairs ({} left out), ranked over all {} items\n\
         training part: {} users, {} pairs\n\
         intervals of {} %, {} resamplings of the users; p-values from {} sign flips, for {} comparisons (Holm); seed {}\n",
        report.split,
        count(report.users),
        count(report.test_pairs),
        count(report.dropped_pairs),
        count(report.training_items),
        count(report.training_users),
        count(report.training_pairs),
        (report.confidence * 1000.0).round() / 10.0,
        count(report.bootstrap),
        count(report.permutations),
        report.comparisons.len(),
        report.seed,
    )
}

/// One comparison metric by metric, the others in short.
fn figures(report: &Report, whole: usize, slices: bool) -> String {
    let of_whole = report.comparisons.get(whole).map(|pair| format!("\n{}\n", metrics(report, pair)));
    let mut text = of_whole.unwrap_or_default();
    let others = report.comparisons.iter().enumerate().filter(|(place, _)| *place != whole);
    let others: Vec<&Comparison> = others.map(|(_, pair)| pair).collect();
    if !others.is_empty() {
        text += &format!("\n{}\n", models(report, &others));
    }
    text += &format!("\n{}\n", lists(report));
    if slices {
        text += &format!("\n{}\n", by_slice(report));
    }
    text
}

fn metrics(report: &Report, pair: &Comparison) -> String {
    let header = ["metric", &pair.a, &pair.b, "interval", "difference", "interval", "p", ""];
    let mut table = empty(&header, &[1, 2, 3, 4, 5, 6]);
    let (a, b) = (report.model(&pair.a), report.model(&pair.b));
    for difference in pair.metrics.iter().filter(|of| of.is_metric()) {
        let of_a = a.and_then(|model| model.metric(&difference.name));
        let of_b = b.and_then(|model| model.metric(&difference.name));
        table.add_row([
            difference.name.clone(),
            of_a.map(|of| format!("{:.4}", of.mean)).unwrap_or_default(),
            of_b.map(|of| format!("{:.4}", of.mean)).unwrap_or_default(),
            of_b.map(|of| format!("{:.4} to {:.4}", of.low, of.high)).unwrap_or_default(),
            format!("{:+.4}", difference.mean),
            format!("{:+.4} to {:+.4}", difference.low, difference.high),
            difference.written_p(),
            report.verdict(difference).to_owned(),
        ]);
    }
    table.trim_fmt()
}

/// Models two by two, on the metrics that stand for all; of lists that are arranged, beside those as they are, also on what they
/// are like.
fn models(report: &Report, pairs: &[&Comparison]) -> String {
    let mut table = empty(&["models", "metric", "difference", "interval", "p", ""], &[2, 3, 4]);
    let like = format!("@{}", report.slice_k);
    for pair in pairs {
        let of_lists =
            pair.metrics.iter().filter(|of| pair.is_of_arranged() && of.name.ends_with(&like) && !of.is_metric());
        for difference in report.headline().iter().filter_map(|name| pair.metric(name)).chain(of_lists) {
            table.add_row([
                format!("{} against {}", pair.b, pair.a),
                difference.name.clone(),
                format!("{:+.4}", difference.mean),
                format!("{:+.4} to {:+.4}", difference.low, difference.high),
                difference.written_p(),
                report.verdict(difference).to_owned(),
            ]);
        }
    }
    table.trim_fmt()
}

/// A way to read one figure of lists.
type Figure = (&'static str, fn(&ListFigures) -> String);

const FIGURES: [Figure; 5] = [
    ("catalogue coverage", |lists| format!("{:.4}", lists.coverage)),
    ("mean popularity", |lists| format!("{:.1}", lists.mean_popularity)),
    ("gini", |lists| format!("{:.4}", lists.gini)),
    ("novelty", |lists| format!("{:.2} bits", lists.novelty)),
    ("diversity", |lists| format!("{:.4}", lists.diversity)),
];

fn lists(report: &Report) -> String {
    let names = report.models.iter().map(|model| model.name.as_str());
    let header: Vec<&str> = std::iter::once("lists").chain(names).collect();
    let mut table = empty(&header, &Vec::from_iter(1..header.len()));
    for (name, figure) in FIGURES {
        for k in &report.cutoffs {
            let values = report
                .models
                .iter()
                .map(|model| model.lists.iter().find(|lists| lists.k == *k).map(figure).unwrap_or_default());
            table.add_row(std::iter::once(format!("{name}@{k}")).chain(values));
        }
    }
    let of_lists = report.comparisons.first().into_iter().flat_map(|pair| &pair.metrics).filter(|of| !of.is_metric());
    for Difference { name, .. } in of_lists {
        let value = |model: &ModelReport| model.metric(name).map(|of| format!("{:.4}", of.mean)).unwrap_or_default();
        table.add_row(std::iter::once(name.replace('_', " ")).chain(report.models.iter().map(value)));
    }
    table.trim_fmt()
}

/// Recall of all models, slice by slice.
fn by_slice(report: &Report) -> String {
    let recall = format!("recall@{}", report.slice_k);
    let names = report.models.iter().map(|model| model.name.as_str());
    let header: Vec<&str> = [&recall, "users", "pairs"].into_iter().chain(names).collect();
    let mut table = empty(&header, &Vec::from_iter(1..header.len()));
    for slice in &report.slices {
        let of_model = |model: usize| {
            let found = slice.figures.get(model).and_then(|of| of.iter().find(|of| of.name == recall));
            found.map(|of| format!("{:.4} ({:.4} to {:.4})", of.mean, of.low, of.high)).unwrap_or_default()
        };
        let counts = [title(slice), count(slice.users), count(slice.pairs)];
        table.add_row(counts.into_iter().chain((0..report.models.len()).map(of_model)));
    }
    table.trim_fmt()
}

fn title(slice: &Slice) -> String {
    let within = slice.within();
    match slice.kind {
        SliceKind::UserActivity => format!("users with {within} training pairs"),
        SliceKind::NewUsers => "new users, at most 5 training pairs".into(),
        SliceKind::ItemPopularity => format!("items, tenth {} by popularity ({within} users)", slice.number),
        SliceKind::LongTail => format!("long tail, {} items ({within} users)", count(slice.items.unwrap_or(0))),
    }
}
