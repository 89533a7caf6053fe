//! Questions to a blend whose parts are made by hand, with every item scored as the twin.

use tempfile::TempDir;

use super::allowed::Allowed;
use super::*;
use super::{Plan, personal};
use crate::config::{Durability, IndexConfig, TrainConfig};
use crate::eval::Scorer;
use crate::features::{Csr, Interactions, Log};
use crate::index::Allow;
use crate::linalg::{Matrix, gramian};
use crate::progress::Silent;
use crate::record::{Effort, Event, ExcludeSeen, Filter, Item, Query, RankQuery, SimilarQuery};
use crate::snapshot::{self, Draft};
use crate::train::{FoldIn, ItemParts, Mix, Model, ModelScorer};

/// An answer without scenario and rules.
fn recommend(context: &Context<'_>, query: &Query) -> crate::error::Result<Answer> {
    personal::recommend(context, &Plan::from(query))
}

const ITEMS: usize = 40;
const USERS: usize = 12;

/// Everything that a question looks at; users 0 to 11 have six events each, item `i9` is the most popular.
struct World {
    dir: TempDir,
    store: Store,
    config: Config,
    weights: EventWeights,
    interactions: Interactions,
    catalog: Catalog,
    served: ServedLog,
    popular: Popular,
    fresh: Fresh,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::default();
        let store = Store::open(dir.path(), &config.store).unwrap();
        let items: Vec<Item> = (0..ITEMS).map(|item| Item::new(format!("i{item}"))).collect();
        store.put_items(&items, Durability::Async).unwrap();
        let at = |second: usize| Timestamp::from_millis(1_767_225_600_000 + second as i64 * 1000).unwrap();
        let items_of = |user: usize| (0..5).map(move |k| (user * 7 + k * k * 3) % ITEMS).chain([9]);
        let events = (0..USERS).flat_map(|user| items_of(user).map(move |item| (user, item)));
        let event = |(second, (user, item)): (usize, (usize, usize))| {
            Event::new(format!("u{user}"), format!("i{item}"), "click").at(at(second))
        };
        store.append_events(&events.enumerate().map(event).collect::<Vec<_>>(), Durability::Async).unwrap();
        let weights = EventWeights::new(&config.events);
        let view = store.view();
        let log = Log::read(&view, &weights, &Silent).unwrap();
        let interactions = log.interactions(log.newest());
        let catalog = Catalog::load(&view, &config.recommend).unwrap();
        let popular = Popular::load(&view, &config, &weights).unwrap();
        drop(view);
        Self {
            dir,
            store,
            config,
            weights,
            interactions,
            catalog,
            served: ServedLog::new(1.0),
            popular,
            fresh: Fresh::default(),
        }
    }

    /// A model of random parts, each of the length that `mix` says; lists speak against items, too.
    fn model(&self, mix: Mix, has_lists: bool) -> Model {
        let mut state = 5u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let n_items = self.interactions.items.len();
        let scales: Vec<f32> = (0..n_items).map(|_| 0.5 + random()).collect();
        let degrees = (0..if mix.components > 0 { n_items } else { 0 }).map(|_| 0.5 + random()).collect();
        let factors = Matrix::new(mix.factors, (0..n_items * mix.factors).map(|_| random() - 0.4).collect());
        let mut items = Matrix::zeros(n_items, mix.dim());
        for (row, scale) in scales.iter().enumerate() {
            for (column, value) in items.row_mut(row).iter_mut().enumerate() {
                let factor = factors.as_ref().ok().filter(|_| column < mix.factors).map(|f| f.row(row)[column]);
                *value = scale * factor.unwrap_or_else(|| random() - if column < mix.traits() { 0.5 } else { 0.0 });
            }
        }
        let entries = |_| (0..8).map(|_| ((random() * n_items as f32) as u32, 2.0 * random() - 1.0)).collect();
        let lists =
            if has_lists { Csr::from_rows(n_items, (0..n_items).map(entries).collect()) } else { Csr::default() };
        let gramian = factors.map_or_else(|_| Vec::new(), |factors| gramian(factors.as_rows()));
        let fold_in =
            FoldIn::new(mix, gramian, ItemParts { scales, degrees, confidences: Vec::new(), lists }, &train()).unwrap();
        let matrix = &self.interactions.matrix;
        let mut users = Matrix::zeros(matrix.n_rows(), mix.dim());
        for row in 0..matrix.n_rows() {
            fold_in.solve(items.as_rows(), &history(matrix, row), users.row_mut(row)).unwrap();
        }
        Model { users, items, fold_in }
    }

    fn snapshot(&self, model: &Model) -> Snapshot {
        let mut draft = Draft::begin(&self.store, "test", &train()).unwrap();
        draft.trained(train(), None, None);
        let manifest = snapshot::write(
            &self.store,
            self.dir.path(),
            draft,
            &self.interactions,
            model,
            &IndexConfig::default(),
            &Silent,
        );
        Snapshot::load(self.dir.path(), manifest.unwrap()).unwrap()
    }

    fn context<'a>(&'a self, snapshot: &'a Snapshot) -> Context<'a> {
        Context {
            store: &self.store,
            config: &self.config,
            weights: &self.weights,
            snapshot: Some(snapshot),
            fresh: &self.fresh,
            is_stale: &|_| false,
            catalog: &self.catalog,
            facts: None,
            served: &self.served,
            ranker: None,
            popular: &self.popular,
            now: Timestamp::now(),
            known_until: None,
        }
    }

    /// Every item's score for a user, by name, the best first.
    fn scores(&self, model: &Model, user: &str) -> Vec<(String, f64)> {
        let matrix = &self.interactions.matrix;
        let row = self.interactions.row_of(self.store.user_id(user).unwrap().unwrap()).unwrap();
        let mut scores = vec![0.0; model.items.rows()];
        ModelScorer::new("twin", model, matrix).score(row as usize, &mut scores);
        let name = |column: usize| self.store.item_name(self.interactions.items[column]).unwrap().unwrap();
        let mut scores: Vec<_> = scores.into_iter().enumerate().map(|(c, score)| (name(c), f64::from(score))).collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        scores
    }
}

