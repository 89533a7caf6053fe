//! What a fuzzer does to documents of every kind: the bodies of requests, the records that are kept as JSON, and the files
//! that people write in TOML. The first byte of an input says what the rest is.

#![allow(clippy::unwrap_used)]

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Job, ReplayOptions, TrainOptions, TuneOptions, TunedTrial};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::features::Portrait;
use crate::ingest::Mapping;
use crate::record::{
    Event, Experiment, ExperimentDesign, Exposure, Filter, Item, ItemPatch, ListQuery, Query, RankQuery, Scenario,
    ScenarioVersion, SimilarQuery, Span, Timestamp, User, UserPatch, VectorQuery,
};
use crate::snapshot::Manifest;

/// A document in JSON that is valid is written and read as the same; one that is not names a field.
pub fn documents(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    match kind {
        b'q' => json(text, Query::validate),
        b'r' => json(text, RankQuery::validate),
        b's' => json(text, SimilarQuery::validate),
        b'v' => json(text, VectorQuery::validate),
        b'l' => json(text, ListQuery::validate),
        b'c' => json(text, Scenario::validate),
        b'C' => json(text, |version: &ScenarioVersion| version.scenario.as_ref().map_or(Ok(()), Scenario::validate)),
        b'x' => json(text, ExperimentDesign::validate),
        b'X' => json(text, |experiment: &Experiment| experiment.design.validate()),
        b'i' => json(text, Item::validate),
        b'I' => json(text, |patch: &ItemPatch| patch.clone().apply(Item::new("i")).validate()),
        b'u' => json(text, User::validate),
        b'U' => json(text, |patch: &UserPatch| patch.clone().apply(User::new("u")).validate()),
        b'e' => json(text, Event::validate),
        b'E' => json(text, finite::<Exposure>),
        b'm' => json(text, |manifest: &Manifest| manifest.train.validate().and_then(|()| finite(manifest))),
        b'j' => json(text, finite::<Job>),
        b'J' => json(text, finite::<TunedTrial>),
        b'P' => json(text, finite::<Portrait>),
        b't' => json(text, |options: &TrainOptions| options.train.as_ref().map_or(Ok(()), |train| train.validate())),
        b'T' => json(text, finite::<TuneOptions>),
        b'p' => json(text, finite::<ReplayOptions>),
        b'f' => json(text, Filter::validate),
        _ => words(text),
    }
}

fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &[u8], validate: impl Fn(&T) -> Result<()>) {
    let Ok(read) = serde_json::from_slice::<T>(text) else { return };
    match validate(&read) {
        Ok(()) => {
            let written = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<T>(&written).unwrap(), read, "{written}");
        }
        Err(Error::Invalid { field, reason }) => assert!(!field.is_empty() && !reason.is_empty(), "{field}: {reason}"),
        Err(other) => assert!(!other.to_string().is_empty()),
    }
}

/// Records that only Savor writes have no validation of their own; what it writes has no number that JSON cannot say.
fn finite<T: Serialize + Debug>(record: &T) -> Result<()> {
    let shown = format!("{record:?}");
    let odd = ["inf", "NaN"].iter().any(|word| shown.contains(word));
    if odd { Err(Error::invalid("number", "is not finite")) } else { Ok(()) }
}

/// Times and spans are written as they are read.
fn words(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        assert!((Timestamp::MIN..=Timestamp::MAX).contains(&time));
    }
    if let Ok(span) = text.parse::<Span>() {
        assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        assert!(Timestamp::now().before(span) >= Timestamp::MIN);
    }
}

/// A configuration, a mapping or a scenario in TOML that is valid is written and read as the same; one that is not names
/// a field.
pub fn settings(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind {
        b'c' => toml(text, Config::from_toml),
        b'm' => toml(text, Mapping::from_toml),
        _ => toml(text, Scenario::from_toml),
    }
}

fn toml<T: Serialize + PartialEq + Debug>(text: &str, read: impl Fn(&str) -> Result<T>) {
    match read(text) {
        Ok(settings) => {
            let written = ::toml::to_string(&settings).unwrap();
            assert_eq!(read(&written).unwrap(), settings, "{written}");
        }
        Err(Error::Invalid { field, reason }) => assert!(!field.is_empty() && !reason.is_empty(), "{field}: {reason}"),
        Err(other) => assert!(!other.to_string().is_empty()),
    }
}

#[cfg(test)]
pub use seeds::{document_seeds, setting_seeds};

#[cfg(test)]
mod seeds {
    use super::*;

    const FILTER: &str =
        r#"{"must":[{"key":"a","range":{"gt":1}}],"should":[{"has_id":["i1"]}],"must_not":[{"is_empty":{"key":"b"}}]}"#;

    fn tagged(kind: u8, text: impl AsRef<str>) -> Vec<u8> {
        [&[kind], text.as_ref().as_bytes()].concat()
    }

