//! HTTP itself: paths, methods, media types, sizes, and a description of the API that is true.

use std::collections::BTreeSet;

use crate::server::Running;

#[test]
fn what_is_not_there_and_what_is_not_done_there_are_told_apart() {
    let server = Running::start();
    let mut client = server.client();
    for path in ["/v1", "/v1/", "/v1/event", "/v1/items/", "/v1/items/a/b", "/V1/items", "/v1/items/a/similar/"] {
        client.get(path).problem(404, "no_route");
    }
    let wrong = client.json("DELETE", "/v1/events", "");
    wrong.problem(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("OPTIONS, POST"));
    client.send("BREW", "/v1/items", &[], b"").problem(405, "method_not_allowed");
    let options = client.send("OPTIONS", "/v1/items/x", &[], b"");
    assert_eq!((options.status, options.header("allow")), (204, Some("DELETE, GET, HEAD, OPTIONS, PATCH, PUT")));
    let head = client.send("HEAD", "/v1/lists/popular", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(client.get("/healthz").status, 200, "the connection goes on after HEAD");
}

#[test]
fn ids_are_any_text_and_nothing_else() {
    let server = Running::start();
    let mut client = server.client();
    for id in ["%25", "a%2Fb", "..", "%E6%97%A5%E6%9C%AC", "a+b", "%3Fq%23", "%00", "a:activate"] {
        client.json("PUT", &format!("/v1/items/{id}"), "{}").expect(201);
        client.get(&format!("/v1/items/{id}")).expect(200);
    }
    let stored: Vec<_> = server.engine.items(None, 100).unwrap().entries.into_iter().map(|item| item.id).collect();
    assert_eq!(stored, ["\0", "%", "..", "?q#", "a+b", "a/b", "a:activate", "日本"]);
    for id in ["%FF", "%C3", "%", "%4", "%gg"] {
        assert_eq!(client.get(&format!("/v1/items/{id}")).problem(400, "invalid"), "id", "{id}");
    }
    let long = "x".repeat(600);
    client.json("PUT", &format!("/v1/items/{long}"), "{}").problem(400, "invalid");
    client.get(&format!("/v1/items/{long}")).problem(404, "not_found");
    assert_eq!(client.get("/v1/jobs/first").problem(400, "invalid"), "id");
}

#[test]
fn an_unknown_or_ill_typed_parameter_is_refused() {
    let server = Running::start();
    let mut client = server.client();
    for (query, field) in
        [("limits=5", "limits"), ("limit=ten", "limit"), ("limit=5&limit=5", "limit"), ("explain=1", "explain")]
    {
        let path = format!("/v1/users/u/recommendations?{query}");
        assert_eq!(client.get(&path).problem(400, "invalid"), field);
    }
    assert_eq!(client.json("POST", "/v1/events?durability=maybe", "[]").problem(400, "invalid"), "durability");
}

#[test]
fn a_body_must_be_json_and_say_so() {
    let server = Running::start();
    let mut client = server.client();
    let event = br#"{"user":"u","item":"i","type":"view"}"#;
    client.send("POST", "/v1/events", &[], event).problem(415, "unsupported_media_type");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    client.send("POST", "/v1/events", &form, event).problem(415, "unsupported_media_type");
    let zipped = [("content-type", "application/json"), ("content-encoding", "gzip")];
    client.send("POST", "/v1/events", &zipped, event).problem(415, "unsupported_media_type");
    client.json("POST", "/v1/recommendations", "").problem(415, "unsupported_media_type");
    client.json("POST", "/v1/recommendations", " ").problem(400, "bad_json");
    client
        .send("POST", "/v1/recommendations", &[("content-type", "application/json")], b"\xff\xff")
        .problem(400, "bad_json");
    client.json("POST", "/v1/recommendations", "{}").expect(200);
}

#[test]
fn a_body_over_the_limit_is_413_however_it_is_sent() {
    let server = Running::start_with(|config| config.max_body_bytes = 1024);
    let large = "x".repeat(3000);
    server.client().json("POST", "/v1/events", &large).problem(413, "too_large");
    let mut client = server.client();
    let chunked = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    let mut body = String::new();
    for _ in 0..3 {
        body += &format!("3e8\r\n{}\r\n", "x".repeat(1000));
    }
    client.write("POST", "/v1/events", &chunked, (body + "0\r\n\r\n").as_bytes());
    client.receive(false).problem(413, "too_large");
    let mut client = server.client();
    let expects = [("content-type", "application/json"), ("content-length", "1000000"), ("expect", "100-continue")];
    client.send("POST", "/v1/events", &expects, b"").problem(413, "too_large");
}

#[test]
fn every_operation_of_the_description_is_answered() {
    let server = Running::with_taste();
    let mut client = server.client();
    let document = client.get("/openapi.json").expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = BTreeSet::new();
    for (template, methods) in document["paths"].as_object().unwrap() {
        let path = template.replace("{name}", "popular").replace("{id}", "1").replace("{from}", "2");
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_ascii_uppercase();
            let body = if operation["requestBody"]["required"] == true { "{}" } else { "" };
            let response = client.json(&method, &path, body);
            let declared = operation["responses"].as_object().unwrap();
            assert!(declared.contains_key(&response.status.to_string()), "{method} {path}: {}", response.text());
            assert!(response.status < 500, "{method} {path}: {}", response.text());
            if response.status >= 400 {
                assert_ne!(response.value()["code"], "no_route", "{method} {path}");
            }
            operations.insert(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    assert!(operations.len() >= 35, "{operations:?}");
}
