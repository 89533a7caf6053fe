//! API keys: who is let in where, and what everybody else is told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use savor::server::Server;
use savor::{KeyDesign, Scope, Span, TenantSettings};

use crate::client::Response;
use crate::server::Running;

/// Every operation of the API by the scope that it needs; those of the second list take publishable keys, too.
const OPEN: &[&str] = &["getHealth", "getReadiness", "getOpenApi", "getIndex"];
const NEEDS: &[(Scope, &[&str], &[&str])] = &[
    (
        Scope::Read,
        &["recommendBatch", "similarUsers"],
        &["recommendForUser", "recommend", "nextPage", "rank", "similarItems", "list", "searchVectors"],
    ),
    (Scope::Write, &[], &["appendEvents"]),
    (
        Scope::Manage,
        &[
            "putItems",
            "listItems",
            "putItem",
            "patchItem",
            "getItem",
            "deleteItem",
            "putUsers",
            "listUsers",
            "putUser",
            "patchUser",
            "getUser",
            "deleteUser",
            "listUserEvents",
            "listUserExposures",
            "getUserFeatures",
            "getItemFeatures",
            "mergeUsers",
            "listScenarios",
            "getScenario",
            "listScenarioVersions",
            "putScenario",
            "deleteScenario",
            "listExperiments",
            "getExperiment",
            "putExperiment",
            "deleteExperiment",
            "startExperiment",
            "stopExperiment",
            "getExperimentReport",
            "getExperimentForecast",
            "replay",
            "exportUser",
        ],
        &[],
    ),
    (
        Scope::Observe,
        &[
            "getMetrics",
            "getStats",
            "getIndexes",
            "listFeatures",
            "listJobs",
            "getJob",
            "listSnapshots",
            "getSnapshot",
            "getDrift",
            "listDecisions",
        ],
        &[],
    ),
    (
        Scope::Operate,
        &[
            "train",
            "cancelJob",
            "compareSnapshots",
            "activateSnapshot",
            "rollBack",
            "backUp",
            "listBackups",
            "purge",
            "expireEvents",
            "listTenants",
            "getTenant",
            "putTenant",
            "deleteTenant",
            "createKey",
            "listKeys",
            "getKey",
            "rotateKey",
            "revokeKey",
            "getAudit",
        ],
        &[],
    ),
];

/// Whether a cache is told that the answer is another for another page.
fn varies(answer: &Response) -> bool {
    answer.headers.iter().any(|(name, value)| name == "vary" && value == "origin")
}

/// A key's token.
fn key(server: &Running, scopes: impl IntoIterator<Item = Scope>) -> String {
    server.engine.create_key(&KeyDesign::new("test", scopes)).unwrap().token.reveal().to_owned()
}

