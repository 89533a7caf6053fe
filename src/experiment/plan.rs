//! How many users it takes: the size at which an effect that matters crosses the sequential boundary with the wanted power.

use super::sequence::planned_width;

/// What a plan starts from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Probability of a false discovery.
    pub alpha: f64,
    /// Probability of finding the effect.
    pub power: f64,
    /// Standard deviation of the (linearised) metric over users.
    pub deviation: f64,
    /// Shares of control and variant in the users counted; they need not sum to 1.
    pub shares: [f64; 2],
}

impl Plan {
    /// Users of the whole experiment at which an effect of this size (absolute) is found with the planned power, looking
    /// whenever one likes. `(b + z)² σ² (1/s₁ + 1/s₂) / δ²`, as for one look but with the boundary's width b in place of
    /// its quantile.
    pub fn users(&self, effect: f64) -> f64 {
        let reach = self.reach() / effect.abs();
        reach * reach
    }

    /// The smallest effect (absolute) that is found with the planned power among so many users.
    pub fn effect(&self, users: f64) -> f64 {
        self.reach() / users.sqrt()
    }

    fn reach(&self) -> f64 {
        let [control, treated] = self.shares;
        let spread = self.deviation * (1.0 / control + 1.0 / treated).sqrt();
        (planned_width(self.alpha) + normal_quantile(self.power)) * spread
    }
}

/// The point below which a standard normal number is with probability `p`; by bisection, to 1e-12.
pub fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        let below = 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2);
        if below < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, quantile) in [(0.5, 0.0), (0.975, 1.959_963_985), (0.8, 0.841_621_234), (1e-6, -4.753_424_309)] {
            assert!((normal_quantile(p) - quantile).abs() < 1e-8, "{p}");
        }
    }

    #[test]
    fn users_and_effect_are_each_others_inverse() {
        let plan = Plan { alpha: 0.05, power: 0.8, deviation: 2.0, shares: [0.5, 0.5] };
        assert!((plan.effect(plan.users(0.1)) - 0.1).abs() < 1e-12);
        assert!(plan.users(0.05) > 3.9 * plan.users(0.1));
    }
}
