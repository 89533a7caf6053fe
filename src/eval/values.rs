//! One metric, user by user: what a search compares, and what a paired standard error needs.

use super::Scorer;
use super::evaluator::METRICS;
use super::metric::Metric;
use super::rank::rank;
use crate::error::{Error, Result};
use crate::features::Holdout;
use crate::progress::Progress;

/// A metric of lists of one length, by its name in reports: `ndcg@10`.
#[derive(Clone, Copy)]
pub struct MetricAt {
    metric: &'static dyn Metric,
    k: usize,
}

impl MetricAt {
    /// The metric of a name. Errors: [`Error::Invalid`] with what there is.
    pub fn named(name: &str) -> Result<Self> {
        let known = |(word, k): (&str, &str)| {
            let metric = METRICS.into_iter().find(|metric| metric.name() == word)?;
            let k = k.parse().ok().filter(|k| (1..=10_000).contains(k))?;
            Some(Self { metric, k })
        };
        name.split_once('@').and_then(known).ok_or_else(|| {
            let names = METRICS.map(|metric| format!("{}@k", metric.name())).join(", ");
            Error::invalid("metric", format!("is \"{name}\", expected one of {names}, such as ndcg@10"))
        })
    }
}

/// The metric of every test user, in the order of `holdout.test`, ranked over the whole catalogue. Errors:
/// [`Error::Cancelled`].
pub fn user_values(
    holdout: &Holdout,
    scorer: &dyn Scorer,
    metric: MetricAt,
    progress: &dyn Progress,
) -> Result<Vec<f32>> {
    let rankings = rank(holdout, scorer, metric.k, progress)?;
    let users = rankings.iter().zip(&holdout.test);
    Ok(users.map(|(ranked, (_, held))| metric.metric.value(ranked, held, metric.k) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_known_by_the_name_it_has_in_reports() {
        let ndcg = MetricAt::named("ndcg@20").unwrap();
        assert_eq!((ndcg.metric.name(), ndcg.k), ("ndcg", 20));
        for name in ["ndcg", "ndcg@", "ndcg@0", "auc@10", ""] {
            assert!(MetricAt::named(name).err().unwrap().to_string().contains("recall_min@k"), "{name}");
        }
    }
}
