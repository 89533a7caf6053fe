//! An experiment from its plan to its end, over HTTP.

use serde_json::{Value, json};

use crate::server::Running;

const PLAN: &str = r#"{"variants":[{"name":"A"},{"name":"B","query":{"limit":3}}],"scenario":"home"}"#;

#[test]
fn an_experiment_is_planned_started_shown_joined_reported_and_stopped() {
    let server = Running::trained();
    let mut client = server.client();
    client.json("PUT", "/v1/scenarios/home", "{}").expect(201);
    assert_eq!(client.json("PUT", "/v1/experiments/short", PLAN).expect(200)["state"], "draft");
    client.get("/v1/experiments/short/report").problem(409, "no_data");
    client.get("/v1/experiments/short/forecast").problem(409, "no_data");
    assert_eq!(client.json("POST", "/v1/experiments/short:start", "").expect(200)["state"], "running");
    client.json("POST", "/v1/experiments/short:start", "").problem(409, "conflict");
    let mut shown = Vec::new();
    for user in 0..40 {
        let path = format!("/v1/users/u{user}/recommendations?scenario=home&limit=5");
        let answer = client.get(&path).expect(200);
        let variant = answer["experiment"]["variant"].clone();
        assert_eq!(answer["items"].as_array().unwrap().len(), if variant == "B" { 3 } else { 5 });
        assert_eq!(client.get(&path).expect(200)["experiment"]["variant"], variant, "it is the same again");
        shown.push(answer);
    }
    assert!(client.get("/v1/users/u1/recommendations").expect(200).get("experiment").is_none(), "another scenario");
    let forecast = client.get("/v1/experiments/short/forecast").expect(200);
    assert_eq!((&forecast["users"], &forecast["answers"]), (&40.into(), &80.into()), "{forecast}");
    assert_eq!(forecast["metrics"][0]["users_needed"], Value::Null, "nobody has clicked");
    let click = json!({
        "user": "u3", "item": shown[3]["items"][1]["item"], "type": "click",
        "recommendation_id": shown[3]["recommendation_id"], "position": 1,
    });
    client.json("POST", "/v1/events", &click.to_string()).expect(200);
    let report = client.get("/v1/experiments/short/report").expect(200);
    assert_eq!((&report["verdict"], &report["mismatch"]), (&"too_early".into(), &false.into()), "{report}");
    let users = |report: &Value| -> u64 {
        report["variants"].as_array().unwrap().iter().map(|of| of["users"].as_u64().unwrap()).sum()
    };
    assert_eq!(users(&report), 40);
    let of_user = client.get("/v1/users/u3/exposures?limit=9").expect(200);
    let named: Vec<&Value> =
        of_user["exposures"].as_array().unwrap().iter().map(|of| &of["recommendation_id"]).collect();
    assert_eq!(named.len(), 2);
    assert!(named.contains(&&shown[3]["recommendation_id"]), "{of_user}");
    assert_eq!(client.json("POST", "/v1/experiments/short:stop", "").expect(200)["state"], "stopped");
    assert_eq!(client.get("/v1/experiments").expect(200)["experiments"][0]["id"], "short");
    client.json("DELETE", "/v1/users/u3", "");
    assert_eq!(users(&client.get("/v1/experiments/short/report").expect(200)), 39, "a deleted user is gone");
    assert_eq!(client.json("DELETE", "/v1/experiments/short", "").status, 204);
    client.get("/v1/experiments/short").problem(404, "not_found");
}

#[test]
fn a_wrong_plan_is_told_its_field_and_a_replay_needs_something_to_replay() {
    let server = Running::trained();
    let mut client = server.client();
    let one = r#"{"variants":[{"name":"A"}]}"#;
    assert_eq!(client.json("PUT", "/v1/experiments/x", one).problem(400, "invalid"), "variants");
    let typo = r#"{"variants":[{"name":"A"},{"name":"B","query":{"limits":3}}]}"#;
    assert_eq!(client.json("PUT", "/v1/experiments/x", typo).problem(400, "invalid"), "variants[1].query");
    let replay = r#"{"policy":{"name":"p","query":{"limit":2}}}"#;
    client.json("POST", "/v1/experiments:replay", replay).problem(409, "no_data");
    client.get("/v1/users/u1/recommendations").expect(200);
    client.get("/v1/users/u2/recommendations").expect(200);
    let found = client.json("POST", "/v1/experiments:replay", replay).expect(200);
    assert_eq!((&found["answers"], &found["logged"]["value"]), (&2.into(), &json!(0.0)), "{found}");
}
