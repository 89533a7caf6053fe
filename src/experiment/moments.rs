//! What a metric needs of the users of a variant: means and co-moments of three numbers a user, and nothing else. A metric
//! is a sum over a sum (clicks over answers, revenue over users); users, not answers, are what varies independently.

/// What one user adds to a metric.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct UserFigure {
    /// Above the line: clicks, revenue.
    pub of: f64,
    /// Below the line: answers, or 1 where the metric is an average over users.
    pub over: f64,
    /// The same before the experiment began, whatever the variant could not change.
    pub before: f64,
}

/// Count, means and sums of products of deviations of [`UserFigure`]s, updated one by one (Welford 1962) and merged
/// (Chan, Golub & LeVeque 1983): stable whatever the size of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Moments {
    users: f64,
    mean: [f64; 3],
    /// Row by row: the sum over users of the product of the deviations of two numbers from their means.
    products: [[f64; 3]; 3],
}

const OF: usize = 0;
const OVER: usize = 1;
const BEFORE: usize = 2;

/// A metric of one variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The metric.
    pub value: f64,
    /// The variance of its estimate.
    pub variance: f64,
}

/// A metric of users whose past is known.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Explained {
    /// The metric.
    pub value: f64,
    /// The standard error of its estimate without what the past explains.
    pub error: f64,
    /// The share of the variance that the past explains.
    pub share: f64,
}

impl Moments {
    /// Adds a user.
    pub fn add(&mut self, user: UserFigure) {
        self.add_share(user, 1.0);
    }

    /// Adds a part of a user: one who takes part with this probability.
    pub fn add_share(&mut self, user: UserFigure, share: f64) {
        let one = Self { users: share, mean: [user.of, user.over, user.before], products: [[0.0; 3]; 3] };
        self.merge(&one);
    }

    /// Adds the users of another.
    pub fn merge(&mut self, other: &Self) {
        let users = self.users + other.users;
        if other.users == 0.0 {
            return;
        }
        let mut shift = [0.0; 3];
        for ((shift, own), new) in shift.iter_mut().zip(&self.mean).zip(&other.mean) {
            *shift = new - own;
        }
        let weight = self.users * other.users / users;
        for ((row, new), a) in self.products.iter_mut().zip(&other.products).zip(&shift) {
            for ((product, new), b) in row.iter_mut().zip(new).zip(&shift) {
                *product += new + weight * a * b;
            }
        }
        for (mean, shift) in self.mean.iter_mut().zip(&shift) {
            *mean += shift * other.users / users;
        }
        self.users = users;
    }

    /// How many users there are.
    pub fn users(&self) -> f64 {
        self.users
    }

    /// The sums above and below the line.
    #[cfg(test)]
    pub fn sums(&self) -> (f64, f64) {
        let (of, over, _) = self.means();
        (of * self.users, over * self.users)
    }

    /// The metric and the standard error of its estimate.
    pub fn value_and_error(&self) -> Option<(f64, f64)> {
        self.figure(0.0, 0.0).map(|figure| (figure.value, figure.variance.sqrt()))
    }

    /// The metric, the standard error of its estimate once what the covariate explains is taken off, and the share of the variance
    /// that goes with it: R², adjusted for the coefficient that is estimated.
    pub fn explained(&self) -> Option<Explained> {
        let raw = self.figure(0.0, 0.0)?;
        let spread = self.covariance(BEFORE, BEFORE);
        let theta = if spread > 0.0 { self.with_covariate() / spread } else { 0.0 };
        let left = self.figure(theta, self.means().2)?;
        let share = if raw.variance > 0.0 && self.users > 2.0 {
            1.0 - left.variance / raw.variance * (self.users - 1.0) / (self.users - 2.0)
        } else {
            0.0
        };
        let share = share.clamp(0.0, 1.0);
        Some(Explained { value: raw.value, error: (raw.variance * (1.0 - share)).sqrt(), share })
    }

    /// The metric and the variance of its estimate by the delta method (Deng, Knoblich & Lu, KDD 2018, eq. 3): that of the
    /// mean over users of `(of − R·over) / mean(over)`. `theta` times the covariate is taken off (CUPED, Deng et al., WSDM
    /// 2013), measured from `centre`. `None` where there is nothing below the line or fewer than two users.
    fn figure(&self, theta: f64, centre: f64) -> Option<Figure> {
        let (of, over, before) = self.means();
        if self.users < 2.0 || over <= 0.0 {
            return None;
        }
        let ratio = of / over;
        let of_linear = (self.covariance(OF, OF) - 2.0 * ratio * self.covariance(OF, OVER)
            + ratio * ratio * self.covariance(OVER, OVER))
            / (over * over);
        let variance =
            of_linear - 2.0 * theta * self.with_covariate() + theta * theta * self.covariance(BEFORE, BEFORE);
        Some(Figure { value: ratio - theta * (before - centre), variance: variance.max(0.0) / self.users })
    }

    /// Covariance of the linearised metric with the covariate.
    fn with_covariate(&self) -> f64 {
        let (of, over, _) = self.means();
        if over <= 0.0 {
            return 0.0;
        }
        (self.covariance(OF, BEFORE) - of / over * self.covariance(OVER, BEFORE)) / over
    }

    fn means(&self) -> (f64, f64, f64) {
        let [of, over, before] = self.mean;
        (of, over, before)
    }

    fn covariance(&self, a: usize, b: usize) -> f64 {
        let product = self.products.get(a).and_then(|row| row.get(b)).copied().unwrap_or(0.0);
        if self.users > 1.0 { product / (self.users - 1.0) } else { 0.0 }
    }
}

