//! p-values of many comparisons together. Both procedures take any valid p-values, so always-valid ones stay so.

use crate::record::Correction;

/// The adjusted p-values, in the order given: a comparison is significant when its adjusted value is at most alpha.
pub fn adjusted(p: &[f64], by: Correction) -> Vec<f64> {
    match by {
        Correction::None => p.to_vec(),
        Correction::Holm => holm(p),
        Correction::BenjaminiHochberg => benjamini_hochberg(p),
    }
}

/// Holm (1979): bounds the probability of any false discovery.
fn holm(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![1.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, (place, p)) in ascending(p).into_iter().enumerate() {
        largest = largest.max(p * (adjusted.len() - rank) as f64).min(1.0);
        if let Some(out) = adjusted.get_mut(place) {
            *out = largest;
        }
    }
    adjusted
}

/// Benjamini & Hochberg (1995): bounds the expected share of false ones among the discoveries.
fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![1.0; p.len()];
    let mut smallest: f64 = 1.0;
    for (rank, (place, p)) in ascending(p).into_iter().enumerate().rev() {
        smallest = smallest.min(p * adjusted.len() as f64 / (rank + 1) as f64);
        if let Some(out) = adjusted.get_mut(place) {
            *out = smallest;
        }
    }
    adjusted
}

fn ascending(p: &[f64]) -> Vec<(usize, f64)> {
    let mut sorted: Vec<(usize, f64)> = p.iter().copied().enumerate().collect();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_papers_steps() {
        let p = [0.01, 0.04, 0.03, 0.005];
        let near = |a: Vec<f64>, b: [f64; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(adjusted(&p, Correction::Holm), [0.03, 0.06, 0.06, 0.02]));
        assert!(near(adjusted(&p, Correction::BenjaminiHochberg), [0.02, 0.04, 0.04, 0.02]));
        assert!(near(adjusted(&p, Correction::None), p));
        assert!(adjusted(&[], Correction::Holm).is_empty());
    }
}
