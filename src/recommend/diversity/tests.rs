//! Each objective against its definition in a few dense lines.

use proptest::prelude::*;

use super::*;

/// Unit vectors in the plane by their angles, and falling scores.
fn candidates() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    prop::collection::vec((0.0f32..6.3, -4.0f32..4.0), 1..14).prop_map(|pairs| {
        let (angles, mut scores): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        scores.sort_by(|a, b| b.total_cmp(a));
        (angles, scores)
    })
}

/// Chooses by the value of the whole list with each candidate at its end.
fn by_definition(count: usize, limit: usize, value: impl Fn(&[usize]) -> f64) -> Vec<usize> {
    let mut list: Vec<usize> = Vec::new();
    while list.len() < limit.min(count) {
        let with = |at: usize| value(&[&list[..], &[at]].concat());
        let free = (0..count).filter(|at| !list.contains(at));
        let best = free.max_by(|a, b| with(*a).total_cmp(&with(*b)).then(b.cmp(a))).unwrap();
        list.push(best);
    }
    list
}

/// Both lists are chosen by the same values, but for what rounding makes of ties.
fn as_good(list: &[usize], expected: &[usize], value: impl Fn(&[usize]) -> f64) -> bool {
    let prefix = list.iter().zip(expected).take_while(|(a, b)| a == b).count();
    prefix == expected.len() || (value(&list[..=prefix]) - value(&expected[..=prefix])).abs() < 1e-6
}

/// log det by elimination with pivots.
fn log_determinant(mut a: Vec<Vec<f64>>) -> f64 {
    let n = a.len();
    let mut sum = 0.0;
    for i in 0..n {
        let pivot = (i..n).max_by(|x, y| a[*x][i].abs().total_cmp(&a[*y][i].abs())).unwrap();
        a.swap(i, pivot);
        sum += a[i][i].abs().ln();
        for j in i + 1..n {
            let factor = a[j][i] / a[i][i];
            let pivot = a[i].clone();
            a[j].iter_mut().zip(pivot).skip(i).for_each(|(entry, above)| *entry -= factor * above);
        }
    }
    sum
}