#[test]
fn every_operation_lets_in_the_keys_of_its_scope_and_no_other() {
    let server = Running::with_taste();
    let mut keys: Vec<(Scope, bool, String)> =
        Scope::ALL.into_iter().map(|scope| (scope, false, key(&server, [scope]))).collect();
    for scope in [Scope::Read, Scope::Write] {
        let made = server.engine.create_key(&KeyDesign::new("web", [scope]).publishable()).unwrap();
        keys.push((scope, true, made.token.reveal().to_owned()));
    }
    let mut client = server.client();
    let document = client.get("/openapi.json").expect(200);
    let mut known: BTreeMap<&str, Option<(Scope, bool)>> = OPEN.iter().map(|name| (*name, None)).collect();
    for (scope, secret, both) in NEEDS {
        known.extend(secret.iter().map(|name| (*name, Some((*scope, false)))));
        known.extend(both.iter().map(|name| (*name, Some((*scope, true)))));
    }
    let mut seen = BTreeSet::new();
    for (template, methods) in document["paths"].as_object().unwrap() {
        let path = template.replace("{name}", "latest").replace("{id}", "7").replace("{from}", "8");
        let path = path.replace("{other}", "9").replace("{recommendation_id}", "r");
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            let needs =
                *known.get(name).unwrap_or_else(|| panic!("{name}: this test does not know whom it is open to"));
            seen.insert(name.to_owned());
            let method = method.to_ascii_uppercase();
            let body = if operation["requestBody"]["required"] == true { "{}" } else { "" };
            let without = client.json(&method, &path, body);
            let Some((wanted, publishable)) = needs else {
                assert_eq!(without.status, 200, "{name}");
                assert_eq!(operation["security"], serde_json::json!([]), "{name}");
                continue;
            };
            assert_eq!(operation["security"][0]["key"][0], wanted.word(), "{name}");
            without.problem(401, "no_key");
            assert_eq!(without.header("www-authenticate"), Some("Bearer realm=\"savor\""));
            for (scope, is_publishable, token) in &keys {
                let response = client.keyed(token, &method, &path, body);
                let place = format!("{name} with a key for {scope}, publishable {is_publishable}: {}", response.text());
                let declared = operation["responses"].as_object().unwrap();
                assert!(declared.contains_key(&response.status.to_string()), "{place}");
                if !scope.covers(wanted) {
                    assert_eq!(response.value()["code"], "missing_scope", "{place}");
                    let challenge = response.header("www-authenticate").unwrap();
                    assert!(response.status == 403 && challenge.ends_with(&format!("scope=\"{wanted}\"")), "{place}");
                    assert!(response.text().contains(&format!("\\\"{wanted}\\\"")), "{place}");
                } else if *is_publishable && !publishable {
                    assert_eq!(response.value()["code"], "publishable_key", "{place}");
                } else {
                    assert!(!matches!(response.status, 401 | 403 | 500..), "{place}");
                }
            }
        }
    }
    let all: BTreeSet<String> = known.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(seen, all);
}

