//! What clients can make more and more of has an end: keys, backups, and what is kept of the answers that they are given.

use savor::{KeyDesign, Quotas, Scope, TenantSettings};

use crate::server::Running;

#[test]
fn so_many_keys_may_be_and_those_that_let_nobody_in_make_room() {
    let server = Running::start_configured(|config| {
        config.keys.max = 3;
        config.keys.max_per_tenant = 2;
    });
    server.tenants.create(&"shop".parse().unwrap(), TenantSettings::default()).unwrap();
    let operator = server.engine.create_key(&KeyDesign::new("ops", [Scope::Operate])).unwrap();
    let bound = KeyDesign { tenant: Some("shop".into()), ..KeyDesign::new("bound", [Scope::Operate]) };
    let bound = server.engine.create_key(&bound).unwrap();
    let (operator, bound) = (operator.token.reveal(), bound.token.reveal());
    let mut client = server.client();
    let mut make = |token: &str| client.keyed(token, "POST", "/v1/keys", r#"{"name":"x","scopes":["read"]}"#);
    let first = make(bound).expect(201);
    let refused = make(bound);
    refused.problem(409, "conflict");
    for word in ["2 keys of tenant", "revoke one", "keys.max_per_tenant"] {
        assert!(refused.text().contains(word), "{word}: {}", refused.text());
    }
    // Keys of others are counted apart.
    let of_all = [make(operator).expect(201), make(operator).expect(201)];
    assert!(make(operator).text().contains("keys.max"));
    let path = |made: &serde_json::Value| format!("/v1/keys/{}", made["key"]["id"].as_str().unwrap());
    let mut client = server.client();
    assert_eq!(client.keyed(bound, "DELETE", &path(&first), "").status, 204);
    let token = first["token"].as_str().unwrap();
    client.keyed(token, "GET", "/v1/lists/popular", "").problem(401, "revoked_key");
    client.keyed(bound, "POST", "/v1/keys", r#"{"name":"y","scopes":["read"]}"#).expect(201);
    client.keyed(token, "GET", "/v1/lists/popular", "").problem(401, "unknown_key");
    client.keyed(bound, "GET", &path(&first), "").problem(404, "not_found");
    for made in &of_all {
        client.keyed(made["token"].as_str().unwrap(), "GET", "/v1/lists/popular", "").expect(200);
    }
    // A tenant that is gone leaves its keys to the server's, the first to go.
    assert_eq!(client.keyed(operator, "DELETE", "/v1/tenants/shop?confirm=shop", "").status, 204);
    client.keyed(bound, "GET", "/v1/keys", "").problem(401, "revoked_key");
    for made in &of_all {
        assert_eq!(client.keyed(operator, "DELETE", &path(made), "").status, 204);
    }
    client.keyed(operator, "POST", "/v1/keys", r#"{"name":"z","scopes":["read"]}"#).expect(201);
    assert_eq!(server.engine.keys().len(), 3);
}

#[test]
fn what_a_tenant_asks_about_its_keys_counts_for_its_quotas() {
    let server = Running::start();
    let quotas = Quotas { requests_per_second: Some(2.0), ..Quotas::default() };
    server.tenants.create(&"shop".parse().unwrap(), TenantSettings { quotas, ..TenantSettings::default() }).unwrap();
    let design = KeyDesign { tenant: Some("shop".into()), ..KeyDesign::new("bound", [Scope::Operate]) };
    let (first, second) = (server.engine.create_key(&design).unwrap(), server.engine.create_key(&design).unwrap());
    let operator = server.engine.create_key(&KeyDesign::new("ops", [Scope::Operate])).unwrap();
    let mut client = server.client();
    let mut refused = 0;
    for number in 0..40 {
        let path = if number % 4 < 2 { "/v1/keys" } else { "/v1/audit" };
        let token = if number % 2 == 0 { &first.token } else { &second.token };
        let answer = client.keyed(token.reveal(), "GET", path, "");
        if answer.status != 200 {
            answer.problem(429, "quota_rate");
            refused += 1;
        }
        client.keyed(operator.token.reveal(), "GET", path, "").expect(200);
    }
    assert!(refused > 0);
    let metrics = client.keyed(operator.token.reveal(), "GET", "/metrics", "");
    assert!(metrics.text().contains("tenant=\"shop\",class=\"429\""), "{}", metrics.text());
}

#[test]
fn a_tenant_has_so_many_backups_and_so_many_generations_of_each() {
    let server = Running::start_configured(|config| {
        config.backup.max = 1;
        config.backup.max_per_tenant = 2;
        config.backup.keep_per_tenant = 3;
    });
    server.tenants.create(&"shop".parse().unwrap(), TenantSettings::default()).unwrap();
    let mut client = server.client();
    let mut back_up = |tenant: &str, name: &str| {
        let headers = [("savor-tenant", tenant), ("content-type", "application/json")];
        client.send("POST", "/v1/backups", &headers, format!(r#"{{"name":"{name}"}}"#).as_bytes())
    };
    for name in ["a", "b"] {
        back_up("shop", name).expect(201);
    }
    let refused = back_up("shop", "c");
    assert_eq!(refused.problem(409, "conflict"), "name");
    assert!(refused.text().contains("backup.max_per_tenant"), "{}", refused.text());
    for _ in 0..4 {
        back_up("shop", "b").expect(201);
    }
    back_up("default", "a").expect(201);
    let refused = back_up("default", "b");
    assert!(
        refused.problem(409, "conflict") == "name" && refused.text().contains("raise backup.max\""),
        "{}",
        refused.text()
    );
    // As many bytes as they take, too; those of the server are its own.
    let quotas = Quotas { backup_bytes: Some(1), ..Quotas::default() };
    server.tenants.set(&"shop".parse().unwrap(), TenantSettings { quotas, ..TenantSettings::default() }).unwrap();
    let refused = back_up("shop", "b");
    refused.problem(403, "quota_exceeded");
    assert!(refused.text().contains("backup_bytes"), "{}", refused.text());
    back_up("default", "a").expect(201);
    let listed = client.send("GET", "/v1/backups", &[("savor-tenant", "shop")], b"").expect(200);
    let generations = |of: &serde_json::Value| of["generations"].as_array().unwrap().len();
    let counts: Vec<usize> = listed["backups"].as_array().unwrap().iter().map(generations).collect();
    assert_eq!(counts, [1, 3], "{listed}");
}

#[test]
fn who_may_only_read_does_not_fill_the_disk() {
    let server = Running::start_configured(|config| config.exposures.max_mib = 1);
    let items: Vec<savor::Item> = (0..1_000).map(|n| savor::Item::new(format!("{n:04}-{}", "x".repeat(400)))).collect();
    server.engine.put_items(&items).unwrap();
    let made = server.engine.create_key(&KeyDesign::new("web", [Scope::Read]).publishable()).unwrap();
    let observer = server.engine.create_key(&KeyDesign::new("prometheus", [Scope::Observe])).unwrap();
    let mut client = server.client();
    let mut last = String::new();
    for n in 0..40 {
        let path = format!("/v1/users/u{n}/recommendations?limit=1000");
        let answer = client.keyed(made.token.reveal(), "GET", &path, "").expect(200);
        assert_eq!(answer["items"].as_array().unwrap().len(), 1_000);
        last = answer["recommendation_id"].as_str().unwrap().to_owned();
        // What waits is bounded by the queue; here it is about what is written.
        server.engine.flush_exposures();
    }
    assert!(server.engine.exposure(&last).unwrap().is_some(), "the newest is there");
    assert!(server.engine.user_exposures("u0", 9).unwrap().is_empty(), "the oldest had to go");
    let stats = server.engine.stats().unwrap();
    assert!(stats.exposures_bytes <= 1 << 20 && stats.exposures_evicted >= 36, "{stats:?}");
    assert_eq!(stats.exposures_dropped, 0);
    let metrics = client.keyed(observer.token.reveal(), "GET", "/metrics", "");
    let line = |name: &str| metrics.text().lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert_eq!(line("savor_exposures_evicted "), format!("savor_exposures_evicted {}", stats.exposures_evicted));
    assert_eq!(line("savor_exposures_bytes "), format!("savor_exposures_bytes {}", stats.exposures_bytes));
}

#[test]
fn events_are_of_so_many_types_and_no_more() {
    let server = Running::start();
    let mut client = server.client();
    let events = |types: std::ops::Range<usize>| {
        let event = |number| format!("{{\"user\":\"u\",\"item\":\"i\",\"type\":\"t{number}\"}}");
        format!("[{}]", types.map(event).collect::<Vec<_>>().join(","))
    };
    let stored = client.json("POST", "/v1/events", &events(0..1_100)).expect(200);
    assert_eq!((&stored["accepted"], &stored["rejected_count"]), (&1_000.into(), &100.into()));
    assert_eq!((&stored["rejected"][0]["index"], &stored["rejected"][0]["field"]), (&1_000.into(), &"type".into()));
    let refused = client.json("POST", "/v1/events", &events(2_000..2_001));
    assert_eq!(refused.problem(400, "invalid"), "type");
    assert!(refused.text().contains("1000 types"), "{}", refused.text());
    client.json("POST", "/v1/events", &events(999..1_000)).expect(200);
    // The library's way, all or none.
    let new = savor::Event::new("u", "i", "another");
    assert!(server.engine.append_events(&[new]).unwrap_err().to_string().starts_with("events[0].type"));
    assert_eq!(server.engine.stats().unwrap().events, 1_001);
}

#[test]
fn a_publishable_key_is_not_told_which_events_are_there() {
    let server = Running::with_taste();
    let publishable =
        KeyDesign { kind: savor::KeyKind::Publishable, ..KeyDesign::new("web", [Scope::Read, Scope::Write]) };
    let publishable = server.engine.create_key(&publishable).unwrap();
    let secret = server.engine.create_key(&KeyDesign::new("shop", [Scope::Read, Scope::Write])).unwrap();
    let mut client = server.client();
    let event = r#"{"user":"fresh","item":"i1","type":"view","time":1700000000000}"#;
    let mut send = |token: &str| client.keyed(token, "POST", "/v1/events", event).expect(200);
    let counts = |said: &serde_json::Value| (said["accepted"].as_u64().unwrap(), said["duplicates"].as_u64().unwrap());
    assert_eq!(counts(&send(secret.token.reveal())), (1, 0));
    assert_eq!((counts(&send(secret.token.reveal())), counts(&send(publishable.token.reveal()))), ((0, 1), (1, 0)));
}
