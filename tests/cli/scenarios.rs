//! Scenarios from files, here and through a server.

use crate::place::{Place, Server};

const HOME: &str =
    "description = \"home\"\n[[rules]]\nrule = \"pin\"\nname = \"poster\"\nitem = \"f3\"\nposition = 1\n";

#[test]
fn a_scenario_is_put_from_a_file_shown_explained_and_deleted() {
    let place = Place::trained();
    place.file("home.toml", HOME);
    let words = |url: Option<&str>| {
        let run = |args: &[&str]| match url {
            Some(url) => place.json(&[args, &["--url", url]].concat()),
            None => place.json(args),
        };
        assert_eq!(run(&["scenario", "list"]).as_array().unwrap().len(), 0);
        let first = run(&["scenario", "put", "home.toml"])["version"].as_u64().unwrap();
        let (name, number) = ("front", first.to_string());
        assert!(run(&["scenario", "put", "home.toml", "--name", name, "--expected-version", "0"])["version"].is_u64());
        assert_eq!(run(&["scenario", "put", "home.toml", "--expected-version", &number])["version"], first + 1);
        assert_eq!(run(&["scenario", "list"])[1]["name"], "home");
        let answer = run(&["recommend", "u1", "--scenario", "home", "--seen", "-n", "3"]);
        assert_eq!(
            (&answer["items"][1]["item"], &answer["items"][1]["rules"][0]),
            (&"f3".into(), &"pin:poster".into())
        );
        assert_eq!(run(&["scenario", "history", "home"])[0]["version"], first + 1);
        assert_eq!(run(&["scenario", "show", "home", "--version", &number])["version"], first);
        for name in ["home", "front"] {
            assert_eq!(run(&["scenario", "delete", name])["deleted"], true);
        }
    };
    words(None);
    place.ok(&["scenario", "put", "home.toml"]);
    let shown = place.ok(&["scenario", "show", "home"]);
    place.file("again.toml", &shown);
    place.ok(&["scenario", "put", "again.toml", "--name", "home"]);
    assert_eq!(place.ok(&["scenario", "show", "home"]), shown);
    let explained = place.ok(&["explain", "u1", "--scenario", "home"]);
    assert!(explained.contains("without rules"), "{explained}");
    place.file("wrong.toml", &HOME.replace("position = 1", "position = 1000"));
    let (code, message) = place.fails(&["scenario", "put", "wrong.toml"]);
    assert!(code == 1 && message.contains("wrong.toml.rules[0].position"), "{message}");
    let (code, message) = place.fails(&["scenario", "put", "home.toml", "--expected-version", "1"]);
    assert!(code == 1 && message.contains("has version"), "{message}");
    let (_, message) = place.fails(&["recommend", "u1", "--scenario", "nowhere"]);
    assert!(message.contains("nowhere") && message.contains("home"), "{message}");
    place.ok(&["scenario", "delete", "home"]);

    let server = Server::start(&place);
    words(Some(&server.url));
    assert_eq!(server.stop("-TERM"), 0);
}