#[test]
fn without_keys_everybody_is_let_in_and_from_the_first_key_on_nobody_without_one() {
    let server = Running::start();
    let mut client = server.client();
    client.get("/v1/stats").expect(200);
    let made = client.json("POST", "/v1/keys", r#"{"name":"first","scopes":["operate"],"expires_in":"90d"}"#);
    let (location, made) = (made.header("location").unwrap().to_owned(), made.expect(201));
    assert_eq!(location, format!("/v1/keys/{}", made["key"]["id"].as_str().unwrap()));
    let token = made["token"].as_str().unwrap();
    client.get("/v1/stats").problem(401, "no_key");
    client.keyed(token, "GET", "/v1/stats", "").expect(200);
    let read = client.keyed(token, "GET", &location, "").expect(200);
    assert_eq!((&read["name"], &read["scopes"]), (&"first".into(), &serde_json::json!(["operate"])));
    assert!(read.get("token").is_none());
    for path in ["/healthz", "/readyz", "/openapi.json", "/"] {
        client.get(path).expect(200);
    }
    assert_eq!(client.get("/metrics").status, 401);
    // The last one revoked opens nothing.
    assert_eq!(client.keyed(token, "DELETE", &location, "").status, 204);
    client.keyed(token, "GET", "/v1/stats", "").problem(401, "revoked_key");
    client.get("/v1/stats").problem(401, "no_key");
}

#[test]
fn a_server_without_keys_does_not_take_one_for_a_key() {
    let server = Running::start();
    let other = Running::start();
    let token = key(&other, [Scope::Observe]);
    server.client().keyed(&token, "GET", "/v1/stats", "").problem(401, "unknown_key");
}

#[test]
fn keys_expire_are_rotated_with_an_overlap_and_revoked_at_once() {
    let server = Running::start();
    let engine = &server.engine;
    let mut client = server.client();
    let operator = key(&server, [Scope::Operate]);
    let short = KeyDesign { expires_in: Some("1ms".parse().unwrap()), ..KeyDesign::new("short", [Scope::Observe]) };
    let expired = engine.create_key(&short).unwrap();
    let refused = client.keyed(expired.token.reveal(), "GET", "/v1/stats", "");
    refused.problem(401, "expired_key");
    assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"));

    let first = engine.create_key(&KeyDesign::new("job", [Scope::Observe])).unwrap();
    client.keyed(first.token.reveal(), "GET", "/v1/stats", "").expect(200);
    let rotate = format!("/v1/keys/{}:rotate", first.key.id);
    let second = client.keyed(&operator, "POST", &rotate, "").expect(200)["token"].as_str().unwrap().to_owned();
    for token in [first.token.reveal(), &second] {
        client.keyed(token, "GET", "/v1/stats", "").expect(200);
    }
    let third = client.keyed(&operator, "POST", &rotate, r#"{"overlap":"0s"}"#).expect(200)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    for token in [first.token.reveal(), &second] {
        client.keyed(token, "GET", "/v1/stats", "").problem(401, "unknown_key");
    }
    client.keyed(&third, "GET", "/v1/stats", "").expect(200);
    assert_eq!(client.keyed(&operator, "POST", &rotate, r#"{"overlap":"91d"}"#).problem(400, "invalid"), "overlap");
    let path = format!("/v1/keys/{}", first.key.id);
    assert_eq!(client.keyed(&operator, "DELETE", &path, "").status, 204);
    client.keyed(&third, "GET", "/v1/stats", "").problem(401, "revoked_key");
    client.keyed(&operator, "POST", &rotate, "").problem(409, "conflict");
    client.keyed(&operator, "DELETE", "/v1/keys/nobody", "").problem(404, "not_found");
}

#[test]
fn what_is_no_key_is_refused_whatever_it_is() {
    let server = Running::start();
    let good = key(&server, [Scope::Observe]);
    let mut client = server.client();
    let last = if good.ends_with('a') { 'b' } else { 'a' };
    let wrong = format!("{}{last}", &good[..good.len() - 1]);
    client.keyed(&wrong, "GET", "/v1/stats", "").problem(401, "unknown_key");
    let id = good.split('_').nth(1).unwrap();
    let stranger = good.replace(id, "aaaaaaaaaaaa");
    client.keyed(&stranger, "GET", "/v1/stats", "").problem(401, "unknown_key");
    client.keyed(&good.replacen("sk_", "pk_", 1), "GET", "/v1/stats", "").problem(401, "unknown_key");
    for cut in [0, 1, 3, 15, 16, 40, good.len() - 1] {
        client.keyed(&good[..cut], "GET", "/v1/stats", "").problem(401, "malformed_key");
    }
    for long in [good.len() + 1, 300, 8_000] {
        client.keyed(&format!("{good}{}", "a".repeat(long)), "GET", "/v1/stats", "").problem(401, "malformed_key");
    }
    for value in [&good, "Bearer", "bearer  ", "Basic dXNlcjpwYXNz", "Bearer sk_\u{e9}", &format!("Digest {good}")] {
        let refused = client.send("GET", "/v1/stats", &[("authorization", value)], b"");
        refused.problem(401, "malformed_key");
    }
    // A scheme is a word in any case, and a browser may send more spaces.
    for value in [format!("bearer {good}"), format!("BEARER   {good}")] {
        client.send("GET", "/v1/stats", &[("authorization", &value)], b"").expect(200);
    }
    // A mebibyte does not even come this far; the server is there for the next.
    let mut stream = TcpStream::connect(server.address).unwrap();
    let request = format!("GET /v1/stats HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", "a".repeat(1 << 20));
    // The server may close while this is still being sent.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    server.client().keyed(&good, "GET", "/v1/stats", "").expect(200);
}

#[test]
fn two_keys_in_one_request_are_refused_though_both_are_good() {
    let server = Running::start();
    let (a, b) = (key(&server, [Scope::Observe]), key(&server, [Scope::Observe]));
    let (a, b) = (format!("Bearer {a}"), format!("Bearer {b}"));
    for pair in [[&a, &b], [&a, &a]] {
        let headers = [("authorization", pair[0].as_str()), ("Authorization", pair[1].as_str())];
        assert_eq!(server.client().send("GET", "/v1/stats", &headers, b"").problem(400, "invalid"), "authorization");
    }
    let headers = [("authorization", a.as_str()), ("origin", "https://a.example"), ("origin", "https://b.example")];
    assert_eq!(server.client().send("GET", "/v1/stats", &headers, b"").problem(400, "invalid"), "origin");
}

#[test]
fn a_key_is_checked_before_the_body_is_read_and_before_parameters_are() {
    let server = Running::start();
    let _ = key(&server, [Scope::Read]);
    let mut client = server.client();
    // No byte of the body is ever sent: to wait for it would end in a 408.
    let headers = [("content-type", "application/json"), ("content-length", "1000")];
    client.write("POST", "/v1/events", &headers, b"");
    client.receive(false).problem(401, "no_key");
    server.client().get("/v1/items/%FF").problem(401, "no_key");
    server.client().get("/v1/stats?no=such").problem(401, "no_key");
}

#[test]
fn head_needs_the_key_that_get_needs_and_options_tells_nothing() {
    let server = Running::start();
    let good = format!("Bearer {}", key(&server, [Scope::Observe]));
    let mut client = server.client();
    assert_eq!(client.send("HEAD", "/v1/stats", &[], b"").status, 401);
    assert_eq!(client.send("HEAD", "/v1/stats", &[("authorization", &good)], b"").status, 200);
    let options = client.send("OPTIONS", "/v1/stats", &[], b"");
    assert_eq!((options.status, options.body.len()), (204, 0));
    client.get("/nowhere").problem(404, "no_route");
}

#[test]
fn a_publishable_key_learns_nothing_that_a_person_has_done() {
    let server = Running::trained();
    let made = server.engine.create_key(&KeyDesign::new("web", [Scope::Read, Scope::Write]).publishable()).unwrap();
    let secret = key(&server, [Scope::Read]);
    let (token, mut client) = (made.token.reveal(), server.client());
    assert!(token.starts_with("pk_"));
    client.keyed(token, "GET", "/v1/users/u2/recommendations?limit=2", "").expect(200);
    client.keyed(token, "POST", "/v1/events", r#"{"user":"u2","item":"i1","type":"view"}"#).expect(200);
    let path = "/v1/users/u2/recommendations?explain=true&limit=2";
    assert_eq!(client.keyed(token, "GET", path, "").problem(400, "invalid"), "explain");
    for (path, body) in [
        ("/v1/recommendations", r#"{"user":"u2","explain":true}"#),
        ("/v1/rank", r#"{"user":"u2","items":["i1"],"explain":true}"#),
    ] {
        assert_eq!(client.keyed(token, "POST", path, body).problem(400, "invalid"), "explain");
        client.keyed(&secret, "POST", path, body).expect(200);
    }
    // Somebody else asked with a secret key, and the page after that answer is asked for with this one.
    let answer = client.keyed(&secret, "GET", path, "").expect(200);
    assert!(answer["items"][0]["because"].is_array(), "{answer}");
    let next = format!("/v1/recommendations/{}/next", answer["recommendation_id"].as_str().unwrap());
    let page = client.keyed(token, "POST", &next, "").expect(200);
    assert!(page["items"].as_array().is_some_and(|items| !items.is_empty()), "{page}");
    assert!(!page.to_string().contains("because") && page.get("search").is_none(), "{page}");
}

#[test]
fn a_publishable_key_is_taken_from_its_own_pages_alone() {
    let server = Running::start();
    let design = KeyDesign {
        origins: vec!["https://shop.example".into(), "http://localhost:3000".into()],
        ..KeyDesign::new("web", [Scope::Read]).publishable()
    };
    let bearer = format!("Bearer {}", server.engine.create_key(&design).unwrap().token.reveal());
    let mut client = server.client();
    let mut from = |origin: &[(&str, &str)]| {
        let headers = [&[("authorization", bearer.as_str())][..], origin].concat();
        client.send("GET", "/v1/lists/popular", &headers, b"")
    };
    from(&[("origin", "https://shop.example")]).expect(200);
    from(&[("origin", "http://localhost:3000")]).expect(200);
    for other in
        ["https://evil.example", "https://shop.example.evil", "http://shop.example", "null", "https://SHOP.example"]
    {
        from(&[("origin", other)]).problem(403, "foreign_origin");
    }
    from(&[]).problem(403, "foreign_origin");
}

#[test]
fn a_key_may_ask_so_often_and_another_is_not_held_up() {
    let server = Running::start();
    // One request in a thousand seconds: nothing depends on how fast this machine is.
    let slow = KeyDesign { requests_per_second: Some(0.001), ..KeyDesign::new("slow", [Scope::Observe]) };
    let slow = server.engine.create_key(&slow).unwrap().token.reveal().to_owned();
    let other = key(&server, [Scope::Observe]);
    let mut client = server.client();
    client.keyed(&slow, "GET", "/v1/stats", "").expect(200);
    let refused = client.keyed(&slow, "GET", "/v1/stats", "");
    refused.problem(429, "rate_limited");
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((900..=1000).contains(&wait), "{wait}");
    client.keyed(&other, "GET", "/v1/stats", "").expect(200);
    let metrics = client.keyed(&other, "GET", "/metrics", "");
    assert!(metrics.text().contains("savor_requests_refused_total{reason=\"rate_limited\"} 1"), "{}", metrics.text());
}

#[test]
fn wrong_secrets_are_throttled_and_the_right_one_is_let_in_beside_them() {
    let server = Running::start();
    let good = key(&server, [Scope::Observe]);
    let mut client = server.client();
    let throttled = (0..64).filter(|number| {
        let tail: String = format!("{number:06b}").chars().map(|bit| if bit == '0' { 'a' } else { 'b' }).collect();
        let guess = format!("{}{tail}", &good[..good.len() - tail.len()]);
        let response = client.keyed(&guess, "GET", "/v1/stats", "");
        match response.status {
            429 => assert!(
                response.header("retry-after") == Some("1") && response.value()["code"] == "too_many_wrong_keys"
            ),
            status => assert!(status == 401 || guess == good, "{}", response.text()),
        }
        response.status == 429
    });
    assert!(throttled.count() > 20);
    client.keyed(&good, "GET", "/v1/stats", "").expect(200);
}

#[test]
fn many_new_clients_of_one_key_are_all_let_in() {
    let server = Running::start();
    let good = key(&server, [Scope::Observe]);
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let mut client = server.client();
                // On a busy machine somebody may be asked to come again.
                let answer = loop {
                    let answer = client.keyed(&good, "GET", "/v1/stats", "");
                    if answer.status != 429 {
                        break answer;
                    }
                    answer.problem(429, "overloaded");
                };
                answer.expect(200);
            });
        }
    });
}

#[test]
fn who_is_bound_to_a_namespace_sees_and_makes_keys_of_that_one_alone() {
    let server = Running::start();
    server.tenants.create(&"shop".parse().unwrap(), TenantSettings::default()).unwrap();
    let bound = KeyDesign { tenant: Some("shop".into()), ..KeyDesign::new("bound", [Scope::Operate]) };
    let bound = server.engine.create_key(&bound).unwrap();
    let outside = server.engine.create_key(&KeyDesign::new("outside", [Scope::Operate])).unwrap();
    let (token, mut client) = (bound.token.reveal(), server.client());
    let made = client.keyed(token, "POST", "/v1/keys", r#"{"name":"x","scopes":["read"]}"#).expect(201);
    assert_eq!(made["key"]["tenant"], "shop");
    let other = r#"{"name":"x","scopes":["read"],"tenant":"other"}"#;
    assert_eq!(client.keyed(token, "POST", "/v1/keys", other).problem(403, "other_tenant"), "tenant");
    let listed = client.keyed(token, "GET", "/v1/keys", "").expect(200);
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2, "{listed}");
    let path = format!("/v1/keys/{}", outside.key.id);
    client.keyed(token, "GET", &path, "").problem(404, "not_found");
    client.keyed(token, "DELETE", &path, "").problem(404, "not_found");
    client.keyed(token, "POST", &format!("{path}:rotate"), "").problem(404, "not_found");
    client.keyed(outside.token.reveal(), "GET", &path, "").expect(200);
    // Nor is one made for a name that somebody may be given one day.
    client.keyed(outside.token.reveal(), "POST", "/v1/keys", other).problem(404, "not_found");
}

#[test]
fn beyond_loopback_a_server_needs_keys_or_to_be_told_that_it_is_open() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let engine = savor::Engine::open(directory.path().join("data"), savor::Config::default()).unwrap();
    let mut config = savor::ServerConfig { listen: "0.0.0.0:0".parse().unwrap(), ..savor::ServerConfig::default() };
    let bind = |config: &savor::ServerConfig| runtime.block_on(Server::bind(engine.clone(), config)).map(drop);
    let refused = bind(&config).unwrap_err().to_string();
    for word in ["server.listen", "no API keys", "savor key create", "server.open_to_everybody", "--open-to-everybody"]
    {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    config.open_to_everybody = true;
    bind(&config).unwrap();
    config.open_to_everybody = false;
    let made = engine.create_key(&KeyDesign::new("a", [Scope::Operate])).unwrap();
    bind(&config).unwrap();
    // Its keys being all revoked, it lets nobody in: that is safe, too.
    engine.revoke_key(&made.key.id).unwrap();
    bind(&config).unwrap();
}

#[test]
fn pages_of_other_sites_are_let_in_as_they_are_listed_and_never_by_default() {
    let closed = Running::start();
    let _ = key(&closed, [Scope::Read]);
    let preflight = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let answer = closed.client().send("OPTIONS", "/v1/lists/popular", &preflight, b"");
    assert!(
        !answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")) && !varies(&answer),
        "{answer:?}"
    );

    let server = Running::start_with(|config| config.cors.origins = vec!["https://shop.example".into()]);
    let made = server.engine.create_key(&KeyDesign::new("web", [Scope::Read]).publishable()).unwrap();
    let bearer = format!("Bearer {}", made.token.reveal());
    let mut client = server.client();
    let answer = client.send("OPTIONS", "/v1/lists/popular", &preflight, b"");
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization, content-type"));
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    assert!(varies(&answer));
    let page = [("origin", "https://shop.example"), ("authorization", bearer.as_str())];
    let answer = client.send("GET", "/v1/lists/popular", &page, b"");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("https://shop.example")));
    assert!(answer.header("access-control-expose-headers").is_some_and(|names| names.contains("retry-after")));
    assert!(answer.header("access-control-allow-credentials").is_none());
    // Also a refusal can be read by the page that it is for.
    let answer = client.send("GET", "/v1/lists/popular", &page[..1], b"");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some("https://shop.example")));
    for other in ["https://evil.example", "http://shop.example", "https://shop.example:444", "null"] {
        let answer = client.send("OPTIONS", "/v1/lists/popular", &[("origin", other), preflight[1]], b"");
        assert_eq!((answer.header("access-control-allow-origin"), varies(&answer)), (None, true), "{other}");
    }
    assert!(varies(&client.get("/healthz")));
}

