//! The page of an evaluation: which model is best, how sure that is, for whom and for which items it holds, and what
//! the lists look like.

use super::{Axis, Page, Plot, Point, Series, Table};
use crate::engine::{Evaluation, SnapshotComparison, Trained};
use crate::eval::{CurvePoint, Difference, Estimate, ModelReport, RatingReport, Report, Slice, SliceKind};

/// The page of settings that were measured on held-out events.
pub fn evaluation_page(evaluation: &Evaluation) -> String {
    let mut page = Page::new("Savor: evaluation");
    if let Some(ratings) = &evaluation.ratings {
        page.heading("Foretold ratings").table(&rating_errors(ratings)).note(&format!(
            "{} test ratings of {} users, {} of them with a user or item not seen in training. rmse: root of the mean squared \
             error; mae: mean absolute error; both the smaller the better. mean foretells the mean rating, bias adds what is \
             usual for the user and for the item.",
            ratings.ratings, ratings.users, ratings.unknown
        ));
        page.heading("Ranked lists");
    }
    fill(&mut page, &evaluation.report);
    page.heading("Settings");
    for model in std::iter::once(&evaluation.trained).chain(&evaluation.compared) {
        let Trained { name, train, half_life, train_seconds, loss } = model;
        let faded = half_life.map(|span| format!(", events halved every {span}")).unwrap_or_default();
        let loss = loss.map(|loss| format!(", loss {loss:.6}")).unwrap_or_default();
        let settings = toml::to_string(train).unwrap_or_default();
        page.folded(&format!("{name}: trained in {train_seconds:.2} s{faded}{loss}"), &settings);
    }
    page.html()
}

/// The page of two snapshots that were measured on later events.
pub fn comparison_page(comparison: &SnapshotComparison) -> String {
    let SnapshotComparison { a, b, report, .. } = comparison;
    let mut page = Page::new(&format!("Savor: snapshot {b} against snapshot {a}"));
    fill(&mut page, report);
    page.html()
}

fn fill(page: &mut Page, report: &Report) {
    let Report { training_users, training_items, training_pairs, users, test_pairs, dropped_pairs, .. } = report;
    page.text(&format!("Split: {}.", report.split));
    page.note(&format!(
        "Training part: {training_users} users, {training_items} items, {training_pairs} pairs. Test part: {users} users, \
         {test_pairs} pairs; {dropped_pairs} more cannot be found and are left out (user or item unknown in training, or \
         pair seen there). Every user is ranked over the whole catalogue, seen items excluded."
    ));
    page.table(&headline(report));
    page.heading("Pair by pair");
    page.table(&pairs(report));
    page.heading("How long a list");
    page.figures(&[
        curve(report, "NDCG by length of the list", "ndcg", |point| point.ndcg),
        curve(report, "Recall by length of the list", "recall", |point| point.recall),
    ]);
    page.heading("For whom, and for which items");
    let k = report.slice_k;
    let popularity = "tenth of the catalogue, by popularity";
    let activity = "training pairs of the user";
    page.figures(&[
        slices(report, &format!("Recall@{k} by popularity of the item"), popularity, SliceKind::ItemPopularity),
        slices(report, &format!("Recall@{k} by activity of the user"), activity, SliceKind::UserActivity),
    ]);
    page.table(&apart(report));
    page.heading("What the lists look like");
    page.figures(&[lorenz(report), surprise(report)]);
    page.table(&lists(report));
    if let Some(table) = likeness(report) {
        page.table(&table);
    }
    page.heading("How to read this");
    let confidence = (report.confidence * 1000.0).round() / 10.0;
    page.list([
        "recall@k: of the held-out items, the share that is in the first k places. ndcg@k also counts how far up.",
        &format!(
            "An interval of {confidence} % holds the figures that other users like these could have given ({} resamplings \
             of the users). If the interval of a difference holds 0, the two models are not told apart; nor are they by fewer \
             than 10 users.",
            report.bootstrap
        ),
        &format!(
            "p: were the two models equally good, chance alone would give a difference as large with this probability ({} \
             random sign flips of the users' differences). It is corrected for the number of comparisons (Holm).",
            report.permutations
        ),
        "Tenths of the catalogue: 1 holds the least popular items, 10 the most popular; recall is over the held-out pairs of \
         those items. The long tail is all items but the most popular ones that have 80 % of all training pairs.",
        "coverage: share of the catalogue in anybody's list. gini: 0 when all items are listed equally often. novelty: how \
         surprising a listed item is, in bits. diversity: how different the items of one list are (0 to 1).",
        "vector diversity and category diversity: the mean distance of two items of a list, by the model's vectors and by \
         categories. calibration error: how far a list's mix of categories is from the user's past (0: the same).",
    ]);
    page.note(&format!("Seed {}; the same data, settings and seed give the same figures.", report.seed));
}

