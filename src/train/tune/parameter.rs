//! The parameters, one by one: how a setting is read and put in place, where it is looked for, and on which scale.

use super::space::rounded;
use crate::config::{ModelKind, Similarity, TrainConfig};
use crate::features::Csr;
use crate::train::settle::settle;

/// A multiple that is configured outside the range widens it at most so many times.
const BEYOND: f64 = 5.0;

/// A setting that is searched.
pub struct Parameter {
    /// Its path inside `[train]`: `filter.neighbours`.
    pub name: &'static str,
    /// The models that it changes. The first names the part of the blend that it belongs to.
    pub models: &'static [ModelKind],
    /// Where it is looked for.
    pub scale: Scale,
    /// Reads it.
    pub get: fn(&TrainConfig) -> f64,
    /// Puts it in place.
    pub set: fn(&mut TrainConfig, f64),
}

/// The range of a parameter and how it is spaced. A configured value outside widens the range.
#[derive(Clone, Copy)]
pub enum Scale {
    /// Multiples of what the data settles, log-spaced.
    Multiple { low: f64, high: f64 },
    /// Evenly spaced.
    Even { low: f64, high: f64 },
    /// Log-spaced.
    Log { low: f64, high: f64 },
    /// Log-spaced whole numbers.
    Whole { low: f64, high: f64 },
    /// One of so many, counted from 0.
    Choice(u8),
}

impl Parameter {
    /// The value that a configuration has, for `matrix`.
    pub fn default(&self, base: &TrainConfig, matrix: &Csr) -> f64 {
        let value = (self.get)(base);
        match self.scale {
            Scale::Multiple { .. } if value > 0.0 => rounded(value / self.unit(base, matrix).max(f64::MIN_POSITIVE)),
            Scale::Multiple { .. } => 1.0,
            _ => value,
        }
    }

    /// What `matrix` settles where the other settings are those of a configuration: the unit of a multiple.
    pub fn unit(&self, config: &TrainConfig, matrix: &Csr) -> f64 {
        let mut open = config.clone();
        (self.set)(&mut open, 0.0);
        (self.get)(&settle(&open, matrix))
    }

    /// The value at a place between 0 and 1.
    pub fn value(&self, at: f64, default: f64) -> f64 {
        let (low, high) = self.range(default);
        match self.scale {
            Scale::Even { .. } => ((low + at * (high - low)) * 1000.0).round() / 1000.0,
            Scale::Multiple { .. } | Scale::Log { .. } => rounded(between(low, high, at)),
            Scale::Whole { .. } => between(low, high, at).round(),
            Scale::Choice(count) => (at * f64::from(count)).floor().min(f64::from(count) - 1.0),
        }
    }

    /// The place of a value.
    pub fn place(&self, value: f64, default: f64) -> f64 {
        let (low, high) = self.range(default);
        let place = match self.scale {
            Scale::Even { .. } => (value - low) / (high - low),
            Scale::Choice(count) => (value + 0.5) / f64::from(count),
            _ => (value / low).ln() / (high / low).ln(),
        };
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.5 }
    }

    fn range(&self, default: f64) -> (f64, f64) {
        match self.scale {
            Scale::Even { low, high } => (low.min(default), high.max(default)),
            // A wild guess does not make all else a corner.
            Scale::Multiple { low, high } => (low.min(default.max(low / BEYOND)), high.max(default.min(high * BEYOND))),
            // What is 0 has no place on a log scale: 0 stands for something else there.
            Scale::Log { low, high } | Scale::Whole { low, high } => {
                (if default > 0.0 { low.min(default) } else { low }, high.max(default))
            }
            Scale::Choice(count) => (0.0, f64::from(count)),
        }
    }
}

fn between(low: f64, high: f64, at: f64) -> f64 {
    low * (high / low).powf(at)
}

