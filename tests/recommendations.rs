//! The whole loop through the library: events in, a snapshot trained and live, answers out.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod support;

use savor::{
    Degraded, Engine, Event, ExcludeSeen, Filter, Gate, ListKind, ListQuery, Query, RankQuery, SimilarQuery, Source,
    TrainOptions,
};
use support::{GROUP, config, item, time, world};

/// The group of an item's name.
fn group_of(item: &str) -> usize {
    item[1..].split('-').next().unwrap().parse().unwrap()
}

fn trained(dir: &std::path::Path) -> Engine {
    let engine = world(dir);
    let snapshot = engine.train(&TrainOptions::default()).unwrap();
    engine.activate_if(snapshot, &Gate::no_worse("ndcg@10", 0.01)).unwrap();
    engine
}

#[test]
fn users_get_unseen_items_of_their_own_taste() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let mut own = 0;
    for user in 0..8 {
        let seen = engine.user_events(&format!("u{user}"), 100).unwrap();
        let answer = engine.recommend(&Query::for_user(format!("u{user}")).limit(5)).unwrap();
        assert_eq!(answer.snapshot, engine.active_snapshot());
        assert_eq!(answer.degraded, None);
        assert_eq!(answer.items.len(), 5);
        for recommended in &answer.items {
            assert_eq!(recommended.source, Source::Personal);
            own += usize::from(group_of(&recommended.item) == user % support::GROUPS);
            assert!(seen.iter().all(|event| event.item != recommended.item));
        }
        assert!(answer.items.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }
    // Two of ten events of each user are noise.
    assert!(own >= 32, "{own} of 40 are of the user's own group");
}

#[test]
fn before_the_first_training_the_answer_is_popular_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let answer = engine.recommend(&Query::for_user("u1")).unwrap();
    assert_eq!((answer.snapshot, answer.degraded), (None, Some(Degraded::NoSnapshot)));
    assert!(answer.items.iter().all(|item| item.source == Source::Popular));
    assert_eq!(answer.items.len(), 10);
}

#[test]
fn an_unknown_user_gets_popular_items_and_a_session_gets_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let unknown = engine.recommend(&Query::for_user("nobody")).unwrap();
    assert_eq!(unknown.degraded, Some(Degraded::UnknownUser));
    assert_eq!(unknown.items.len(), 10);

    let session = engine.recommend(&Query::for_session([item(2, 0), item(2, 1)]).limit(5)).unwrap();
    assert_eq!(session.degraded, None);
    for recommended in &session.items {
        assert_eq!((group_of(&recommended.item), recommended.source), (2, Source::FoldIn));
        assert!(![item(2, 0), item(2, 1)].contains(&recommended.item));
    }

    let stranger = engine.recommend(&Query::for_session(["never heard of"])).unwrap();
    assert_eq!(stranger.degraded, Some(Degraded::NoHistory));
}

#[test]
fn the_next_answer_reflects_the_last_click() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let clicks: Vec<_> = (0..4).map(|place| Event::new("newcomer", item(3, place), "click")).collect();
    engine.append_events(&clicks).unwrap();
    let answer = engine.recommend(&Query::for_user("newcomer").limit(5)).unwrap();
    assert!(answer.items.iter().all(|item| item.source == Source::FoldIn && group_of(&item.item) == 3), "{answer:?}");

    let reopened = {
        engine.shutdown();
        drop(engine);
        Engine::open(dir.path(), config()).unwrap()
    };
    let after = reopened.recommend(&Query::for_user("newcomer").limit(5)).unwrap();
    assert_eq!(after.items, answer.items);
}

#[test]
fn an_explained_score_is_the_sum_of_its_parts() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let answer = engine.recommend(&Query::for_user("u3").limit(10).explain()).unwrap();
    let plain = engine.recommend(&Query::for_user("u3").limit(10)).unwrap();
    for (explained, plain) in answer.items.iter().zip(&plain.items) {
        let because = explained.because.as_ref().unwrap();
        let sum: f64 = because.iter().map(|part| part.weight).sum();
        assert!((sum - explained.score).abs() < 1e-4, "{sum} is not {}", explained.score);
        assert!((plain.score - explained.score).abs() < 1e-3, "fold-in solves what training solves");
        assert!(because.windows(2).all(|pair| pair[0].weight >= pair[1].weight));
    }
}

#[test]
fn filters_exclusions_and_hidden_items_hold() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let query = Query::for_user("u0").limit(GROUP).filter(
        serde_json::from_str::<Filter>(
            r#"{"must":[{"key":"place","range":{"lt":10}}],"must_not":[{"has_id":["g1-0","g1-1"]}]}"#,
        )
        .unwrap(),
    );
    let query = Query { category: Some("group1".into()), exclude_items: vec!["g1-2".into()], ..query };
    let query = Query { exclude_seen: ExcludeSeen::All(false), ..query };
    let mut hidden = engine.item("g1-3").unwrap().unwrap();
    hidden.hidden = true;
    engine.put_items(&[hidden]).unwrap();
    let answer = engine.recommend(&query).unwrap();
    let mut found: Vec<_> = answer.items.iter().map(|item| item.item.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["g1-4", "g1-5", "g1-6", "g1-7", "g1-8", "g1-9"]);
    assert_eq!(answer.degraded, Some(Degraded::FewCandidates));
}

