//! The filter language over HTTP: what passes, what changes between snapshots, and what is said of a filter that is wrong.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Running;

const CATALOGUE: &str = r#"[
    {"id":"a","categories":["shoes"],"time":"2024-01-01T00:00:00Z",
        "attributes":{"brand":"ape","price":10,"sizes":[41,42],"sold":true,"seen":"2024-02-29T12:00:00+02:00"}},
    {"id":"b","categories":["shoes","sale"],"time":"2024-01-02T00:00:00Z",
        "attributes":{"brand":"bee","price":-5.5,"sizes":[],"sold":false,"seen":"2024-03-01"}},
    {"id":"c","categories":["hats"],"attributes":{"brand":"ape","price":0,"sizes":43,"seen":"never"}},
    {"id":"d","attributes":{"price":1e6}},
    {"id":"e","hidden":true,"attributes":{"brand":"ape"}}]"#;

/// What passes, in the order of ids.
fn passing(client: &mut Client, filter: &Value) -> String {
    let body = json!({"limit": 100, "filter": filter}).to_string();
    let answer = client.json("POST", "/v1/recommendations", &body).expect(200);
    let mut found: Vec<_> =
        answer["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap().to_owned()).collect();
    found.sort_unstable();
    found.concat()
}

fn stocked() -> Running {
    let server = Running::start();
    server.client().json("POST", "/v1/items", CATALOGUE).expect(200);
    server
}

#[test]
fn each_condition_lets_through_what_it_says() {
    let server = stocked();
    let mut client = server.client();
    for (filter, expected) in [
        (json!({}), "abcd"),
        (json!({"must": [{"key": "brand", "match": {"value": "ape"}}]}), "ac"),
        (json!({"must": [{"key": "brand", "match": {"any": ["bee", "cat"]}}]}), "b"),
        (json!({"must": [{"key": "brand", "match": {"any": []}}]}), ""),
        (json!({"must": [{"key": "brand", "match": {"except": ["ape"]}}]}), "b"),
        (json!({"must": [{"key": "sizes", "match": {"value": 42}}]}), "a"),
        (json!({"must": [{"key": "sizes", "match": {"except": [42]}}]}), "bc"),
        (json!({"must": [{"key": "sold", "match": {"value": false}}]}), "b"),
        (json!({"must": [{"key": "price", "match": {"value": 10.0}}]}), "a"),
        (json!({"must": [{"key": "price", "match": {"value": "10"}}]}), ""),
        (json!({"must": [{"key": "categories", "match": {"value": "shoes"}}]}), "ab"),
        (json!({"must": [{"key": "price", "range": {"gte": -5.5, "lt": 10}}]}), "bc"),
        (json!({"must": [{"key": "price", "range": {"gt": -5.5, "lte": 10}}]}), "ac"),
        (json!({"must": [{"key": "sizes", "range": {"gt": 41}}]}), "ac"),
        (json!({"must": [{"key": "seen", "range": {"gte": "2024-02-29T10:00:00Z"}}]}), "ab"),
        (json!({"must": [{"key": "seen", "range": {"gt": "2024-02-29T10:00:00Z"}}]}), "b"),
        (json!({"must": [{"key": "time", "range": {"lt": "2024-01-02"}}]}), "a"),
        (json!({"must": [{"key": "time", "range": {"gte": 1_704_153_600_000_i64}}]}), "b"),
        (json!({"must": [{"key": "sizes", "values_count": {"gte": 2}}]}), "a"),
        (json!({"must": [{"key": "categories", "values_count": {"lt": 2}}]}), "acd"),
        (json!({"must": [{"is_empty": {"key": "sizes"}}]}), "bd"),
        (json!({"must_not": [{"is_empty": {"key": "brand"}}]}), "abc"),
        (json!({"must": [{"has_id": ["a", "e", "nothing"]}]}), "a"),
        (json!({"should": [{"has_id": ["d"]}, {"key": "brand", "match": {"value": "bee"}}]}), "bd"),
        (
            json!({"must": [{"should": [{"has_id": ["a"]}, {"must_not": [{"key": "price", "range": {"lt": 1e6}}]}]}],
                "must_not": [{"has_id": ["a"]}]}),
            "d",
        ),
    ] {
        assert_eq!(passing(&mut client, &filter), expected, "{filter}");
        assert_eq!(passing(&mut client, &filter), expected, "again, {filter}");
    }
}

#[test]
fn a_changed_item_is_filtered_by_what_it_is_now() {
    let server = stocked();
    let mut client = server.client();
    let cheap = json!({"must": [{"key": "price", "range": {"lt": 5}}]});
    let apes = json!({"must": [{"key": "brand", "match": {"value": "ape"}}], "must_not": [{"has_id": ["x"]}]});
    assert_eq!((passing(&mut client, &cheap), passing(&mut client, &apes)), ("bc".into(), "ac".into()));
    client.json("PATCH", "/v1/items/a", r#"{"attributes":{"price":1,"brand":null}}"#).expect(200);
    assert_eq!((passing(&mut client, &cheap), passing(&mut client, &apes)), ("abc".into(), "c".into()));
    client.json("PUT", "/v1/items/b", r#"{"attributes":{"brand":"ape"}}"#);
    assert_eq!((passing(&mut client, &cheap), passing(&mut client, &apes)), ("ac".into(), "bc".into()));
    client.json("PATCH", "/v1/items/e", r#"{"hidden":false}"#).expect(200);
    client.json("PATCH", "/v1/items/c", r#"{"hidden":true}"#).expect(200);
    assert_eq!((passing(&mut client, &cheap), passing(&mut client, &apes)), ("a".into(), "be".into()));
    client.send("DELETE", "/v1/items/e", &[], b"");
    client.json("POST", "/v1/items", r#"[{"id":"f","attributes":{"brand":"ape","price":2}}]"#).expect(200);
    assert_eq!((passing(&mut client, &cheap), passing(&mut client, &apes)), ("af".into(), "bf".into()));
}

#[test]
fn a_filter_that_matches_nothing_is_answered_with_nothing_and_says_so() {
    let server = Running::trained();
    let mut client = server.client();
    let none = json!({"must": [{"key": "brand", "match": {"value": "none"}}]});
    let body = json!({"user": "u1", "filter": none}).to_string();
    let answer = client.json("POST", "/v1/recommendations", &body).expect(200);
    assert_eq!((&answer["items"], &answer["degraded"]), (&json!([]), &json!("few_candidates")));
    let body = json!({"user": "nobody", "filter": none}).to_string();
    let answer = client.json("POST", "/v1/recommendations", &body).expect(200);
    assert_eq!((&answer["items"], &answer["degraded"]), (&json!([]), &json!("unknown_user")));
}

#[test]
fn a_filter_that_all_pass_changes_nothing() {
    let server = Running::trained();
    let mut client = server.client();
    let plain = client.json("POST", "/v1/recommendations", r#"{"user":"u1"}"#).expect(200);
    let all = r#"{"user":"u1","filter":{"must_not":[{"has_id":["nothing"]}]}}"#;
    let filtered = client.json("POST", "/v1/recommendations", all).expect(200);
    assert_eq!((&plain["items"], &plain["degraded"]), (&filtered["items"], &filtered["degraded"]));
    let odd = r#"{"user":"u1","exclude_seen":false,"category":"odd","filter":{"must_not":[{"has_id":["i1"]}]}}"#;
    let answer = client.json("POST", "/v1/recommendations", odd).expect(200);
    let found = answer["items"].as_array().unwrap();
    let is_right = |item: &Value| {
        let number: u32 = item["item"].as_str().unwrap()[1..].parse().unwrap();
        number % 2 == 1 && number != 1
    };
    assert!(!found.is_empty() && found.iter().all(is_right), "{answer}");
}

#[test]
fn vectors_are_searched_among_what_passes() {
    let server = Running::start();
    let mut client = server.client();
    let items = r#"[{"id":"a","vectors":{"s":[1,0]},"attributes":{"n":1}},{"id":"b","vectors":{"s":[0,1]},
        "attributes":{"n":2}},{"id":"c","attributes":{"n":2}}]"#;
    client.json("POST", "/v1/items", items).expect(200);
    let search = |client: &mut Client, n: u32| {
        let filter = json!({"must": [{"key": "n", "match": {"value": n}}]});
        let body = json!({"space": "s", "vector": [1, 0.1], "filter": filter}).to_string();
        let answer = client.json("POST", "/v1/vectors/search", &body).expect(200);
        answer["items"].as_array().unwrap().iter().map(|item| item["item"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(search(&mut client, 1), ["a"]);
    assert_eq!(search(&mut client, 2), ["b"]);
    client.json("PATCH", "/v1/items/a", r#"{"attributes":{"n":2}}"#).expect(200);
    assert_eq!(search(&mut client, 2), ["a", "b"]);
}

#[test]
fn a_wrong_filter_names_the_field() {
    let server = Running::start();
    let mut client = server.client();
    let many: Vec<u32> = (0..1025).collect();
    for (filter, field) in [
        (json!({"must": [{"key": "t", "range": {"gte": "tomorrow"}}]}), "filter.must[0].range.gte"),
        (json!({"must": [{"key": "t", "range": {"gte": 1, "lt": "2024-01-01"}}]}), "filter.must[0].range"),
        (json!({"should": [{"has_id": []}, {"key": "t", "match": {"values": 1}}]}), "filter.should[1].match"),
        (json!({"must_not": [{"key": "t", "mach": 1}]}), "filter.must_not[0].mach"),
        (json!({"must_not": [{"key": "t"}]}), "filter.must_not[0]"),
        (json!({"must": [{"must": [{"key": "t", "match": {"any": many}}]}]}), "filter.must[0].must[0].match.any"),
        (json!({"must": [{"key": "t", "values_count": {"gt": 1.5}}]}), "filter.must[0].values_count.gt"),
    ] {
        let body = json!({"filter": filter}).to_string();
        assert_eq!(client.json("POST", "/v1/recommendations", &body).problem(400, "invalid"), field, "{filter}");
    }
}
