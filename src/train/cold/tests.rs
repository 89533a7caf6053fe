//! The maps' promises on a small world in which metadata decides who likes what.

use super::*;
use crate::config::{ModelKind, TrainConfig};
use crate::progress::Silent;
use crate::train::{TrainingData, train};

const ITEMS: u32 = 60;
const USERS: u32 = 90;

fn item(number: u32) -> Item {
    let mut item = Item::new(format!("i{number}"));
    item.categories.push(format!("kind{}", number % 3));
    item.attributes.insert("noise".into(), f64::from(number * 37 % 11).into());
    item
}

fn user(number: u32) -> User {
    let mut user = User::new(format!("u{number}"));
    user.attributes.insert("group".into(), format!("group{}", number % 3).into());
    user
}

/// Users of a group like the items of a kind.
fn matrix() -> Csr {
    let likes = |user: u32, item: u32| user % 3 == item % 3 && !(user * 31 + item * 17).is_multiple_of(4);
    let row = |user: u32| (0..ITEMS).filter(|item| likes(user, *item)).map(|item| (item, 1.0)).collect();
    Csr::from_rows(ITEMS as usize, (0..USERS).map(row).collect())
}

fn learned(kind: ModelKind) -> (Model, ColdStart) {
    let matrix = matrix();
    let config = TrainConfig { model: kind, dimension: 8, ..TrainConfig::default() };
    let data = TrainingData { matrix: &matrix, trend: &[], validation: &[], ratings: None, warm: None };
    let model = train(&data, &config, &Silent).unwrap().0;
    let profiles = Profiles {
        items: (0..ITEMS).map(|i| Some(item(i))).collect(),
        users: (0..USERS).map(|u| Some(user(u))).collect(),
    };
    let cold = ColdStart::learn(&model, &matrix, &profiles, &ColdConfig::default(), 1).unwrap();
    (model, cold)
}

#[test]
fn a_new_item_is_for_those_who_like_its_kind_under_every_model_with_vectors() {
    for kind in [ModelKind::Blend, ModelKind::Ials, ModelKind::Filter] {
        let (model, cold) = learned(kind);
        let map = cold.items.unwrap();
        for new in 0..3 {
            let vector = map.vector((&item(1000 * 3 + new)).into());
            let score = |user: u32| dot(model.users.row(user as usize), &vector);
            for group in 0..3 {
                assert!(score(new) > score(group) || group == new, "{kind:?}, item of kind {new}, group {group}");
            }
        }
    }
}

#[test]
fn a_cold_item_competes_for_the_whole_score_of_a_blend() {
    let (model, cold) = learned(ModelKind::Blend);
    let map = cold.items.unwrap();
    assert!(map.quality().explained > 0.5, "{:?}", map.quality());
    let matrix = matrix();
    let (mut cold_score, mut warm_score) = (0.0, 0.0);
    for user in 0..USERS {
        let vector = model.users.row(user as usize);
        let (ids, weights) = matrix.row(user as usize);
        let history: Vec<_> = ids.iter().copied().zip(weights.iter().copied()).collect();
        let mut scores: Vec<f32> = (0..ITEMS).map(|item| dot(vector, model.items.row(item as usize))).collect();
        model.fold_in.add_lists(&history, &mut scores);
        let own = (0..ITEMS).filter(|item| item % 3 == user % 3);
        warm_score += own.clone().map(|item| scores[item as usize]).sum::<f32>() / own.count() as f32;
        cold_score += dot(vector, &map.vector((&item(3000 + user % 3)).into()));
    }
    let ratio = cold_score / warm_score;
    assert!((0.7..1.3).contains(&ratio), "a cold item scores {ratio} of what a warm one of its kind does");
}

#[test]
fn a_user_known_by_profile_alone_has_what_the_like_have_under_every_model() {
    for kind in [ModelKind::Blend, ModelKind::Ials, ModelKind::Linear] {
        let (model, cold) = learned(kind);
        for group in 0..3 {
            let profile = cold.users.as_ref().unwrap().encoder().encode((&user(group)).into());
            let foretold = cold.foretold(&profile);
            assert!(foretold.windows(2).all(|pair| pair[0].1 >= pair[1].1));
            assert!(foretold.iter().take(10).all(|(item, _)| item % 3 == group), "{kind:?}: {foretold:?}");
            let history = cold.prior_history(&profile, model.fold_in.mix().unit);
            let mut vector = vec![0.0; model.items.dim()];
            model.fold_in.solve(model.items.as_rows(), &history, &mut vector).unwrap();
        }
    }
}

