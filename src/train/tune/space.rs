//! What can be searched: for each model the settings that matter, with their ranges. A setting that a configuration may
//! leave to the data is searched as a multiple of what the data settles, so that one candidate means the same on a sample
//! of the users, inside a split, and on everything. A candidate that keeps a default leaves the configuration as it was.

use std::collections::BTreeMap;

use super::parameter::{ALL, Parameter, Scale};
use super::trial::Candidate;
use crate::config::{ModelKind, TrainConfig};
use crate::features::Csr;
use crate::train::settle::settle;

/// The models among which is chosen when nothing is said. Models of explicit ratings answer another question.
pub const MODELS: [ModelKind; 7] = [
    ModelKind::Blend,
    ModelKind::Ials,
    ModelKind::Filter,
    ModelKind::Linear,
    ModelKind::Softmax,
    ModelKind::Bpr,
    ModelKind::Popularity,
];

/// The space around a configuration.
pub struct Space {
    base: TrainConfig,
    /// Of every parameter, the value that the configuration has.
    defaults: Vec<f64>,
    has_trend: bool,
}

impl Space {
    /// The space whose defaults are those of `base`, for data of the size of `matrix`.
    pub fn new(base: &TrainConfig, matrix: &Csr) -> Self {
        let defaults = ALL.iter().map(|parameter| parameter.default(base, matrix)).collect();
        Self { base: base.clone(), defaults, has_trend: true }
    }

    /// The same for data without times, in which nothing has a trend.
    pub fn without_trend(self) -> Self {
        Self { has_trend: false, ..self }
    }

    /// The model that is configured.
    pub fn configured(&self) -> ModelKind {
        self.base.model
    }

    /// The parameters of a model, in the order of a candidate's values, each with its default.
    pub fn of(&self, model: ModelKind) -> impl Iterator<Item = (&'static Parameter, f64)> {
        let own = ALL.iter().zip(&self.defaults).filter(move |(parameter, _)| {
            parameter.models.contains(&model) && (self.has_trend || parameter.name != "trend")
        });
        own.map(|(parameter, default)| (parameter, *default))
    }

    /// How many parameters a model has.
    pub fn dims(&self, model: ModelKind) -> usize {
        self.of(model).count()
    }

    /// The model as it is configured.
    pub fn default_of(&self, model: ModelKind) -> Candidate {
        Candidate { model, values: self.of(model).map(|(_, default)| default).collect() }
    }

    /// The candidate at a point of the unit cube, `[dims]`.
    pub fn candidate(&self, model: ModelKind, point: &[f64]) -> Candidate {
        let values = self.of(model).zip(point).map(|((parameter, default), at)| parameter.value(*at, default));
        Candidate { model, values: values.collect() }
    }

    /// Where a candidate is in the unit cube, `[dims]`.
    pub fn point(&self, candidate: &Candidate) -> Vec<f64> {
        let own = self.of(candidate.model).zip(&candidate.values);
        own.map(|((parameter, default), value)| parameter.place(*value, default)).collect()
    }

    /// The parameters of a candidate that do not have their defaults.
    fn changes(&self, candidate: &Candidate) -> Vec<(&'static Parameter, f64)> {
        let own = self.of(candidate.model).zip(&candidate.values);
        own.filter(|((_, default), value)| default != *value)
            .map(|((parameter, _), value)| (parameter, *value))
            .collect()
    }

    /// All parameters of a candidate by name, as numbers, in the units of the configuration for a matrix.
    pub fn settled(&self, candidate: &Candidate, matrix: &Csr) -> BTreeMap<String, f64> {
        let settled = settle(&self.config(candidate, matrix), matrix);
        let own = self.of(candidate.model);
        own.map(|(parameter, _)| (parameter.name.to_owned(), (parameter.get)(&settled))).collect()
    }

    /// The configuration of a candidate for a training matrix. Multiples are of what `matrix` settles.
    pub fn config(&self, candidate: &Candidate, matrix: &Csr) -> TrainConfig {
        let mut config = TrainConfig { model: candidate.model, ..self.base.clone() };
        let (multiples, plain): (Vec<_>, Vec<_>) = self.changes(candidate).into_iter().partition(is_multiple);
        for (parameter, value) in plain {
            (parameter.set)(&mut config, value);
        }
        for (parameter, value) in multiples {
            let unit = parameter.unit(&config, matrix);
            (parameter.set)(&mut config, rounded(unit * value));
        }
        config
    }
}

fn is_multiple((parameter, _): &(&Parameter, f64)) -> bool {
    matches!(parameter.scale, Scale::Multiple { .. })
}

