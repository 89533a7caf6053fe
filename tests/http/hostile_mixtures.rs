//! Whatever is sent, the answer is one of HTTP's: never a fault of the server, never silence.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::server::Running;

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"];
const WORDS: &[&str] = &[
    "v1",
    "items",
    "users",
    "events",
    "recommendations",
    "recommendations:batch",
    "rank",
    "lists",
    "popular",
    "similar",
    "merge",
    "vectors",
    "search",
    "jobs",
    "snapshots",
    "snapshots:rollback",
    "7:activate",
    "experiments",
    "experiments:replay",
    "x",
    "x:start",
    "x:stop",
    "report",
    "exposures",
    "0",
    "18446744073709551616",
    "a%2Fb",
    "%00",
    "%FF",
    "%",
    "..",
    ".",
    "i1",
    "u1",
    "",
];
const QUERIES: &[&str] = &[
    "",
    "?",
    "?&&",
    "?limit=3",
    "?limit=0",
    "?limit=-1",
    "?limit=%33",
    "?limit",
    "?=x",
    "?cursor=%F0",
    "?category=c",
    "?explain=true",
    "?explain=TRUE",
    "?durability=async",
    "?limit=1&limit=2",
    "?%6Cimit=2",
    "?a=b",
];
const BODIES: &[&str] = &[
    r#"{"user":"u1","item":"i1","type":"view","value":1e999}"#,
    r#"[{"user":"u1","item":"i1","type":"view","time":"2026-01-01","context":{"a":[1,"x",true]}},{"user":null}]"#,
    r#"{"user":"u1","limit":10,"filter":{"must":[{"key":"a","range":{"gt":1}}],"should":[{"has_id":["i1"]}]},"explain":true}"#,
    r#"{"session":[{"item":"i1","value":-1}],"exclude_seen":{"types":["view"],"window":"30d"},"exclude_items":["i2"]}"#,
    r#"{"queries":[{"user":"u1"},{"limit":1000}]}"#,
    r#"{"id":"i1","categories":["c"],"attributes":{"a":1,"b":null},"vectors":{"s":[1,2.5]},"hidden":false}"#,
    r#"{"space":"s","vector":[1e38,-1e38],"limit":1}"#,
    r#"{"user":"u1","items":["i1","i1","zz"],"explain":true}"#,
    r#"{"variants":[{"name":"A"},{"name":"B","query":{"limit":3}}],"traffic":9999,"covariate":null}"#,
    r#"{"policy":{"name":"p","query":{"exclude_items":["i1"]},"snapshot":1},"limit":0}"#,
    "{}",
    "[]",
    "null",
    "\u{0}",
    "",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Pieces of right requests put together wrongly, thirty to a connection's life.
    #[test]
    fn no_request_is_a_fault_of_the_server(
        requests in vec((
            select(METHODS), vec(select(WORDS), 0..5), select(QUERIES), select(BODIES),
            any::<Option<(prop::sample::Index, u8)>>(), any::<bool>(),
        ), 30)
    ) {
        let server = Running::with_taste();
        for (method, words, query, body, change, json) in requests {
            let path = format!("/{}{query}", words.join("/"));
            let mut body = body.as_bytes().to_vec();
            if let (Some((place, byte)), false) = (change, body.is_empty()) {
                let place = place.index(body.len());
                body[place] = byte;
            }
            let media_type = if json { "application/json" } else { "application/x-ndjson" };
            let response = server.client().send(method, &path, &[("content-type", media_type)], &body);
            prop_assert!((200..500).contains(&response.status), "{method} {path}: {response:?}");
            if response.status >= 400 && method != "HEAD" {
                response.problem(response.status, response.value()["code"].as_str().unwrap_or_default());
            }
        }
    }
}
