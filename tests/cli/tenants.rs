//! Tenants on the command line, in a directory and through a server.

use crate::place::{Place, Server};

#[test]
fn every_command_is_about_the_tenant_that_is_named() {
    let place = Place::filled();
    let made = place.json(&[
        "tenant",
        "create",
        "acme",
        "--title",
        "Acme",
        "--quota",
        "items=24",
        "--set",
        "train.dimension=3",
    ]);
    assert_eq!((&made["state"], &made["quotas"]["items"]), (&"open".into(), &24.into()), "{made}");
    let acme = |args: &[&str]| place.json(&[args, &["--tenant", "acme"]].concat());
    assert_eq!(acme(&["stats"])["items"], 0);
    acme(&["import", "items", "items.jsonl"]);
    acme(&["import", "events", "events.jsonl"]);
    assert_eq!(acme(&["config", "show"])["train"]["dimension"], 3);
    assert_eq!(acme(&["train", "--epochs", "5", "--activate", "always"])["train"]["dimension"], 3);
    assert_eq!(acme(&["recommend", "u1", "-n", "2"])["degraded"], serde_json::Value::Null);
    assert!(place.json(&["snapshot", "list"]).as_array().unwrap().is_empty(), "the directory itself has not trained");
    place.file("more.jsonl", "{\"id\":\"one-too-many\"}\n");
    let (code, message) = place.fails(&["import", "items", "more.jsonl", "--tenant", "acme"]);
    assert!(code == 1 && message.contains("quota items of tenant \"acme\""), "{message}");
    place.ok(&["tenant", "set", "acme", "--quota", "items=none", "--unset", "train.dimension"]);
    acme(&["import", "items", "more.jsonl"]);
    let shown = place.json(&["tenant", "show", "acme"]);
    assert_eq!((&shown["usage"]["items"], &shown["settings"]["title"]), (&25.into(), &"Acme".into()));
    assert!(shown["settings"]["config"].as_object().unwrap().is_empty(), "{shown}");
    assert!(
        place.ok(&["tenant", "list"]).contains("acme") && place.ok(&["tenant", "show", "acme"]).contains("no limit")
    );
    let checks = place.json(&["doctor"]);
    assert!(checks.as_array().unwrap().iter().any(|of| of["check"] == "tenant acme: events" && of["ok"] == true));

    place.ok(&["backup", "saved", "--tenant", "acme"]);
    place.ok(&["restore", "saved", "--tenant", "copy"]);
    assert_eq!(place.json(&["stats", "--tenant", "copy"])["items"], 25);
    place.ok(&["backup", "all"]);
    place.ok(&["restore", "all", "--data", "again"]);
    assert_eq!(place.json(&["tenant", "list", "--data", "again"]).as_array().unwrap().len(), 2);

    let (code, message) = place.fails(&["key", "create", "x", "--scope", "read", "--tenant", "nope"]);
    assert!(code == 1 && message.contains("no tenant \"nope\""), "{message}");
    assert_eq!(place.fails(&["tenant", "delete", "acme"]).0, 2, "the name once more");
    assert_eq!(place.fails(&["tenant", "delete", "acme", "--confirm", "copy"]).0, 1);
    // Whose backups a server has made in its folder.
    let kept = place.path("data.tenants.backups");
    std::fs::create_dir_all(kept.join("acme/default")).unwrap();
    place.ok(&["tenant", "delete", "acme", "--confirm", "acme"]);
    let left: Vec<_> = std::fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.len() == 1 && left[0].to_string_lossy().starts_with(".deleted-acme-"), "{left:?}");
    let (code, message) = place.fails(&["stats", "--tenant", "acme"]);
    assert!(code == 1 && message.contains("no tenant \"acme\""), "{message}");
    assert_eq!(place.json(&["stats"])["events"], 400);
    for bad in ["Acme", "../x", "a.b", ""] {
        assert_eq!(place.fails(&["stats", "--tenant", bad]).0, 2, "{bad}");
    }
    assert_eq!(place.json(&["stats", "--tenant", "default"])["events"], 400);
    assert_eq!(place.fails(&["serve", "--tenant", "copy"]).0, 2);
}

#[test]
fn a_server_has_all_of_them_and_takes_the_same_words() {
    let place = Place::filled();
    place.ok(&["tenant", "create", "old"]);
    let server = Server::start(&place);
    let there = |args: &[&str]| place.json(&[args, &["--url", &server.url]].concat());
    there(&["tenant", "create", "new", "--quota", "events=399"]);
    assert_eq!(there(&["tenant", "list"]).as_array().unwrap().len(), 2);
    let (code, message) = place.fails(&["import", "events", "events.jsonl", "--tenant", "new", "--url", &server.url]);
    assert!(code == 1 && message.contains("quota events"), "what a server refuses is no success: {message}");
    assert_eq!(there(&["stats", "--tenant", "new"])["events"], 399);
    assert_eq!(there(&["stats"])["events"], 400);
    // The variable does for the option.
    let old = place
        .command(&["stats", "--url", &server.url, "--format", "json"])
        .env("SAVOR_TENANT", "old")
        .output()
        .unwrap();
    assert!(String::from_utf8(old.stdout).unwrap().contains("\"events\":0"));
    let (code, message) = place.fails(&["stats", "--tenant", "old"]);
    assert!(code == 1 && message.contains(&server.url), "{message}");
    let (code, message) = place.fails(&["stats", "--tenant", "nobody", "--url", &server.url]);
    assert!(code == 1 && message.contains("no such tenant"), "{message}");
    there(&["tenant", "delete", "new", "--confirm", "new"]);
    assert_eq!(there(&["tenant", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(server.stop("-TERM"), 0);
}
