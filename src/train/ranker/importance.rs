//! Permutation importance: what ranking loses when a feature's values are taken from other candidates of other questions.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::judge::ndcg;
use super::learned::FeatureImportance;
use super::network::Network;
use super::question::Question;

/// Questions that are asked again for each feature, at most.
const QUESTIONS: usize = 200;

/// What each feature is worth on some questions, the most first. `features` are the names of the network's inputs;
/// questions come with the number of all that was taken.
pub fn importance(
    network: &Network,
    features: &[String],
    posed: &[(&Question, usize)],
    seed: u64,
) -> Vec<FeatureImportance> {
    let step = posed.len().div_ceil(QUESTIONS).max(1);
    let posed: Vec<(&Question, usize)> =
        posed.iter().step_by(step).copied().filter(|(of, _)| of.rows.rows() > 0).collect();
    if posed.is_empty() {
        return Vec::new();
    }
    let mean = |moved: &[usize]| {
        let of_question = |(number, (question, held)): (usize, &(&Question, usize))| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(number as u64);
            let mut request = network.request(&[]);
            let mut scores = Vec::with_capacity(question.rows.rows());
            // A user's features are those of one other user.
            let other = posed.get(random.random_range(0..posed.len() as u64) as usize).map(|(other, _)| *other);
            for place in 0..question.rows.rows() {
                let mut row = question.rows.row(place).to_vec();
                if let Some(other) = other {
                    let from = other.rows.row(random.random_range(0..other.rows.rows() as u64) as usize);
                    for column in moved {
                        if let (Some(slot), Some(value)) = (row.get_mut(*column), from.get(*column)) {
                            *slot = *value;
                        }
                    }
                }
                scores.push(request.score(&row));
            }
            ndcg(&scores, question, *held)
        };
        let each: Vec<f64> = posed.par_iter().enumerate().map(of_question).collect();
        each.iter().sum::<f64>() / each.len() as f64
    };
    let whole = mean(&[]);
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (place, name) in features.iter().enumerate() {
        let feature = feature_of(name);
        match groups.iter_mut().find(|(known, _)| known == feature) {
            Some((_, places)) => places.push(place),
            None => groups.push((feature.to_owned(), vec![place])),
        }
    }
    let of_group = |(feature, places): (String, Vec<usize>)| FeatureImportance { feature, drop: whole - mean(&places) };
    let mut all: Vec<FeatureImportance> = groups.into_iter().map(of_group).collect();
    all.sort_by(|a, b| b.drop.total_cmp(&a.drop).then_with(|| a.feature.cmp(&b.feature)));
    all
}

/// The feature that a column belongs to: without its value, part or indicator.
fn feature_of(column: &str) -> &str {
    let name = column.strip_suffix('?').unwrap_or(column);
    let name = name.split_once('=').map_or(name, |(feature, _)| feature);
    match name.rsplit_once('.') {
        Some((feature, part)) if part.parse::<usize>().is_ok() || ["sin", "cos"].contains(&part) => feature,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::Shape;
    use super::*;
    use crate::linalg::Matrix;

    #[test]
    fn only_what_the_network_reads_is_worth_something() {
        let network = Network::new(Shape::new(4, &[]), 2, 1);
        let questions: Vec<Question> = (0..40usize)
            .map(|question| {
                let number = |i: usize| ((i + question * 31) * 7919 % 1009) as f32;
                let rows = Matrix::new(4, (0..30 * 4).map(number).collect()).unwrap();
                let best =
                    (0..30u32).max_by(|a, b| rows.row(*a as usize)[2].total_cmp(&rows.row(*b as usize)[2])).unwrap();
                Question::whole(rows, vec![(best, 1.0)])
            })
            .collect();
        let posed: Vec<_> = questions.iter().map(|question| (question, 1)).collect();
        let names = ["user.age", "item.genre=Drama", "item.price", "item.price?"].map(str::to_owned);
        let worth = importance(&network, &names, &posed, 3);
        assert_eq!(worth[0].feature, "item.price");
        assert!(worth[0].drop > 0.5, "{worth:?}");
        assert_eq!(worth[1..].iter().map(|of| of.drop).collect::<Vec<_>>(), [0.0, 0.0]);
        assert_eq!(["a.b.3", "a.hour.sin", "a=x=y", "a?"].map(feature_of), ["a.b", "a.hour", "a", "a"]);
    }
}
