//! Keys that end while a request of theirs is under way: its head has come, its body has not.

use savor::{KeyDesign, Scope, TenantSettings};

use crate::client::Client;
use crate::server::Running;

const NEW_KEY: &str = r#"{"name":"mine","scopes":["operate"]}"#;

/// A request whose key has been checked, and whose body is waited for.
fn begun(server: &Running, token: &str, method: &str, path: &str, body: &str) -> Client {
    let (bearer, length) = (format!("Bearer {token}"), body.len().to_string());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("content-length", length.as_str()),
        ("expect", "100-continue"),
    ];
    let mut client = server.client();
    client.write(method, path, &headers, b"");
    assert_eq!(client.receive(true).status, 100);
    client
}

#[test]
fn a_key_that_is_revoked_while_its_body_comes_does_nothing_any_more() {
    let server = Running::start();
    let make = |scope| server.engine.create_key(&KeyDesign::new("test", [scope])).unwrap();
    let (leaked, other, writer) = (make(Scope::Operate), make(Scope::Operate), make(Scope::Write));
    let event = r#"{"user":"u","item":"i","type":"view"}"#;
    let rotation = r#"{"overlap":"1h"}"#;
    let path = format!("/v1/keys/{}:rotate", other.key.id);
    let mut half = [
        (begun(&server, leaked.token.reveal(), "POST", "/v1/keys", NEW_KEY), NEW_KEY),
        (begun(&server, leaked.token.reveal(), "POST", &path, rotation), rotation),
        (begun(&server, writer.token.reveal(), "POST", "/v1/events", event), event),
    ];
    server.engine.revoke_key(&leaked.key.id).unwrap();
    server.engine.revoke_key(&writer.key.id).unwrap();
    for (client, body) in &mut half {
        client.send_rest(body);
        client.receive(false).problem(401, "revoked_key");
    }
    assert_eq!(server.engine.keys().len(), 3);
    assert_eq!(server.engine.stats().unwrap().events, 0);
    assert!(server.engine.key(&other.key.id).unwrap().rotated.is_none());
}

#[test]
fn a_secret_that_is_rotated_away_while_its_body_comes_does_nothing_any_more() {
    let server = Running::start();
    let leaked = server.engine.create_key(&KeyDesign::new("test", [Scope::Operate, Scope::Write])).unwrap();
    let event = r#"{"user":"u","item":"i","type":"view"}"#;
    let path = format!("/v1/keys/{}:rotate", leaked.key.id);
    let mut half = [
        (begun(&server, leaked.token.reveal(), "POST", "/v1/keys", NEW_KEY), NEW_KEY),
        (begun(&server, leaked.token.reveal(), "POST", &path, r#"{"overlap":"1h"}"#), r#"{"overlap":"1h"}"#),
        (begun(&server, leaked.token.reveal(), "POST", "/v1/events", event), event),
    ];
    let fresh = server.engine.rotate_key(&leaked.key.id, "0s".parse().unwrap()).unwrap();
    for (client, body) in &mut half {
        client.send_rest(body);
        client.receive(false).problem(401, "unknown_key");
    }
    assert_eq!((server.engine.keys().len(), server.engine.stats().unwrap().events), (1, 0));
    let mut client = server.client();
    client.keyed(fresh.token.reveal(), "POST", "/v1/events", event).expect(200);
}

#[test]
fn a_tenant_that_is_deleted_leaves_nobody_with_a_key_to_its_name() {
    let server = Running::start();
    let acme = "acme".parse().unwrap();
    server.tenants.create(&acme, TenantSettings::default()).unwrap();
    let design = KeyDesign { tenant: Some("acme".into()), ..KeyDesign::new("before", [Scope::Operate]) };
    let before = server.engine.create_key(&design).unwrap();
    let mut half = begun(&server, before.token.reveal(), "POST", "/v1/keys", NEW_KEY);
    server.tenants.delete(&acme, "acme").unwrap();
    server.tenants.create(&acme, TenantSettings::default()).unwrap();
    half.send_rest(NEW_KEY);
    half.receive(false).problem(401, "revoked_key");
    assert_eq!(server.engine.keys().len(), 1);
}