fn train() -> TrainConfig {
    TrainConfig { unobserved_weight: 0.1, regularization: 0.05, ..TrainConfig::default() }
}

fn blend() -> Mix {
    Mix {
        factors: 3,
        components: 2,
        has_popularity: true,
        ials: 1.5,
        mass_exponent: 0.5,
        low_pass: 0.3,
        popularity: 0.1,
        unit: 1.0,
        ratings: None,
    }
}

fn linear() -> Mix {
    Mix { has_popularity: true, unit: 1.0, ..Mix::default() }
}

fn history(matrix: &Csr, row: usize) -> Vec<(u32, f32)> {
    let (ids, weights) = matrix.row(row);
    ids.iter().copied().zip(weights.iter().copied()).collect()
}

fn assert_close(found: &[RecommendedItem], expected: &[(String, f64)]) {
    for (found, (item, score)) in found.iter().zip(expected) {
        assert_eq!(&found.item, item);
        assert!((found.score - score).abs() < 1e-4, "{found:?}, expected {score}");
    }
}

#[test]
fn a_blend_recommends_what_is_best_of_all_items_scored() {
    let world = World::new();
    let model = world.model(blend(), true);
    let snapshot = world.snapshot(&model);
    let context = world.context(&snapshot);
    for user in (0..USERS).map(|user| format!("u{user}")) {
        let scores = world.scores(&model, &user);
        let query = Query { exclude_seen: ExcludeSeen::All(false), ..Query::for_user(&user).limit(7) };
        let answer = recommend(&context, &query).unwrap();
        assert_eq!((answer.items.len(), answer.degraded), (7, None));
        assert!(answer.items.iter().all(|item| item.source == Source::Personal));
        assert_close(&answer.items, &scores);

        let unseen = recommend(&context, &Query::for_user(&user).limit(7)).unwrap();
        let past = history(&world.interactions.matrix, user[1..].parse().unwrap());
        let is_seen = |name: &str| {
            let id = world.store.item_id(name).unwrap().unwrap();
            past.iter().any(|(column, _)| world.interactions.items[*column as usize] == id)
        };
        assert_close(&unseen.items, &scores.into_iter().filter(|(name, _)| !is_seen(name)).collect::<Vec<_>>());
    }
}

