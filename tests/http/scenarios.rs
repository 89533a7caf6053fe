//! Scenarios, rules and pages as a client sees them.

use serde_json::{Value, json};

use crate::server::Running;

fn items(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect()
}

#[test]
fn a_scenario_lives_through_put_get_history_and_delete() {
    let server = Running::trained();
    let mut client = server.client();
    assert_eq!(client.get("/v1/scenarios").expect(200), json!({"scenarios": []}));
    client.get("/v1/scenarios/home").problem(404, "not_found");
    let pin = |item: &str| json!({"rules": [{"rule": "pin", "item": item, "position": 0}]}).to_string();
    let made = client.json("PUT", "/v1/scenarios/home?expected_version=0", &pin("i7"));
    assert_eq!(made.header("location"), Some("/v1/scenarios/home"));
    assert_eq!(made.expect(201)["version"], 1);

    let path = "/v1/users/u1/recommendations?limit=3&scenario=home&exclude_seen=false";
    let answer = client.get(path).expect(200);
    assert_eq!((items(&answer)[0], &answer["items"][0]["rules"]), ("i7", &json!(["pin:0"])));
    assert_eq!(answer["scenario"], json!({"name": "home", "version": 1}));

    // The next question is answered by the next version; who has not seen it does not overwrite it.
    assert_eq!(client.json("PUT", "/v1/scenarios/home?expected_version=1", &pin("i8")).expect(200)["version"], 2);
    client.json("PUT", "/v1/scenarios/home?expected_version=1", &pin("i9")).problem(409, "conflict");
    assert_eq!(items(&client.get(path).expect(200))[0], "i8");
    let versions = client.get("/v1/scenarios/home/versions").expect(200);
    assert_eq!(versions["versions"][1]["scenario"]["rules"][0]["item"], "i7");

    assert_eq!(client.json("DELETE", "/v1/scenarios/home", "").status, 204);
    assert_eq!(client.get(path).problem(400, "invalid"), "scenario");
    client.json("DELETE", "/v1/scenarios/home", "").problem(404, "not_found");
    let versions = client.get("/v1/scenarios/home/versions").expect(200);
    assert_eq!((&versions["versions"][0]["version"], &versions["versions"][0]["scenario"]), (&json!(3), &Value::Null));
}

