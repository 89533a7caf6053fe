//! All that is known about one user, in one document: for the user who asks, and as the test of what a deletion has to reach.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::error::{Error, Result};
use crate::experiment::assign;
use crate::record::{Assignment, Event, Exposure, ItemId, SnapshotId, Timestamp, User};
use crate::store::Side;

/// All that is known about a user. The outcomes of what was shown are events that carry its `recommendation_id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserExport {
    /// The user's id.
    pub user: String,
    /// As of when.
    pub time: Timestamp,
    /// The profile; absent for a visitor of whom nothing but what was shown is known.
    pub profile: Option<User>,
    /// All events, the newest first. Items that have been deleted are named by their number: `#17`.
    pub events: Vec<Event>,
    /// All that was shown, the newest first.
    pub exposures: Vec<Exposure>,
    /// How often which event, summed up.
    pub counters: Vec<UserCounter>,
    /// Rows of features as a ranker saw them in answers to the user.
    pub served: Vec<ServedFeatures>,
    /// The experiments that the user is in now, and what is shown there.
    pub experiments: Vec<Assignment>,
    /// The user's place in the model, as each snapshot learned it: kept in the data directory, and in bundles of that snapshot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vectors: Vec<UserVector>,
}

/// The events of a type, summed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserCounter {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Events.
    pub events: i64,
    /// The sum of their dwell times, in milliseconds.
    pub dwell_ms: i64,
    /// The sum of their values.
    pub value: f64,
}

/// What a ranker saw of an answer's items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServedFeatures {
    /// When it was asked for.
    pub time: Timestamp,
    /// The snapshot whose ranker was asked.
    pub snapshot: SnapshotId,
    /// Items of the session that was sent along, with the type of each event; by id, or by number where it has been deleted.
    pub session: Vec<(String, String)>,
    /// Some items, each with the values of its features; `null` where one is not known.
    pub rows: Vec<(String, Vec<Option<f32>>)>,
}

/// A user's vector in a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UserVector {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The vector.
    pub vector: Vec<f32>,
}

impl Engine {
    /// All that is known about a user, with the vectors of all snapshots if they are wanted. Errors: [`Error::NotFound`] if nothing
    /// is known.
    pub fn export_user(&self, id: &str, with_vectors: bool) -> Result<UserExport> {
        let inner = &*self.inner;
        let store = &inner.store;
        let exposures = self.user_exposures(id, usize::MAX)?;
        let now = Timestamp::now();
        let mut export = UserExport {
            user: id.to_owned(),
            time: now,
            profile: store.user(id)?,
            events: Vec::new(),
            exposures,
            counters: Vec::new(),
            served: Vec::new(),
            experiments: Vec::new(),
            vectors: Vec::new(),
        };
        let Some(user) = store.user_id(id)? else {
            return if export.exposures.is_empty() { Err(Error::not_found("user", id)) } else { Ok(export) };
        };
        export.events = store.all_user_events(user)?;
        export.counters = store
            .user_counters(user)?
            .into_iter()
            .map(|(kind, counter)| UserCounter {
                kind: kind.into(),
                events: counter.events,
                dwell_ms: counter.dwell_ms,
                value: counter.value,
            })
            .collect();
        inner.keep_served(1)?;
        let item_name = |number: u32| -> Result<String> {
            let name = store.item_name(ItemId::new(number))?;
            Ok(name.unwrap_or_else(|| format!("#{number}")))
        };
        for answer in store.served()?.into_iter().filter(|answer| answer.user == Some(user.get())) {
            let session = answer.visits.into_iter().map(|(item, kind)| Ok((item_name(item)?, kind)));
            let known = |value: f32| value.is_finite().then_some(value);
            let rows = answer.rows.into_iter();
            let rows = rows.map(|row| Ok((item_name(row.item)?, row.values.into_iter().map(known).collect())));
            export.served.push(ServedFeatures {
                time: Timestamp::from_millis(answer.at)?,
                snapshot: SnapshotId(answer.snapshot),
                session: session.collect::<Result<_>>()?,
                rows: rows.collect::<Result<_>>()?,
            });
        }
        for experiment in inner.experiments.active.load().iter() {
            if let Some(variant) = assign(experiment, id, now, &|| store.user(id))? {
                let variant = Some(variant.name.clone());
                export.experiments.push(Assignment { id: experiment.id.clone(), variant });
            }
        }
        if with_vectors {
            for manifest in self.snapshots()? {
                let mut vector = Vec::new();
                if store.factor(Side::Users, manifest.id, user.get(), &mut vector)? {
                    export.vectors.push(UserVector { snapshot: manifest.id, vector });
                }
            }
        }
        Ok(export)
    }
}
