//! Whether users came in the shares that were promised: the sequential multinomial test of Lindon & Malek (NeurIPS 2022), a
//! Dirichlet mixture against the promised shares, valid at every look. With two equal shares it is a sequential sign test.

/// The concentration of the Dirichlet prior around the promised shares: it expects deviations of one or two percentage
/// points, such as lost redirects and bots make.
const CONCENTRATION: f64 = 1_000.0;

/// An alarm is raised below this p-value: a mismatch makes a report worthless, so it is not to be raised in vain.
pub const ALARM: f64 = 0.001;

/// The always-valid p-value of counts against shares. `shares` are positive and sum to 1; 1 where there is nothing to test.
pub fn p_value(counts: &[u64], shares: &[f64]) -> f64 {
    p_value_with(counts, shares, CONCENTRATION)
}

/// The same with another concentration: a sign test expects more than a slip of traffic.
pub fn p_value_with(counts: &[u64], shares: &[f64], concentration: f64) -> f64 {
    if counts.len() != shares.len() || counts.len() < 2 || shares.iter().any(|share| *share <= 0.0) {
        return 1.0;
    }
    let total: u64 = counts.iter().sum();
    let mut log_ratio = libm::lgamma(concentration) - libm::lgamma(concentration + total as f64);
    for (count, share) in counts.iter().zip(shares) {
        let (count, prior) = (*count as f64, concentration * share);
        log_ratio += libm::lgamma(prior + count) - libm::lgamma(prior) - count * share.ln();
    }
    (-log_ratio).exp().min(1.0)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// The look, of a hundred with so many users each, at which an alarm is raised.
    fn alarmed(share: f64, users: u64, seed: u64) -> Option<u64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut counts = [0, 0];
        (1..=100).find(|_| {
            let first = (0..users).filter(|_| random.random::<f64>() < share).count() as u64;
            counts[0] += first;
            counts[1] += users - first;
            p_value(&counts, &[0.5, 0.5]) < ALARM
        })
    }

    #[test]
    fn half_and_half_served_as_52_to_48_is_alarmed() {
        let looks: Vec<_> = (0..50).filter_map(|seed| alarmed(0.52, 500, seed)).collect();
        println!("50/50 served as 52/48: {} of 50 alarmed, after {} looks of 500 users at most", looks.len(), {
            looks.iter().max().unwrap()
        });
        assert_eq!(looks.len(), 50);
    }

    #[test]
    fn shares_as_promised_raise_an_alarm_no_more_often_than_promised() {
        let alarms = (0..2_000).filter(|seed| alarmed(0.5, 100, 10_000 + seed).is_some()).count();
        println!("50/50 served as 50/50: {alarms} of 2,000 alarmed at any of 100 looks; 2 are allowed on average");
        assert!(alarms <= 6, "{alarms}");
    }

    #[test]
    fn a_binomial_mixture_is_what_its_formula_says() {
        // Beta-binomial over binomial, by hand for two users of one kind: E[θ²] / ¼, with θ of Beta(2, 2).
        let by_hand = 4.0 * (2.0 * 3.0) / (4.0 * 5.0);
        assert!((p_value_with(&[2, 0], &[0.5, 0.5], 4.0) - (1.0f64 / by_hand).min(1.0)).abs() < 1e-12);
        assert_eq!(p_value(&[5], &[1.0]), 1.0);
        assert_eq!(p_value(&[0, 0], &[0.5, 0.5]), 1.0);
    }
}
