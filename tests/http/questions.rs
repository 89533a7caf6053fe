//! Questions: what is answered, and what is said when the best answer is not to be had.

use std::collections::BTreeSet;

use savor::TrainOptions;
use serde_json::{Value, json};

use crate::server::Running;

fn items(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect()
}

#[test]
fn a_question_before_anything_is_trained_is_answered_and_says_so() {
    let server = Running::with_taste();
    let mut client = server.client();
    let answer = client.get("/v1/users/u0/recommendations?limit=3").expect(200);
    assert_eq!(answer["degraded"], "no_snapshot");
    assert_eq!(items(&answer).len(), 3);
}

#[test]
fn an_unknown_user_gets_the_popular_list_and_it_is_counted() {
    let server = Running::trained();
    let mut client = server.client();
    let answer = client.get("/v1/users/no%20one/recommendations").expect(200);
    assert_eq!(answer["degraded"], "unknown_user");
    assert_eq!(items(&answer).len(), 10);
    let metrics = client.get("/metrics");
    assert!(metrics.text().contains("savor_answers_degraded_total{reason=\"unknown_user\"} 1\n"), "{}", metrics.text());
}

#[test]
fn the_url_and_the_body_ask_the_same_question() {
    let server = Running::trained();
    let mut client = server.client();
    let by_url =
        client.get("/v1/users/u1/recommendations?limit=5&category=odd&explain=true&exclude_seen=false").expect(200);
    let body = r#"{"user":"u1","limit":5,"category":"odd","explain":true,"exclude_seen":false}"#;
    let by_body = client.json("POST", "/v1/recommendations", body).expect(200);
    assert_eq!(by_url["items"], by_body["items"]);
    assert_eq!(by_url["snapshot"], 1);
    assert!(by_url["items"][0]["because"].is_array(), "{by_url}");
    let batch = client.json("POST", "/v1/recommendations:batch", &format!("{{\"queries\":[{body},{{}}]}}")).expect(200);
    assert_eq!(batch["answers"][0]["items"], by_body["items"]);
    assert_eq!(batch["answers"].as_array().unwrap().len(), 2);
}

#[test]
fn an_answer_that_is_given_again_has_another_name_and_is_the_same_in_all_else() {
    let server = Running::with_taste();
    let model = TrainOptions { ranker: false, ..TrainOptions::default() };
    server.engine.activate(server.engine.train(&model).unwrap()).unwrap();
    let mut client = server.client();
    let texts: Vec<String> =
        (0..4).map(|_| client.get("/v1/users/u1/recommendations?limit=3").text().to_owned()).collect();
    assert_eq!(server.engine.stats().unwrap().cache_hits, 3);
    let answers: Vec<Value> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let names: Vec<&str> = answers.iter().map(|answer| answer["recommendation_id"].as_str().unwrap()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 4);
    for ((text, answer), name) in texts.iter().zip(&answers).zip(&names) {
        assert_eq!(text.replace(name, names[0]), texts[0]);
        // Each is logged under its name, and has a next page of its own.
        let shown = server.engine.exposure(name).unwrap().unwrap();
        assert_eq!(shown.user.as_deref(), Some("u1"));
        assert_eq!(shown.items.iter().map(|shown| &*shown.item).collect::<Vec<_>>(), items(answer));
        assert_eq!(answer["next"], format!("/v1/recommendations/{name}/next"));
        let page = client.json("POST", answer["next"].as_str().unwrap(), "").expect(200);
        assert!(items(&page).iter().all(|item| !items(answer).contains(item)), "{page}");
    }
}

#[test]
fn a_visitor_is_known_by_the_session() {
    let server = Running::trained();
    let mut client = server.client();
    let body = r#"{"session":[{"item":"i0"},{"item":"i2","type":"view"}],"limit":4,"filter":{"must":[{"key":"categories","match":{"value":"even"}}]}}"#;
    let answer = client.json("POST", "/v1/recommendations", body).expect(200);
    assert_eq!(answer["items"][0]["source"], "fold_in", "{answer}");
    assert!(!items(&answer).contains(&"i0"));
}

#[test]
fn the_callers_candidates_all_come_back_ranked() {
    let server = Running::trained();
    let mut client = server.client();
    let answer = client.json("POST", "/v1/rank", r#"{"user":"u2","items":["i1","i2","new"]}"#).expect(200);
    let mut ranked = items(&answer);
    ranked.sort_unstable();
    assert_eq!(ranked, ["i1", "i2", "new"]);
}

#[test]
fn lists_and_neighbours_are_there_and_unknown_ones_are_404() {
    let server = Running::trained();
    let mut client = server.client();
    for path in ["/v1/lists/popular", "/v1/lists/latest?category=odd", "/v1/items/i3/similar?limit=2"] {
        assert!(client.get(path).expect(200)["items"].is_array(), "{path}");
    }
    assert!(client.get("/v1/users/u3/similar?limit=2").expect(200)["users"].is_array());
    for path in ["/v1/items/none/similar", "/v1/users/none/similar", "/v1/lists/none"] {
        client.get(path).problem(404, "not_found");
    }
}

#[test]
fn the_nearest_items_to_a_vector_are_found_in_its_space() {
    let server = Running::start();
    let mut client = server.client();
    let body = r#"[{"id":"a","vectors":{"image":[1,0]}},{"id":"b","vectors":{"image":[0,1]}}]"#;
    client.json("POST", "/v1/items", body).expect(200);
    let answer = client.json("POST", "/v1/vectors/search", r#"{"space":"image","vector":[0.1,1]}"#).expect(200);
    assert_eq!(items(&answer), ["b", "a"]);
    assert!(answer.get("search").is_none());
    let body = r#"{"space":"image","vector":[0.1,1],"explain":true}"#;
    let search = &client.json("POST", "/v1/vectors/search", body).expect(200)["search"];
    assert_eq!((&search["way"], &search["vectors"]), (&json!("scan"), &json!(2)), "{search}");
    let wrong = client.json("POST", "/v1/vectors/search", r#"{"space":"image","vector":[1,2,3]}"#);
    assert_eq!(wrong.problem(400, "invalid"), "vector");
    client.json("POST", "/v1/vectors/search", r#"{"space":"none","vector":[1]}"#).problem(404, "not_found");
}

#[test]
fn a_bad_question_names_the_field() {
    let server = Running::start();
    let mut client = server.client();
    for (body, field) in [
        (r#"{"limit":0}"#, "limit"),
        (r#"{"limits":5}"#, "limits"),
        (r#"{"user":""}"#, "user"),
        (r#"{"session":[{"item":""}]}"#, "session[0].item"),
        (r#"{"exclude_items":"i1"}"#, "exclude_items"),
        (r#"{"context":{"device":null}}"#, "context.device"),
        (r#"{"context":{"":"ios"}}"#, "context"),
    ] {
        assert_eq!(client.json("POST", "/v1/recommendations", body).problem(400, "invalid"), field, "{body}");
    }
    let long = json!({"context": {"device": "ios", "page": "x".repeat(16 << 10)}, "items": ["i1"]}).to_string();
    assert_eq!(client.json("POST", "/v1/rank", &long).problem(400, "invalid"), "context");
    let batch = json!({"queries": [{}, {"limit": 5000}]}).to_string();
    assert_eq!(client.json("POST", "/v1/recommendations:batch", &batch).problem(400, "invalid"), "queries[1].limit");
    assert_eq!(client.json("POST", "/v1/recommendations:batch", "{\"queries\":[]}").problem(400, "invalid"), "queries");
    assert_eq!(client.json("POST", "/v1/rank", "{\"items\":[]}").problem(400, "invalid"), "items");
}
