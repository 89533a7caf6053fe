//! Keys from the command line: the first one before any server runs, and no secret where it can be read.

use std::process::Stdio;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::place::{Place, Server, stderr};

/// The part of a token that nobody may see.
fn secret(token: &str) -> &str {
    token.rsplit('_').next().unwrap()
}

fn id(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

/// A command for the server there.
fn there<'a>(url: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--url", url]].concat()
}

#[test]
fn the_first_key_is_made_without_a_server_and_its_token_is_all_that_standard_output_has() {
    let place = Place::new();
    let output = place.run(&["key", "create", "ops", "--scope", "operate,observe", "--expires", "90d"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let token = String::from_utf8(output.stdout.clone()).unwrap().trim_end().to_owned();
    assert!(token.starts_with("sk_") && token.lines().count() == 1, "{token}");
    assert!(stderr(&output).contains("cannot be shown again") && !stderr(&output).contains(secret(&token)));
    let listed = place.ok(&["key", "list"]);
    assert!(
        listed.contains(id(&token)) && listed.contains("observe, operate") && listed.contains("active"),
        "{listed}"
    );
    assert!(!listed.contains(secret(&token)));
    let rotated = place.ok(&["key", "rotate", id(&token), "--overlap", "0s"]);
    assert!(secret(rotated.trim()) != secret(&token) && id(rotated.trim()) == id(&token));
    place.ok(&["key", "revoke", id(&token)]);
    assert!(place.ok(&["key", "list"]).contains("revoked"));
    let audit = place.json(&["audit"]);
    let actions: Vec<_> = audit.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["revokeKey", "rotateKey", "createKey"]);
    assert!(audit[0]["from"] == "command line" && audit[0]["target"] == format!("/v1/keys/{}", id(&token)));
    assert_eq!(place.fails(&["key", "revoke", "nobody"]).0, 1);
    assert_eq!(place.fails(&["key", "create", "x"]).0, 2);
    assert_eq!(place.fails(&["key", "create", "x", "--scope", "everything"]).0, 2);
    assert_eq!(place.fails(&["key", "create", "x", "--scope", "operate", "--publishable"]).0, 1);
}

#[test]
fn a_restore_says_that_a_revoked_key_lets_in_again_and_revokes_it_when_told() {
    let place = Place::filled();
    let token = place.ok(&["key", "create", "leaked", "--scope", "read"]);
    place.ok(&["backup", "saved"]);
    place.ok(&["key", "revoke", id(token.trim())]);
    let restored = place.run(&["restore", "saved", "--data", "again"]);
    assert!(restored.status.success() && stderr(&restored).contains("1 keys let in"), "{}", stderr(&restored));
    assert!(place.ok(&["key", "list", "--data", "again"]).contains("active"));
    let restored = place.run(&["restore", "saved", "--data", "closed", "--revoke-keys"]);
    assert!(restored.status.success(), "{}", stderr(&restored));
    let listed = place.ok(&["key", "list", "--data", "closed"]);
    assert!(listed.contains("revoked") && !listed.contains("active"), "{listed}");
    assert_eq!(place.fails(&["restore", "saved", "--tenant", "x", "--revoke-keys"]).0, 1);
}

#[test]
fn a_server_beyond_loopback_does_not_start_without_keys() {
    let place = Place::new();
    let (code, message) = place.fails(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(code == 1 && message.contains("no API keys") && message.contains("savor key create"), "{message}");
}

#[test]
fn the_key_comes_from_the_environment_or_a_file_and_is_in_no_log_answer_metric_or_list_of_processes() {
    let place = Place::filled();
    let token = place.ok(&["key", "create", "ops", "--scope", "operate,manage,read,write"]).trim().to_owned();
    place.file("key", &format!("{token}\n"));
    let mut serve = place.command(&["serve", "--listen", "127.0.0.1:0", "--log", "trace"]);
    let log = std::fs::File::create(place.path("log")).unwrap();
    let server = Server::of(serve.stdout(Stdio::piped()).stderr(log).spawn().unwrap());
    let url = server.url.clone();

    let (code, message) = place.fails(&there(&url, &["stats"]));
    assert!(code == 1 && message.contains("SAVOR_API_KEY") && message.contains("--key-file"), "{message}");
    let by_environment =
        place.command(&there(&url, &["stats", "--log", "trace"])).env("SAVOR_API_KEY", &token).output().unwrap();
    assert!(by_environment.status.success(), "{}", stderr(&by_environment));
    assert!(!stderr(&by_environment).contains(secret(&token)), "{}", stderr(&by_environment));
    let with_file = |args: &[&str]| place.ok(&there(&url, &[args, &["--key-file", "key"]].concat()));
    let made = with_file(&["key", "create", "other", "--scope", "read"]).trim().to_owned();
    let mut shown = with_file(&["key", "list"]) + &with_file(&["audit"]) + &with_file(&["stats"]);
    assert!(shown.contains(id(&made)) && shown.contains("createKey"), "{shown}");
    with_file(&["key", "revoke", id(&made)]);
    let last = if token.ends_with('a') { 'b' } else { 'a' };
    place.file("wrong", &format!("{}{last}", &token[..token.len() - 1]));
    shown += &place.fails(&there(&url, &["stats", "--key-file", "wrong"])).1;
    place.file("no-key", "two words");
    let (code, message) = place.fails(&there(&url, &["stats", "--key-file", "no-key"]));
    assert!(code == 2 && !message.contains("two words"), "{message}");

    let mut metrics =
        ureq::get(format!("{}/metrics", server.url)).header("authorization", format!("Bearer {token}")).call().unwrap();
    shown += &metrics.body_mut().read_to_string().unwrap();
    assert!(shown.contains("savor_requests_refused"), "{shown}");
    shown += &String::from_utf8_lossy(&std::fs::read(format!("/proc/{}/cmdline", server.id())).unwrap());
    shown += &place.fails(&["stats"]).1;
    assert_eq!(server.stop("-TERM"), 0);
    let log = std::fs::read_to_string(place.path("log")).unwrap();
    assert!(log.contains("savor::audit") && log.contains("savor::access") && log.contains(id(&token)), "{log}");
    for secret in [secret(&token), secret(&made), &secret(&token)[..40]] {
        assert!(!log.contains(secret) && !shown.contains(secret));
    }
}

#[test]
fn a_server_with_a_certificate_is_asked_over_tls_and_reads_a_new_one_at_sighup() {
    let place = Place::filled();
    let certificate = |name: &str| {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        place.file("certificate.pem", &cert.pem());
        place.file("key.pem", &signing_key.serialize_pem());
        place.file(name, &cert.pem());
    };
    certificate("first.pem");
    let settings =
        ["server.tls.certificate=\"certificate.pem\"", "server.tls.key=\"key.pem\"", "server.tls.check_every=\"1h\""];
    let set: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let mut serve = place.command(&[&["serve", "--listen", "127.0.0.1:0", "--log", "error"], &set[..]].concat());
    let server = Server::of(serve.stdout(Stdio::piped()).spawn().unwrap());
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let there =
        |authorities: &str| place.run(&["stats", "--url", &server.url, "--ca-file", authorities, "--format", "json"]);
    let told = there("first.pem");
    assert!(told.status.success(), "{}", stderr(&told));
    // Nobody vouches for it without the file.
    assert_eq!(place.fails(&["stats", "--url", &server.url]).0, 1);
    let (code, message) = place.fails(&["stats", "--url", &server.url, "--ca-file", "key.pem"]);
    assert!(code == 1 && message.contains("--ca-file") && message.contains("holds no certificate"), "{message}");
    certificate("second.pem");
    server.signal("-HUP");
    while !there("second.pem").status.success() {}
    assert!(!there("first.pem").status.success());
    assert_eq!(server.stop("-TERM"), 0);
}

#[test]
fn the_address_of_a_webhook_is_not_shown() {
    let place = Place::new();
    place.file("savor.toml", "[monitor]\nwebhook = \"https://hooks.example/services/T0/hidden-words\"\n");
    for format in ["table", "json"] {
        let shown = place.ok(&["config", "show", "--config", "savor.toml", "--format", format]);
        assert!(shown.contains("https://hooks.example/…") && !shown.contains("hidden-words"), "{shown}");
    }
    place.file("savor.toml", "[monitor]\nwebhook = \"ftp://hooks.example/hidden-words\"\n");
    let (_, message) = place.fails(&["config", "check", "--config", "savor.toml"]);
    assert!(message.contains("monitor.webhook") && !message.contains("hidden-words"), "{message}");
}
