//! JSON Lines, ours and Gorse's.

use super::*;

#[test]
fn the_records_of_the_rest_interface_are_read_as_they_are() {
    let event = r#"{"user":"u","item":"i","type":"buy","value":2.5,"time":"2026-11-24T08:30:00.000Z","id":"m1",
        "session":"s","dwell_ms":120,"context":{"device":"ios","tags":["a","b"],"app":{"version":3}},
        "recommendation_id":"r2","position":0}"#;
    let files = Files::new();
    let read = events(&files.source("a.jsonl", event.replace('\n', ""))).remove(0);
    let mut expected: Event = serde_json::from_str(&event.replace(r#","app":{"version":3}"#, "")).unwrap();
    expected.context.insert("app.version".into(), Value::Number(3.0));
    assert_eq!(read, expected);
    let item = r#"{"id":"i","categories":["a"],"attributes":{"title":"T","price":2,"empty":""},
        "time":"2026-11-24T08:30:00.000Z","hidden":true,"vectors":{"image":[0.5,1]}}"#;
    let expected: Item = serde_json::from_str(item).unwrap();
    assert_eq!(items(&files.source("b.jsonl", item.replace('\n', ""))), [expected]);
    let user = r#"{"id":"u","attributes":{"age":33}}"#;
    assert_eq!(users(&files.source("c.jsonl", user)), [serde_json::from_str(user).unwrap()]);
}

#[test]
fn names_may_differ_from_line_to_line() {
    let files = Files::new();
    let source = files.source("a.jsonl", "{\"user_id\":1,\"item\":\"a\"}\n{\"item_id\":7,\"user\":\"b\",\"x\":null}\n");
    let pairs: Vec<_> = events(&source).into_iter().map(|event| (event.user, event.item)).collect();
    assert_eq!(pairs, [("1".into(), "a".into()), ("b".into(), "7".into())]);
}

#[test]
fn bad_lines_are_rejected_one_by_one() {
    let files = Files::new();
    let deep = "[".repeat(100_000);
    let mut content = format!(
        "{{\"user\":\"u\",\"item\":\"i\"}}\nnonsense\n{{\"user\":\"u\"}}\n[1]\n{{\"user\":\"u\",\"user\":\"v\"}}\n\
         {{\"user\":true,\"item\":\"i\"}}\n{{\"user\":{deep}\n{{\"user\":\"u\",\"item\":\"i\"}} x\n"
    )
    .into_bytes();
    content.extend_from_slice(b"{\"user\":\"\xff\"}\n{\"user\":\"u\",\"item\":\"j\"}");
    let (records, rejected) = rows(&files.source("a.jsonl", content), Kind::Events);
    assert_eq!(records.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 10]);
    let told: Vec<(u64, &str)> = rejected.iter().map(|bad| (bad.line, bad.field.as_str())).collect();
    assert_eq!(
        told,
        [(2, "row"), (3, "item"), (4, "row"), (5, "row"), (6, "user"), (7, "row"), (8, "row"), (9, "row")]
    );
    assert!(rejected[2].reason.contains("JSON array"));
    assert!(rejected[3].reason.contains("\"user\" is there twice"), "{}", rejected[3].reason);
}

#[test]
fn a_line_of_endless_length_is_rejected_and_reading_goes_on() {
    let files = Files::new();
    let long = "x".repeat(MAX_ROW_BYTES + 1);
    let line = "{\"user\":\"u\",\"item\":\"i\"}";
    let (records, rejected) = rows(&files.source("a.jsonl", format!("{long}\n{line}\n")), Kind::Events);
    assert_eq!((records[0].0, rejected[0].line), (2, 1));
}

#[test]
fn exports_of_gorse_are_read_under_their_names() {
    let files = Files::new();
    let gorse = |name: &str, content: &str| Source { format: Some(Format::GorseJsonl), ..files.source(name, content) };
    let items = items(&gorse(
        "items.jsonl",
        "{\"ItemId\":\"1\",\"IsHidden\":false,\"Categories\":[\"x\"],\"Timestamp\":\"2020-01-01T01:01:01.000000001Z\",\
         \"Labels\":{\"genre\":[\"comedy\",\"sci-fi\"],\"studio\":{\"country\":\"JP\"}},\"Comment\":\"one\"}\n\
         {\"ItemId\":\"2\",\"IsHidden\":true,\"Categories\":null,\"Timestamp\":\"2020-01-01 01:01:01 +0000 UTC\",\
         \"Labels\":[\"a\",\"b\"],\"Comment\":\"\"}\n",
    ));
    assert_eq!(items[0].categories, ["x"]);
    assert_eq!(items[0].time, Some("2020-01-01T01:01:01Z".parse().unwrap()));
    assert_eq!(items[0].attributes["genre"], Value::List(vec![text("comedy"), text("sci-fi")]));
    assert_eq!(items[0].attributes["studio.country"], text("JP"));
    assert_eq!(items[0].attributes["comment"], text("one"));
    assert!(items[1].hidden);
    assert_eq!(items[1].time, items[0].time);
    assert_eq!(items[1].attributes.keys().collect::<Vec<_>>(), ["labels"]);
    let user = users(&gorse("users.jsonl", "{\"UserId\":\"1\",\"Labels\":{\"sex\":\"m\"},\"Comment\":\"\"}\n"));
    assert_eq!(user[0].attributes.keys().collect::<Vec<_>>(), ["sex"]);
    let events = events(&gorse(
        "feedback.jsonl",
        "{\"FeedbackType\":\"click\",\"UserId\":\"0\",\"ItemId\":\"2\",\"Value\":1,\"Timestamp\":\"0001-01-01T00:00:00Z\",\"Comment\":\"\"}\n",
    ));
    assert_eq!(events, [Event::new("0", "2", "click").with_value(1.0).at(at(0))]);
}
