//! Which trials get further. Successive halving (Jamieson & Talwalkar, AISTATS 2016) without brackets to fill, as in ASHA
//! (Li et al., MLSys 2020): on every rung the best third of a model's trials may climb, whenever they are there.
//!
//! The resource of a rung is evidence: the share of the users who are trained on and measured where there are many,
//! the number of folds where there are few. Not epochs: graph filter, linear item model and popularity have none, and a
//! blend has parts with and without. Users cut cost for all of them alike, the whole catalogue stays the one that is
//! ranked, and what a sample settles (penalties, dimension) follows its size. Models climb among their own: a sample of the
//! users favours models with few parameters, and across models it would decide wrongly.

use super::trial::Trial;

/// One trial in so many climbs.
pub const KEPT: usize = 3;

/// The next trial to climb among those of one model, by its place in `trials`, and the rung that it climbs to: the
/// highest rung first, so that what is promising is known soon.
pub fn next_to_climb(trials: &[&Trial], is_pending: &dyn Fn(usize, usize) -> bool) -> Option<(usize, usize)> {
    climb(trials, is_pending, |on_rung| on_rung / KEPT)
}

/// The same when no more trials will come: whoever leads a rung is measured on the next.
pub fn next_to_finish(trials: &[&Trial], is_pending: &dyn Fn(usize, usize) -> bool) -> Option<(usize, usize)> {
    climb(trials, is_pending, |on_rung| (on_rung / KEPT).max(1))
}

fn climb(
    trials: &[&Trial],
    is_pending: &dyn Fn(usize, usize) -> bool,
    kept: impl Fn(usize) -> usize,
) -> Option<(usize, usize)> {
    let rungs = trials.first()?.rungs.len();
    (0..rungs.saturating_sub(1)).rev().find_map(|rung| {
        let mut on_rung: Vec<(f64, usize)> =
            trials.iter().enumerate().filter_map(|(place, trial)| Some((trial.score(rung)?, place))).collect();
        on_rung.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let best = on_rung.iter().take(kept(on_rung.len())).map(|(_, place)| *place);
        let waits = |place: &usize| {
            let unmeasured =
                trials.get(*place).and_then(|trial| trial.rungs.get(rung + 1)).is_some_and(Option::is_none);
            unmeasured && !is_pending(*place, rung + 1)
        };
        best.into_iter().find(waits).map(|place| (place, rung + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Candidate, Measured};
    use super::*;
    use crate::config::ModelKind;

    const RUNGS: usize = 3;

    type Next = fn(&[&Trial], &dyn Fn(usize, usize) -> bool) -> Option<(usize, usize)>;

    fn trial() -> Trial {
        Trial::new(Candidate { model: ModelKind::Ials, values: Vec::new() }, false, RUNGS)
    }

    fn measure(trial: &mut Trial, rung: usize, quality: f64) {
        // A learning curve: more of the resource is better, and the order is the same on every rung.
        let value = (quality * (rung as f64 + 1.0) / (rung as f64 + 2.0)) as f32;
        trial.rungs[rung] = Some(Measured { values: vec![value], failure: None, seconds: 1.0 });
    }

    fn climb_all(trials: &mut [Trial], qualities: &[f64], next: Next) {
        while let Some((place, rung)) = next(&trials.iter().collect::<Vec<_>>(), &|_, _| false) {
            measure(&mut trials[place], rung, qualities[place]);
        }
    }

    #[test]
    fn the_best_is_never_dropped_on_monotone_curves_whatever_the_order() {
        for shift in 0..27 {
            let qualities: Vec<f64> = (0..27).map(|place| ((place * 11 + shift) % 27) as f64).collect();
            let mut trials: Vec<Trial> = Vec::new();
            for quality in &qualities {
                trials.push(trial());
                measure(trials.last_mut().unwrap(), 0, *quality);
                climb_all(&mut trials, &qualities, next_to_climb);
            }
            climb_all(&mut trials, &qualities, next_to_finish);
            let best = qualities.iter().position(|quality| *quality == 26.0).unwrap();
            assert!(trials[best].score(RUNGS - 1).is_some(), "shift {shift}");
        }
    }

    #[test]
    fn most_trials_stay_on_the_cheapest_rung() {
        let qualities: Vec<f64> = (0..27).map(|place| (place * 11 % 27) as f64).collect();
        let mut trials = vec![trial(); 27];
        trials.iter_mut().zip(&qualities).for_each(|(trial, quality)| measure(trial, 0, *quality));
        climb_all(&mut trials, &qualities, next_to_climb);
        let on = |rung: usize| trials.iter().filter(|trial| trial.score(rung).is_some()).count();
        assert_eq!([on(0), on(1), on(2)], [27, 9, 3]);
    }

    #[test]
    fn a_climb_under_way_is_not_begun_again() {
        let mut trials = vec![trial(); 3];
        trials.iter_mut().enumerate().for_each(|(place, trial)| measure(trial, 0, place as f64));
        let trials: Vec<&Trial> = trials.iter().collect();
        assert_eq!(next_to_climb(&trials, &|_, _| false), Some((2, 1)));
        assert_eq!(next_to_climb(&trials, &|place, rung| (place, rung) == (2, 1)), None);
    }

    #[test]
    fn what_failed_does_not_climb() {
        let mut trials = vec![trial(); 3];
        trials[0].rungs[0] = Some(Measured { values: Vec::new(), failure: Some("out of range".into()), seconds: 1.0 });
        measure(&mut trials[1], 0, 1.0);
        assert_eq!(next_to_climb(&trials.iter().collect::<Vec<_>>(), &|_, _| false), None);
        assert_eq!(next_to_finish(&trials.iter().collect::<Vec<_>>(), &|_, _| false), Some((1, 1)));
    }
}
