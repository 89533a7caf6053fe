//! The files of `schemas/`: JSON Schemas of the records and the configuration, and the OpenAPI document, all made from the
//! Rust types. A test compares them with the committed files; after a change of the types,
//! `SAVOR_BLESS=1 cargo test --release --lib server::schemas` writes them anew.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use super::openapi;
use crate::Manifest;
use crate::config::Config;
use crate::engine::{
    Evaluation, Job, ReplayOptions, SnapshotComparison, Stats, TenantSettings, TenantStatus, TrainOptions, UserExport,
};
use crate::experiment::{ExperimentForecast, ExperimentReport, OffPolicy};
use crate::monitor::DriftReport;
use crate::record::{
    Answer, ApiKey, AuditEntry, Event, Experiment, ExperimentDesign, Exposure, Filter, Item, ItemPatch, KeyDesign,
    ListQuery, Query, RankQuery, Scenario, SimilarQuery, User, UserPatch, VectorQuery,
};
use crate::server::problem::Details;

/// The JSON Schemas (draft 2020-12) of everything that goes in and out, and the OpenAPI document as `openapi`, by file
/// name without `.json`.
pub fn schemas() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("openapi", openapi::document()),
        ("config", schema::<Config>()),
        ("event", schema::<Event>()),
        ("item", schema::<Item>()),
        ("item_patch", schema::<ItemPatch>()),
        ("user", schema::<User>()),
        ("user_patch", schema::<UserPatch>()),
        ("filter", schema::<Filter>()),
        ("query", schema::<Query>()),
        ("rank_query", schema::<RankQuery>()),
        ("similar_query", schema::<SimilarQuery>()),
        ("list_query", schema::<ListQuery>()),
        ("vector_query", schema::<VectorQuery>()),
        ("answer", schema::<Answer>()),
        ("scenario", schema::<Scenario>()),
        ("train_options", schema::<TrainOptions>()),
        ("evaluation", schema::<Evaluation>()),
        ("snapshot_comparison", schema::<SnapshotComparison>()),
        ("job", schema::<Job>()),
        ("snapshot", schema::<Manifest>()),
        ("stats", schema::<Stats>()),
        ("user_export", schema::<UserExport>()),
        ("experiment", schema::<Experiment>()),
        ("experiment_design", schema::<ExperimentDesign>()),
        ("experiment_report", schema::<ExperimentReport>()),
        ("experiment_forecast", schema::<ExperimentForecast>()),
        ("exposure", schema::<Exposure>()),
        ("replay_options", schema::<ReplayOptions>()),
        ("off_policy", schema::<OffPolicy>()),
        ("drift", schema::<DriftReport>()),
        ("tenant_settings", schema::<TenantSettings>()),
        ("tenant_status", schema::<TenantStatus>()),
        ("key", schema::<ApiKey>()),
        ("key_design", schema::<KeyDesign>()),
        ("audit_entry", schema::<AuditEntry>()),
        ("problem", schema::<Details>()),
    ])
}

fn schema<T: JsonSchema>() -> Value {
    openapi::settings().into_generator().into_root_schema_for::<T>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let bless = std::env::var_os("SAVOR_BLESS").is_some();
        let mut expected = Vec::new();
        for (name, schema) in schemas() {
            let path = folder.join(format!("{name}.json"));
            let text = format!("{schema:#}\n");
            if bless {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &text).unwrap();
            }
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == text, "{} is stale: run with SAVOR_BLESS=1", path.display());
            expected.push(path);
        }
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(expected.contains(&path), "{} belongs to no type", path.display());
        }
    }
}
