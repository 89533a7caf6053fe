//! Requests that bend HTTP itself. What hyper refuses on its own, it refuses with an empty answer and closes; whatever
//! happens to one connection, the server answers on the next.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::server::Running;

/// A server that does not wait long for what does not come.
fn server() -> Running {
    Running::start_with(|config| config.read_timeout = "500ms".parse().unwrap())
}

/// Everything that comes back on a connection of its own until the server closes it.
fn exchange(server: &Running, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    // The server may answer and close before all is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(server.client().get("/healthz").status, 200, "the server answers the next");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of the answers in what came back.
fn statuses(answer: &str) -> Vec<u16> {
    let status = |line: &str| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok();
    // An answer may begin right behind the body of the one before.
    answer.split("\r\n").flat_map(|line| line.find("HTTP/1.1 ").and_then(|at| status(&line[at..]))).collect()
}

const EVENT: &str = r#"{"user":"u","item":"i","type":"view"}"#;

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}\r\n{body}").into_bytes()
}

#[test]
fn what_is_not_http_is_refused() {
    let server = server();
    for request in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET\t/healthz\tHTTP/1.1\r\n\r\n",
        b"G\0T /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /health\0z HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\na\0b: c\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n: c\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\na: b\r\n folded\r\n\r\n",
    ] {
        let answer = exchange(&server, request);
        assert!(statuses(&answer).iter().all(|status| (400..500).contains(status)), "{request:?}: {answer}");
    }
}