#[test]
fn ranking_gives_the_scores_of_recommending_and_the_parts_sum_to_them() {
    let world = World::new();
    let model = world.model(blend(), true);
    let snapshot = world.snapshot(&model);
    let context = world.context(&snapshot);
    let scores = world.scores(&model, "u3");
    let items: Vec<_> = scores.iter().map(|(item, _)| item.clone()).rev().collect();
    let query = RankQuery { user: Some("u3".into()), explain: true, ..RankQuery::new(items) };
    let explained = rank(&context, &query, Effort::Full).unwrap();
    let plain = rank(&context, &RankQuery { explain: false, ..query }, Effort::Full).unwrap();
    assert_close(&plain.items, &scores);
    assert_close(&explained.items, &scores);
    for item in &explained.items {
        let sum: f64 = item.because.as_ref().unwrap().iter().map(|part| part.weight).sum();
        assert!((sum - item.score).abs() < 1e-4, "{sum} is not {}", item.score);
    }
}

#[test]
fn lists_that_are_empty_change_nothing() {
    let world = World::new();
    let mix = Mix { factors: 4, ials: 1.0, unit: 1.0, ..Mix::default() };
    let model = world.model(mix, false);
    let snapshot = world.snapshot(&model);
    let answer = recommend(&world.context(&snapshot), &Query::for_user("u1").limit(5)).unwrap();
    for item in &answer.items {
        let row = snapshot.row(world.store.item_id(&item.item).unwrap().unwrap()).unwrap();
        let product = crate::linalg::dot(model.users.row(1), model.items.row(row as usize));
        assert_eq!(item.score, f64::from(product));
    }
}

#[test]
fn a_stored_vector_has_the_lists_of_the_whole_history_beside_it() {
    let mut world = World::new();
    world.config.recommend.history = 2;
    let model = world.model(blend(), true);
    let snapshot = world.snapshot(&model);
    let context = world.context(&snapshot);
    let query = Query { exclude_seen: ExcludeSeen::All(false), ..Query::for_user("u4").limit(9) };
    assert_close(&recommend(&context, &query).unwrap().items, &world.scores(&model, "u4"));

    let fresh = Context { is_stale: &|_| true, ..context };
    let explained = recommend(&fresh, &query.clone().explain()).unwrap();
    assert!(explained.items.iter().all(|item| item.because.as_ref().unwrap().len() == 2));
    assert_close(
        &recommend(&fresh, &query).unwrap().items,
        &explained.items.iter().map(|item| (item.item.clone(), item.score)).collect::<Vec<_>>(),
    );
}

#[test]
fn where_only_lists_speak_the_rest_is_popular() {
    let world = World::new();
    let model = world.model(linear(), true);
    let snapshot = world.snapshot(&model);
    let context = world.context(&snapshot);
    let favoured: Vec<_> = world.scores(&model, "u2").into_iter().filter(|(_, score)| *score > 0.0).collect();
    let query = Query { exclude_seen: ExcludeSeen::All(false), ..Query::for_user("u2").limit(ITEMS) };
    let answer = recommend(&context, &query).unwrap();
    let personal: Vec<_> = answer.items.iter().filter(|item| item.source == Source::Personal).cloned().collect();
    assert!(personal.len() > 3 && personal.len() == favoured.len());
    assert_close(&personal, &favoured);
    assert_eq!(answer.degraded, Some(Degraded::FewCandidates));
    assert_eq!(answer.items[personal.len()].source, Source::Popular);
}

