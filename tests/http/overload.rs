//! Under pressure: what is left out of answers, and what no pressure may do. A threshold of 0 is always reached, so nothing
//! here depends on how fast the machine is.

use savor::{Config, Event, Item, OverloadConfig, ServerConfig};
use serde_json::Value;

use crate::server::Running;

fn at(change: fn(&mut OverloadConfig)) -> impl FnOnce(&mut ServerConfig) {
    move |config| change(&mut config.overload)
}

fn popular(config: &mut OverloadConfig) {
    (config.unranked_from, config.kept_from, config.popular_from) = (0.0, 0.0, 0.0);
}

fn names(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect()
}

#[test]
fn at_the_last_step_popular_items_answer_and_the_question_is_obeyed_all_the_same() {
    let server = Running::start_with(at(popular));
    let items: Vec<Item> = (0..10)
        .map(|number| {
            let mut item = Item::new(format!("i{number}"));
            item.categories = vec![if number % 2 == 0 { "even".into() } else { "odd".into() }];
            item.hidden = number == 4;
            item
        })
        .collect();
    server.engine.put_items(&items).unwrap();
    // i0 is the most popular, i9 the least.
    let events = (0..10).flat_map(|item| (0..10 - item).map(move |user| (user, item)));
    let events: Vec<Event> =
        events.map(|(user, item)| Event::new(format!("other{user}"), format!("i{item}"), "view")).collect();
    server.engine.append_events(&events).unwrap();
    server.engine.append_events(&[Event::new("u1", "i2", "view")]).unwrap();
    let mut client = server.client();
    let answer = client.get("/v1/users/u1/recommendations?limit=3&category=even").expect(200);
    assert_eq!(answer["degraded"], "overloaded_popular");
    assert_eq!(names(&answer), ["i0", "i6", "i8"], "i2 was seen, i4 is hidden");
    let body = r#"{"user":"u1","limit":3,"exclude_seen":false,"exclude_items":["i0"],
        "filter":{"must_not":[{"has_id":["i1"]}]}}"#;
    assert_eq!(names(&client.json("POST", "/v1/recommendations", body).expect(200)), ["i2", "i3", "i5"]);
    let page = client.get("/v1/users/u9/recommendations?limit=2").expect(200);
    let next = client.json("POST", page["next"].as_str().unwrap(), "").expect(200);
    assert!(names(&next).iter().all(|item| !names(&page).contains(item)), "{page} {next}");
    let metrics = client.get("/metrics");
    for line in [
        "savor_answers_degraded_total{reason=\"overloaded_popular\"} 4",
        "savor_questions_hurried_total{effort=\"popular\"} 4",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line} is missing in\n{}", metrics.text());
    }
}

#[test]
fn without_pressure_nothing_is_left_out() {
    let server = Running::trained();
    let answer = server.client().get("/v1/users/u1/recommendations?limit=3").expect(200);
    assert_eq!(answer["degraded"], Value::Null);
    assert_eq!(server.engine.config().server.overload, Config::default().server.overload);
}

#[test]
fn the_work_of_one_request_is_bounded() {
    let server = Running::with_taste();
    let mut client = server.client();
    let batch = |count: usize, query: &str| format!("{{\"queries\":[{}]}}", vec![query; count].join(","));
    let mut of = |count, query| client.json("POST", "/v1/recommendations:batch", &batch(count, query));
    of(100, r#"{"user":"u1","limit":1000}"#).expect(200);
    assert_eq!(of(101, r#"{"user":"u1","limit":1000}"#).problem(400, "invalid"), "queries");
    assert_eq!(of(101, r#"{"user":"u1","limit":100,"explain":true}"#).problem(400, "invalid"), "queries");
    assert_eq!(of(1, r#"{"user":"u1","limit":101,"explain":true}"#).problem(400, "invalid"), "queries[0].limit");
    let long = format!(r#"{{"session":[{}]}}"#, vec![r#"{"item":"i1"}"#; 600].join(","));
    assert_eq!(of(200, &long).problem(400, "invalid"), "queries");
    let many = format!(r#"{{"items":[{}],"explain":true}}"#, vec!["\"i1\""; 101].join(","));
    assert_eq!(client.json("POST", "/v1/rank", &many).problem(400, "invalid"), "items");
}
