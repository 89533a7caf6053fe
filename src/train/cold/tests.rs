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
            let history = cold.prior_history(&profile, 1.0, model.fold_in.mix().unit);
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
