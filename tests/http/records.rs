//! Events, items and users: in, out, changed and gone.

use serde_json::json;

use crate::server::Running;

#[test]
fn an_event_sent_twice_is_accepted_once() {
    let server = Running::start();
    let mut client = server.client();
    let event = r#"{"user":"u","item":"i","type":"view","time":"2026-01-02T03:04:05Z"}"#;
    let first = client.json("POST", "/v1/events", event).expect(200);
    assert_eq!(first, json!({"accepted": 1, "duplicates": 0, "rejected_count": 0, "rejected": []}));
    let second = client.json("POST", "/v1/events", event).expect(200);
    assert_eq!((&second["accepted"], &second["duplicates"]), (&json!(0), &json!(1)));
    let events = client.get("/v1/users/u/events").expect(200);
    assert_eq!(events["events"], json!([{"user":"u","item":"i","type":"view","time":"2026-01-02T03:04:05.000Z"}]));
}

#[test]
fn good_events_are_stored_though_others_are_rejected() {
    let server = Running::start();
    let mut client = server.client();
    let body = r#"[{"user":"u","item":"a","type":"view"},
                   {"user":"","item":"b","type":"view"},
                   {"user":"u","item":"c","type":"view","valeu":1},
                   {"user":"u","item":"d","type":"view","dwell_ms":"long"},
                   7,
                   {"user":"u","item":"e","type":"view"}]"#;
    let answer = client.json("POST", "/v1/events", body).expect(200);
    assert_eq!(answer["accepted"], 2);
    assert_eq!(answer["rejected_count"], 4);
    let rejected: Vec<_> = answer["rejected"].as_array().unwrap().iter().map(|r| (&r["index"], &r["field"])).collect();
    let expected = [(json!(1), json!("user")), (json!(2), json!("valeu")), (json!(3), json!("dwell_ms"))];
    assert!(expected.iter().zip(&rejected).all(|(expected, found)| (&expected.0, &expected.1) == *found), "{answer}");
    assert_eq!(answer["rejected"][3]["code"], "invalid");
    assert_eq!(server.engine.user_events("u", 10).unwrap().len(), 2);
}