/// To three digits: what is written to a file is exactly what was measured, and can be read.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> Csr {
        Csr::from_rows(50, (0..80).map(|user| (0..9).map(|step| ((user * 7 + step * 5) % 50, 1.0)).collect()).collect())
    }

    #[test]
    fn the_default_candidate_leaves_the_configuration_as_it_is() {
        let base = TrainConfig { epochs: 7, regularization: 0.5, ..TrainConfig::default() };
        let space = Space::new(&base, &matrix());
        for model in MODELS {
            let candidate = space.default_of(model);
            assert_eq!(space.config(&candidate, &matrix()), TrainConfig { model, ..base.clone() });
            assert!(space.changes(&candidate).is_empty());
        }
    }

    #[test]
    fn a_model_has_the_parameters_that_change_it_and_no_others() {
        let space = Space::new(&TrainConfig::default(), &matrix());
        let has = |model, name: &str| space.of(model).any(|(parameter, _)| parameter.name == name);
        assert!(has(ModelKind::Softmax, "sgd.log_q") && !has(ModelKind::Bpr, "sgd.log_q"));
        assert!(has(ModelKind::Filter, "filter.low_pass") && !has(ModelKind::Blend, "filter.low_pass"));
        for name in ["regularization", "filter.neighbours", "linear.ridge"] {
            assert!(has(ModelKind::Blend, name), "{name}");
        }
        assert!(!has(ModelKind::Ials, "linear.ridge"));
        for model in MODELS.into_iter().filter(|model| *model != ModelKind::Popularity) {
            assert!(has(model, "debias") && has(model, "trend"), "{model:?}");
            let has_factors = ![ModelKind::Filter, ModelKind::Linear].contains(&model);
            assert_eq!(has(model, "item_frequency_exponent"), has_factors, "{model:?}");
        }
        assert_eq!(space.dims(ModelKind::Popularity), 0);
        let dims = space.dims(ModelKind::Blend);
        assert_eq!(space.without_trend().dims(ModelKind::Blend), dims - 1);
    }

    #[test]
    fn what_the_data_settles_is_searched_in_multiples_of_it() {
        let space = Space::new(&TrainConfig::default(), &matrix());
        let mut candidate = space.default_of(ModelKind::Ials);
        let place = space.of(ModelKind::Ials).position(|(parameter, _)| parameter.name == "regularization").unwrap();
        candidate.values[place] = 2.0;
        let settled = settle(&TrainConfig::default(), &matrix()).regularization;
        let config = space.config(&candidate, &matrix());
        assert!((config.regularization / settled - 2.0).abs() < 0.01);
        assert_eq!(config.dimension, 0, "the rest is still left to the data");
    }

    #[test]
    fn a_configured_penalty_is_where_the_search_begins_and_not_its_unit() {
        let base = TrainConfig { regularization: 1e6, ..TrainConfig::default() };
        let space = Space::new(&base, &matrix());
        let default = space.default_of(ModelKind::Ials);
        assert_eq!(space.config(&default, &matrix()).regularization, 1e6);
        let middle = space.candidate(ModelKind::Ials, &vec![0.4; space.dims(ModelKind::Ials)]);
        assert!(space.config(&middle, &matrix()).regularization < 100.0);
    }

    #[test]
    fn a_penalty_keeps_its_meaning_under_another_exponent() {
        let space = Space::new(&TrainConfig::default(), &matrix());
        let names: Vec<&str> = space.of(ModelKind::Ials).map(|(parameter, _)| parameter.name).collect();
        let place = |name| names.iter().position(|other| *other == name).unwrap();
        let mut candidate = space.default_of(ModelKind::Ials);
        candidate.values[place("regularization")] = 2.0;
        candidate.values[place("regularization_exponent")] = 1.0;
        candidate.values[place("unobserved_weight")] = 3.0;
        let config = space.config(&candidate, &matrix());
        let open = settle(&TrainConfig { regularization: 0.0, ..config.clone() }, &matrix());
        assert!((config.regularization / open.regularization - 2.0).abs() < 0.01);
    }

    #[test]
    fn every_point_of_the_cube_is_a_valid_configuration_and_comes_back() {
        let space = Space::new(&TrainConfig::default(), &matrix());
        for model in MODELS {
            for at in [0.0, 0.21, 0.5, 0.83, 1.0] {
                let candidate = space.candidate(model, &vec![at; space.dims(model)]);
                assert!(space.config(&candidate, &matrix()).validate().is_ok(), "{model:?} at {at}");
                let again = space.candidate(model, &space.point(&candidate));
                assert_eq!(again, candidate, "{model:?} at {at}");
            }
        }
    }
}
