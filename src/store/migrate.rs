//! Directories of older formats, brought to the one that this build writes. A migration ends with one write batch that
//! has the new format's number and all changed records in it: it happens whole or not at all, and a crash leaves the old
//! format to be migrated again. What is only added, the item index and the counters of events, is written before it.
//!
//! | format | what is different |
//! | --- | --- |
//! | 1 | manifests and jobs are bincode, read by position; a model is factors alone |
//! | 2 | manifests and jobs are JSON, read by name; there is no item index |
//! | 3 | the item index; there are no counters of events |
//! | 4 | the counters of events, from a replay of the log |
//! | 5 | what was shown may tell the ranker's scores: nothing to rewrite, but an older build would take them for damage |
//!
//! The records of format 1 are written down here as they were, whatever becomes of the types that they came from. Model
//! files are not rewritten: what an older one lacks is known where it is read.

use rocksdb::{DB, IteratorMode, WriteBatch, WriteOptions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::families::Family;
use super::format::{FORMAT, FORMAT_KEY};
use super::{codec, counters, item_index, storage};
use crate::error::Result;
use crate::fault::{self, Point};
use crate::record::Timestamp;

/// Brings a directory of format `found` to [`FORMAT`]. Errors: [`crate::Error::Corrupt`] for a manifest that is none;
/// nothing is changed then.
pub fn migrate(db: &DB, found: u32) -> Result<()> {
    if found == FORMAT {
        return Ok(());
    }
    let mut batch = WriteBatch::default();
    let mut rewritten = 0;
    if found < 2 {
        rewritten += rewrite::<Manifest>(db, Family::Snapshots, "a snapshot's manifest", &mut batch)?;
        rewritten += rewrite::<Job>(db, Family::Jobs, "a job", &mut batch)?;
    }
    let indexed = if found < 3 { item_index::build(db)? } else { 0 };
    let counted = if found < 4 { counters::build(db)? } else { 0 };
    batch.put_cf(Family::Meta.of(db)?, FORMAT_KEY, codec::encode(&FORMAT)?);
    fault::reach(Point::MigrationBuilt);
    let mut options = WriteOptions::default();
    options.set_sync(true);
    db.write_opt(batch, &options).map_err(storage("migrate"))?;
    fault::reach(Point::Migrated);
    tracing::info!(
        from = found,
        to = FORMAT,
        records = rewritten,
        indexed,
        counted,
        "the data directory has a new format"
    );
    Ok(())
}

fn rewrite<T: Serialize + DeserializeOwned>(
    db: &DB,
    family: Family,
    what: &'static str,
    batch: &mut WriteBatch,
) -> Result<usize> {
    let family = family.of(db)?;
    let mut count = 0;
    for entry in db.iterator_cf(family, IteratorMode::Start) {
        let (key, bytes) = entry.map_err(storage("migrate"))?;
        let record: T = codec::decode(what, &bytes)?;
        batch.put_cf(family, key, codec::encode_json(&record)?);
        count += 1;
    }
    Ok(count)
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    id: u64,
    state: State,
    created: Timestamp,
    activated: Option<Timestamp>,
    origin: String,
    users: u64,
    items: u64,
    pairs: u64,
    events: u64,
    log_changes: u64,
    newest_event: Option<Timestamp>,
    train: Train,
    loss: Option<f64>,
    index: Option<Plan>,
    seconds: f64,
    metrics: Vec<Metric>,
    note: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Building,
    Validated,
    Active,
    Retired,
    Rejected,
}

/// Of iALS: there was no other model.
#[derive(Serialize, Deserialize)]
struct Train {
    dimension: usize,
    epochs: usize,
    regularization: f64,
    regularization_exponent: f64,
    unobserved_weight: f64,
    init_stddev: f64,
    solver: Solver,
    cg_steps: usize,
    seed: u64,
    threads: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Solver {
    Auto,
    Cholesky,
    Cg,
}

#[derive(Serialize, Deserialize)]
struct Metric {
    name: String,
    mean: f64,
    low: f64,
    high: f64,
    popularity: f64,
}

#[derive(Serialize, Deserialize)]
struct Plan {
    kind: Kind,
    form: Option<Form>,
    ef: usize,
    recall: f64,
    wanted: f64,
    visited: f64,
    scanned: f64,
    sample: usize,
    sampled: Sampled,
    trials: Vec<Trial>,
    why: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Exact,
    Hnsw,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Raw,
    Augmented,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sampled {
    Queries,
    Rows,
}

#[derive(Serialize, Deserialize)]
struct Trial {
    form: Form,
    ef: usize,
    recall: f64,
    visited: f64,
    linked: usize,
}

/// A stored job has no step: it is told only while the job runs.
#[derive(Serialize, Deserialize)]
struct Job {
    id: u64,
    kind: String,
    state: JobState,
    created: Timestamp,
    finished: Option<Timestamp>,
    step: Option<()>,
    snapshot: Option<u64>,
    message: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum JobState {
    Running,
    Done,
    Failed,
    Cancelled,
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::StoreConfig;
    use crate::store::{Store, families};

    fn copied(version: &str, to: &Path) -> PathBuf {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version).join("data/rocksdb");
        let to = to.join("rocksdb");
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        to
    }

    fn format(db: &DB) -> u32 {
        codec::decode("the format", &db.get_cf(Family::Meta.of(db).unwrap(), FORMAT_KEY).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn a_migration_that_is_cut_off_anywhere_leaves_the_old_format_and_is_begun_anew() {
        for (version, found) in [("v1", 1), ("v2", 2), ("v3", 3)] {
            // Nothing but the new families; all that is written before the last batch; some of it and some of it wrong.
            for cut in 0..3 {
                let dir = tempfile::tempdir().unwrap();
                let path = copied(version, dir.path());
                let db =
                    families::open(&path, &StoreConfig::default(), &super::super::budget::Budget::alone(64)).unwrap();
                assert_eq!(format(&db), found);
                if cut > 0 {
                    item_index::build(&db).unwrap();
                    counters::build(&db).unwrap();
                }
                if cut == 2 {
                    for family in [Family::ItemIndex, Family::EventCounters] {
                        let first = db.iterator_cf(family.of(&db).unwrap(), IteratorMode::Start).next();
                        if let Some(first) = first.filter(|_| family != Family::ItemIndex || found < 3) {
                            db.delete_cf(family.of(&db).unwrap(), first.unwrap().0).unwrap();
                        }
                    }
                }
                assert_eq!(format(&db), found, "{version}, {cut}");
                drop(db);
                let store = Store::open(dir.path(), &StoreConfig::default()).unwrap();
                assert_eq!(format(&store.db), FORMAT);
                assert_eq!(store.cross_check().unwrap(), [], "{version}, {cut}");
            }
        }
    }
}
