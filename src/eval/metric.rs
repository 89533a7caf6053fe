//! Metrics of one user's ranked list.

/// A metric of one user's list; its mean over users is reported. Implement it for a metric of your own.
pub trait Metric: Sync {
    /// Its name, without the list length.
    fn name(&self) -> &'static str;

    /// Its value for a list of at most `k` items, the best first. `held` are the items to be found, ascending, at least
    /// one.
    fn value(&self, ranked: &[u32], held: &[u32], k: usize) -> f64;
}

fn is_hit(item: &u32, held: &[u32]) -> bool {
    held.binary_search(item).is_ok()
}

fn hits(ranked: &[u32], held: &[u32]) -> f64 {
    ranked.iter().filter(|item| is_hit(item, held)).count() as f64
}

/// Hits over held-out items (the convention of LightGCN).
pub struct Recall;

impl Metric for Recall {
    fn name(&self) -> &'static str {
        "recall"
    }
    fn value(&self, ranked: &[u32], held: &[u32], _: usize) -> f64 {
        hits(ranked, held) / held.len().max(1) as f64
    }
}

/// Hits over what could be hit in `k` places (the convention of Liang et al. 2018 and Rendle et al. 2021).
pub struct RecallMin;

impl Metric for RecallMin {
    fn name(&self) -> &'static str {
        "recall_min"
    }
    fn value(&self, ranked: &[u32], held: &[u32], k: usize) -> f64 {
        hits(ranked, held) / held.len().min(k).max(1) as f64
    }
}

/// Normalised discounted cumulative gain: binary gain, log2 discount, ideal over min(k, held-out).
pub struct Ndcg;

impl Metric for Ndcg {
    fn name(&self) -> &'static str {
        "ndcg"
    }
    fn value(&self, ranked: &[u32], held: &[u32], k: usize) -> f64 {
        let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let gain: f64 =
            ranked.iter().enumerate().filter(|(_, item)| is_hit(item, held)).map(|(rank, _)| discount(rank)).sum();
        let ideal: f64 = (0..held.len().min(k)).map(discount).sum();
        if ideal > 0.0 { gain / ideal } else { 0.0 }
    }
}

/// Average precision over min(k, held-out).
pub struct Map;

impl Metric for Map {
    fn name(&self) -> &'static str {
        "map"
    }
    fn value(&self, ranked: &[u32], held: &[u32], k: usize) -> f64 {
        let hits = ranked.iter().enumerate().filter(|(_, item)| is_hit(item, held));
        let precision: f64 = hits.enumerate().map(|(before, (rank, _))| (before + 1) as f64 / (rank + 1) as f64).sum();
        precision / held.len().min(k).max(1) as f64
    }
}

/// One over the place of the first hit.
pub struct Mrr;

impl Metric for Mrr {
    fn name(&self) -> &'static str {
        "mrr"
    }
    fn value(&self, ranked: &[u32], held: &[u32], _: usize) -> f64 {
        ranked.iter().position(|item| is_hit(item, held)).map_or(0.0, |rank| 1.0 / (rank + 1) as f64)
    }
}

/// Whether there is a hit.
pub struct HitRate;

impl Metric for HitRate {
    fn name(&self) -> &'static str {
        "hit_rate"
    }
    fn value(&self, ranked: &[u32], held: &[u32], _: usize) -> f64 {
        f64::from(u8::from(ranked.iter().any(|item| is_hit(item, held))))
    }
}
