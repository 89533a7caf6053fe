//! A search for settings as a page: how it went, what each parameter does, and all trials.

use std::collections::BTreeSet;

use super::count;
use super::tune::{ahead, faded, told};
use crate::config::ModelKind;
use crate::engine::{Tuned, TunedTrial};
use crate::report::{Axis, Page, Plot, Point, Series, Table};

/// Values that span more than this ratio are drawn on a log scale.
const WIDE: f64 = 20.0;

/// The page of a search.
pub fn page(tuned: &Tuned) -> Page {
    let mut page = Page::new("Search for settings");
    page.text(&format!(
        "{} on {}, {} users; {} trials in {:.0} s.",
        tuned.metric,
        tuned.split,
        count(tuned.users),
        tuned.trials.len(),
        tuned.seconds
    ));
    if let Some(fading) = &tuned.fading {
        page.text(&format!("{}.", faded(fading)));
    }
    page.text(&format!("Chosen: trial {}, {}.", tuned.chosen, tuned.reason));
    page.heading("Trials").figures(&rungs(tuned)).note(
        "A trial climbs from one rung to the next when it is among the best third of its model. Rest the pointer on a point \
         for its settings.",
    );
    let parameters = parameters(tuned);
    if !parameters.is_empty() {
        page.heading("What each parameter does").figures(&parameters);
        page.note("All trials, on the cheapest rung. Other parameters change from point to point, too.");
    }
    page.heading("All trials, the best first").table(&table(tuned));
    page
}

/// One plot for each rung, the whole first, with the best until then.
fn rungs(tuned: &Tuned) -> Vec<Plot> {
    let mut in_order: Vec<&TunedTrial> = tuned.trials.iter().collect();
    in_order.sort_by_key(|trial| trial.number);
    let plot = |(rung, label): (usize, &String)| {
        let points = |trial: &&TunedTrial| Some((trial.number as f64, trial.scores.get(rung).copied().flatten()?));
        let mut best = f64::NEG_INFINITY;
        let steps: Vec<Point> = in_order
            .iter()
            .filter_map(points)
            .map(|(number, score)| {
                best = best.max(score);
                Point::new(number, best)
            })
            .collect();
        let line = Series::new("best so far", steps).muted();
        let plot = Plot::new(label, Axis::linear("trial"), Axis::linear(&tuned.metric)).line(line);
        by_model(tuned).into_iter().fold(plot, |plot, (model, trials)| {
            let of_model = trials.iter().filter_map(|trial| {
                let (number, score) = points(trial)?;
                Some(Point::new(number, score).note(told(trial)))
            });
            let of_model: Vec<Point> = of_model.collect();
            if of_model.is_empty() { plot } else { plot.points(Series::new(model.name(), of_model)) }
        })
    };
    tuned.rungs.iter().enumerate().rev().map(plot).collect()
}

/// One plot for each parameter that took several values.
fn parameters(tuned: &Tuned) -> Vec<Plot> {
    let names: BTreeSet<&String> = tuned.trials.iter().flat_map(|trial| trial.parameters.keys()).collect();
    let plot = |name: &String| {
        let value =
            |trial: &&TunedTrial| Some((*trial.parameters.get(name)?, trial.scores.first().copied().flatten()?));
        let values: Vec<f64> = tuned.trials.iter().filter_map(|trial| value(&trial)).map(|(value, _)| value).collect();
        let (low, high) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |ends, value| (ends.0.min(*value), ends.1.max(*value)));
        if low >= high {
            return None;
        }
        let axis = if low > 0.0 && high / low > WIDE { Axis::log(name) } else { Axis::linear(name) };
        let plot = Plot::new(name, axis, Axis::linear(&tuned.metric));
        let plot = by_model(tuned).into_iter().fold(plot, |plot, (model, trials)| {
            let points: Vec<Point> = trials
                .iter()
                .filter_map(|trial| {
                    value(trial).map(|(at, score)| Point::new(at, score).note(format!("trial {}", trial.number)))
                })
                .collect();
            if points.is_empty() { plot } else { plot.points(Series::new(model.name(), points)) }
        });
        Some(plot)
    };
    names.into_iter().filter_map(plot).collect()
}

fn by_model(tuned: &Tuned) -> Vec<(ModelKind, Vec<&TunedTrial>)> {
    let mut models: Vec<(ModelKind, Vec<&TunedTrial>)> = Vec::new();
    for trial in &tuned.trials {
        match models.iter_mut().find(|(model, _)| *model == trial.model) {
            Some((_, trials)) => trials.push(trial),
            None => models.push((trial.model, vec![trial])),
        }
    }
    models
}

fn table(tuned: &Tuned) -> Table {
    let rungs = tuned.rungs.iter().map(String::as_str);
    let mut table = Table::new(["trial"].into_iter().chain(rungs).chain(["ahead", "seconds", "settings"]));
    for trial in &tuned.trials {
        let scores = trial.scores.iter().map(|score| score.map(|score| format!("{score:.4}")).unwrap_or_default());
        let first = [format!("{} {}", trial.number, trial.model.name())];
        table.row(first.into_iter().chain(scores).chain([ahead(trial), format!("{:.1}", trial.seconds), told(trial)]));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrainConfig;

    fn trial(number: u64, model: ModelKind, score: Option<f64>, ridge: f64) -> TunedTrial {
        TunedTrial {
            number,
            model,
            is_default: number == 1,
            settings: [("linear.ridge".to_owned(), ridge.into())].into(),
            parameters: [("linear.ridge".to_owned(), ridge)].into(),
            scores: vec![score, None],
            ahead: None,
            error: None,
            seconds: 1.0,
            failure: score.is_none().then(|| "out of <range>".into()),
        }
    }

    #[test]
    fn a_page_shows_every_trial_and_what_a_parameter_does() {
        let tuned = Tuned {
            fading: None,
            train: TrainConfig::default(),
            chosen: 2,
            reason: "it is the best".into(),
            metric: "ndcg@10".into(),
            split: "folds".into(),
            rungs: vec!["2 of 5".into(), "5 of 5".into()],
            users: 99,
            resumed: 0,
            seconds: 3.0,
            trials: vec![
                trial(2, ModelKind::Linear, Some(0.4), 300.0),
                trial(1, ModelKind::Linear, Some(0.3), 2.0),
                trial(3, ModelKind::Bpr, None, 2.0),
            ],
        };
        let html = page(&tuned).html();
        for text in
            ["Chosen: trial 2", "linear.ridge=300", "as configured", "out of &lt;range&gt;", "best so far", "<svg"]
        {
            assert!(html.contains(text), "{text}");
        }
    }
}
