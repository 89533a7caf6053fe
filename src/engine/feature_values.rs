//! The features of a user and of an item as serving knows them: of the table that the active snapshot's ranker was learned with,
//! or else of the one that the data suggest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::features::{Surveyed, word};
use super::{Engine, read};
use crate::error::{Error, Result};
use crate::features::table::Scope;
use crate::record::{ItemId, Timestamp};

/// The features of a user, of an item, or of both, as of now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureValues {
    /// The user.
    pub user: Option<String>,
    /// The item.
    pub item: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The snapshot whose ranker reads them; absent if none does: what is learned of training rows is unknown then.
    #[serde(default)]
    pub snapshot: Option<u64>,
    /// The values, in the order of the columns.
    pub values: Vec<FeatureValue>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureValue {
    /// The column.
    pub name: String,
    /// What it depends on.
    pub scope: String,
    /// Absent where nothing is known.
    pub value: Option<f32>,
}

impl Engine {
    /// What serving knows of a user, of an item, or of the user with the item, right now, or as of an hour after the newest event where
    /// none has come in for longer. What sources of candidates say is left
    /// out: it is known when they are asked. Errors: [`Error::NotFound`]; [`Error::Invalid`] where neither is named.
    pub fn feature_values(&self, user: Option<&str>, item: Option<&str>) -> Result<FeatureValues> {
        if user.is_none() && item.is_none() {
            return Err(Error::invalid("user", "is missing; name a user, an item, or both"));
        }
        let store = &self.inner.store;
        let of_user = |user: &str| store.user_id(user)?.ok_or_else(|| Error::not_found("user", user));
        let of_item = |item: &str| store.item_id(item)?.ok_or_else(|| Error::not_found("item", item));
        let id = user.map(of_user).transpose()?;
        // Without an item, one that nobody knows stands for it, and what depends on it is left out.
        let candidate = item.map(of_item).transpose()?.unwrap_or(ItemId::new(u32::MAX));
        let at = read(&self.inner.popular).moment(Timestamp::now());
        let live = self.inner.live.load_full();
        let ranked = live.as_ref().and_then(|live| Some((live, live.snapshot.ranker()?.table(), live.facts.as_ref()?)));
        let surveyed;
        let (snapshot, fitted, row) = match ranked {
            Some((live, fitted, facts)) => {
                let row = self.served_row(fitted, &read(facts), id, candidate, at)?;
                (Some(live.snapshot.manifest().id.0), fitted, row)
            }
            None => {
                let Surveyed { table, items, .. } = self.survey(&store.view())?;
                surveyed = table.fit().finish();
                let row = self.served_row(&surveyed, &items, id, candidate, at)?;
                (None, &surveyed, row)
            }
        };
        let is_shown = |place: usize, scope: Scope| {
            let is_known = match scope {
                Scope::Item => item.is_some(),
                Scope::Pair => item.is_some() && user.is_some(),
                Scope::User | Scope::Session | Scope::Request => user.is_some(),
            };
            is_known && !fitted.table().is_of_source(place)
        };
        let columns = fitted.columns().iter().zip(row).enumerate();
        let values =
            columns.filter(|(place, (column, _))| is_shown(*place, column.scope)).map(|(_, (column, value))| {
                let value = value.is_finite().then_some(value);
                FeatureValue { name: column.name.clone(), scope: word(column.scope).into(), value }
            });
        let values = values.collect();
        Ok(FeatureValues { user: user.map(str::to_owned), item: item.map(str::to_owned), at, snapshot, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::features::tests::filled;
    use crate::record::User;

    #[test]
    fn values_are_those_of_the_user_and_the_item_and_say_when_nothing_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let engine = filled(dir.path());
        let value = |values: &FeatureValues, name: &str| {
            values.values.iter().find(|value| value.name == name).map(|value| value.value)
        };
        let known = engine.feature_values(Some("u0"), Some("i0")).unwrap();
        let events = engine.user_events("u0", 1000).unwrap().len();
        assert_eq!(value(&known, "user.events"), Some(Some((events as f32).ln_1p())));
        assert_eq!(value(&known, "item.price"), Some(Some(0.0)));
        assert_eq!(value(&known, "item.categories=c0"), Some(Some(1.0)));
        assert!(value(&known, "user.age").is_none(), "one age is no feature");
        let alone = engine.feature_values(Some("u0"), None).unwrap();
        assert!(value(&alone, "item.price").is_none() && value(&alone, "user.events").is_some());
        assert_eq!(engine.feature_values(Some("nobody"), None).unwrap_err().code(), "not_found");
        let of_item = engine.feature_values(None, Some("i0")).unwrap();
        assert_eq!(
            (value(&of_item, "item.price"), of_item.user.as_ref(), of_item.snapshot),
            (Some(Some(0.0)), None, None)
        );
        assert!(of_item.values.iter().all(|value| value.scope == "item"));
        assert_eq!(engine.feature_values(None, Some("nothing")).unwrap_err().code(), "not_found");
        assert_eq!(engine.feature_values(None, None).unwrap_err().code(), "invalid");
        engine.put_users(&[User::new("new")]).unwrap();
        let new = engine.feature_values(Some("new"), Some("i0")).unwrap();
        assert_eq!(value(&new, "pair.categories_affinity"), Some(None));
        assert_eq!(value(&new, "pair.categories_affinity?"), Some(Some(1.0)));
    }
}
