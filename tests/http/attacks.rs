//! What an attack has found once, tried again.

use std::io::{Read, Write};
use std::net::TcpStream;

use savor::{KeyDesign, Scope, TenantSettings};

use crate::server::Running;

fn key(server: &Running, scopes: impl IntoIterator<Item = Scope>, tenant: Option<&str>) -> String {
    let design = KeyDesign { tenant: tenant.map(str::to_owned), ..KeyDesign::new("k", scopes) };
    server.engine.create_key(&design).unwrap().token.reveal().to_owned()
}

#[test]
fn a_key_that_is_bound_to_the_default_tenant_does_not_operate_the_server() {
    let server = Running::start();
    server.tenants.create(&"a".parse().unwrap(), TenantSettings::default()).unwrap();
    let bound = key(&server, [Scope::Operate, Scope::Observe], Some("default"));
    let free = key(&server, [Scope::Operate], None);
    let mut client = server.client();
    for (method, path, body) in [
        ("GET", "/v1/tenants", ""),
        ("GET", "/v1/tenants/a", ""),
        ("PUT", "/v1/tenants/a", r#"{"quotas":{"events":1}}"#),
        ("DELETE", "/v1/tenants/a?confirm=a", ""),
    ] {
        client.keyed(&bound, method, path, body).problem(403, "default_tenant_only");
    }
    client.keyed(&bound, "GET", "/v1/stats", "").expect(200);
    client.keyed(&free, "GET", "/v1/tenants/a", "").expect(200);
}

#[test]
fn keys_and_backups_of_a_deleted_tenant_are_not_those_of_the_next_one() {
    let server = Running::start();
    let operator = key(&server, [Scope::Operate], None);
    let mut client = server.client();
    client.keyed(&operator, "PUT", "/v1/tenants/shop", "{}").expect(201);
    let old = key(&server, [Scope::Operate, Scope::Manage], Some("shop"));
    client.keyed(&old, "POST", "/v1/backups", r#"{"name":"mine"}"#).expect(201);
    assert_eq!(client.keyed(&operator, "DELETE", "/v1/tenants/shop?confirm=shop", "").status, 204);
    client.keyed(&operator, "PUT", "/v1/tenants/shop", "{}").expect(201);
    client.keyed(&old, "GET", "/v1/users", "").problem(401, "revoked_key");
    let new = key(&server, [Scope::Operate], Some("shop"));
    let keys = client.keyed(&new, "GET", "/v1/keys", "").expect(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "its own: {keys}");
    assert_eq!(client.keyed(&new, "GET", "/v1/backups", "").expect(200)["backups"], serde_json::json!([]));
}

#[test]
fn a_publishable_key_learns_nothing_from_what_is_left_out_and_adds_nothing_to_the_catalogue() {
    let server = Running::trained();
    let made = server.engine.create_key(&KeyDesign::new("web", [Scope::Read, Scope::Write]).publishable()).unwrap();
    let (token, mut client) = (made.token.reveal(), server.client());
    for body in
        [r#"{"user":"u1","exclude_seen":false}"#, r#"{"user":"u1","exclude_seen":{"types":["view"],"window":"1h"}}"#]
    {
        let field = client.keyed(token, "POST", "/v1/recommendations", body).problem(400, "invalid");
        assert_eq!(field, "exclude_seen");
    }
    client.keyed(token, "GET", "/v1/users/u1/recommendations?exclude_seen=false", "").problem(400, "invalid");
    client.keyed(token, "GET", "/v1/users/u1/recommendations", "").expect(200);
    let item = client.keyed(token, "GET", "/v1/lists/popular?limit=1", "").expect(200)["items"][0]["item"].clone();
    let events = format!(
        r#"[{{"user":"visitor","item":{item},"type":"view"}},{{"user":"visitor","item":"<script>","type":"view"}}]"#
    );
    let accepted = client.keyed(token, "POST", "/v1/events", &events).expect(200);
    assert_eq!((&accepted["accepted"], &accepted["rejected"][0]["field"]), (&1.into(), &"item".into()), "{accepted}");
    assert!(!server.engine.has_item("<script>").unwrap());
}

#[test]
fn a_target_without_a_path_is_refused_and_the_server_goes_on() {
    let server = Running::start();
    for target in ["CONNECT a:1", "GET x:80", "GET mailto:x", "POST a:1"] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(stream, "{target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{target}: {answer}");
    }
    server.client().get("/healthz").expect(200);
}

#[test]
fn without_keys_a_page_that_gave_this_machine_its_own_name_learns_nothing() {
    let server = Running::start();
    let ask = |host: &str| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        write!(stream, "GET /v1/users HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("evil.example:80").starts_with("HTTP/1.1 403"), "{}", ask("evil.example:80"));
    assert!(ask("localhost").starts_with("HTTP/1.1 200"), "{}", ask("localhost"));
    assert!(ask("127.0.0.1:8380").starts_with("HTTP/1.1 200"));
}