fn rating_errors(report: &RatingReport) -> Table {
    let mut table = Table::new(RatingReport::COLUMNS);
    for row in report.rows() {
        table.row(row);
    }
    table
}

/// Models in rows: the headline metrics with intervals, and the p-value of the difference to the baseline.
fn headline(report: &Report) -> Table {
    let metrics = report.headline();
    let baseline = report.models.first().map_or("", |model| &model.name);
    let against = format!("p, against {baseline}");
    let of_metric = |name: &String| [name.clone(), "interval".into(), against.clone()];
    let header: Vec<String> = std::iter::once("model".to_owned()).chain(metrics.iter().flat_map(of_metric)).collect();
    let mut table = Table::new(header.iter().map(String::as_str));
    for (place, model) in report.models.iter().enumerate() {
        let pair = report.comparison(baseline, &model.name).filter(|_| place > 0);
        let cells = metrics.iter().flat_map(|name| {
            let estimate = model.metric(name);
            let difference = pair.and_then(|pair| pair.metric(name));
            [
                estimate.map(|of| format!("{:.4}", of.mean)).unwrap_or_default(),
                estimate.map(|of| format!("{:.4} to {:.4}", of.low, of.high)).unwrap_or_default(),
                difference.map(Difference::written_p).unwrap_or_default(),
            ]
        });
        table.row(std::iter::once(model.name.clone()).chain(cells));
    }
    table
}

fn pairs(report: &Report) -> Table {
    let mut table = Table::new(["", "metric", "difference", "interval", "p", ""]);
    for pair in &report.comparisons {
        for difference in report.headline().iter().filter_map(|name| pair.metric(name)) {
            table.row([
                format!("{} against {}", pair.b, pair.a),
                difference.name.clone(),
                format!("{:+.4}", difference.mean),
                format!("{:+.4} to {:+.4}", difference.low, difference.high),
                difference.written_p(),
                report.verdict(difference).to_owned(),
            ]);
        }
    }
    table
}

/// What the lists of users are like, by model, with intervals; of lists that are arranged, beside those as they are, the differences.
fn likeness(report: &Report) -> Option<Table> {
    let first = report.comparisons.first()?.metrics.iter().filter(|of| !of.is_metric());
    let names: Vec<&str> = first.map(|of| of.name.as_str()).collect();
    let titles: Vec<String> = names.iter().map(|name| name.replace('_', " ")).collect();
    let mut table = Table::new(std::iter::once("what lists are like").chain(titles.iter().map(String::as_str)));
    for model in &report.models {
        let cell = |name: &&str| {
            let found = model.metric(name);
            found.map(|of| format!("{:.4} ({:.4} to {:.4})", of.mean, of.low, of.high)).unwrap_or_default()
        };
        table.row(std::iter::once(model.name.clone()).chain(names.iter().map(cell)));
    }
    for pair in report.comparisons.iter().filter(|pair| pair.is_of_arranged()) {
        let cell = |name: &&str| {
            let found = pair.metric(name);
            found.map(|of| format!("{:+.4} ({:+.4} to {:+.4})", of.mean, of.low, of.high)).unwrap_or_default()
        };
        let title = format!("{} against {}", pair.b, pair.a);
        table.row(std::iter::once(title).chain(names.iter().map(cell)));
    }
    (!names.is_empty()).then_some(table)
}

/// The series of a model; the baseline is muted.
fn series(report: &Report, points: impl Fn(usize, &ModelReport) -> Vec<Point>) -> Vec<Series> {
    let one = |(place, model): (usize, &ModelReport)| {
        let series = Series::new(&model.name, points(place, model));
        if place == 0 { series.muted() } else { series }
    };
    report.models.iter().enumerate().map(one).collect()
}

/// Means alone: bands of models on the same users would overlap where their differences are sure.
fn curve(report: &Report, title: &str, metric: &str, value: fn(&CurvePoint) -> f64) -> Plot {
    let plot = Plot::new(title, Axis::log("k, items in the list"), Axis::linear(format!("{metric}@k")).from_zero());
    let points = |_, model: &ModelReport| model.curve.iter().map(|of| Point::new(of.k as f64, value(of))).collect();
    series(report, points).into_iter().fold(plot, Plot::line)
}

