//! Bodies that are no JSON, or JSON that no record is: each is a problem of the client's that says where, and the connection
//! goes on.

use crate::client::{Client, Response};
use crate::server::Running;

/// A 4xx problem with a code; gives the code and the field. The next question is answered on the same connection.
#[track_caller]
fn refused(client: &mut Client, path: &str, body: &[u8]) -> (u16, String, String) {
    let response = client.send("POST", path, &[("content-type", "application/json")], body);
    let told = client_fault(&response);
    assert_eq!(client.get("/healthz").status, 200);
    told
}

#[track_caller]
fn client_fault(response: &Response) -> (u16, String, String) {
    assert!((400..500).contains(&response.status), "{} {}", response.status, response.text());
    let code = response.value()["code"].as_str().unwrap_or_default().to_owned();
    assert!(!code.is_empty(), "{}", response.text());
    let field = response.problem(response.status, &code);
    (response.status, code, field)
}

#[track_caller]
fn code_of(client: &mut Client, path: &str, body: impl AsRef<[u8]>) -> String {
    let (status, code, _) = refused(client, path, body.as_ref());
    assert_eq!(status, 400);
    code
}

fn event(field: &str) -> String {
    format!(r#"{{"user":"u","item":"i","type":"view",{field}}}"#)
}

#[test]
fn depth_is_bounded_wherever_it_is() {
    let server = Running::with_taste();
    let client = &mut server.client();
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    for body in [open.clone(), format!("{open}{close}"), r#"{"a":"#.repeat(100_000)] {
        let code = code_of(client, "/v1/events", body);
        assert!(["bad_json", "invalid"].contains(&code.as_str()), "{code}");
    }
    code_of(client, "/v1/events", event(&format!(r#""context":{{"a":{open}{close}}}"#)));
    code_of(client, "/v1/items", format!(r#"{{"id":"i","attributes":{{"a":{open}{close}}}}}"#));
    for depth in [9, 60, 200, 50_000] {
        let filter = format!("{}{{}}{}", r#"{"must":["#.repeat(depth), "]}".repeat(depth));
        let (status, code, field) =
            refused(client, "/v1/recommendations", format!(r#"{{"filter":{filter}}}"#).as_bytes());
        assert_eq!(status, 400);
        assert!(code == "bad_json" || field.starts_with("filter"), "{depth}: {code} {field}");
    }
    let (_, _, field) = refused(client, "/v1/items", br#"{"id":"i","attributes":{"a":[["x"]]}}"#);
    assert_eq!(field, "items[0].attributes.a");
}

#[test]
fn numbers_that_are_none_are_refused_and_the_odd_ones_are_kept() {
    let server = Running::start();
    let client = &mut server.client();
    for word in ["NaN", "Infinity", "-Infinity", "nan", "+1", "01", ".5", "1.", "0x10", "1_000", "1e", "--1", "１"] {
        assert_eq!(code_of(client, "/v1/events", event(&format!(r#""value":{word}"#))), "bad_json", "{word}");
    }
    for (field, named) in [
        (r#""value":1e999"#, ""),
        (r#""value":-1e999"#, ""),
        (r#""value":"1""#, "value"),
        (r#""value":true"#, "value"),
        (r#""dwell_ms":-1"#, "dwell_ms"),
        (r#""dwell_ms":1.5"#, "dwell_ms"),
        (r#""dwell_ms":1e3"#, "dwell_ms"),
        (r#""dwell_ms":18446744073709551616"#, "dwell_ms"),
        (r#""dwell_ms":604800001"#, "dwell_ms"),
        (r#""position":4294967296"#, "position"),
        (r#""position":-0.0"#, "position"),
        (r#""time":9223372036854775807"#, "time"),
        (r#""time":9223372036854775808"#, "time"),
        (r#""time":-62135596800001"#, "time"),
        (r#""time":1e15"#, "time"),
        (r#""time":"10000-01-01""#, "time"),
        (r#""time":"2026-02-30T00:00:00Z""#, "time"),
    ] {
        let (status, _, found) = refused(client, "/v1/events", event(field).as_bytes());
        assert_eq!((status, found.as_str()), (400, named), "{field}");
    }
    for value in [
        "-0",
        "0e0",
        "9223372036854775808",
        "18446744073709551615",
        "1e308",
        "5e-324",
        "123456789012345678901234567890",
    ] {
        client.json("POST", "/v1/events", &event(&format!(r#""value":{value},"id":"{value}""#))).expect(200);
    }
    let (_, _, field) = refused(client, "/v1/items", br#"{"id":"i","vectors":{"s":[0.5,1e39]}}"#);
    assert!(field.is_empty() || field.starts_with("items[0].vectors.s"), "{field}");
    for limit in ["0", "-1", "1001", "1e1", "1.0", "18446744073709551616", "\"5\"", "null"] {
        let (status, _, field) = refused(client, "/v1/recommendations", format!(r#"{{"limit":{limit}}}"#).as_bytes());
        assert_eq!((status, field.as_str()), (400, "limit"), "{limit}");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let server = Running::start();
    let client = &mut server.client();
    let bodies: [&[u8]; 12] = [
        b"\xff",
        b"{\"user\":\"\xff\",\"item\":\"i\",\"type\":\"t\"}",
        b"{\"user\":\"\xc0\xaf\",\"item\":\"i\",\"type\":\"t\"}",
        b"{\"user\":\"\xed\xa0\x80\",\"item\":\"i\",\"type\":\"t\"}",
        b"{\"user\":\"\xf4\x90\x80\x80\",\"item\":\"i\",\"type\":\"t\"}",
        b"{\"user\":\"\xe6\x97\",\"item\":\"i\",\"type\":\"t\"}",
        br#"{"user":"\ud800","item":"i","type":"t"}"#,
        br#"{"user":"\udc00\ud800","item":"i","type":"t"}"#,
        br#"{"user":"\u12","item":"i","type":"t"}"#,
        b"{\"user\":\"a\nb\",\"item\":\"i\",\"type\":\"t\"}",
        b"{\"user\":\"\0\",\"item\":\"i\",\"type\":\"t\"}",
        b"\xef\xbb\xbf{}",
    ];
    for body in bodies {
        assert_eq!(code_of(client, "/v1/events", body), "bad_json", "{body:?}");
    }
    let text = event(r#""value":1"#);
    for (mark, bytes) in [
        ([0xff, 0xfe], text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
        ([0xfe, 0xff], text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ] {
        assert_eq!(code_of(client, "/v1/events", [&mark[..], &bytes].concat()), "bad_json");
        assert_eq!(code_of(client, "/v1/events", bytes), "bad_json");
    }
}

#[test]
fn an_id_has_a_length_and_may_otherwise_be_anything() {
    let server = Running::with_taste();
    let client = &mut server.client();
    let long = "x".repeat(1 << 20);
    let of = |user: &str, item: &str, kind: &str| format!(r#"{{"user":"{user}","item":"{item}","type":"{kind}"}}"#);
    for (body, field) in [
        (of("", "i", "t"), "user"),
        (of("u", "", "t"), "item"),
        (of("u", "i", ""), "type"),
        (of(&long, "i", "t"), "user"),
        (of("u", &long, "t"), "item"),
        (of("u", "i", &long), "type"),
        (event(r#""id":"""#), "id"),
        (event(&format!(r#""session":"{long}""#)), "session"),
        (event(&format!(r#""context":{{"{long}":1}}"#)), "context"),
        (event(&format!(r#""context":{{"a":"{long}"}}"#)), "context.a"),
        (event(r#""context":{"":1}"#), "context"),
    ] {
        let (status, _, found) = refused(client, "/v1/events", body.as_bytes());
        assert_eq!((status, found.as_str()), (400, field));
    }
    for (path, body, field) in [
        ("/v1/recommendations", format!(r#"{{"user":"{long}"}}"#), "user"),
        ("/v1/recommendations", r#"{"user":""}"#.to_owned(), "user"),
        ("/v1/recommendations", r#"{"session":[{"item":""}]}"#.to_owned(), "session[0].item"),
        ("/v1/recommendations", r#"{"scenario":"../x"}"#.to_owned(), "scenario"),
        ("/v1/rank", format!(r#"{{"user":"{long}","items":["i1"]}}"#), "user"),
        ("/v1/vectors/search", r#"{"space":"","vector":[1]}"#.to_owned(), "space"),
    ] {
        let (status, _, found) = refused(client, path, body.as_bytes());
        assert_eq!((status, found.as_str()), (400, field), "{path}");
    }
    // What is text is kept as it is.
    for id in ["\\u0000", "\\u001b[2J", "\\u202e", "../../etc/passwd", "a\\u0000b", "'; drop", "{{7*7}}", "<b>", "%2F"]
    {
        client.json("POST", "/v1/items", &format!(r#"{{"id":"{id}"}}"#)).expect(200);
    }
    assert_eq!(server.engine.item("a\0b").unwrap().unwrap().id, "a\0b");
}

#[test]
fn a_field_is_given_once() {
    let server = Running::start();
    let client = &mut server.client();
    let (_, code, field) = refused(client, "/v1/events", br#"{"user":"u","user":"v","item":"i","type":"t"}"#);
    assert_eq!((code.as_str(), field.as_str()), ("invalid", "user"));
    refused(client, "/v1/recommendations", br#"{"limit":1,"limit":2}"#);
    refused(client, "/v1/recommendations", br#"{"filter":{"must":[],"must":[]}}"#);
    refused(client, "/v1/recommendations", br#"{"filter":{"must":[{"key":"a","key":"b","match":{"value":1}}]}}"#);
    let (_, _, field) = refused(client, "/v1/recommendations", br#"{"__proto__":{"limit":1}}"#);
    assert_eq!(field, "__proto__");
}

#[test]
fn what_a_record_may_hold_is_counted() {
    let server = Running::start();
    let client = &mut server.client();
    let many = |count: usize| (0..count).map(|n| format!(r#""a{n}":1"#)).collect::<Vec<_>>().join(",");
    let (_, _, field) =
        refused(client, "/v1/items", format!(r#"{{"id":"i","attributes":{{{}}}}}"#, many(100_000)).as_bytes());
    assert_eq!(field, "items[0].attributes");
    let numbers = "1,".repeat(500_000) + "1";
    for (body, named) in [
        (format!(r#"{{"id":"i","attributes":{{"a":[{numbers}]}}}}"#), "items[0].attributes.a"),
        (format!(r#"{{"id":"i","vectors":{{"s":[{numbers}]}}}}"#), "items[0].vectors.s"),
        (format!(r#"{{"id":"i","categories":[{}"c"]}}"#, r#""c","#.repeat(1000)), "items[0].categories"),
    ] {
        let (_, _, field) = refused(client, "/v1/items", body.as_bytes());
        assert_eq!(field, named);
    }
    let (_, _, field) = refused(
        client,
        "/v1/recommendations",
        format!(r#"{{"exclude_items":[{}"i"]}}"#, r#""i","#.repeat(20_000)).as_bytes(),
    );
    assert_eq!(field, "exclude_items");
    let conditions = r#"{"key":"a","match":{"value":1}},"#.repeat(10_000);
    let (_, _, field) =
        refused(client, "/v1/recommendations", format!(r#"{{"filter":{{"must":[{conditions}{{}}]}}}}"#).as_bytes());
    assert_eq!(field, "filter");
    let (status, code, _) = refused(client, "/v1/events", format!("[{}0]", "0,".repeat(150_000)).as_bytes());
    assert_eq!((status, code.as_str()), (413, "too_many_records"));
}