#[test]
fn heads_are_bounded() {
    let server = server();
    for (name, head) in [
        ("many", (0..5000).map(|n| format!("h{n}: v\r\n")).collect::<String>()),
        ("long value", format!("h: {}\r\n", "v".repeat(2 << 20))),
        ("long name", format!("{}: v\r\n", "h".repeat(70_000))),
    ] {
        let answer = exchange(&server, format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{head}\r\n").as_bytes());
        assert!(matches!(statuses(&answer)[..], [431 | 400] | []), "{name}: {answer:.200}");
    }
    for length in [70_000, 2 << 20] {
        let answer =
            exchange(&server, format!("GET /v1/items/{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(length)).as_bytes());
        assert!(matches!(statuses(&answer)[..], [414 | 431] | []), "{answer:.200}");
    }
    let query = format!("/v1/items?cursor={}", "%41".repeat(10_000));
    assert!(matches!(server.client().get(&query).status, 200 | 400));
}

#[test]
fn a_body_has_one_length() {
    let server = server();
    let length = EVENT.len();
    for headers in [
        format!("content-length: {length}\r\ncontent-length: {}\r\n", length + 1),
        format!("content-length: {length}, {}\r\n", length + 1),
        "content-length: -1\r\n".into(),
        "content-length: +37\r\n".into(),
        "content-length: 0x25\r\n".into(),
        "content-length: 99999999999999999999999999\r\n".into(),
        "transfer-encoding: identity\r\n".into(),
        "transfer-encoding: gzip\r\n".into(),
        "transfer-encoding: chunked, gzip\r\n".into(),
        "transfer-encoding: xchunked\r\n".into(),
    ] {
        let answer = exchange(&server, &post(&headers, EVENT));
        assert!(matches!(statuses(&answer)[..], [400..=499]), "{headers}: {answer}");
    }
    assert_eq!(server.engine.stats().unwrap().events, 0, "nothing of it counts");
}

/// Both headers: the length is not believed, so that what a proxy takes for the body and what is read here cannot differ
/// without one of the two being refused.
#[test]
fn a_length_beside_chunks_smuggles_nothing() {
    let server = server();
    let chunks = format!("{:x}\r\n{EVENT}\r\n0\r\n\r\n", EVENT.len());
    for headers in
        ["content-length: 5\r\ntransfer-encoding: chunked\r\n", "transfer-encoding: chunked\r\ncontent-length: 5\r\n"]
    {
        let answer = exchange(&server, &post(headers, &chunks));
        assert!(matches!(statuses(&answer)[..], [200 | 400..=499]), "{answer}");
    }
    assert!(server.engine.stats().unwrap().events <= 2, "one for each request at most");
    for chunks in
        ["zz\r\nx\r\n0\r\n\r\n", "ffffffffffffffffff\r\nx\r\n", "-1\r\n", "5\r\nabc", "5;a=b\r\nabcdefgh\r\n0\r\n\r\n"]
    {
        let answer = exchange(&server, &post("transfer-encoding: chunked\r\n", chunks));
        assert!(statuses(&answer).iter().all(|status| (400..500).contains(status)), "{chunks}: {answer}");
    }
}

#[test]
fn headers_that_are_given_twice_do_not_open_what_is_closed() {
    let server = server();
    let length = EVENT.len();
    for (headers, expected) in [
        (format!("content-type: text/plain\r\ncontent-length: {length}\r\n"), 415..416),
        (format!("content-encoding: gzip\r\ncontent-encoding: identity\r\ncontent-length: {length}\r\n"), 415..416),
        (format!("content-encoding: identity\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n"), 415..416),
        (format!("content-encoding: identity, br\r\ncontent-length: {length}\r\n"), 415..416),
        (format!("host: y\r\nhost: z\r\ncontent-length: {length}\r\n"), 200..500),
        (format!("expect: 100-continue\r\nexpect: x\r\ncontent-length: {length}\r\n"), 100..500),
    ] {
        let answer = exchange(&server, &post(&headers, EVENT));
        assert!(statuses(&answer).iter().all(|status| expected.contains(status)), "{headers}: {answer}");
    }
}

/// What is packed is refused before it is unpacked, whatever it would become.
#[test]
fn packed_bodies_are_refused() {
    let server = server();
    let bomb = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &[0; 500]].concat();
    let mut client = server.client();
    for encoding in ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "GZIP", "gzip, gzip", "identity;q=0, gzip"]
    {
        let headers = [("content-type", "application/json"), ("content-encoding", encoding)];
        client.send("POST", "/v1/events", &headers, &bomb).problem(415, "unsupported_media_type");
        assert_eq!(client.get("/healthz").status, 200);
    }
    client.send("POST", "/v1/events", &[("content-type", "application/json")], &bomb).problem(400, "bad_json");
}

#[test]
fn a_path_leads_nowhere_but_to_its_route() {
    let server = Running::with_taste();
    let mut client = server.client();
    let secret = server.directory().join("data").join("LOCK");
    assert!(secret.is_file());
    for path in [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/v1/../healthz",
        "/v1/./stats",
        "//v1/stats",
        "/v1//stats",
        "/%76%31/stats",
        "/v1/stats%00",
        "/v1/stats/",
        "/v1/items/..",
        "/v1/items/%2e%2e",
        "/v1/items/..%2F..%2Fdata%2FLOCK",
        "/v1/items/%2e%2e%2fLOCK/similar",
        "/v1/items/%00",
        "/v1/scenarios/..%2Fdata",
        "/v1/scenarios/%00/versions",
        "/v1/experiments/..%5C..%5Cx/report",
        "/v1/snapshots/..%2F1",
        "/v1/jobs/%00",
        "/v1/lists/..%2Fpopular",
        "/v1/users/%FF%FE/events",
        "/v1/users/%ED%A0%80/events",
        "/v1/users/%C0%AE/events",
        "/v1/users/%/events",
    ] {
        let response = client.get(path);
        assert!(matches!(response.status, 400 | 404), "{path}: {}", response.text());
        response.problem(response.status, response.value()["code"].as_str().unwrap_or_default());
        assert!(!response.text().contains("root:"));
    }
    for name in ["..", "../x", "/etc/x", "a/b", "%2e%2e", "x\\u0000y", ".x", "", "a\\\\b"] {
        let body = format!(r#"{{"name":"{name}"}}"#);
        assert_eq!(client.json("POST", "/v1/backups", &body).problem(400, "invalid"), "name", "{name}");
    }
    let beside: Vec<_> =
        std::fs::read_dir(server.directory()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside, ["data"], "nothing was written anywhere else");
}