const IALS: &[ModelKind] = &[ModelKind::Ials, ModelKind::Blend];
/// Models with factors of their own.
const FACTORS: &[ModelKind] = &[ModelKind::Ials, ModelKind::Blend, ModelKind::Softmax, ModelKind::Bpr];
/// All that score some items higher than others for reasons of the user's.
const PERSONAL: &[ModelKind] =
    &[ModelKind::Ials, ModelKind::Blend, ModelKind::Filter, ModelKind::Linear, ModelKind::Softmax, ModelKind::Bpr];
const FILTER: &[ModelKind] = &[ModelKind::Filter, ModelKind::Blend];
const FILTER_ALONE: &[ModelKind] = &[ModelKind::Filter];
const LINEAR: &[ModelKind] = &[ModelKind::Linear, ModelKind::Blend];
const SGD: &[ModelKind] = &[ModelKind::Softmax, ModelKind::Bpr];
const SOFTMAX: &[ModelKind] = &[ModelKind::Softmax];

/// Whole registers; 0 is left to the data.
fn dimension(value: f64) -> usize {
    if value > 0.0 { ((value / 8.0).round() as usize).max(1) * 8 } else { 0 }
}

/// All that is searched. Ranges are wide enough for dense and sparse data alike; the sampler narrows them.
pub const ALL: &[Parameter] = &[
    Parameter {
        name: "dimension",
        models: IALS,
        scale: Scale::Multiple { low: 0.25, high: 2.0 },
        get: |config| config.dimension as f64,
        set: |config, value| config.dimension = dimension(value),
    },
    Parameter {
        name: "epochs",
        models: IALS,
        scale: Scale::Whole { low: 5.0, high: 30.0 },
        get: |config| config.epochs as f64,
        set: |config, value| config.epochs = value as usize,
    },
    Parameter {
        name: "regularization_exponent",
        models: IALS,
        scale: Scale::Even { low: 0.0, high: 1.0 },
        get: |config| config.regularization_exponent,
        set: |config, value| config.regularization_exponent = value,
    },
    Parameter {
        name: "unobserved_weight",
        models: IALS,
        scale: Scale::Multiple { low: 0.05, high: 20.0 },
        get: |config| config.unobserved_weight,
        set: |config, value| config.unobserved_weight = value,
    },
    // After what its unit depends on.
    Parameter {
        name: "regularization",
        models: IALS,
        scale: Scale::Multiple { low: 0.05, high: 20.0 },
        get: |config| config.regularization,
        set: |config, value| config.regularization = value,
    },
    Parameter {
        name: "item_frequency_exponent",
        models: FACTORS,
        scale: Scale::Even { low: -0.25, high: 0.75 },
        get: |config| config.item_frequency_exponent,
        set: |config, value| config.item_frequency_exponent = value,
    },
    Parameter {
        name: "debias",
        models: PERSONAL,
        scale: Scale::Even { low: -0.25, high: 0.5 },
        get: |config| config.debias,
        set: |config, value| config.debias = value,
    },
    Parameter {
        name: "trend",
        models: PERSONAL,
        scale: Scale::Even { low: 0.0, high: 1.0 },
        get: |config| config.trend,
        set: |config, value| config.trend = value,
    },
    Parameter {
        name: "filter.user_exponent",
        models: FILTER,
        scale: Scale::Even { low: 0.0, high: 1.0 },
        get: |config| config.filter.user_exponent,
        set: |config, value| config.filter.user_exponent = value,
    },
    Parameter {
        name: "filter.history_exponent",
        models: FILTER,
        scale: Scale::Even { low: 0.0, high: 1.0 },
        get: |config| config.filter.history_exponent,
        set: |config, value| config.filter.history_exponent = value,
    },
    Parameter {
        name: "filter.item_exponent",
        models: FILTER,
        scale: Scale::Even { low: 0.0, high: 1.0 },
        get: |config| config.filter.item_exponent,
        set: |config, value| config.filter.item_exponent = value,
    },
    Parameter {
        name: "filter.neighbours",
        models: FILTER,
        scale: Scale::Whole { low: 20.0, high: 800.0 },
        get: |config| config.filter.neighbours as f64,
        set: |config, value| config.filter.neighbours = value as usize,
    },
    Parameter {
        name: "filter.components",
        models: FILTER,
        scale: Scale::Multiple { low: 0.25, high: 2.0 },
        get: |config| config.filter.components as f64,
        set: |config, value| config.filter.components = dimension(value),
    },
    Parameter {
        name: "filter.low_pass_exponent",
        models: FILTER,
        scale: Scale::Even { low: 0.0, high: 0.7 },
        get: |config| config.filter.low_pass_exponent,
        set: |config, value| config.filter.low_pass_exponent = value,
    },
    Parameter {
        name: "filter.spectral_exponent",
        models: FILTER,
        scale: Scale::Even { low: 0.0, high: 2.0 },
        get: |config| config.filter.spectral_exponent,
        set: |config, value| config.filter.spectral_exponent = value,
    },
    Parameter {
        name: "filter.low_pass",
        models: FILTER_ALONE,
        scale: Scale::Even { low: 0.0, high: 1.5 },
        get: |config| config.filter.low_pass,
        set: |config, value| config.filter.low_pass = value,
    },
    Parameter {
        name: "linear.neighbours",
        models: LINEAR,
        scale: Scale::Whole { low: 20.0, high: 300.0 },
        get: |config| config.linear.neighbours as f64,
        set: |config, value| config.linear.neighbours = value as usize,
    },
    Parameter {
        name: "linear.ridge",
        models: LINEAR,
        scale: Scale::Log { low: 1.0, high: 500.0 },
        get: |config| config.linear.ridge,
        set: |config, value| config.linear.ridge = value,
    },
    Parameter {
        name: "linear.similarity",
        models: LINEAR,
        scale: Scale::Choice(3),
        get: |config| match config.linear.similarity {
            Similarity::Cosine => 0.0,
            Similarity::Jaccard => 1.0,
            Similarity::Overlap => 2.0,
        },
        set: |config, value| {
            config.linear.similarity = match value as u8 {
                0 => Similarity::Cosine,
                1 => Similarity::Jaccard,
                _ => Similarity::Overlap,
            }
        },
    },
    Parameter {
        name: "linear.user_exponent",
        models: LINEAR,
        scale: Scale::Even { low: 0.0, high: 1.0 },
        get: |config| config.linear.user_exponent,
        set: |config, value| config.linear.user_exponent = value,
    },
    Parameter {
        name: "sgd.dimension",
        models: SGD,
        scale: Scale::Whole { low: 16.0, high: 192.0 },
        get: |config| config.sgd.dimension as f64,
        set: |config, value| config.sgd.dimension = value as usize,
    },
    Parameter {
        name: "sgd.epochs",
        models: SGD,
        scale: Scale::Whole { low: 5.0, high: 60.0 },
        get: |config| config.sgd.epochs as f64,
        set: |config, value| config.sgd.epochs = value as usize,
    },
    Parameter {
        name: "sgd.learning_rate",
        models: SGD,
        scale: Scale::Log { low: 0.002, high: 0.5 },
        get: |config| config.sgd.learning_rate,
        set: |config, value| config.sgd.learning_rate = value,
    },
    Parameter {
        name: "sgd.regularization",
        models: SGD,
        scale: Scale::Log { low: 1e-5, high: 1.0 },
        get: |config| config.sgd.regularization,
        set: |config, value| config.sgd.regularization = value,
    },
    Parameter {
        name: "sgd.negatives",
        models: SGD,
        scale: Scale::Whole { low: 1.0, high: 64.0 },
        get: |config| config.sgd.negatives as f64,
        set: |config, value| config.sgd.negatives = value as usize,
    },
    Parameter {
        name: "sgd.negative_exponent",
        models: SGD,
        scale: Scale::Even { low: 0.0, high: 1.0 },
        get: |config| config.sgd.negative_exponent,
        set: |config, value| config.sgd.negative_exponent = value,
    },
    Parameter {
        name: "sgd.log_q",
        models: SOFTMAX,
        scale: Scale::Choice(2),
        get: |config| f64::from(u8::from(config.sgd.log_q)),
        set: |config, value| config.sgd.log_q = value >= 1.0,
    },
];
