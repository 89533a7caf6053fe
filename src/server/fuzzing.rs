//! What a fuzzer does to requests, before any engine is asked: paths, query strings and bodies.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::sync::LazyLock;

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::parse_query;
use super::problem::Problem;
use super::records::{self, Fault, Format};
use super::routes;
use super::table::{Found, Table};
use crate::engine::TrainOptions;
use crate::record::{Event, ExperimentDesign, Item, Query, Scenario, User};

/// `METHOD /path?query`: what is found is found again by its decoded parameters, encoded anew.
pub fn paths(bytes: &[u8]) {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(routes::all()));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((method, target)) = text.split_once(' ') else { return };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match TABLE.find(&method, path) {
        Found::Route(_, Err(problem)) => refused(&problem),
        Found::Route(route, Ok(parameters)) => {
            let mut again = route.path.to_owned();
            for (name, value) in &parameters {
                assert!(!value.is_empty());
                again = again.replace(&format!("{{{name}}}"), &encoded(value));
            }
            match TABLE.find(&method, &again) {
                Found::Route(same, Ok(found)) => assert_eq!((same.path, found), (route.path, parameters), "{again}"),
                _ => panic!("{again} is not found, {path} was"),
            }
            match parse_query(query, route.query) {
                Err(problem) => refused(&problem),
                Ok(pairs) => {
                    let again: Vec<String> =
                        pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
                    assert_eq!(parse_query(&again.join("&"), route.query).unwrap(), pairs);
                }
            }
        }
        Found::Options(allow) | Found::WrongMethod(allow) => assert!(allow.contains("OPTIONS")),
        Found::Nothing => {}
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn refused_whole(problem: &Problem) {
    assert!(problem.status().is_client_error());
    assert!(!problem.code.is_empty() && !problem.detail.is_empty());
}

fn refused(problem: &Problem) {
    refused_whole(problem);
    let is_named = problem.field.as_ref().is_some_and(|field| !field.is_empty());
    // Nor has a field whose name is empty.
    let is_nameless = problem.detail.contains("unknown field ``");
    assert!(is_named || is_nameless || problem.code != "invalid", "{problem:?}");
}

/// A body, its first byte the record it should be and how it is written.
pub fn bodies(bytes: &[u8]) {
    let Some((what, text)) = bytes.split_first() else { return };
    let format = if what & 0x80 == 0 { Format::Json } else { Format::Ndjson };
    match what & 0x7f {
        b'e' => body::<Event>(text, format),
        b'i' => body::<Item>(text, format),
        b'u' => body::<User>(text, format),
        b'q' => body::<Query>(text, format),
        b'c' => body::<Scenario>(text, format),
        b'x' => body::<ExperimentDesign>(text, format),
        _ => body::<TrainOptions>(text, format),
    }
}

/// One record alone, the same in an array, and the same on a line are the same.
fn body<T: Serialize + DeserializeOwned>(text: &[u8], format: Format) {
    let one = records::one::<T>(text).inspect_err(faulty).ok().map(|record| serde_json::to_string(&record).unwrap());
    let each = match records::each::<T>(text, format) {
        // What is no record at all has no field to name.
        Err(problem) if !text.trim_ascii_start().starts_with(b"{") => return refused_whole(&problem),
        Err(problem) => return refused(&problem),
        Ok(each) => each,
    };
    assert!(each.len() <= records::MAX_RECORDS);
    each.iter().filter_map(|record| record.as_ref().err()).for_each(faulty);
    if format == Format::Ndjson {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace));
        return assert_eq!(each.len(), lines.count());
    }
    if let (Some(one), [Ok(same)]) = (&one, &each[..]) {
        assert_eq!(serde_json::to_string(same).unwrap(), *one);
        let array = [b"[", text, b",0]"].concat();
        let listed = records::each::<T>(&array, Format::Json).unwrap();
        assert_eq!(listed.len(), 2);
        assert!(listed[1].is_err());
        // Read straight, and from values that were read before: a number that has no f64 is refused both ways.
        assert_eq!(serde_json::to_string(listed[0].as_ref().unwrap()).unwrap(), *one);
    }
}

fn faulty(fault: &Fault) {
    assert!(matches!(fault.code, "invalid" | "bad_json") && !fault.reason.is_empty(), "{fault:?}");
}

#[cfg(test)]
pub use seeds::{body_seeds, path_seeds};

#[cfg(test)]
mod seeds {
    /// Inputs to begin with.
    pub fn path_seeds() -> Vec<Vec<u8>> {
        [
            "GET /v1/users/u%2F1/recommendations?limit=5&scenario=home&category=a%26b+c&explain=true",
            "PUT /v1/users/a/merge/%C3%A9%20%25",
            "POST /v1/snapshots/7:activate",
            "POST /v1/snapshots:rollback",
            "POST /v1/recommendations/r%3A2/next?limit=3",
            "DELETE /v1/experiments/x%00..",
            "OPTIONS /v1/items/..%2F..",
            "GET /v1/lists/popular?%6Cimit=2",
            "PUT /v1/scenarios/home?expected_version=18446744073709551615",
            "GET /v1/items?cursor=%E6%97%A5&limit=1000",
            "POST /v1/events?durability=async",
            "GET /",
        ]
        .map(Vec::from)
        .into()
    }

    /// Inputs to begin with.
    pub fn body_seeds() -> Vec<Vec<u8>> {
        let tagged = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
        let event = r#"{"user":"u","item":"i","type":"view","value":-1.5,"context":{"a":[1,"x",true]}}"#;
        vec![
            tagged(b'e', event),
            tagged(b'e', &format!("[{event},{{\"user\":null}},5]")),
            tagged(b'e' | 0x80, &format!("{event}\r\n\n{{\"user\":\n")),
            tagged(b'i', r#"{"id":"i","categories":["c"],"attributes":{"n":1e308},"vectors":{"s":[1e39,-0.0]}}"#),
            tagged(b'u' | 0x80, "{\"id\":\"u\"}\n"),
            tagged(
                b'q',
                r#"{"user":"u","filter":{"must":[{"key":"a","range":{"gt":1}}]},"exclude_seen":{"window":"1d"}}"#,
            ),
            tagged(b'c', r#"{"rules":[{"rule":"bury","filter":{}}],"sources":[{"source":{"list":"x"}}]}"#),
            tagged(b'x', r#"{"variants":[{"name":"A"},{"name":"B","query":{"limit":3}}]}"#),
            tagged(b't', r#"{"train":{"dimension":8},"activate":"always"}"#),
            tagged(b'e', "\u{feff}{}"),
            tagged(b'e', r#"{"user":"\ud800","item":"\u0000","type":"t"}"#),
        ]
    }
}
