//! Which candidate is tried next. Models share the trials by their standing: each gets a little more than half as many as
//! the one before it, so that the best are searched most and none is given up. A single model's parameters come from the
//! sampler. A blend has the parameters of all its parts, too many for that, and its parts are searched on their own at a
//! fraction of its cost; so a blend first takes the best found for every part, and then changes the best blend in one part
//! at a time: to that part's own best, or a step away.

use super::sampler::{next_point, step_from};
use super::space::Space;
use super::trial::{Candidate, Trial, by_standing};
use crate::config::ModelKind;

/// A model gets so many trials for each one that the model before it gets.
const SHARE: f64 = 0.6;
/// The parts of a blend.
const PARTS: [ModelKind; 3] = [ModelKind::Ials, ModelKind::Filter, ModelKind::Linear];
/// The length of a step, as a share of an axis.
const STEP: f64 = 0.15;
/// So often a candidate that was tried already is replaced by another.
const ATTEMPTS: usize = 8;

/// The next candidate among some models. `trials` holds all that were proposed, in their order; those that are not
/// measured yet are under way. `None` when no model has parameters.
pub fn propose(space: &Space, models: &[ModelKind], seed: u64, trials: &[Trial]) -> Option<Candidate> {
    let model = next_model(space, models, trials)?;
    let number = trials.iter().filter(|trial| trial.candidate.model == model && !trial.is_default).count();
    let is_new = |candidate: &Candidate| trials.iter().all(|trial| trial.candidate != *candidate);
    let proposed = (0..ATTEMPTS).map(|attempt| {
        let number = number + attempt * trials.len();
        match model {
            ModelKind::Blend => blend(space, seed, number, trials),
            _ => single(space, model, seed, number, trials),
        }
    });
    proposed.into_iter().find(is_new)
}

/// The model that is furthest behind its share of the trials.
fn next_model(space: &Space, models: &[ModelKind], trials: &[Trial]) -> Option<ModelKind> {
    let of = |model: ModelKind| trials.iter().filter(move |trial| trial.candidate.model == model);
    let best = |model: ModelKind| by_standing(of(model)).first().and_then(|trial| trial.standing());
    let mut standing: Vec<(ModelKind, Option<(usize, f64)>)> =
        models.iter().filter(|model| space.dims(**model) > 0).map(|model| (*model, best(*model))).collect();
    // Stable: models that are not told apart keep the order of the list.
    standing.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
    // What cannot be trained as configured cannot be searched from there.
    standing.retain(|(_, standing)| standing.is_some());
    let weights = (0..standing.len()).map(|place| SHARE.powi(place as i32));
    let total: f64 = weights.clone().sum();
    let proposed = |model: ModelKind| of(model).filter(|trial| !trial.is_default).count() as f64;
    let next = standing.iter().map(|(model, _)| proposed(*model)).sum::<f64>() + 1.0;
    let behind =
        standing.iter().zip(weights).map(|((model, _), weight)| (*model, weight / total * next - proposed(*model)));
    behind.reduce(|a, b| if b.1 > a.1 { b } else { a }).map(|(model, _)| model)
}

fn single(space: &Space, model: ModelKind, seed: u64, number: usize, trials: &[Trial]) -> Candidate {
    let own = || trials.iter().filter(|trial| trial.candidate.model == model);
    let mut seen: Vec<Vec<f64>> = by_standing(own()).iter().map(|trial| space.point(&trial.candidate)).collect();
    // What failed is known, too, and is the worst.
    let (failed, waiting): (Vec<&Trial>, _) =
        own().filter(|trial| trial.standing().is_none()).partition(|trial| trial.has_failed());
    seen.extend(failed.iter().map(|trial| space.point(&trial.candidate)));
    let pending: Vec<Vec<f64>> = waiting.iter().map(|trial| space.point(&trial.candidate)).collect();
    space.candidate(model, &next_point(seed ^ model as u64, number, space.dims(model), &seen, &pending))
}

fn blend(space: &Space, seed: u64, number: usize, trials: &[Trial]) -> Candidate {
    let best = |model: ModelKind| {
        let own = trials.iter().filter(|trial| trial.candidate.model == model);
        by_standing(own).first().map_or_else(|| space.default_of(model), |trial| trial.candidate.clone())
    };
    let best_blend = best(ModelKind::Blend);
    if number == 0 {
        return PARTS.iter().fold(best_blend, |blend, part| with_part(space, blend, &best(*part)));
    }
    let part = PARTS.get((number - 1) % PARTS.len()).copied().unwrap_or(ModelKind::Ials);
    let with_best_part = with_part(space, best_blend.clone(), &best(part));
    if with_best_part != best_blend && trials.iter().all(|trial| trial.candidate != with_best_part) {
        return with_best_part;
    }
    let axes: Vec<usize> = axes(space, part).collect();
    // Half of the part's axes, others each time.
    let half = axes.iter().enumerate().filter(|(place, _)| (place + number / PARTS.len()).is_multiple_of(2));
    let half: Vec<usize> = half.map(|(_, axis)| *axis).collect();
    let stepped = step_from(seed, number, &space.point(&best_blend), &half, STEP);
    let mut candidate = space.candidate(ModelKind::Blend, &stepped);
    // Defaults that were not stepped from must stay what they are, also where they are not on the grid of the axis.
    for (axis, (to, from)) in candidate.values.iter_mut().zip(&best_blend.values).enumerate() {
        if !half.contains(&axis) {
            *to = *from;
        }
    }
    candidate
}