#[test]
fn without_metadata_a_map_has_the_mean_alone_and_without_terms_none_is_made() {
    let matrix = matrix();
    let data = TrainingData { matrix: &matrix, trend: &[], validation: &[], ratings: None, warm: None };
    let config = TrainConfig { model: ModelKind::Ials, dimension: 8, ..TrainConfig::default() };
    let model = train(&data, &config, &Silent).unwrap().0;
    let bare = Profiles { items: vec![None; ITEMS as usize], users: vec![None; USERS as usize] };
    let cold = ColdStart::learn(&model, &matrix, &bare, &ColdConfig::default(), 1).unwrap();
    let map = cold.items.unwrap();
    assert_eq!(map.encoder().columns(), 0);
    assert_eq!(map.vector((&item(0)).into()), map.vector((&item(1)).into()));
    let full = Profiles { items: (0..ITEMS).map(|i| Some(item(i))).collect(), users: vec![None; USERS as usize] };
    let off = ColdConfig { terms: 0, ..ColdConfig::default() };
    assert_eq!(ColdStart::learn(&model, &matrix, &full, &off, 1).unwrap(), ColdStart::default());
}

#[test]
fn events_move_a_new_item_from_where_its_metadata_put_it_to_its_users() {
    let (model, cold) = learned(ModelKind::Blend);
    let mean = cold.items.as_ref().unwrap().vector((&item(3000)).into());
    let score = |vector: &[f32], group: u32| {
        let of_group = (0..USERS).filter(|user| user % 3 == group);
        of_group.map(|user| dot(model.users.row(user as usize), vector)).sum::<f32>()
    };
    let mut before = 0.0;
    for n in [0usize, 1, 4, 20] {
        // Its metadata is of kind 0, those who like it are of group 1.
        let users: Vec<Vec<f32>> = (0..n).map(|at| model.users.row(3 * at + 1).to_vec()).collect();
        let shift = cold.shift(&mean, &users, n).unwrap();
        let vector: Vec<f32> = mean.iter().zip(&shift).map(|(mean, shift)| mean + shift).collect();
        let lead = score(&vector, 1) - score(&vector, 0);
        assert!(n == 0 || lead > before, "after {n} events {lead}, before {before}");
        assert_eq!(n == 0, shift.iter().all(|value| *value == 0.0));
        before = lead;
    }
    assert!(before > 0.0, "twenty events outweigh a category: {before}");
    assert!(cold.score_variance(model.users.row(0), 0) > cold.score_variance(model.users.row(0), 10));
}

#[test]
fn metadata_that_says_nothing_leaves_the_mean() {
    let matrix = matrix();
    let data = TrainingData { matrix: &matrix, trend: &[], validation: &[], ratings: None, warm: None };
    let config = TrainConfig { model: ModelKind::Ials, dimension: 8, ..TrainConfig::default() };
    let model = train(&data, &config, &Silent).unwrap().0;
    let noise = |i: u32| {
        let mut item = Item::new(format!("i{i}"));
        item.categories.push(format!("n{}", i.wrapping_mul(2_654_435_761) >> 29));
        Some(item)
    };
    let profiles = Profiles { items: (0..ITEMS).map(noise).collect(), users: vec![None; USERS as usize] };
    let map = ColdStart::learn(&model, &matrix, &profiles, &ColdConfig::default(), 1).unwrap().items.unwrap();
    let [a, b] = [0, 1].map(|i| map.vector(noise(i).as_ref().unwrap().into()));
    let spread = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
    assert!(spread < 0.3 * length(model.items.row(0)), "{spread}");
}

/// The prior of a world of four groups in which users have 12 items of their group and `others` of all others. Profiles name the
/// group, or say nothing.
fn prior(profiles_tell: bool, others: u32) -> f32 {
    let (n, users) = (80u32, 200u32);
    let drawn = |user: u32, item: u32| xxhash_rust::xxh3::xxh3_64(&[user.to_le_bytes(), item.to_le_bytes()].concat());
    let row = |user: u32| {
        let of = |is_own: bool, count: u32| {
            let mut items: Vec<u32> = (0..n).filter(|item| (item % 4 == user % 4) == is_own).collect();
            items.sort_by_key(|item| drawn(user, *item));
            items.truncate(count as usize);
            items
        };
        let mut items = [of(true, 12), of(false, others)].concat();
        items.sort_unstable();
        items.into_iter().map(|item| (item, 1.0)).collect()
    };
    let matrix = Csr::from_rows(n as usize, (0..users).map(row).collect());
    let profile = |user: u32| {
        let group = if profiles_tell { user % 4 } else { (drawn(user, n) % 4) as u32 };
        let mut known = User::new(format!("u{user}"));
        known.attributes.insert("group".into(), format!("group{group}").into());
        Some(known)
    };
    let profiles = Profiles { items: vec![None; n as usize], users: (0..users).map(profile).collect() };
    let data = TrainingData { matrix: &matrix, trend: &[], validation: &[], ratings: None, warm: None };
    let config = TrainConfig { model: ModelKind::Ials, dimension: 8, ..TrainConfig::default() };
    let (model, settled) = train(&data, &config, &Silent).unwrap();
    let mut cold = ColdStart::learn(&model, &matrix, &profiles, &ColdConfig::default(), 1).unwrap();
    assert_eq!(cold.prior_pairs, 0.0, "nothing is weighed yet");
    cold.weigh_prior(&data, &profiles, &settled, &Silent).unwrap();
    cold.prior_pairs
}

