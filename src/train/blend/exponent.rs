//! The exponents of a blend: how a part's say changes with how many have an item, and with how much a user has.

use super::parts::Part;
use crate::config::BlendConfig;

/// An exponent of a blend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exponent {
    /// Of the item's number of users, for one part; popularity shares that of the factors.
    Item(Part),
    /// Of the user's mass, for one part; the others grow with the mass by themselves, all alike.
    Mass(Part),
}

impl Exponent {
    /// All that can be set.
    pub const ALL: [Self; 6] = [
        Self::Item(Part::Ials),
        Self::Item(Part::Filter),
        Self::Item(Part::LowPass),
        Self::Item(Part::Linear),
        Self::Mass(Part::Ials),
        Self::Mass(Part::LowPass),
    ];

    /// The part whose scores it changes.
    pub fn part(self) -> Part {
        match self {
            Self::Item(part) | Self::Mass(part) => part,
        }
    }

    /// Its value in a blend.
    pub fn value(self, blend: &BlendConfig) -> f64 {
        match self {
            Self::Item(Part::Ials | Part::Popularity) => blend.ials_item_exponent,
            Self::Item(Part::Filter) => blend.filter_item_exponent,
            Self::Item(Part::LowPass) => blend.low_pass_item_exponent,
            Self::Item(Part::Linear) => blend.linear_item_exponent,
            Self::Mass(Part::Ials) => blend.mass_exponent,
            Self::Mass(Part::LowPass) => blend.low_pass_mass_exponent,
            Self::Mass(Part::Filter | Part::Linear | Part::Popularity) => 0.0,
        }
    }

    /// The same blend with another value of this exponent.
    pub fn with_value(self, mut blend: BlendConfig, value: f64) -> BlendConfig {
        let slot = match self {
            Self::Item(Part::Ials | Part::Popularity) => &mut blend.ials_item_exponent,
            Self::Item(Part::Filter) => &mut blend.filter_item_exponent,
            Self::Item(Part::LowPass) => &mut blend.low_pass_item_exponent,
            Self::Item(Part::Linear) => &mut blend.linear_item_exponent,
            Self::Mass(Part::Ials) => &mut blend.mass_exponent,
            Self::Mass(Part::LowPass) => &mut blend.low_pass_mass_exponent,
            Self::Mass(Part::Filter | Part::Linear | Part::Popularity) => return blend,
        };
        *slot = value;
        blend
    }

    /// The weights of `blend` with the exponents of `other`.
    pub fn all_of(other: &BlendConfig, blend: BlendConfig) -> BlendConfig {
        Self::ALL.into_iter().fold(blend, |blend, exponent| exponent.with_value(blend, exponent.value(other)))
    }
}