#[test]
fn what_is_wrong_with_a_scenario_is_named() {
    let server = Running::start();
    let mut client = server.client();
    for (body, field) in [
        (
            json!({"rules": [{"rule": "boost", "factor": 0, "filter": {"must": [{"has_id": ["a"]}]}}]}),
            "rules[0].factor",
        ),
        (json!({"rules": [{"rule": "slot", "list": "x", "positions": [1]}]}), "rules[0].list"),
        (json!({"sources": [{"source": "personal", "share": -1}]}), "sources[0].share"),
        (json!({"diversity": {"max_per": {"key": "brand", "limit": 0}}}), "diversity.max_per.limit"),
        (json!({"filter": {"must": [{"key": "a", "range": {"gt": 1, "lt": "2026-01-01"}}]}}), "filter.must[0].range"),
    ] {
        assert_eq!(client.json("PUT", "/v1/scenarios/x", &body.to_string()).problem(400, "invalid"), field, "{body}");
    }
    assert_eq!(client.json("PUT", "/v1/scenarios/a%20b", "{}").problem(400, "invalid"), "name");
    let field = client.json("PUT", "/v1/scenarios/x?expected_version=one", "{}").problem(400, "invalid");
    assert_eq!(field, "expected_version");
    client.json("PUT", "/v1/scenarios/x", r#"{"rules": [{"rule": "bost"}]}"#).problem(400, "invalid");
    assert_eq!(client.get("/v1/scenarios").expect(200), json!({"scenarios": []}));
}

#[test]
fn the_default_scenario_answers_where_none_is_named_and_restarts_change_nothing() {
    let server = Running::trained();
    let mut client = server.client();
    let only = json!({"filter": {"must": [{"key": "categories", "match": {"value": "odd"}}]}, "sources": [{"source": "latest"}]});
    client.json("PUT", "/v1/scenarios/default", &only.to_string()).expect(201);
    let answer = client.json("POST", "/v1/recommendations", r#"{"user":"new","limit":4}"#).expect(200);
    assert_eq!((&answer["scenario"]["name"], &answer["degraded"]), (&json!("default"), &Value::Null));
    for item in answer["items"].as_array().unwrap() {
        assert_eq!(item["source"], "latest");
        assert_eq!(item["item"].as_str().unwrap()[1..].parse::<u32>().unwrap() % 2, 1);
    }
    let batch =
        client.json("POST", "/v1/recommendations:batch", r#"{"queries":[{"user":"new","limit":4}]}"#).expect(200);
    assert_eq!(batch["answers"][0]["items"], answer["items"]);
}

#[test]
fn a_question_brings_rules_of_its_own_and_explains_them() {
    let server = Running::trained();
    let mut client = server.client();
    let plain = client.get("/v1/users/u1/recommendations?limit=5&exclude_seen=false").expect(200);
    let top = items(&plain)[0].to_owned();
    let body = json!({
        "user": "u1", "limit": 5, "explain": true,
        "boost": [{"name": "new", "factor": 0.001, "filter": {"must": [{"has_id": [&top]}]}}],
        "pin": [{"item": "i0", "position": 2}],
        "exclude_seen": false,
    });
    let answer = client.json("POST", "/v1/recommendations", &body.to_string()).expect(200);
    assert_eq!((items(&answer)[2], &answer["items"][2]["rules"]), ("i0", &json!(["pin:query[0]"])));
    assert_eq!(answer["items"][2]["source"], "pin");
    assert!(answer["items"][0].get("rules").is_none(), "{answer}");
    let before = answer["before"].as_array().unwrap();
    let moved = before.iter().find(|item| item["item"] == top.as_str()).unwrap();
    assert_eq!(moved["rules"], json!(["boost:new"]));
    assert_eq!(before.len(), 5);
    let field = client.json("POST", "/v1/recommendations", r#"{"user":"u1","pin":[{"item":"","position":0}]}"#);
    assert_eq!(field.problem(400, "invalid"), "pin[0].item");
}

#[test]
fn pages_go_on_without_repeats_though_events_arrive() {
    let server = Running::trained();
    let mut client = server.client();
    let mut answer = client.get("/v1/users/u1/recommendations?limit=4").expect(200);
    let mut shown: Vec<String> = Vec::new();
    let mut ids = vec![answer["recommendation_id"].as_str().unwrap().to_owned()];
    loop {
        for item in items(&answer) {
            assert!(!shown.iter().any(|other| other == item), "{item} a second time");
            shown.push(item.to_owned());
        }
        let Some(next) = answer["next"].as_str() else { break };
        let click = json!({"user": "u1", "item": "i3", "type": "view"}).to_string();
        client.json("POST", "/v1/events", &click).expect(200);
        answer = client.json("POST", next, "").expect(200);
        ids.push(answer["recommendation_id"].as_str().unwrap().to_owned());
    }
    assert!(answer["items"].as_array().unwrap().len() < 4);
    assert!(shown.len() >= 9, "{shown:?}");
    assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 20), "{ids:?}");

    let first = client.get("/v1/users/u1/recommendations?limit=2").expect(200);
    let next = first["next"].as_str().unwrap();
    assert_eq!(items(&client.json("POST", &format!("{next}?limit=3"), "").expect(200)).len(), 3);
    assert_eq!(client.json("POST", &format!("{next}?limit=0"), "").problem(400, "invalid"), "limit");
    client.json("POST", "/v1/recommendations/nothing/next", "").problem(404, "not_found");
    assert_eq!(client.json("DELETE", "/v1/users/u1", "").status, 204);
    client.json("POST", next, "").problem(404, "not_found");
}

#[test]
fn what_was_shown_in_vain_is_shown_no_more() {
    let server = Running::trained();
    let mut client = server.client();
    let cap = json!({"exclude_seen": false, "rules": [{"rule": "frequency_cap", "name": "tired", "shown": 2, "within": "7d"}]});
    client.json("PUT", "/v1/scenarios/capped", &cap.to_string()).expect(201);
    let fresh = json!({"exclude_seen": false, "rules": [{"rule": "no_repeat", "within": "1h"}]});
    client.json("PUT", "/v1/scenarios/fresh", &fresh.to_string()).expect(201);
    let ask = |client: &mut crate::client::Client, scenario: &str| {
        let path = format!("/v1/users/u2/recommendations?limit=3&scenario={scenario}");
        items(&client.get(&path).expect(200)).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let first = ask(&mut client, "capped");
    assert_eq!(ask(&mut client, "capped"), first, "shown once");
    // A click answers what was shown until then.
    client
        .json("POST", "/v1/events", &json!({"user": "u2", "item": first[0], "type": "click"}).to_string())
        .expect(200);
    let third = ask(&mut client, "capped");
    assert!(
        third.contains(&first[0]) && !third.contains(&first[1]) && !third.contains(&first[2]),
        "{first:?} {third:?}"
    );

    let [a, b] = [(), ()].map(|()| ask(&mut client, "fresh"));
    assert!(b.iter().all(|item| !a.contains(item)), "{a:?} {b:?}");
}