/// The axes of a blend that belong to one part.
fn axes(space: &Space, part: ModelKind) -> impl Iterator<Item = usize> {
    let own = space.of(ModelKind::Blend).enumerate();
    own.filter(move |(_, (parameter, _))| parameter.models.first() == Some(&part)).map(|(axis, _)| axis)
}

/// A blend with the settings of a part in place of its own; what belongs to another part stays.
fn with_part(space: &Space, mut blend: Candidate, part: &Candidate) -> Candidate {
    let of_blend = space.of(ModelKind::Blend).zip(&mut blend.values);
    for ((parameter, _), to) in of_blend.filter(|((own, _), _)| own.models.first() == Some(&part.model)) {
        let own = space.of(part.model).zip(&part.values).find(|((of_part, _), _)| of_part.name == parameter.name);
        if let Some((_, value)) = own {
            *to = *value;
        }
    }
    blend
}

#[cfg(test)]
mod tests {
    use super::super::trial::Measured;
    use super::*;
    use crate::config::TrainConfig;
    use crate::features::Csr;

    const SEED: u64 = 42;

    fn space() -> Space {
        let rows = (0..30).map(|user| (0..5).map(|step| ((user + step * 3) % 20, 1.0)).collect()).collect();
        Space::new(&TrainConfig::default(), &Csr::from_rows(20, rows))
    }

    fn measured(candidate: Candidate, score: f32) -> Trial {
        let rung = Measured { values: vec![score], failure: None, seconds: 1.0 };
        Trial { candidate, is_default: false, rungs: vec![Some(rung)] }
    }

    fn defaults(space: &Space, scores: &[(ModelKind, f32)]) -> Vec<Trial> {
        let default = |(model, score): &(ModelKind, f32)| Trial {
            is_default: true,
            ..measured(space.default_of(*model), *score)
        };
        scores.iter().map(default).collect()
    }

    #[test]
    fn the_better_a_model_the_more_of_the_trials_it_gets() {
        let space = space();
        let models = [ModelKind::Popularity, ModelKind::Ials, ModelKind::Linear, ModelKind::Filter];
        let mut trials = defaults(
            &space,
            &[(ModelKind::Popularity, 0.9), (ModelKind::Ials, 0.2), (ModelKind::Linear, 0.4), (ModelKind::Filter, 0.3)],
        );
        for _ in 0..40 {
            let candidate = propose(&space, &models, SEED, &trials).unwrap();
            trials.push(measured(candidate, 0.1));
        }
        let count = |model| trials.iter().filter(|trial| trial.candidate.model == model && !trial.is_default).count();
        let counts = models.map(count);
        assert_eq!(counts.iter().sum::<usize>(), 40);
        assert_eq!(counts[0], 0, "popularity has nothing to search");
        assert!(counts[2] > counts[3] && counts[3] > counts[1] && counts[1] >= 6, "{counts:?}");
    }

    #[test]
    fn a_blend_begins_with_the_best_of_every_part_and_then_changes_one_part_at_a_time() {
        let space = space();
        let models = [ModelKind::Blend];
        let mut trials = defaults(&space, &[(ModelKind::Blend, 0.5), (ModelKind::Ials, 0.3), (ModelKind::Linear, 0.3)]);
        let better_ials = space.candidate(ModelKind::Ials, &vec![0.3; space.dims(ModelKind::Ials)]);
        let worse_linear = space.candidate(ModelKind::Linear, &vec![0.3; space.dims(ModelKind::Linear)]);
        trials.push(measured(better_ials.clone(), 0.4));
        trials.push(measured(worse_linear, 0.2));
        let changed_parts = |candidate: &Candidate, from: &Candidate| -> Vec<ModelKind> {
            let differs = |axis: &usize| candidate.values[*axis] != from.values[*axis];
            PARTS.into_iter().filter(|part| axes(&space, *part).any(|axis| differs(&axis))).collect()
        };
        let first = propose(&space, &models, SEED, &trials).unwrap();
        assert_eq!(changed_parts(&first, &space.default_of(ModelKind::Blend)), [ModelKind::Ials]);
        assert_eq!(first, with_part(&space, space.default_of(ModelKind::Blend), &better_ials));
        trials.push(measured(first.clone(), 0.6));
        for part in [ModelKind::Ials, ModelKind::Filter, ModelKind::Linear, ModelKind::Ials] {
            let next = propose(&space, &models, SEED, &trials).unwrap();
            assert_eq!(changed_parts(&next, &first), [part]);
            trials.push(measured(next, 0.1));
        }
    }

    #[test]
    fn nothing_is_proposed_twice_even_while_it_is_under_way() {
        let space = space();
        let models = [ModelKind::Blend, ModelKind::Linear];
        let mut trials = defaults(&space, &[(ModelKind::Blend, 0.5), (ModelKind::Linear, 0.5)]);
        for _ in 0..30 {
            let candidate = propose(&space, &models, SEED, &trials).unwrap();
            assert!(trials.iter().all(|trial| trial.candidate != candidate));
            trials.push(Trial::new(candidate, false, 1));
        }
    }
}