#[test]
fn a_deleted_item_is_never_recommended_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let first = engine.recommend(&Query::for_user("u0").limit(1)).unwrap().items[0].item.clone();
    assert!(engine.delete_item(&first).unwrap());
    let answer = engine.recommend(&Query::for_user("u0").limit(100)).unwrap();
    assert!(answer.items.iter().all(|item| item.item != first));
    assert!(
        engine
            .list(&ListQuery { limit: 1000, ..ListQuery::new(ListKind::Popular) })
            .unwrap()
            .items
            .iter()
            .all(|item| item.item != first)
    );
    assert!(!engine.delete_item(&first).unwrap());
}

#[test]
fn similar_items_share_the_taste_of_the_item() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let answer = engine.similar_items(&SimilarQuery { limit: 5, ..SimilarQuery::new(item(1, 3)) }).unwrap();
    assert!(answer.items.iter().all(|near| group_of(&near.item) == 1 && near.item != item(1, 3)), "{answer:?}");
    let users = engine.similar_users(&SimilarQuery { limit: 5, ..SimilarQuery::new("u2") }).unwrap();
    assert!(users.iter().all(|near| near.id[1..].parse::<usize>().unwrap() % support::GROUPS == 2), "{users:?}");
    assert_eq!(engine.similar_items(&SimilarQuery::new("nothing")).unwrap_err().code(), "not_found");
}

#[test]
fn ranking_returns_every_candidate_the_unknown_ones_last() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    let items = vec!["unknown".to_string(), item(1, 0), item(0, 0), item(0, 1)];
    let query = RankQuery { user: Some("u0".into()), ..RankQuery::new(items) };
    let answer = engine.rank(&query).unwrap();
    let order: Vec<_> = answer.items.iter().map(|item| item.item.as_str()).collect();
    assert_eq!(&order[2..], ["g1-0", "unknown"]);
    assert_eq!(answer.items[3].source, Source::Unscored);
}

#[test]
fn latest_sorts_by_publishing_time() {
    let dir = tempfile::tempdir().unwrap();
    let engine = world(dir.path());
    let mut published = support::items();
    for (age, item) in published.iter_mut().enumerate() {
        item.time = Some(time(-(age as i64)));
    }
    engine.put_items(&published).unwrap();
    let answer = engine.list(&ListQuery { limit: 3, ..ListQuery::new(ListKind::Latest) }).unwrap();
    let order: Vec<_> = answer.items.iter().map(|item| item.item.clone()).collect();
    assert_eq!(order, [item(0, 0), item(0, 1), item(0, 2)]);
}

#[test]
fn a_deleted_user_leaves_no_trace_in_answers_and_the_next_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    assert!(engine.delete_user("u5").unwrap());
    assert!(engine.user("u5").unwrap().is_none());
    assert_eq!(engine.user_events("u5", 10).unwrap_err().code(), "not_found");
    assert_eq!(engine.recommend(&Query::for_user("u5")).unwrap().degraded, Some(Degraded::UnknownUser));
    assert!(engine.similar_users(&SimilarQuery::new("u1")).unwrap().iter().all(|near| near.id != "u5"));
    let next = engine.train(&TrainOptions::default()).unwrap();
    assert_eq!(engine.snapshot(next).unwrap().users, support::USERS as u64 - 1);
}

#[test]
fn merged_users_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let engine = trained(dir.path());
    engine.append_events(&[Event::new("visitor", item(2, 5), "click").at(time(99_999))]).unwrap();
    let merged = engine.merge_users("u0", "visitor").unwrap();
    assert_eq!((merged.moved, merged.known), (1, 0));
    assert!(engine.user("visitor").unwrap().is_none());
    assert_eq!(engine.user_events("u0", 1).unwrap()[0].item, item(2, 5));

    // The snapshot has not seen them, and that is known also after a restart.
    drop(engine);
    let engine = Engine::open(dir.path(), config()).unwrap();
    let answer = engine.recommend(&Query::for_user("u0")).unwrap();
    assert!(answer.items.iter().all(|item| item.source == Source::FoldIn), "{answer:?}");
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let scores = [1, 2, 4].map(|threads| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config();
        config.train.threads = threads;
        let engine = Engine::open(dir.path(), config).unwrap();
        engine.append_events(&support::events()).unwrap();
        let snapshot = engine.train(&TrainOptions { measure: false, ..TrainOptions::default() }).unwrap();
        engine.activate(snapshot).unwrap();
        let answers = (0..support::USERS).map(|user| engine.recommend(&Query::for_user(format!("u{user}"))).unwrap());
        answers.flat_map(|answer| answer.items).map(|item| (item.item, item.score.to_bits())).collect::<Vec<_>>()
    });
    assert_eq!(scores[0], scores[1]);
    assert_eq!(scores[0], scores[2]);
}