#[test]
fn a_prior_counts_where_people_whom_the_model_has_not_seen_are_told_better_by_profile_than_by_an_event() {
    let (tells, says_nothing) = (prior(true, 12), prior(false, 2));
    assert!(tells >= 1.0, "half of all events are of other groups, and the profile knows the group: {tells}");
    assert!(says_nothing < tells, "{says_nothing} where an event tells the group, {tells} where the profile does");
}

#[test]
fn the_less_is_known_by_events_the_more_say_has_what_is_foretold() {
    let mut cold = learned(ModelKind::Ials).1;
    cold.prior_pairs = 2.0;
    let profile = cold.users.as_ref().unwrap().encoder().encode((&user(1)).into());
    let scores = |row: u32| row as f32;
    let part = |pairs: f32| cold.prior_scores(&profile, pairs, scores).first().map_or(0.0, |(_, part)| *part);
    assert!(part(1.0) > part(2.0) && part(2.0) > part(20.0) && part(20.0) > 0.0);
    let weights = [0.0, 2.0, 18.0].map(|pairs| cold.prior_weight(pairs));
    assert!(weights[0] > 0.99 && (weights[1] - 0.5).abs() < 1e-6 && (weights[2] - 0.1).abs() < 1e-6, "{weights:?}");
    // With one pair of each, what is foretold varies as much as the scores do.
    let parts = cold.prior_scores(&profile, 2.0, scores);
    let deviation = |values: Vec<f32>| {
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
    };
    let (foretold, scored): (Vec<f32>, Vec<f32>) = parts.iter().map(|(row, part)| (*part, scores(*row))).unzip();
    let (foretold, scored) = (deviation(foretold), deviation(scored));
    assert!((foretold / scored - 1.0).abs() < 1e-3, "{foretold} {scored}");
    cold.prior_pairs = 0.0;
    assert!(cold.prior_scores(&profile, 1.0, scores).is_empty());
    // Without a profile it is what everybody has.
    assert!(cold.foretold(&[]).windows(2).all(|pair| pair[0].1 >= pair[1].1) && !cold.foretold(&[]).is_empty());
}

/// How much is foretold of the targets of 240 items, three of each brand, by the brand as a column and as a statistic.
fn explained_by_brands(target: impl Fn(u32) -> f32) -> f32 {
    let items: Vec<Item> = (0..240u32)
        .map(|number| {
            let mut item = item(number);
            item.attributes.insert("brand".into(), format!("brand{}", number / 3).into());
            item
        })
        .collect();
    let counted: Vec<(Option<Profile<'_>>, f32)> =
        items.iter().zip(0..).map(|(item, number)| (Some(item.into()), target(number))).collect();
    let targets: Vec<f32> = counted.iter().map(|(_, target)| *target).collect();
    let config = ColdConfig { statistics_prior: 1.0, ..ColdConfig::default() };
    let (encoder, rows) = encoded(counted.iter().map(|(profile, _)| *profile), Some(&targets), &config);
    assert!(encoder.has_statistics());
    let unaware = unaware(&encoder, &counted, 1);
    let (vectors, probes) = (Matrix::new(1, targets).unwrap(), Matrix::new(1, vec![1.0]).unwrap());
    let (evidence, vectors) = (vec![1.0; 240], vectors.as_rows());
    let examples = Examples {
        encoder,
        rows: &rows,
        unaware,
        evidence,
        vectors,
        listed: None,
        gramian: vec![1.0],
        probes: &probes,
    };
    ProfileMap::learn(examples, 0.0, 1).unwrap().unwrap().quality().explained
}

#[test]
fn statistics_beside_columns_of_the_same_values_foretell_what_brands_have_in_common_and_no_noise() {
    let drawn = |number: u32| (xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes()) % 1000) as f32 / 500.0 - 1.0;
    let noise = explained_by_brands(drawn);
    assert!(noise.abs() < 0.03, "{noise}");
    let common = explained_by_brands(|number| drawn(number / 3));
    assert!(common > 0.5, "{common}");
}
