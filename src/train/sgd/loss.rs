//! What a pair and its negatives cost, and how that changes with their scores.

/// A loss of the score of a pair and the scores of its negatives.
pub trait Loss: Sync {
    /// Whether other items of the user are no negatives.
    fn spares_known(&self) -> bool;

    /// Returns the loss and its derivative with respect to the pair's score; `scores` become the derivatives with respect
    /// to the negatives' scores. A negative that does not count has the score −∞ and the derivative 0. `log_expected` is
    /// the logarithm of how often each negative is expected among those drawn, had they been drawn from the whole
    /// catalogue.
    fn differentiate(&self, positive: f32, scores: &mut [f32], log_expected: &[f32]) -> (f32, f32);
}

/// Bayesian personalised ranking (Rendle, Freudenthaler, Gantner & Schmidt-Thieme, UAI 2009): the mean over the
/// negatives of −ln σ(positive − negative).
pub struct BprLoss;

impl Loss for BprLoss {
    fn spares_known(&self) -> bool {
        true
    }

    fn differentiate(&self, positive: f32, scores: &mut [f32], _: &[f32]) -> (f32, f32) {
        let count = scores.iter().filter(|score| **score > f32::NEG_INFINITY).count().max(1) as f32;
        let (mut loss, mut total) = (0.0, 0.0);
        for score in scores {
            let margin = positive - *score;
            // One exponential for ln(1 + e^−margin) and its slope, of a number that is not positive: no overflow.
            let small = (-margin.abs()).exp();
            let slope = if margin > 0.0 { small } else { 1.0 } / (1.0 + small) / count;
            loss += (small.ln_1p() + (-margin).max(0.0)) / count;
            total += slope;
            *score = slope;
        }
        (loss, -total)
    }
}

/// Sampled softmax: −ln of the pair's share in e^positive + Σ e^negative. With `log_q`, each negative is divided by how
/// often it is expected, so that the sum is an unbiased estimate of that over the whole catalogue (Bengio & Senécal
/// 2008, importance sampling; Yi et al., RecSys 2019, for batches). The pair itself was not drawn and is not corrected.
pub struct SoftmaxLoss {
    /// Whether to correct.
    pub log_q: bool,
}

impl Loss for SoftmaxLoss {
    fn spares_known(&self) -> bool {
        false
    }

    fn differentiate(&self, positive: f32, scores: &mut [f32], log_expected: &[f32]) -> (f32, f32) {
        if self.log_q {
            scores.iter_mut().zip(log_expected).for_each(|(score, expected)| *score -= expected);
        }
        let largest = scores.iter().copied().fold(positive, f32::max);
        let own = (positive - largest).exp();
        let mut total = own;
        for score in scores.iter_mut() {
            *score = (*score - largest).exp();
            total += *score;
        }
        scores.iter_mut().for_each(|score| *score /= total);
        (total.ln() - (positive - largest), own / total - 1.0)
    }
}
