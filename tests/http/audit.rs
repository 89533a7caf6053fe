//! The audit log: what was done, by which key, and who was not let in.

use savor::{KeyDesign, NewKey, Scope, TenantSettings};
use serde_json::Value;

use crate::client::Client;
use crate::server::Running;

fn made(server: &Running, scopes: &[Scope]) -> NewKey {
    server.engine.create_key(&KeyDesign::new("test", scopes.iter().copied())).unwrap()
}

fn entries(client: &mut Client, token: &str, query: &str) -> Vec<Value> {
    let answer = client.keyed(token, "GET", &format!("/v1/audit{query}"), "").expect(200);
    answer["entries"].as_array().unwrap().clone()
}

#[test]
fn operations_are_noted_with_key_target_and_outcome_and_data_is_not() {
    let server = Running::with_taste();
    let (admin, shop) = (made(&server, &[Scope::Operate]), made(&server, &[Scope::Manage, Scope::Write]));
    let (operate, manage) = (admin.token.reveal(), shop.token.reveal());
    let mut client = server.client();
    // Data, and questions.
    client.keyed(manage, "PUT", "/v1/items/new", "{}").expect(201);
    client.keyed(manage, "POST", "/v1/users", r#"{"id":"anna"}"#).expect(200);
    client.keyed(manage, "POST", "/v1/events", r#"{"user":"anna","item":"i1","type":"view"}"#).expect(200);
    client.keyed(manage, "GET", "/v1/users/anna", "").expect(200);
    client.keyed(operate, "GET", "/v1/keys", "").expect(200);
    assert!(entries(&mut client, operate, "").is_empty());
    // Operations.
    client.keyed(manage, "PUT", "/v1/scenarios/home", "{}");
    client.keyed(manage, "DELETE", "/v1/items/a%20b%0Ac", "").problem(404, "not_found");
    assert_eq!(client.keyed(manage, "DELETE", "/v1/users/anna", "").status, 204);
    let new = client.keyed(operate, "POST", "/v1/keys", r#"{"name":"x","scopes":["read"]}"#).expect(201);
    let found = entries(&mut client, operate, "");
    let told: Vec<_> = found
        .iter()
        .map(|entry| {
            (entry["action"].as_str().unwrap(), entry["outcome"].as_u64().unwrap(), entry["key"].as_str().unwrap())
        })
        .collect();
    let (admin, shop) = (admin.key.id.as_str(), shop.key.id.as_str());
    let expected =
        [("createKey", 201, admin), ("deleteUser", 204, shop), ("deleteItem", 404, shop), ("putScenario", 201, shop)];
    assert_eq!(told, expected);
    assert_eq!(found[0]["target"], format!("/v1/keys/{}", new["key"]["id"].as_str().unwrap()));
    assert_eq!((&found[2]["target"], &found[2]["code"]), (&"/v1/items/a%20b%0Ac".into(), &"not_found".into()));
    assert_eq!(found[0]["from"], "127.0.0.1");
    // A user who is deleted is not named here either, and who knows the name finds what was done.
    assert!(!serde_json::to_string(&found).unwrap().contains("anna"));
    assert_eq!(entries(&mut client, operate, "?user=anna"), [found[1].clone()]);
    assert_eq!(entries(&mut client, operate, &format!("?key={shop}&limit=2")), [found[1].clone(), found[2].clone()]);
    let before = found[1]["time"].as_str().unwrap();
    assert!(
        entries(&mut client, operate, &format!("?before={before}"))
            .iter()
            .all(|entry| entry["time"].as_str() < Some(before))
    );
    let path = "/v1/audit?before=yesterday";
    assert_eq!(client.keyed(operate, "GET", path, "").problem(400, "invalid"), "before");
}

#[test]
fn who_is_not_let_in_is_noted_and_no_secret_with_it() {
    let server = Running::start();
    let (admin, reader) = (made(&server, &[Scope::Operate]), made(&server, &[Scope::Read]));
    let mut client = server.client();
    client.keyed(reader.token.reveal(), "POST", "/v1/train", "").problem(403, "missing_scope");
    client.get("/v1/users/anna").problem(401, "no_key");
    let wrong = reader.token.reveal().replace(&reader.key.id, "aaaaaaaaaaaa");
    client.keyed(&wrong, "GET", "/v1/stats", "").problem(401, "unknown_key");
    let found = entries(&mut client, admin.token.reveal(), "");
    let told: Vec<_> = found.iter().map(|entry| (entry["code"].as_str().unwrap(), entry["key"].as_str())).collect();
    let reader_id = Some(reader.key.id.as_str());
    assert_eq!(told, [("unknown_key", None), ("no_key", None), ("missing_scope", reader_id)]);
    let text = serde_json::to_string(&found).unwrap();
    let secret = reader.token.reveal().rsplit('_').next().unwrap();
    assert!(!text.contains(secret) && !text.contains("anna") && !text.contains("aaaaaaaaaaaa"), "{text}");
}

#[test]
fn a_flood_of_refusals_is_counted_and_does_not_fill_the_log() {
    let server = Running::start();
    let admin = made(&server, &[Scope::Operate]);
    let mut client = server.client();
    for _ in 0..200 {
        client.get("/v1/stats").problem(401, "no_key");
    }
    let found = entries(&mut client, admin.token.reveal(), "?limit=1000");
    // Fifty at once, and one for each second that this took.
    assert!((50..150).contains(&found.len()), "{}", found.len());
    let metrics = client.keyed(admin.token.reveal(), "GET", "/metrics", "");
    assert!(metrics.text().contains("savor_requests_refused_total{reason=\"no_key\"} 200"), "{}", metrics.text());
}

#[test]
fn whose_data_an_operation_was_about_is_noted() {
    let server = Running::start();
    server.tenants.create(&"acme".parse().unwrap(), TenantSettings::default()).unwrap();
    let admin = made(&server, &[Scope::Operate, Scope::Manage]);
    let bearer = format!("Bearer {}", admin.token.reveal());
    let mut client = server.client();
    client.keyed(admin.token.reveal(), "DELETE", "/v1/users/anna", "").problem(404, "not_found");
    let headers = [("authorization", bearer.as_str()), ("savor-tenant", "acme")];
    client.send("DELETE", "/v1/users/anna", &headers, b"").problem(404, "not_found");
    let found = entries(&mut client, admin.token.reveal(), "?user=anna");
    let told: Vec<_> = found.iter().map(|entry| entry["target_tenant"].as_str()).collect();
    assert_eq!(told, [Some("acme"), None]);
}

#[test]
fn who_is_given_the_name_of_a_deleted_tenant_does_not_read_what_that_one_did() {
    let server = Running::start();
    let acme = "acme".parse().unwrap();
    let operator = || {
        let design =
            KeyDesign { tenant: Some("acme".into()), ..KeyDesign::new("own", [Scope::Operate, Scope::Manage]) };
        server.engine.create_key(&design).unwrap()
    };
    server.tenants.create(&acme, TenantSettings::default()).unwrap();
    let before = operator();
    let mut client = server.client();
    client.keyed(before.token.reveal(), "DELETE", "/v1/users/anna", "").problem(404, "not_found");
    assert_eq!(entries(&mut client, before.token.reveal(), "").len(), 1);
    server.tenants.delete(&acme, "acme").unwrap();
    server.tenants.create(&acme, TenantSettings::default()).unwrap();
    let after = operator();
    assert!(entries(&mut client, after.token.reveal(), "").is_empty());
    assert!(entries(&mut client, after.token.reveal(), "?user=anna").is_empty());
    client.keyed(after.token.reveal(), "DELETE", "/v1/users/bert", "").problem(404, "not_found");
    assert_eq!(entries(&mut client, after.token.reveal(), "").len(), 1);
    // The server's operator sees both.
    let all = made(&server, &[Scope::Operate]);
    assert_eq!(entries(&mut client, all.token.reveal(), "").len(), 2);
}