#[test]
fn a_page_of_another_site_cannot_use_that_a_server_of_this_machine_has_no_keys() {
    let server = Running::start();
    let mut client = server.client();
    let mut from = |origin: &str| client.send("POST", "/v1/snapshots:rollback", &[("origin", origin)], b"");
    from("https://evil.example").problem(403, "cross_site");
    from("null").problem(403, "cross_site");
    assert!(server.client().get("/v1/audit").text().contains("cross_site"));
}

#[test]
fn every_answer_tells_browsers_and_caches_to_keep_their_hands_off() {
    let server = Running::start();
    let mut client = server.client();
    for (path, status) in
        [("/", 200), ("/v1/users/u/events", 404), ("/nowhere", 404), ("/v1/stats", 200), ("/metrics", 200)]
    {
        let answer = client.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
    }
}

#[test]
fn a_key_that_cannot_be_is_refused_by_its_field() {
    let server = Running::start();
    let mut client = server.client();
    for (body, field) in [
        (r#"{"name":"","scopes":["read"]}"#, "name"),
        (r#"{"name":"x","scopes":[]}"#, "scopes"),
        (r#"{"name":"x","kind":"publishable","scopes":["manage"]}"#, "scopes"),
        (r#"{"name":"x","scopes":["read"],"origins":["https://a.example"]}"#, "origins"),
        (r#"{"name":"x","kind":"publishable","scopes":["read"],"origins":["*"]}"#, "origins[0]"),
        (r#"{"name":"x","scopes":["read"],"requests_per_second":-1}"#, "requests_per_second"),
        (r#"{"name":"x","scopes":["read"],"secret":"mine"}"#, "secret"),
    ] {
        let field_named = client.json("POST", "/v1/keys", body).problem(400, "invalid");
        assert_eq!(field_named, field, "{body}");
    }
    assert!(!server.engine.has_keys());
    assert_eq!(server.engine.rotate_key("x", Span::days(1)).unwrap_err().code(), "not_found");
}
