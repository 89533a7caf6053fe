//! Tenants as clients meet them: one asks for what another has, by every route that there is, and gets nothing of it.

use std::collections::BTreeSet;

use savor::{Activate, Event, TenantSettings, TrainOptions};
use serde_json::Value;

use crate::client::{Client, Response};
use crate::server::Running;

/// Stands in everything that tenant `a` has.
const MARK: &str = "zebra";

fn ask(client: &mut Client, tenant: &str, method: &str, path: &str, body: &str) -> Response {
    let mut headers = vec![("savor-tenant", tenant)];
    if !body.is_empty() {
        headers.push(("content-type", "application/json"));
    }
    client.send(method, path, &headers, body.as_bytes())
}

/// A server with two tenants: `a` has something of everything, `b` has nothing.
fn server() -> (Running, String) {
    let server = Running::start();
    for name in ["a", "b"] {
        server.tenants.create(&name.parse().unwrap(), TenantSettings::default()).unwrap();
    }
    let mut client = server.client();
    let mut a = |method: &str, path: &str, body: &str| {
        let response = ask(&mut client, "a", method, path, body);
        assert!(response.status < 300, "{method} {path}: {}", response.text());
        response
    };
    let items: Vec<String> = (0..20)
        .map(|n| {
            format!(
                r#"{{"id":"i{n}","categories":["{MARK}"],"attributes":{{"title":"{MARK} {n}"}},"vectors":{{"v":[{n},1]}}}}"#
            )
        })
        .collect();
    a("POST", "/v1/items", &format!("[{}]", items.join(",")));
    a("PUT", &format!("/v1/items/{MARK}-item"), "{}");
    a("PUT", "/v1/users/u1", &format!(r#"{{"attributes":{{"name":"{MARK}"}}}}"#));
    let events: Vec<String> = (0..400)
        .map(|n| {
            let (user, step) = (n % 40, n / 40);
            let item = (step * 2 + user % 2 + 4 * (user / 2 % 5)) % 20;
            format!(
                r#"{{"user":"u{user}","item":"i{item}","type":"{MARK}","time":{}}}"#,
                1_700_000_000_000_i64 + n * 60_000
            )
        })
        .collect();
    a("POST", "/v1/events", &format!("[{}]", events.join(",")));
    a("PUT", "/v1/scenarios/s", &format!(r#"{{"description":"{MARK}"}}"#));
    a("PUT", "/v1/experiments/x", &format!(r#"{{"about":"{MARK}","variants":[{{"name":"A"}},{{"name":"{MARK}"}}]}}"#));
    a("POST", "/v1/experiments/x:start", "");
    let engine = server.tenants.get(&"a".parse().unwrap()).unwrap();
    let unmeasured = TrainOptions { measure: false, ..TrainOptions::default() };
    let snapshot = engine.train(&unmeasured).unwrap();
    engine.activate(snapshot).unwrap();
    let job = engine.start_training(&TrainOptions { activate: Activate::Always, ..unmeasured }).unwrap();
    engine.wait_for_job(job.id).unwrap();
    // Another connection: the server does not wait for ever for the next request of one.
    let answer = ask(&mut server.client(), "a", "GET", "/v1/users/u1/recommendations?limit=2", "").expect(200);
    (server, answer["recommendation_id"].as_str().unwrap().to_owned())
}

/// What `a` has, as its own clients see it.
fn everything(client: &mut Client) -> Vec<String> {
    [
        "/v1/items?limit=1000",
        "/v1/users?limit=1000",
        "/v1/users/u1/events",
        "/v1/users/u1/exposures",
        "/v1/scenarios",
        "/v1/experiments",
        "/v1/snapshots",
        "/v1/jobs",
        "/v1/stats",
    ]
    .into_iter()
    .map(|path| {
        let mut value = ask(client, "a", "GET", path, "").expect(200);
        // The one figure that a compaction changes.
        value.as_object_mut().unwrap().remove("disk_bytes");
        value.to_string()
    })
    .collect()
}

/// Every route that is about a tenant's data: how `b` asks by it for what `a` has, and with which status it is told that there is
/// nothing. What changes something comes last; deletions of its own after that.
const ASKED: &[(&str, &str, &str, &str, u16)] = &[
    ("GET", "/v1/items", "/v1/items", "", 200),
    ("GET", "/v1/items/{id}", "/v1/items/i1", "", 404),
    ("PATCH", "/v1/items/{id}", "/v1/items/i1", r#"{"attributes":{"x":1}}"#, 404),
    ("DELETE", "/v1/items/{id}", "/v1/items/i1", "", 404),
    ("GET", "/v1/items/{id}/similar", "/v1/items/i1/similar", "", 404),
    ("GET", "/v1/users", "/v1/users", "", 200),
    ("GET", "/v1/users/{id}", "/v1/users/u1", "", 404),
    ("PATCH", "/v1/users/{id}", "/v1/users/u1", r#"{"attributes":{"x":1}}"#, 404),
    ("DELETE", "/v1/users/{id}", "/v1/users/u1", "", 404),
    ("GET", "/v1/users/{id}/events", "/v1/users/u1/events", "", 404),
    ("GET", "/v1/users/{id}/export", "/v1/users/u1/export", "", 404),
    ("GET", "/v1/backups", "/v1/backups", "", 200),
    ("POST", "/v1/purges", "/v1/purges", "", 200),
    ("POST", "/v1/expirations", "/v1/expirations", "", 200),
    ("PUT", "/v1/users/{id}/merge/{from}", "/v1/users/thief/merge/u1", "", 404),
    ("GET", "/v1/users/{id}/exposures", "/v1/users/u1/exposures", "", 200),
    ("POST", "/v1/experiments:replay", "/v1/experiments:replay", r#"{"policy":{"name":"p"}}"#, 409),
    ("GET", "/v1/users/{id}/recommendations", "/v1/users/u1/recommendations", "", 200),
    ("GET", "/v1/users/{id}/similar", "/v1/users/u1/similar", "", 404),
    ("GET", "/v1/users/{id}/features", "/v1/users/u1/features?item=i1", "", 404),
    ("GET", "/v1/items/{id}/features", "/v1/items/i1/features", "", 404),
    ("POST", "/v1/recommendations", "/v1/recommendations", r#"{"user":"u1","explain":true}"#, 200),
    ("POST", "/v1/recommendations", "/v1/recommendations", r#"{"session":[{"item":"i1","type":"view"}]}"#, 200),
    ("POST", "/v1/recommendations", "/v1/recommendations", r#"{"user":"u1","scenario":"s"}"#, 400),
    (
        "POST",
        "/v1/recommendations:batch",
        "/v1/recommendations:batch",
        r#"{"queries":[{"user":"u1"},{"user":"u2"}]}"#,
        200,
    ),
    ("POST", "/v1/recommendations/{recommendation_id}/next", "/v1/recommendations/{ID}/next", "", 404),
    ("POST", "/v1/rank", "/v1/rank", r#"{"user":"u1","items":["i1","i2"]}"#, 200),
    ("GET", "/v1/lists/{name}", "/v1/lists/popular", "", 200),
    ("GET", "/v1/lists/{name}", "/v1/lists/latest", "", 200),
    ("POST", "/v1/vectors/search", "/v1/vectors/search", r#"{"space":"v","vector":[1,1]}"#, 404),
    ("GET", "/v1/features", "/v1/features", "", 200),
    ("GET", "/v1/scenarios", "/v1/scenarios", "", 200),
    ("GET", "/v1/scenarios/{name}", "/v1/scenarios/s", "", 404),
    ("GET", "/v1/scenarios/{name}/versions", "/v1/scenarios/s/versions", "", 404),
    ("DELETE", "/v1/scenarios/{name}", "/v1/scenarios/s", "", 404),
    ("GET", "/v1/experiments", "/v1/experiments", "", 200),
    ("GET", "/v1/experiments/{id}", "/v1/experiments/x", "", 404),
    ("DELETE", "/v1/experiments/{id}", "/v1/experiments/x", "", 404),
    ("POST", "/v1/experiments/{id}:start", "/v1/experiments/x:start", "", 404),
    ("POST", "/v1/experiments/{id}:stop", "/v1/experiments/x:stop", "", 404),
    ("GET", "/v1/experiments/{id}/report", "/v1/experiments/x/report", "", 404),
    ("GET", "/v1/experiments/{id}/forecast", "/v1/experiments/x/forecast", "", 404),
    ("GET", "/v1/jobs", "/v1/jobs", "", 200),
    ("GET", "/v1/jobs/{id}", "/v1/jobs/1", "", 404),
    ("DELETE", "/v1/jobs/{id}", "/v1/jobs/1", "", 404),
    ("GET", "/v1/snapshots", "/v1/snapshots", "", 200),
    ("GET", "/v1/snapshots/{id}", "/v1/snapshots/1", "", 404),
    ("GET", "/v1/snapshots/{id}/compare/{other}", "/v1/snapshots/1/compare/2", "", 404),
    ("POST", "/v1/snapshots/{id}:activate", "/v1/snapshots/1:activate", "", 404),
    ("POST", "/v1/snapshots:rollback", "/v1/snapshots:rollback", "", 409),
    ("GET", "/v1/drift", "/v1/drift", "", 200),
    ("GET", "/v1/decisions", "/v1/decisions", "", 200),
    ("GET", "/v1/stats", "/v1/stats", "", 200),
    ("GET", "/v1/indexes", "/v1/indexes", "", 200),
    // The same names, in a namespace of its own.
    ("POST", "/v1/backups", "/v1/backups", r#"{"name":"monday"}"#, 201),
    ("POST", "/v1/items", "/v1/items", r#"{"id":"i1"}"#, 200),
    ("PUT", "/v1/items/{id}", "/v1/items/i1", "{}", 200),
    ("POST", "/v1/users", "/v1/users", r#"{"id":"u1"}"#, 200),
    ("PUT", "/v1/users/{id}", "/v1/users/u1", "{}", 200),
    ("POST", "/v1/events", "/v1/events", r#"{"user":"u1","item":"i1","type":"view","time":1700000000000}"#, 200),
    ("PUT", "/v1/scenarios/{name}", "/v1/scenarios/s", "{}", 201),
    ("PUT", "/v1/experiments/{id}", "/v1/experiments/x", r#"{"variants":[{"name":"A"},{"name":"B"}]}"#, 200),
    ("POST", "/v1/train", "/v1/train", r#"{"measure":false}"#, 202),
    // What it has now is its own.
    ("GET", "/v1/items/{id}", "/v1/items/i1", "", 200),
    ("GET", "/v1/users/{id}", "/v1/users/u1", "", 200),
    ("GET", "/v1/users/{id}/events", "/v1/users/u1/events", "", 200),
    ("GET", "/v1/users/{id}/recommendations", "/v1/users/u1/recommendations", "", 200),
    ("DELETE", "/v1/items/{id}", "/v1/items/i1", "", 204),
    ("DELETE", "/v1/users/{id}", "/v1/users/u1", "", 204),
];

#[test]
fn by_no_route_does_one_tenant_get_what_another_has() {
    let (server, recommendation) = server();
    let mut client = server.client();
    ask(&mut client, "a", "POST", "/v1/backups", r#"{"name":"monday"}"#).expect(201);
    let before = everything(&mut client);
    assert!(before.iter().filter(|text| text.contains(MARK)).count() >= 5, "the marks are there");
    let mut wrong = Vec::new();
    for (method, _, path, body, status) in ASKED {
        let path = path.replace("{ID}", &recommendation);
        let response = ask(&mut client, "b", method, &path, body);
        if response.status != *status || response.text().contains(MARK) {
            wrong.push(format!("{method} {path} {body}: {} {}", response.status, response.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.tenants.get(&"b".parse().unwrap()).unwrap().wait_for_job(1).unwrap();
    let mut client = server.client();
    assert_eq!(everything(&mut client), before, "nothing that b did has changed anything of a");
    // And a's own page is still there.
    ask(&mut client, "a", "POST", &format!("/v1/recommendations/{recommendation}/next"), "").expect(200);
    // Nor does the data directory itself, which is a tenant like the others, see any of it.
    for path in
        ["/v1/items", "/v1/users", "/v1/scenarios", "/v1/experiments", "/v1/snapshots", "/v1/jobs", "/v1/lists/popular"]
    {
        let text = client.get(path).text().to_owned();
        assert!(!text.contains(MARK) && !text.contains("\"i1\""), "{path}: {text}");
    }
    assert_eq!(client.get("/v1/stats").expect(200)["events"], 0);
}

/// A route that is not in the table above has not been tried.
#[test]
fn every_route_about_a_tenants_data_has_been_tried() {
    let document = savor::server::openapi();
    let mut about_tenants = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let takes = |parameter: &Value| parameter["$ref"] == "#/components/parameters/Tenant";
            if operation["parameters"].as_array().unwrap().iter().any(takes) {
                about_tenants.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    let tried: BTreeSet<_> =
        ASKED.iter().map(|(method, route, ..)| ((*method).to_owned(), (*route).to_owned())).collect();
    assert!(about_tenants.len() > 50);
    assert_eq!(about_tenants, tried, "put the new route into ASKED");
}

#[test]
fn one_that_is_not_there_and_a_name_that_cannot_be_are_answered_alike() {
    let (server, _) = server();
    let mut client = server.client();
    let unknown = ask(&mut client, "nobody", "GET", "/v1/stats", "");
    unknown.problem(404, "unknown_tenant");
    for name in ["", "A", "../a", "a/", "%61", "a b", "default2/..", "con"] {
        let answer = ask(&mut client, name, "GET", "/v1/stats", "");
        assert_eq!((answer.status, answer.text()), (404, unknown.text()), "{name:?}");
    }
    let twice = client.send("GET", "/v1/stats", &[("savor-tenant", "a"), ("savor-tenant", "b")], b"");
    assert_eq!(twice.problem(400, "invalid"), "savor-tenant");
    assert_eq!(ask(&mut client, "default", "GET", "/v1/stats", "").expect(200)["events"], 0);
    assert_eq!(ask(&mut client, "a", "GET", "/v1/stats", "").expect(200)["events"], 400);
    // Caches between must not mix them.
    assert_eq!(ask(&mut client, "a", "GET", "/v1/stats", "").header("vary"), Some("savor-tenant"));
}

#[test]
fn an_operator_makes_changes_and_deletes_tenants() {
    let server = Running::start();
    let mut client = server.client();
    let made = client.json(
        "PUT",
        "/v1/tenants/acme",
        r#"{"title":"Acme","quotas":{"items":2},"config":{"train":{"dimension":5}}}"#,
    );
    assert_eq!(made.header("location"), Some("/v1/tenants/acme"));
    let made = made.expect(201);
    assert_eq!((&made["state"], &made["quotas"]["items"]), (&"open".into(), &2.into()), "{made}");
    let items = r#"[{"id":"1"},{"id":"2"},{"id":"3"}]"#;
    let refused = ask(&mut client, "acme", "POST", "/v1/items", items);
    refused.problem(403, "quota_exceeded");
    assert!(refused.text().contains("quota items of tenant"), "{}", refused.text());
    client.json("PUT", "/v1/tenants/acme", r#"{"quotas":{"items":3},"config":{"train":{"dimension":6}}}"#).expect(200);
    ask(&mut client, "acme", "POST", "/v1/items", items).expect(200);
    let shown = client.get("/v1/tenants/acme").expect(200);
    assert_eq!((&shown["usage"]["items"], &shown["settings"]["config"]["train"]["dimension"]), (&3.into(), &6.into()));
    assert_eq!(shown["settings"].get("title"), None, "a PUT replaces the whole");
    for (body, field) in [
        (r#"{"quotas":{"item":3}}"#, "quotas.item"),
        (r#"{"quotas":[null,3]}"#, "quotas"),
        (r#"{"quotas":{"concurrent_requests":0}}"#, "quotas.concurrent_requests"),
        (r#"{"config":{"server":{"listen":"0.0.0.0:80"}}}"#, "config.server"),
        (r#"{"config":{"train":{"dimension":99999}}}"#, "config.train.dimension"),
    ] {
        assert_eq!(client.json("PUT", "/v1/tenants/acme", body).problem(400, "invalid"), field, "{body}");
    }
    for name in ["Acme", "default", "a.b", "%2e%2e", "..%2fx"] {
        client.json("PUT", &format!("/v1/tenants/{name}"), "{}").problem(400, "invalid");
    }
    client.get("/v1/tenants/nobody").problem(404, "not_found");
    // Whoever asks as a tenant learns nothing of the others, and nothing of himself here.
    for (method, path) in
        [("GET", "/v1/tenants"), ("GET", "/v1/tenants/acme"), ("GET", "/metrics"), ("GET", "/v1/tenants/nobody")]
    {
        ask(&mut client, "acme", method, path, "").problem(403, "default_tenant_only");
    }
    let metrics = client.get("/metrics").text().to_owned();
    for line in
        ["savor_tenant_items{tenant=\"acme\"} 3", "savor_tenant_requests_total{tenant=\"acme\",class=\"2xx\"} 1"]
    {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
    assert_eq!(client.get("/readyz").expect(200)["tenants"]["open"], 1);
    client.json("DELETE", "/v1/tenants/acme", "").problem(400, "invalid");
    client.json("DELETE", "/v1/tenants/acme?confirm=other", "").problem(400, "invalid");
    assert_eq!(client.json("DELETE", "/v1/tenants/acme?confirm=acme", "").status, 204);
    assert!(client.get("/v1/tenants").expect(200)["tenants"].as_array().unwrap().is_empty());
    ask(&mut client, "acme", "GET", "/v1/items", "").problem(404, "unknown_tenant");
    assert!(!client.get("/metrics").text().contains("acme"));
}

#[test]
fn quotas_are_refused_by_record_with_a_word_for_each() {
    let server = Running::start();
    let mut client = server.client();
    client.json("PUT", "/v1/tenants/a", r#"{"quotas":{"events":2,"requests_per_second":1000000}}"#).expect(201);
    let event = |n: u32| format!(r#"{{"user":"u","item":"i{n}","type":"view","time":{n}}}"#);
    let body = format!("[{},{{\"user\":1}},{},{}]", event(1), event(2), event(3));
    let accepted = ask(&mut client, "a", "POST", "/v1/events", &body).expect(200);
    assert_eq!((&accepted["accepted"], &accepted["rejected_count"]), (&2.into(), &2.into()), "{accepted}");
    let codes: Vec<_> =
        accepted["rejected"].as_array().unwrap().iter().map(|of| (of["index"].clone(), of["code"].clone())).collect();
    assert_eq!(codes, [(1.into(), "invalid".into()), (3.into(), "quota_exceeded".into())]);
    ask(&mut client, "a", "GET", "/v1/items/i3", "").problem(404, "not_found");
    ask(&mut client, "a", "POST", "/v1/events", &event(4)).problem(403, "quota_exceeded");
    assert_eq!(ask(&mut client, "a", "POST", "/v1/events", &event(1)).expect(200)["duplicates"], 1);
    // Rates: the whole request is refused, and told when to come again.
    client.json("PUT", "/v1/tenants/a", r#"{"quotas":{"events_per_second":0.001}}"#).expect(200);
    ask(&mut client, "a", "POST", "/v1/events", &event(5)).expect(200);
    let late = ask(&mut client, "a", "POST", "/v1/events", &event(6));
    late.problem(429, "quota_rate");
    assert!(late.header("retry-after").unwrap().parse::<u32>().unwrap() > 1);
    client.json("PUT", "/v1/tenants/a", r#"{"quotas":{"requests_per_second":0.001}}"#).expect(200);
    ask(&mut client, "a", "GET", "/v1/stats", "").expect(200);
    ask(&mut client, "a", "GET", "/v1/stats", "").problem(429, "quota_rate");
    // Others are not concerned.
    client.json("POST", "/v1/events", &event(1)).expect(200);
}

#[test]
fn a_broken_tenant_is_told_of_and_keeps_nobody_else_from_answers() {
    let server = Running::start_on(|data| {
        let folder = data.join("tenants/a");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("tenant.toml"), "created = \"2026-01-01T00:00:00Z\"\n").unwrap();
        std::fs::write(folder.join("savor.toml"), "[train]\ndimension = -1\n").unwrap();
    });
    let mut client = server.client();
    client.json("PUT", "/v1/tenants/b", "{}").expect(201);
    let refused = ask(&mut client, "a", "GET", "/v1/stats", "");
    refused.problem(503, "tenant_unavailable");
    assert!(refused.header("retry-after").is_some() && !refused.text().contains("savor.toml"), "{}", refused.text());
    ask(&mut client, "b", "GET", "/v1/stats", "").expect(200);
    client.get("/v1/stats").expect(200);
    let ready = client.get("/readyz").expect(200);
    assert_eq!((&ready["tenants"]["open"], &ready["tenants"]["broken"]), (&1.into(), &1.into()));
    let shown = client.get("/v1/tenants/a").expect(200);
    assert!(shown["state"] == "broken" && shown["reason"].as_str().unwrap().contains("savor.toml"), "{shown}");
    assert!(client.get("/metrics").text().contains("savor_tenants_broken 1"));
    // Who says what is right mends it, without a restart.
    client.json("PUT", "/v1/tenants/a", "{}").expect(200);
    ask(&mut client, "a", "GET", "/v1/stats", "").expect(200);
}

#[test]
fn backups_of_tenants_lie_apart_and_come_back() {
    let server = Running::start();
    let mut client = server.client();
    for name in ["a", "b"] {
        client.json("PUT", &format!("/v1/tenants/{name}"), "{}").expect(201);
        ask(&mut client, name, "POST", "/v1/items", &format!(r#"{{"id":"of-{name}"}}"#)).expect(200);
    }
    let path = |of: &Value| of["path"].as_str().unwrap().to_owned();
    let of_a = path(&ask(&mut client, "a", "POST", "/v1/backups", r#"{"name":"monday"}"#).expect(201));
    let of_b = path(&ask(&mut client, "b", "POST", "/v1/backups", r#"{"name":"monday"}"#).expect(201));
    let of_all = path(&client.json("POST", "/v1/backups", r#"{"name":"monday"}"#).expect(201));
    assert!(of_a != of_b && of_b != of_all);
    server.tenants.restore_one(&"again".parse().unwrap(), &of_a, savor::Until::Newest).unwrap();
    let items = ask(&mut client, "again", "GET", "/v1/items", "").expect(200);
    assert_eq!(items["entries"][0]["id"], "of-a");
    let whole = server.directory().join("whole");
    savor::Tenants::restore(&of_all, &whole).unwrap();
    assert_eq!(savor::Tenants::open(&whole, savor::Config::default()).unwrap().names().len(), 2);
}

#[test]
fn events_that_come_by_the_library_count_in_the_server_too() {
    let server = Running::start();
    let mut client = server.client();
    client.json("PUT", "/v1/tenants/a", r#"{"quotas":{"events":1}}"#).expect(201);
    let engine = server.tenants.get(&"a".parse().unwrap()).unwrap();
    engine.append_events(&[Event::new("u", "i", "view")]).unwrap();
    let event = r#"{"user":"u","item":"j","type":"view"}"#;
    ask(&mut client, "a", "POST", "/v1/events", event).problem(403, "quota_exceeded");
}