proptest! {
    #[test]
    fn marginal_relevance_is_as_defined((angles, scores) in candidates(), weight in 0.0f64..=1.0, limit in 1usize..14) {
        let alike = |a: usize, b: usize| (angles[a] - angles[b]).cos();
        let candidates = Candidates { scores: &scores, alike: &alike };
        let chosen = choose(&mut Marginal::new(&candidates, weight), scores.len(), limit, &mut []);
        let relevance = relevance(&scores);
        let value = |list: &[usize]| {
            let (last, before) = list.split_last().unwrap();
            let nearest = before.iter().map(|at| f64::from(alike(*at, *last))).fold(f64::NEG_INFINITY, f64::max);
            (1.0 - weight) * relevance[*last] - if before.is_empty() { 0.0 } else { weight * nearest }
        };
        prop_assert!(as_good(&chosen, &by_definition(scores.len(), limit, value), value));
    }

    #[test]
    fn the_determinant_grows_as_much_as_it_can(
        (angles, scores) in candidates(), weight in 0.05f64..=1.0, limit in 1usize..3,
    ) {
        let alike = |a: usize, b: usize| (angles[a] - angles[b]).cos();
        let candidates = Candidates { scores: &scores, alike: &alike };
        let chosen = choose(&mut Determinant::new(&candidates, weight), scores.len(), limit, &mut []);
        let alpha = (1.0 - weight) / (2.0 * weight);
        let quality: Vec<f64> = relevance(&scores).iter().map(|r| (alpha * r).exp()).collect();
        let value = |list: &[usize]| {
            let entry = |a: usize, b: usize| quality[a] * quality[b] * (0.5 + 0.5 * f64::from(alike(a, b)));
            log_determinant(list.iter().map(|a| list.iter().map(|b| entry(*a, *b)).collect()).collect())
        };
        prop_assert!(as_good(&chosen, &by_definition(scores.len(), limit, value), value));
    }

    #[test]
    fn calibration_comes_nearest_to_the_mix(
        (angles, scores) in candidates(), weight in 0.0f64..=1.0, limit in 1usize..14,
        past in prop::collection::vec((0u32..4, 0.1f64..2.0), 1..6),
    ) {
        let values: Vec<Vec<u32>> = angles.iter().map(|angle| vec![*angle as u32 % 4]).collect();
        let past: Vec<([u32; 1], f64)> = past.into_iter().map(|(value, weight)| ([value], weight)).collect();
        let wanted = ValueMix::of(past.iter().map(|(values, weight)| (&values[..], *weight)));
        let alike = |_: usize, _: usize| 0.0;
        let candidates = Candidates { scores: &scores, alike: &alike };
        let chosen = choose(&mut Calibration::new(&candidates, &values, &wanted, weight), scores.len(), limit, &mut []);
        let relevance = relevance(&scores);
        let value = |list: &[usize]| {
            let share = |items: &mut dyn Iterator<Item = (u32, f64)>| {
                let mut shares = [0.0; 4];
                items.for_each(|(value, weight)| shares[value as usize] += weight);
                let total: f64 = shares.iter().sum();
                shares.map(|share| share / total)
            };
            let p = share(&mut past.iter().map(|(values, weight)| (values[0], *weight)));
            let q = share(&mut list.iter().map(|at| (values[*at][0], 1.0)));
            let divergence: f64 =
                p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / (0.99 * q + 0.01 * p)).ln()).sum();
            (1.0 - weight) * relevance[*list.last().unwrap()] - weight * divergence
        };
        prop_assert!(as_good(&chosen, &by_definition(scores.len(), limit, value), value));
    }

    #[test]
    fn no_value_comes_more_often_than_its_quota(
        values in prop::collection::vec(prop::collection::btree_set(0u32..5, 0..3), 1..30), most in 1usize..4, limit in 1usize..30,
    ) {
        let values: Vec<Vec<u32>> = values.into_iter().map(|values| values.into_iter().collect()).collect();
        let mut quota = Quota::new(most);
        let chosen = choose(&mut ByScore, values.len(), limit, &mut [(&mut quota, values.clone())]);
        let of = |value: u32, list: &[usize]| list.iter().filter(|at| values[**at].contains(&value)).count();
        for value in 0..5 {
            prop_assert!(of(value, &chosen) <= most);
        }
        prop_assert!(chosen.is_sorted());
        // What was left out would have been one too many, or was not wanted any more.
        for at in (0..values.len()).filter(|at| !chosen.contains(at)) {
            let before: Vec<usize> = chosen.iter().copied().filter(|other| *other < at).collect();
            let is_full = values[at].iter().any(|value| of(*value, &before) >= most);
            prop_assert!(is_full || chosen.len() == limit);
        }
    }
}

#[test]
fn without_weight_the_order_is_that_of_the_scores() {
    let scores = [3.0, 2.0, 1.5, -1.0];
    let candidates = Candidates { scores: &scores, alike: &|_, _| 1.0 };
    assert_eq!(choose(&mut Marginal::new(&candidates, 0.0), 4, 4, &mut []), [0, 1, 2, 3]);
    assert_eq!(choose(&mut ByScore, 4, 4, &mut []), [0, 1, 2, 3]);
}

#[test]
fn twins_of_what_is_there_come_last() {
    let alike = |a: usize, b: usize| if a / 2 == b / 2 { 1.0 } else { 0.0 };
    let scores = [4.0, 3.9, 3.8, 3.7];
    let candidates = Candidates { scores: &scores, alike: &alike };
    assert_eq!(choose(&mut Marginal::new(&candidates, 0.5), 4, 2, &mut []), [0, 2]);
    assert_eq!(choose(&mut Determinant::new(&candidates, 0.5), 4, 4, &mut [])[..2], [0, 2]);
}
