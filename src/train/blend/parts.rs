//! The parts of a blend, each trained by itself.

use crate::config::{BlendConfig, TrainConfig};
use crate::error::Result;
use crate::features::Csr;
use crate::progress::{Progress, Step};
use crate::train::filter::{self, LowPass};
use crate::train::ials::{self, Guide};
use crate::train::linear;

/// A part of a blend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Factors.
    Ials,
    /// The graph filter's neighbours.
    Filter,
    /// The graph filter's low-pass part.
    LowPass,
    /// The linear item model.
    Linear,
    /// The item's number of users.
    Popularity,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 5] = [Self::Ials, Self::Filter, Self::LowPass, Self::Linear, Self::Popularity];

    /// The name of its weight in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ials => "ials",
            Self::Filter => "filter",
            Self::LowPass => "low_pass",
            Self::Linear => "linear",
            Self::Popularity => "popularity",
        }
    }

    /// The part's weight in a blend.
    pub fn weight(self, blend: &BlendConfig) -> f64 {
        match self {
            Self::Ials => blend.ials,
            Self::Filter => blend.filter,
            Self::LowPass => blend.low_pass,
            Self::Linear => blend.linear,
            Self::Popularity => blend.popularity,
        }
    }

    /// The same blend with another weight of this part.
    pub fn with_weight(self, mut blend: BlendConfig, weight: f64) -> BlendConfig {
        let slot = match self {
            Self::Ials => &mut blend.ials,
            Self::Filter => &mut blend.filter,
            Self::LowPass => &mut blend.low_pass,
            Self::Linear => &mut blend.linear,
            Self::Popularity => &mut blend.popularity,
        };
        *slot = weight;
        blend
    }
}

/// What has been trained.
pub struct Parts {
    /// Factors.
    pub ials: Option<ials::Model>,
    /// What each past item says about others, by the graph filter.
    pub filter: Option<Csr>,
    /// The graph filter's low-pass part.
    pub low_pass: Option<LowPass>,
    /// What each past item says about others, by the linear item model.
    pub linear: Option<Csr>,
    /// Users of each item over their mean, `[n_items]`.
    pub popularity: Vec<f32>,
    /// The mean confidence of a pair.
    pub unit: f32,
}

impl Parts {
    /// Trains the parts that have a weight in `blend` on `matrix`, `[n_users, n_items]`; factors as `guide` says.
    ///
    /// # Errors
    /// Those of the parts.
    pub fn train(
        matrix: &Csr,
        blend: &BlendConfig,
        config: &TrainConfig,
        guide: Guide<'_>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let begins = |part: Part| {
            let has = part.weight(blend) > 0.0;
            if has {
                progress.report(&Step::Training { part: part.name().into() });
            }
            has
        };
        let mut parts = Self::none(matrix);
        let unit = parts.unit;
        if begins(Part::Linear) {
            parts.linear = Some(linear::linear(matrix, unit, &config.linear, progress)?);
        }
        if begins(Part::Filter) {
            parts.filter = Some(filter::neighbours(matrix, unit, &config.filter, progress)?);
        }
        if begins(Part::LowPass) {
            parts.low_pass = Some(filter::low_pass(matrix, unit, config, progress)?);
        }
        if begins(Part::Ials) {
            parts.ials = Some(ials::guided(matrix, config, guide, progress)?);
        }
        Ok(parts)
    }

    /// Nothing but popularity.
    pub fn none(matrix: &Csr) -> Self {
        let by_item = matrix.transpose();
        let mean = matrix.nnz().max(1) as f32 / matrix.n_cols().max(1) as f32;
        let popularity = (0..matrix.n_cols()).map(|item| by_item.row(item).0.len() as f32 / mean).collect();
        Self { ials: None, filter: None, low_pass: None, linear: None, popularity, unit: mean_confidence(matrix) }
    }

    /// Whether a part is there.
    pub fn has(&self, part: Part) -> bool {
        match part {
            Part::Ials => self.ials.is_some(),
            Part::Filter => self.filter.is_some(),
            Part::LowPass => self.low_pass.is_some(),
            Part::Linear => self.linear.is_some(),
            Part::Popularity => true,
        }
    }
}

fn mean_confidence(matrix: &Csr) -> f32 {
    let total: f64 = (0..matrix.n_rows()).flat_map(|row| matrix.row(row).1).map(|weight| f64::from(*weight)).sum();
    if total > 0.0 { (total / matrix.nnz() as f64) as f32 } else { 1.0 }
}