fn of_kind(report: &Report, kind: SliceKind) -> impl Iterator<Item = &Slice> {
    report.slices.iter().filter(move |slice| slice.kind == kind && slice.pairs > 0)
}

fn slices(report: &Report, title: &str, axis: &str, kind: SliceKind) -> Plot {
    let recall = format!("recall@{}", report.slice_k);
    let name = |slice: &Slice| match kind {
        SliceKind::ItemPopularity | SliceKind::LongTail => slice.number.to_string(),
        SliceKind::UserActivity | SliceKind::NewUsers => slice.within(),
    };
    let axis = Axis::names(axis, of_kind(report, kind).map(name));
    let plot = Plot::new(title, axis, Axis::linear(&recall).from_zero());
    let points = |model: usize, _: &ModelReport| {
        let estimate = |slice: &Slice| slice.figures.get(model)?.iter().find(|of| of.name == recall).cloned();
        let point = |(place, slice): (usize, &Slice)| {
            let of = estimate(slice)?;
            let note = format!("{} test pairs of {} users", slice.pairs, slice.users);
            Some(Point::new(place as f64, of.mean).between(of.low, of.high).note(note))
        };
        of_kind(report, kind).enumerate().filter_map(point).collect()
    };
    series(report, points).into_iter().fold(plot, Plot::bars)
}

/// The slices that are no bars: new users and the long tail.
fn apart(report: &Report) -> Table {
    let recall = format!("recall@{}", report.slice_k);
    let names = report.models.iter().map(|model| model.name.as_str());
    let mut table = Table::new([recall.as_str(), "users", "pairs"].into_iter().chain(names));
    for (title, kind) in
        [("new users, at most 5 training pairs", SliceKind::NewUsers), ("the long tail", SliceKind::LongTail)]
    {
        for slice in report.slices.iter().filter(|slice| slice.kind == kind) {
            let of_model = |model| {
                let found =
                    slice.figures.get(model).and_then(|of: &Vec<Estimate>| of.iter().find(|of| of.name == recall));
                found.map(|of| format!("{:.4} ({:.4} to {:.4})", of.mean, of.low, of.high)).unwrap_or_default()
            };
            let title = match slice.items {
                Some(items) => format!("{title}, {items} of {} items", report.training_items),
                None => title.to_owned(),
            };
            let counts = [title, slice.users.to_string(), slice.pairs.to_string()];
            table.row(counts.into_iter().chain((0..report.models.len()).map(of_model)));
        }
    }
    table
}

/// How the places in the lists are shared out among the items, beside the training pairs.
fn lorenz(report: &Report) -> Plot {
    let title = format!("Who gets the first {} places", report.slice_k);
    let axis = Axis::linear("share of the catalogue, least listed first").from_zero();
    let plot = Plot::new(title, axis, Axis::linear("share of all places").from_zero());
    let points = |curve: &[f64]| -> Vec<Point> {
        let last = curve.len().saturating_sub(1).max(1) as f64;
        curve.iter().enumerate().map(|(step, share)| Point::new(step as f64 / last, *share)).collect()
    };
    let plot = series(report, |_, model| points(&model.exposure)).into_iter().fold(plot, Plot::line);
    plot.line(Series::new("training pairs", points(&report.training_exposure)))
}

/// What accuracy costs in surprise, or the other way round: the better, the further to the upper right.
fn surprise(report: &Report) -> Plot {
    let k = report.slice_k;
    let axis = Axis::linear("novelty of a listed item, bits");
    let plot = Plot::new("Found against surprising", axis, Axis::linear(format!("recall@{k}")));
    let points = |_, model: &ModelReport| {
        let lists = model.lists.iter().find(|of| of.k == k);
        let recall = model.metric(&format!("recall@{k}"));
        let point =
            lists.zip(recall).map(|(of, recall)| Point::new(of.novelty, recall.mean).between(recall.low, recall.high));
        point.into_iter().collect()
    };
    series(report, points).into_iter().fold(plot, Plot::points)
}

fn lists(report: &Report) -> Table {
    let header = ["model", "k", "coverage", "gini", "mean popularity", "novelty", "diversity"];
    let mut table = Table::new(header);
    for model in &report.models {
        for of in &model.lists {
            table.row([
                model.name.clone(),
                of.k.to_string(),
                format!("{:.4}", of.coverage),
                format!("{:.4}", of.gini),
                format!("{:.1}", of.mean_popularity),
                format!("{:.2}", of.novelty),
                format!("{:.4}", of.diversity),
            ]);
        }
    }
    table
}
