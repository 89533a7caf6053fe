//! What was learned is measured, compared, switched and carried away.

use crate::place::{Place, Server};

#[test]
fn evaluation_measures_the_model_beside_popularity() {
    let place = Place::filled();
    let text = place.ok(&["evaluate", "--dimension", "4", "--split", "leave-last-out"]);
    for words in ["popularity", "ndcg@10", "recall@20", "40 users", "seed", "weights  "] {
        assert!(text.contains(words), "{words} in {text}");
    }
    place.file("test.csv", "user,item\nu1,f5\nu2,f4\nu30,f18\n");
    let given = place.json(&["evaluate", "--dimension", "4", "--test", "test.csv"]);
    assert!(given["train_seconds"].as_f64().unwrap() > 0.0);
    assert!(given["report"]["users"] == 3, "{given}");
}

#[test]
fn settings_are_compared_and_the_page_is_written() {
    let place = Place::filled();
    let compared = ["evaluate", "--split", "folds:3", "--dimension", "4", "--compare", "dimension=2,epochs=1"];
    let text = place.ok(&[&compared[..], &["--slices", "--report", "page.html"]].concat());
    for words in ["3 parts", "dimension=2,epochs=1", "against", "long tail", "new users", "diversity@10", "sign flips"]
    {
        assert!(text.contains(words), "{words} in {text}");
    }
    let page = std::fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("dimension=2,epochs=1") && page.contains("<svg") && page.contains("vector diversity@10"));
    let (code, message) = place.fails(&["evaluate", "--compare", "dimensions=2"]);
    assert!(code == 2 && message.contains("dimensions"), "{message}");
}

#[test]
fn snapshots_are_compared_when_there_are_later_events() {
    let place = Place::trained();
    place.ok(&["train", "--dimension", "2", "--activate", "never"]);
    let (code, message) = place.fails(&["snapshot", "compare", "1", "2"]);
    assert!(code == 1 && message.contains("wait for new events"), "{message}");
    let seen = |user: i64, film: i64| (film + user) % 6 != 0;
    let later = (0..20).map(|user| {
        let film = (0..12).find(|film| !seen(user, *film)).unwrap();
        format!(
            "{{\"user\":\"u{user}\",\"item\":\"f{film}\",\"type\":\"view\",\"time\":{}}}\n",
            1_800_000_000_000 + user
        )
    });
    place.file("later.jsonl", &later.collect::<String>());
    place.ok(&["import", "events", "later.jsonl"]);
    let comparison = place.json(&["snapshot", "compare", "1", "2", "--report", "page.html"]);
    assert_eq!(comparison["report"]["users"], 20, "{comparison}");
    assert_eq!(comparison["report"]["models"][2]["name"], "snapshot 2");
    assert!(place.path("page.html").exists());

    let server = Server::start(&place);
    let there = ["snapshot", "compare", "1", "2", "--url", &server.url];
    assert_eq!(place.json(&there), comparison, "a server says the same");
    place.ok(&[&there[..], &["--report", "other.html"]].concat());
    assert!(place.path("other.html").exists());
    let (code, message) = place.fails(&["snapshot", "compare", "1", "9", "--url", &server.url]);
    assert_eq!((code, message.trim()), (1, "savor: no snapshot \"9\""));
}

#[test]
fn snapshots_are_switched_and_travel() {
    let place = Place::trained();
    place.ok(&["train", "--dimension", "4", "--seed", "7", "--activate", "never"]);
    assert_eq!(place.json(&["stats"])["active_snapshot"], 1);
    place.ok(&["snapshot", "activate", "2"]);
    assert_eq!(place.json(&["snapshot", "rollback"])["active"], 1);
    place.ok(&["snapshot", "export", "2", "two.savor"]);
    let imported = place.json(&["snapshot", "import", "two.savor", "--activate", "--data", "elsewhere"]);
    assert_eq!(imported["state"], "active");
    let (code, message) = place.fails(&["snapshot", "activate", "99"]);
    assert_eq!((code, message.trim()), (1, "savor: no snapshot \"99\""));
}

#[test]
fn drift_says_what_is_missing_before_it_says_anything() {
    let place = Place::filled();
    let note = |place: &Place| place.json(&["drift"])["note"].as_str().unwrap().to_owned();
    assert!(note(&place).contains("savor train"));
    place.ok(&["train", "--activate", "always"]);
    assert!(note(&place).contains("monitor.min_events"));
    assert!(place.ok(&["drift"]).contains("events since"));
}