#[test]
fn a_request_of_which_nothing_is_good_is_a_400_that_says_why() {
    let server = Running::start();
    let mut client = server.client();
    assert_eq!(
        client.json("POST", "/v1/events", r#"{"user":"","item":"i","type":"t"}"#).problem(400, "invalid"),
        "user"
    );
    let all = client.json("POST", "/v1/events", r#"[{"item":"i","type":"t"},{"user":"u","item":"i","type":""}]"#);
    all.problem(400, "invalid");
    assert_eq!(
        all.value()["rejected"][1],
        json!({"index":1,"code":"invalid","field":"type","reason":"has 0 bytes, expected 1 to 64"})
    );
    let broken = client.json("POST", "/v1/events", "[{\"user\":\"u\",\n oops}]");
    broken.problem(400, "bad_json");
    assert!(broken.text().contains("line 2 column"), "{}", broken.text());
    assert_eq!(client.json("POST", "/v1/events", "[]").expect(200)["accepted"], 0);
}

#[test]
fn lines_are_records_too() {
    let server = Running::start();
    let mut client = server.client();
    let ndjson = [("content-type", "application/x-ndjson")];
    let events = "{\"user\":\"u\",\"item\":\"a\",\"type\":\"view\"}\n\n{\"user\":\"u\"\n{\"user\":\"u\",\"item\":\"b\",\"type\":\"view\"}\r\n";
    let answer = client.send("POST", "/v1/events?durability=async", &ndjson, events.as_bytes()).expect(200);
    assert_eq!((&answer["accepted"], &answer["rejected"][0]["index"]), (&json!(2), &json!(1)));
    let items =
        client.send("POST", "/v1/items", &ndjson, b"{\"id\":\"x\"}\n{\"id\":\"y\",\"hidden\":true}").expect(200);
    assert_eq!(items["created"], 2);
    let users = client.send("POST", "/v1/users", &ndjson, b"{\"id\":\"x\",\"attributes\":{\"age\":30}}").expect(200);
    assert_eq!(users["created"], 1);
}

#[test]
fn an_item_lives_through_put_patch_get_and_delete() {
    let server = Running::start();
    let mut client = server.client();
    let created = client.json("PUT", "/v1/items/a%2Fb%20%C3%A9", r#"{"categories":["c"],"attributes":{"price":5}}"#);
    created.expect(201);
    let place = created.header("location").unwrap().to_owned();
    assert_eq!(client.get(&place).expect(200)["id"], "a/b é");
    let patched =
        client.json("PATCH", &place, r#"{"attributes":{"price":null,"brand":"x"},"hidden":true}"#).expect(200);
    let expected = json!({"id":"a/b é","categories":["c"],"attributes":{"brand":"x"},"hidden":true});
    assert_eq!(patched, expected);
    assert_eq!(client.get(&place).expect(200), expected);
    assert_eq!(client.json("PUT", &place, "{}").expect(200)["changed"], 1);
    assert_eq!(client.json("DELETE", &place, "").status, 204);
    client.json("DELETE", &place, "").problem(404, "not_found");
    client.get(&place).problem(404, "not_found");
    client.json("PATCH", &place, "{}").problem(404, "not_found");
}

#[test]
fn a_list_of_items_is_stored_whole_or_not_at_all() {
    let server = Running::start();
    let mut client = server.client();
    let field = client.json("POST", "/v1/items", r#"[{"id":"a"},{"id":"b","hidden":1}]"#).problem(400, "invalid");
    assert_eq!(field, "items[1].hidden");
    let field = client.json("POST", "/v1/items", r#"[{"id":"a"},{"categories":["c"]}]"#).problem(400, "invalid");
    assert_eq!(field, "items[1].id");
    assert_eq!(client.get("/v1/items").expect(200)["entries"], json!([]));
    let field = client.json("PUT", "/v1/items/a", r#"{"id":"b"}"#).problem(400, "invalid");
    assert_eq!(field, "id");
    let field = client.json("PUT", "/v1/items/a", r#"{"vectors":{"x":[]}}"#).problem(400, "invalid");
    assert_eq!(field, "vectors.x");
}

#[test]
fn a_listing_goes_on_from_its_cursor_to_the_end() {
    let server = Running::start();
    let mut client = server.client();
    let users: Vec<_> = (0..25).map(|number| json!({"id": format!("user/{number:02} &")})).collect();
    client.json("POST", "/v1/users", &json!(users).to_string()).expect(200);
    let mut ids = Vec::new();
    let mut path = "/v1/users?limit=10".to_owned();
    loop {
        let page = client.get(&path).expect(200);
        ids.extend(page["entries"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["cursor"].as_str() else { break };
        let cursor: String = cursor.bytes().map(|byte| format!("%{byte:02x}")).collect();
        path = format!("/v1/users?limit=10&cursor={cursor}");
    }
    assert_eq!(ids.len(), 25);
    assert!(ids.is_sorted());
}

#[test]
fn a_deleted_user_is_gone_and_a_merged_one_is_the_other() {
    let server = Running::start();
    let mut client = server.client();
    let events = r#"[{"user":"visitor","item":"a","type":"view"},{"user":"anna","item":"b","type":"view"}]"#;
    client.json("POST", "/v1/events", events).expect(200);
    let merged = client.json("PUT", "/v1/users/anna/merge/visitor", "").expect(200);
    assert_eq!(merged["moved"], 1);
    assert_eq!(server.engine.user_events("anna", 10).unwrap().len(), 2);
    client.get("/v1/users/visitor").problem(404, "not_found");
    client.json("PUT", "/v1/users/anna/merge/nobody", "").problem(404, "not_found");
    assert_eq!(client.json("DELETE", "/v1/users/anna", "").status, 204);
    client.get("/v1/users/anna").problem(404, "not_found");
}