/// Two variants by one metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Who is compared with.
    pub control: Figure,
    /// Who is compared.
    pub treated: Figure,
    /// The share of the variance of the difference that the covariate took away.
    pub reduction: f64,
}

impl Pair {
    /// Both with the covariate taken off by one common coefficient, which leaves the difference unbiased. `None` where
    /// either has no figure.
    pub fn of(control: &Moments, treated: &Moments) -> Option<Self> {
        let (raw_control, raw_treated) = (control.figure(0.0, 0.0)?, treated.figure(0.0, 0.0)?);
        let mut both = *control;
        both.merge(treated);
        // Within variants, so that an effect does not pass for a slope.
        let pooled = |of: &dyn Fn(&Moments) -> f64| {
            let weight = |moments: &Moments| moments.users - 1.0;
            (of(control) * weight(control) + of(treated) * weight(treated)) / (weight(control) + weight(treated))
        };
        let spread = pooled(&|moments| moments.covariance(BEFORE, BEFORE));
        let theta = if spread > 0.0 { pooled(&Moments::with_covariate) / spread } else { 0.0 };
        let centre = both.means().2;
        let (control, treated) = (control.figure(theta, centre)?, treated.figure(theta, centre)?);
        let raw = raw_control.variance + raw_treated.variance;
        let left = control.variance + treated.variance;
        Some(Self { control, treated, reduction: if raw > 0.0 { (1.0 - left / raw).max(0.0) } else { 0.0 } })
    }

    /// By how much the metric is higher.
    pub fn difference(&self) -> f64 {
        self.treated.value - self.control.value
    }

    /// The standard error of the difference.
    pub fn error(&self) -> f64 {
        (self.control.variance + self.treated.variance).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn of(users: &[(f64, f64, f64)]) -> Moments {
        let mut moments = Moments::default();
        users.iter().for_each(|(of, over, before)| {
            moments.add(UserFigure { of: *of, over: *over, before: *before });
        });
        moments
    }

    proptest! {
        #[test]
        fn parts_merge_to_the_whole(users in proptest::collection::vec((0.0..9.0f64, 1.0..9.0f64, 0.0..9.0f64), 4..40), cut in 1..3usize) {
            let (whole, mut merged) = (of(&users), of(&users[..cut]));
            merged.merge(&of(&users[cut..]));
            let (a, b) = (whole.figure(0.3, 1.0).unwrap(), merged.figure(0.3, 1.0).unwrap());
            prop_assert!((a.value - b.value).abs() < 1e-9 && (a.variance - b.variance).abs() < 1e-9, "{:?} {:?}", a, b);
        }
    }

    #[test]
    fn the_mean_of_users_has_the_variance_of_a_mean() {
        let figure = of(&[(1.0, 1.0, 0.0), (2.0, 1.0, 0.0), (6.0, 1.0, 0.0)]).figure(0.0, 0.0).unwrap();
        // Sample variance 7, three users.
        assert!((figure.value - 3.0).abs() < 1e-12 && (figure.variance - 7.0 / 3.0).abs() < 1e-12, "{figure:?}");
    }

    #[test]
    fn the_variance_of_a_ratio_is_that_of_repeated_experiments() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut values = Vec::new();
        let mut foretold = 0.0;
        for _ in 0..2_000 {
            let mut moments = Moments::default();
            for _ in 0..200 {
                // Those who come often click more: the ratio is of correlated sums.
                let answers: u32 = random.random_range(1..20);
                let chance = 0.05 + 0.01 * f64::from(answers);
                let clicks = (0..answers).filter(|_| random.random::<f64>() < chance).count();
                moments.add(UserFigure { of: clicks as f64, over: f64::from(answers), before: 0.0 });
            }
            let figure = moments.figure(0.0, 0.0).unwrap();
            values.push(figure.value);
            foretold += figure.variance / 2_000.0;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let seen = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!((foretold / seen - 1.0).abs() < 0.1, "foretold {foretold}, seen {seen}");
    }

    #[test]
    fn a_covariate_that_explains_nothing_takes_nothing_away() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut shares = 0.0;
        for _ in 0..200 {
            let mut moments = Moments::default();
            for _ in 0..20 {
                let (of, before) = (random.random(), random.random());
                moments.add(UserFigure { of, over: 1.0, before });
            }
            shares += moments.explained().unwrap().share / 200.0;
        }
        // Without the adjustment one in 19.
        assert!(shares < 0.045, "{shares}");
        assert_eq!(of(&[(1.0, 1.0, 0.0), (2.0, 1.0, 5.0)]).explained().unwrap().share, 0.0, "two users tell nothing");
    }

    #[test]
    fn a_covariate_takes_away_the_variance_that_it_explains_and_no_effect() {
        let mut random = ChaCha8Rng::seed_from_u64(9);
        let mut arm = |effect: f64| {
            let mut moments = Moments::default();
            for _ in 0..20_000 {
                let taste: f64 = random.random();
                // Of variance 1/12 each: half of the whole is taste.
                moments.add(UserFigure { of: taste + random.random::<f64>() + effect, over: 1.0, before: taste });
            }
            moments
        };
        let pair = Pair::of(&arm(0.0), &arm(0.05)).unwrap();
        assert!((pair.reduction - 0.5).abs() < 0.03, "{pair:?}");
        assert!((pair.difference() - 0.05).abs() < 4.0 * pair.error(), "{pair:?}");
    }
}
