//! What a refusal tells by being another one than the next: nothing of which keys there are, nothing of what is hidden.

use savor::{Item, KeyDesign, Scope};

use crate::client::Response;
use crate::server::Running;

/// All of an answer that may not depend on what it is about, which stands in its place.
fn told(response: &Response, about: &str) -> String {
    let headers = response.headers.iter().filter(|(name, _)| name != "date" && name != "content-length");
    format!("{} {:?} {}", response.status, headers.collect::<Vec<_>>(), response.text().replace(about, "ID"))
}

#[test]
fn however_often_one_guesses_no_answer_tells_whether_there_is_such_a_key() {
    let server = Running::start();
    let made = server.engine.create_key(&KeyDesign::new("ops", [Scope::Operate])).unwrap();
    let revoked = server.engine.create_key(&KeyDesign::new("old", [Scope::Operate])).unwrap();
    server.engine.revoke_key(&revoked.key.id).unwrap();
    let secret = "a".repeat(52);
    let mut client = server.client();
    let mut guesses = |kind: &str, id: &str| {
        let mut guess = |n| {
            let tail: String = format!("{n:06b}").chars().map(|bit| if bit == '0' { 'a' } else { 'b' }).collect();
            let token = format!("{kind}_{id}_{}{tail}", &secret[tail.len()..]);
            told(&client.keyed(&token, "GET", "/v1/stats", ""), id)
        };
        // As fast as they come: within the second in which one more would be told that it is wrong.
        let answers: Vec<String> = (0..40).map(&mut guess).collect();
        let wrong = answers.iter().filter(|answer| answer.starts_with("401 ")).count();
        let throttled = answers.iter().filter(|answer| answer.starts_with("429 ")).count();
        assert!((10..=15).contains(&wrong) && wrong + throttled == 40, "{wrong} {throttled}");
        let kinds: std::collections::BTreeSet<String> = answers.into_iter().collect();
        kinds
    };
    let unknown = guesses("sk", "zzzzzzzzzzzz");
    assert_eq!(unknown.len(), 2, "{unknown:?}");
    for (kind, id) in [("sk", &*made.key.id), ("pk", "yyyyyyyyyyyy"), ("sk", &revoked.key.id), ("pk", "xxxxxxxxxxxx")] {
        assert_eq!(guesses(kind, id), unknown, "{kind} {id}");
    }
    // Whose key it is is let in all the same.
    client.keyed(made.token.reveal(), "GET", "/v1/stats", "").expect(200);
}

#[test]
fn a_publishable_key_is_not_told_which_scenarios_there_are() {
    let server = Running::with_taste();
    let made = server.engine.create_key(&KeyDesign::new("web", [Scope::Read]).publishable()).unwrap();
    let secret = server.engine.create_key(&KeyDesign::new("shop", [Scope::Read])).unwrap();
    server.engine.put_scenario("black-friday", savor::Scenario::default(), None).unwrap();
    let mut client = server.client();
    let mut ask = |token: &savor::Token, scenario: &str| {
        let path = format!("/v1/users/u1/recommendations?scenario={scenario}");
        client.keyed(token.reveal(), "GET", &path, "")
    };
    ask(&made.token, "black-friday").expect(200);
    let refused = ask(&made.token, "hom");
    assert_eq!(refused.problem(400, "invalid"), "scenario");
    assert!(!refused.text().contains("black"), "{}", refused.text());
    assert!(ask(&secret.token, "hom").text().contains("there: black-friday"));
}

#[test]
fn to_a_publishable_key_a_hidden_item_is_one_that_was_never_there() {
    let server = Running::trained();
    let made = server.engine.create_key(&KeyDesign::new("web", [Scope::Read]).publishable()).unwrap();
    let secret = server.engine.create_key(&KeyDesign::new("shop", [Scope::Read])).unwrap();
    server.engine.put_items(&[Item { hidden: true, ..Item::new("i3") }]).unwrap();
    assert!(server.engine.delete_item("i5").unwrap());
    let (web, shop) = (made.token.reveal(), secret.token.reveal());
    let mut client = server.client();
    for by in ["", "?by=next", "?limit=3", "?category=odd"] {
        let mut similar =
            |token: &str, id: &str| told(&client.keyed(token, "GET", &format!("/v1/items/{id}/similar{by}"), ""), id);
        let never = similar(web, "never");
        assert!(never.starts_with("404 "), "{never}");
        assert_eq!(similar(web, "i3"), never, "hidden");
        assert_eq!(similar(web, "i5"), never, "deleted");
        assert!(similar(web, "i2").starts_with("200 "));
        // A shop asks so for what is sold out.
        assert!(similar(shop, "i3").starts_with("200 "));
        assert_eq!(similar(shop, "i5"), similar(shop, "never"));
    }
    // Among one's own candidates it stands where an unknown one would.
    let body = |hidden: &str| format!(r#"{{"user":"u3","items":["no-1","{hidden}","i2","no-2","i7"]}}"#);
    let mut rank = |token: &str, hidden: &str| {
        let answer = client.keyed(token, "POST", "/v1/rank", &body(hidden)).expect(200);
        let of = |item: &serde_json::Value| {
            format!("{} {} {}", item["item"], item["score"], item["source"]).replace(hidden, "ID")
        };
        let items: Vec<String> = answer["items"].as_array().unwrap().iter().map(of).collect();
        (items, answer["degraded"].clone())
    };
    assert_eq!(rank(web, "i3"), rank(web, "never"));
    assert_ne!(rank(shop, "i3"), rank(shop, "never"));
}