    /// Inputs to begin with.
    pub fn document_seeds() -> Vec<Vec<u8>> {
        let experiment = r#"{"about":"a","variants":[{"name":"A","weight":2},{"name":"B","query":{"limit":3},"scenario":"s"}],
            "traffic":500,"ramp":[{"until":"1d","traffic":100}],"metrics":[{"kind":"revenue","types":["buy"]}],
            "guardrails":[{"metric":{"kind":"dwell"},"tolerance":0.1}],"covariate":null,"stop":{"after":"2w"}}"#;
        let scenario = r#"{"sources":[{"source":"personal","share":0.8},{"source":{"list":"l"}}],"fallback":["popular"],
            "lists":{"l":{"items":["i1"],"start":"2026-01-01"}},"exclude_seen":{"types":["buy"],"window":"30d"},
            "rules":[{"rule":"boost","factor":2,"filter":{}},{"rule":"max_per","key":"brand","limit":1},
            {"rule":"no_repeat","within":"7d"},{"rule":"pin","item":"i","position":0},{"rule":"slot","list":"l","positions":[1]}]}"#;
        let manifest = r#"{"id":1,"state":"active","created":5,"activated":null,"origin":"local","users":1,"items":1,"pairs":1,
            "events":1,"log_changes":1,"newest_event":null,"train":{"dimension":8},"loss":1.5,"index":null,"seconds":0.5,
            "metrics":[{"name":"ndcg@10","mean":0.1,"low":0.0,"high":0.2,"popularity":0.05}],"note":null}"#;
        vec![
            tagged(
                b'q',
                format!(
                    r#"{{"user":"u","session":[{{"item":"i"}}],"limit":5,"category":"c","filter":{FILTER},"exclude_seen":{{"types":["view"],"window":"30d"}},"diversity":{{"mmr":0.3,"max_per":{{"key":"b","limit":2}}}},"boost":[{{"filter":{{}},"factor":1.5}}],"pin":[{{"item":"i","position":3}}],"explain":true}}"#
                ),
            ),
            tagged(b'q', r#"{"exclude_seen":false}"#),
            tagged(
                b'r',
                r#"{"user":"u","items":["a","b"],"session":[{"item":"i","type":"buy","value":1.5}],"explain":true}"#,
            ),
            tagged(b's', r#"{"id":"i","by":"next","limit":1000}"#),
            tagged(b'v', r#"{"space":"s","vector":[1,-2.5,1e38],"explain":true}"#),
            tagged(b'l', r#"{"list":"latest","filter":{}}"#),
            tagged(b'c', scenario),
            tagged(
                b'C',
                format!(r#"{{"name":"home","version":3,"created":"2026-01-01T00:00:00Z","scenario":{scenario}}}"#),
            ),
            tagged(b'x', experiment),
            tagged(
                b'X',
                format!(
                    r#"{{"id":"e","version":1,"state":"running","design":{experiment},"created":1,"started":2,"slots":[{{"from":0,"to":500}}]}}"#
                ),
            ),
            tagged(
                b'i',
                r#"{"id":"i","categories":["c"],"attributes":{"a":[1,"x",true],"b":null},"time":5,"hidden":true,"vectors":{"s":[1,2]}}"#,
            ),
            tagged(
                b'i',
                r#"{"id":"i","categories":["c"],"attributes":{"a":[1,"x",true]},"time":"2026-01-01","vectors":{"s":[1,2]}}"#,
            ),
            tagged(b'I', r#"{"categories":[],"attributes":{"a":null,"b":2},"hidden":false,"vectors":{"s":null}}"#),
            tagged(b'u', r#"{"id":"u","attributes":{"age":40}}"#),
            tagged(b'U', r#"{"attributes":{"age":null,"tags":["a"]}}"#),
            tagged(
                b'e',
                r#"{"user":"u","item":"i","type":"view","value":-0.5,"time":"2026-01-01T00:00:00+01:00","id":"x","session":"s","dwell_ms":10,"context":{"a":"b"},"recommendation_id":"r","position":0}"#,
            ),
            tagged(b'm', manifest),
            tagged(
                b't',
                r#"{"train":{"model":"blend","dimension":16,"blend":{"ials":1.0}},"measure":false,"ranker":false}"#,
            ),
            tagged(b'p', r#"{"policy":{"name":"p","query":{"limit":3},"snapshot":1}}"#),
            tagged(b'f', FILTER),
            tagged(b'w', "2026-11-24T08:30:00.123456789+05:30"),
            tagged(b'w', "30d"),
        ]
    }

    /// Inputs to begin with.
    pub fn setting_seeds() -> Vec<Vec<u8>> {
        let config = ::toml::to_string(&Config::default()).unwrap();
        let mapping = "delimiter = \";\"\nnull = [\"-\"]\n[events]\nuser = \"u\"\ntype = { constant = \"buy\" }\ntime_unit = \"s\"\n\
            [items]\ncategories = { column = \"g\", separator = \"|\" }\nattributes = { y = { column = \"r\", type = \"number\" } }\n\
            vectors = { image = \"e\" }\nrest = \"ignore\"\n[users]\ncolumns = [\"id\", \"age\"]\n";
        let scenario = "description = \"d\"\nsources = [{ source = \"personal\", share = 0.8 }, { source = \"latest\" }]\n\
            exclude_seen = { types = [\"buy\"], window = \"30d\" }\n[[rules]]\nrule = \"boost\"\nfactor = 1.5\n\
            filter = { must = [{ key = \"brand\", match = { value = \"ours\" } }] }\n";
        let some = "[train]\nmodel = \"ials\"\ndimension = 16\n[index]\nspaces = { image = \"l2\" }\n[store]\ndurability = \"async\"\n";
        vec![tagged(b'c', config), tagged(b'c', some), tagged(b'm', mapping), tagged(b's', scenario)]
    }
}
