//! Evaluations: each metric of the model beside the baseline's, with intervals and the paired difference.

use super::{count, table as empty};
use crate::config::{ModelKind, TrainConfig};
use crate::engine::Evaluation;
use crate::eval::{Estimate, ListFigures, ModelReport, RatingReport, Report};

/// Conditions first, then metrics, then what the lists look like.
pub fn table(evaluation: &Evaluation) -> String {
    let Evaluation { train, train_seconds, loss, report, ratings } = evaluation;
    let (dimension, epochs) = size(train);
    let mut text = format!(
        "split {} · {} users, {} test pairs ({} left out), ranked over all {} items\n\
         trained on {} users, {} pairs in {train_seconds:.2} s: dimension {dimension}, {epochs} epochs, seed {}, loss {loss:.6}\n\
         intervals of {} %, {} resamplings of the users, seed {}\n",
        report.split,
        count(report.users),
        count(report.test_pairs),
        count(report.dropped_pairs),
        count(report.training_items),
        count(report.training_users),
        count(report.training_pairs),
        train.seed,
        (report.confidence * 1000.0).round() / 10.0,
        count(report.bootstrap),
        report.seed,
    );
    if let Some(ratings) = ratings {
        text += &format!("\n{}\n", rating_errors(ratings));
    }
    if let Some((baseline, models)) = report.models.split_first() {
        for (place, model) in models.iter().enumerate() {
            let differences = report.differences.get(place).map_or(&[][..], Vec::as_slice);
            text += &format!("\n{}\n", metrics(baseline, model, differences));
        }
        text += &format!("\n{}\n", lists(report));
    }
    text
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
    let mut table = empty(&["ratings", "rmse", "interval", "mae", "interval", "rmse to bias", "interval"], &[1, 3, 5]);
    let cells = |estimate: Option<&Estimate>| {
        let mean = estimate.map(|of| format!("{:.4}", of.mean)).unwrap_or_default();
        [mean, estimate.map(|of| format!("{:.4} to {:.4}", of.low, of.high)).unwrap_or_default()]
    };
    for model in &report.models {
        let [rmse, mae] = ["rmse", "mae"].map(|name| cells(model.errors.iter().find(|of| of.name == name)));
        let difference = cells(model.differences.iter().find(|of| of.name == "rmse"));
        table.add_row(std::iter::once(model.name.clone()).chain(rmse).chain(mae).chain(difference));
    }
    let (ratings, users, unknown) = (count(report.ratings), count(report.users), count(report.unknown));
    format!(
        "{ratings} test ratings of {users} users, {unknown} of them with a user or item not seen before\n{}",
        table.trim_fmt()
    )
}

fn metrics(baseline: &ModelReport, model: &ModelReport, differences: &[Estimate]) -> String {
    let header = ["metric", &baseline.name, &model.name, "interval", "difference", "interval", ""];
    let mut table = empty(&header, &[1, 2, 3, 4, 5]);
    for estimate in &model.metrics {
        let beside = baseline.metric(&estimate.name);
        let difference = differences.iter().find(|of| of.name == estimate.name);
        table.add_row([
            estimate.name.clone(),
            beside.map(|of| format!("{:.4}", of.mean)).unwrap_or_default(),
            format!("{:.4}", estimate.mean),
            format!("{:.4} to {:.4}", estimate.low, estimate.high),
            difference.map(|of| format!("{:+.4}", of.mean)).unwrap_or_default(),
            difference.map(|of| format!("{:+.4} to {:+.4}", of.low, of.high)).unwrap_or_default(),
            difference.map(verdict).unwrap_or_default().to_owned(),
        ]);
    }
    table.trim_fmt()
}

/// What the interval of a difference allows to say.
fn verdict(difference: &Estimate) -> &'static str {
    if difference.low > 0.0 {
        "better"
    } else if difference.high < 0.0 {
        "worse"
    } else {
        "not told apart"
    }
}

/// A way to read one figure of lists.
type Figure = (&'static str, fn(&ListFigures) -> String);

const FIGURES: [Figure; 3] = [
    ("catalogue coverage", |lists| format!("{:.4}", lists.coverage)),
    ("mean popularity", |lists| format!("{:.1}", lists.mean_popularity)),
    ("gini", |lists| format!("{:.4}", lists.gini)),
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
    table.trim_fmt()
}
