//! Intervals and p-values that hold at every look: whoever looks daily and stops when it suits is wrong no more often than
//! `alpha`. The boundary is the Gaussian mixture (Robbins 1970; Howard et al. 2021, eq. 14), used with estimated variances
//! as an asymptotic confidence sequence (Waudby-Smith et al. 2024, theorem 2.2); its p-value is that of the mixture
//! sequential probability ratio test (Johari et al. 2017).
//!
//! Users come back, so a look later holds more users *and* more of each. Time runs by what has been observed, the answers:
//! the standardised difference then is a Brownian motion in that time where users do not differ, and moves less where they
//! do (their later figures resemble the earlier ones), which by Slepian's inequality crosses the boundary less often.

use super::moments::Pair;

/// No statement is made on fewer users in either variant: the normal approximation is not to be trusted before.
pub const FEWEST_USERS: f64 = 100.0;

/// The boundary for an error probability, narrowest at a planned number of observations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Boundary {
    alpha: f64,
    /// In observations: how much the mixture expects to know in advance.
    prior: f64,
}

/// A difference as it may be told at any time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The estimate.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Its always-valid p-value against no difference.
    pub p: f64,
}

impl Boundary {
    /// Tuned for a number of observations (Waudby-Smith et al. 2024, appendix B.2): far earlier and far later looks are
    /// valid too, with wider intervals.
    pub fn planned(alpha: f64, observations: f64) -> Self {
        Self { alpha, prior: observations.max(1.0) / prior_share(alpha) }
    }

    /// How many standard errors the interval reaches to either side after so many observations.
    pub fn width(&self, observations: f64) -> f64 {
        let grown = (observations + self.prior) / self.prior;
        ((observations + self.prior) / observations * (grown.ln() - 2.0 * self.alpha.ln())).sqrt()
    }

    /// The p-value of a difference of so many standard errors after so many observations: one over the mixture likelihood
    /// ratio, so that it is below `alpha` exactly when the interval of width [`width`](Self::width) leaves 0 out.
    pub fn p(&self, errors: f64, observations: f64) -> f64 {
        let sum = observations + self.prior;
        let log_ratio = 0.5 * (self.prior / sum).ln() + 0.5 * errors * errors * observations / sum;
        (-log_ratio).exp().min(1.0)
    }

    /// The difference of a pair; `None` while there are too few users, or nothing has varied yet.
    pub fn difference(&self, pair: &Pair, users: [f64; 2], observations: f64) -> Option<Difference> {
        let (value, error) = (pair.difference(), pair.error());
        let is_known = users.iter().all(|users| *users >= FEWEST_USERS) && error > 0.0 && observations > 0.0;
        is_known.then(|| {
            let reach = error * self.width(observations);
            let p = self.p(value / error, observations);
            Difference { value, low: value - reach, high: value + reach, p }
        })
    }
}

/// At the planned number of observations the prior is this share of them, inverted.
fn prior_share(alpha: f64) -> f64 {
    let twice = -2.0 * alpha.ln();
    (twice + twice.ln() + 1.0).max(1.0)
}

/// How many standard errors the interval reaches to either side at the planned number of observations, whatever that is.
pub fn planned_width(alpha: f64) -> f64 {
    Boundary::planned(alpha, prior_share(alpha)).width(prior_share(alpha))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn p_is_below_alpha_exactly_when_the_interval_leaves_0_out(
            alpha in 0.001..0.2f64, planned in 10.0..1e6f64, seen in 10.0..1e6f64, errors in 0.0..8.0f64,
        ) {
            let boundary = Boundary::planned(alpha, planned);
            prop_assume!((errors - boundary.width(seen)).abs() > 1e-9);
            prop_assert_eq!(boundary.p(errors, seen) < alpha, errors > boundary.width(seen));
        }

        #[test]
        fn the_boundary_is_near_its_narrowest_as_planned(alpha in 0.001..0.2f64, planned in 100.0..1e6f64) {
            // Among boundaries tuned for other numbers.
            let own = Boundary::planned(alpha, planned).width(planned);
            for factor in [0.1, 0.3, 3.0, 10.0] {
                prop_assert!(own <= Boundary::planned(alpha, planned * factor).width(planned) * 1.01);
            }
            prop_assert!((own - planned_width(alpha)).abs() < 1e-9);
        }
    }

    #[test]
    fn any_time_costs_half_as_much_again_as_one_look() {
        // 1.96 standard errors for one look at 5 %.
        assert!((planned_width(0.05) - 3.03).abs() < 0.01, "{}", planned_width(0.05));
    }
}
