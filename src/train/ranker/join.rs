//! Candidates of two sources: what retrieval finds first, and what people take next after what somebody did last, so that a
//! ranker can weigh what transitions alone find. The same code in training and serving.

/// Retrieval's candidates, given the best first, with those of `next` that are not among them: where they are more than `most`,
/// retrieval's last make room. `score` is what retrieval says of an item, by which all are in order, equal ones by item.
pub fn joined<T: Copy + Ord>(
    found: Vec<(T, f32)>,
    next: &[T],
    most: usize,
    score: impl Fn(T) -> Option<f32>,
) -> Vec<(T, f32)> {
    let missing = next.iter().filter(|item| found.iter().all(|(of, _)| of != *item));
    let missing: Vec<(T, f32)> = missing.filter_map(|item| Some((*item, score(*item)?))).collect();
    if missing.is_empty() {
        return found;
    }
    let mut spare = (found.len() + missing.len()).saturating_sub(most);
    let mut stays = |(item, _): &(T, f32)| {
        let goes = spare > 0 && !next.contains(item);
        spare -= usize::from(goes);
        !goes
    };
    let mut all: Vec<(T, f32)> = found.into_iter().rev().filter(&mut stays).collect();
    all.extend(missing);
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_retrieval_does_not_find_takes_the_places_of_its_last_with_the_scores_that_it_would_give() {
        let found = || vec![(7, 0.9), (3, 0.8), (5, 0.7), (1, 0.6)];
        let score = |item: u32| (item != 99).then_some(1.0 / item as f32);
        assert_eq!(joined(found(), &[4, 1], 4, score), [(7, 0.9), (3, 0.8), (1, 0.6), (4, 0.25)]);
        assert_eq!(joined(found(), &[4, 2], 6, score), [&found()[..], &[(2, 0.5), (4, 0.25)]].concat());
        assert_eq!(joined(found(), &[99, 3], 4, score), found(), "found, or unknown to retrieval");
        assert_eq!(joined(found(), &[], 2, score), found());
    }
}