#[test]
fn popularity_does_not_decide_what_is_similar() {
    let world = World::new();
    let mut model = world.model(blend(), true);
    let twin = (3, 20);
    let column = model.items.dim() - 1;
    for at in 0..column {
        let value = model.items.row(twin.0)[at];
        model.items.row_mut(twin.1)[at] = 0.5 * value;
    }
    model.items.row_mut(twin.1)[column] = 1e3;
    let snapshot = world.snapshot(&model);
    let name = |row| world.store.item_name(world.interactions.items[row]).unwrap().unwrap();
    let answer = similar_items(&world.context(&snapshot), &SimilarQuery::new(name(twin.0))).unwrap();
    assert_eq!(answer.items[0].item, name(twin.1));
    assert!((answer.items[0].score - 1.0).abs() < 1e-5);

    let users = similar_users(&world.store, Some(&snapshot), &SimilarQuery::new("u1")).unwrap();
    assert_eq!(users.len(), 10);
    assert!(users.iter().all(|near| near.score <= 1.0 + 1e-5 && near.id != "u1"));
}

#[test]
fn a_model_of_lists_alone_finds_similar_items_in_them() {
    let world = World::new();
    let model = world.model(linear(), true);
    let snapshot = world.snapshot(&model);
    let context = world.context(&snapshot);
    let (listed, values) = model.fold_in.parts().lists.row(5);
    let strongest = listed.iter().zip(values).filter(|(row, _)| **row != 5).max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    let name = |row: u32| world.store.item_name(world.interactions.items[row as usize]).unwrap().unwrap();
    let answer = similar_items(&context, &SimilarQuery::new(name(5))).unwrap();
    assert_eq!((&answer.items[0].item, answer.degraded), (&name(*strongest.0), None));
    assert!(answer.items.iter().all(|item| item.score > 0.0 && item.source == Source::Similar));
    assert!(similar_users(&world.store, Some(&snapshot), &SimilarQuery::new("u1")).unwrap().is_empty());
}

#[test]
fn a_blend_is_the_same_after_a_journey_in_a_bundle() {
    let world = World::new();
    let model = world.model(blend(), true);
    let here = world.snapshot(&model);
    let bundle = world.dir.path().join("model.bundle");
    snapshot::export(&world.store, world.dir.path(), &here, &bundle).unwrap();
    let manifest = snapshot::import(&world.store, world.dir.path(), &bundle).unwrap();
    let there = Snapshot::load(world.dir.path(), manifest).unwrap();
    assert_eq!(there.fold_in().parts(), here.fold_in().parts());
    for user in (0..USERS).map(|user| format!("u{user}")) {
        let answers = [&here, &there].map(|snapshot| recommend(&world.context(snapshot), &Query::for_user(&user)));
        let [a, b] = answers.map(|answer| answer.unwrap().items);
        assert_eq!(a, b);
    }
}

#[test]
fn the_rows_of_a_filter_are_those_that_it_allows() {
    let mut world = World::new();
    for place in (0..ITEMS).step_by(3) {
        let item = Item { categories: vec!["third".into()], hidden: place % 2 == 0, ..Item::new(format!("i{place}")) };
        world.store.put_items(std::slice::from_ref(&item), Durability::Async).unwrap();
        world.catalog.set(world.store.item_id(&item.id).unwrap().unwrap(), item);
    }
    let snapshot = world.snapshot(&world.model(blend(), true));
    let context = world.context(&snapshot);
    let allowed = Allowed::new(&context, None, Some("third")).unwrap();
    let allowed = allowed.without_named(&["i9".into(), "i1".into(), "none".into()]).unwrap();
    let rows = allowed.matching_rows().unwrap();
    assert!(!rows.is_empty());
    let names = |row: u32| world.store.item_name(snapshot.item(row).unwrap()).unwrap().unwrap();
    for row in 0..snapshot.items().len() as u32 {
        let place: usize = names(row)[1..].parse().unwrap();
        let expected = [3, 15, 21, 27, 33, 39].contains(&place);
        assert_eq!(allowed.allows(row), expected, "i{place}");
        assert_eq!(rows.contains(row), expected || place == 9, "i{place}");
        assert_eq!(allowed.allows_item(snapshot.item(row).unwrap()), expected, "i{place}");
    }
    assert!(
        Allowed::new(&context, Some(&Filter::default()), None).unwrap().matching_rows().is_none(),
        "nothing is asked for"
    );
}
