//! The configuration that a command works with: the file, then each `--set key=value` in its place. A mapping of columns is
//! put together in the same way.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::failure::Failure;
use crate::config::{Config, TrainConfig};
use crate::engine::Contender;
use crate::error::Error;

/// A value in place of another: its path, and what was typed.
pub struct Setting {
    path: String,
    value: Value,
}

impl Setting {
    /// A value at a path.
    pub fn new(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { path: path.into(), value: value.into() }
    }

    /// The path and the value.
    pub fn into_parts(self) -> (String, Value) {
        (self.path, self.value)
    }

    /// Reads `key=value`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        match text.split_once('=') {
            Some((path, text)) => Ok(Self::new(path.trim(), value(text.trim()))),
            None => Err(Failure::Usage(format!("{text}: expected key=value, such as train.dimension=32"))),
        }
    }
}

/// Reads the file (the defaults without one), puts the settings in place and checks the whole. A wrong setting is bad
/// usage; a wrong file is an error that names it.
pub fn configuration(file: Option<&Path>, settings: &[String]) -> Result<Config, Failure> {
    set(file.map_or_else(|| Ok(Config::default()), Config::from_file)?, settings)
}

/// The same configuration with the settings in their places.
pub fn set(config: Config, settings: &[String]) -> Result<Config, Failure> {
    let settings = settings.iter().map(|text| Setting::parse(text)).collect::<Result<Vec<_>, _>>()?;
    replaced(config, settings, Config::validate)
}

/// Training settings to compare with: the configuration's with those of `text` in their place, `KEY=VALUE,…`. A key may
/// begin with `train.` and need not. Commas inside brackets and quotes belong to the value.
pub fn contender(train: &TrainConfig, text: &str) -> Result<Contender, Failure> {
    let mut settings = Vec::new();
    for part in parts(text) {
        let setting = Setting::parse(part)?;
        let path = setting.path.strip_prefix("train.").unwrap_or(&setting.path).to_owned();
        settings.push(Setting { path, ..setting });
    }
    let train = replaced(train.clone(), settings, TrainConfig::validate)?;
    Ok(Contender { name: text.trim().replace("train.", ""), train })
}

fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start) = (0, false, 0);
    let mut parts = Vec::new();
    for (place, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.extend(text.get(start..place));
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// The same value with each setting in its place.
pub fn replaced<T: Serialize + DeserializeOwned>(
    value: T,
    settings: Vec<Setting>,
    validate: impl Fn(&T) -> Result<(), Error>,
) -> Result<T, Failure> {
    if settings.is_empty() {
        return Ok(value);
    }
    let mut table = Table::try_from(&value).map_err(|error| Error::invalid("configuration", error.to_string()))?;
    let paths = settings.iter().map(|setting| setting.path.clone()).collect::<Vec<_>>().join(", ");
    for setting in settings {
        put(&mut table, setting)?;
    }
    let value = table.try_into().map_err(|error: toml::de::Error| usage(&paths, error.message()))?;
    validate(&value).map_err(|error| usage(&paths, &error.to_string()))?;
    Ok(value)
}

/// Puts a value at its path; tables on the way are made.
pub fn put(table: &mut Table, setting: Setting) -> Result<(), Failure> {
    let (rooms, key) = match setting.path.rsplit_once('.') {
        Some((rooms, key)) => (rooms.split('.').collect(), key),
        None => (Vec::new(), setting.path.as_str()),
    };
    let mut inner = table;
    for room in rooms {
        let next = inner.entry(room).or_insert_with(|| Value::Table(Table::new()));
        let Some(table) = next.as_table_mut() else {
            return Err(usage(&setting.path, &format!("{room} is a value and holds no keys")));
        };
        inner = table;
    }
    inner.insert(key.to_owned(), setting.value);
    Ok(())
}

/// Removes what is at a path, and tables that are empty then.
pub fn remove(table: &mut Table, path: &str) {
    match path.split_once('.') {
        Some((room, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(room) {
                remove(inner, rest);
                if inner.is_empty() {
                    table.remove(room);
                }
            }
        }
        None => drop(table.remove(path)),
    }
}

/// A TOML value; what is none (a word, a span such as `30d`) is taken as text.
pub fn value(text: &str) -> Value {
    toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn usage(setting: &str, reason: &str) -> Failure {
    Failure::Usage(format!("{setting}: {}", reason.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HalfLife, Solver, Split};
    use crate::record::Span;

    fn with(settings: &[&str]) -> Result<Config, String> {
        let settings: Vec<String> = settings.iter().map(|&text| text.to_owned()).collect();
        configuration(None, &settings).map_err(|failure| match failure {
            Failure::Usage(message) => message,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn settings_of_every_type_are_put_in_place() {
        let config = with(&[
            "train.dimension=32",
            "train.regularization=1e-2",
            "train.solver=cg",
            "events.weights.purchase=3.0",
            "events.half_life=30d",
            "evaluate.cutoffs=[5, 10]",
            "evaluate.split={by = \"leave-last-out\"}",
        ])
        .unwrap();
        assert_eq!(config.train.dimension, 32);
        assert_eq!(config.train.regularization, 0.01);
        assert_eq!(config.train.solver, Solver::Cg);
        assert_eq!(config.events.weights.get("purchase"), Some(&3.0));
        assert_eq!(config.events.half_life, HalfLife::After(Span::days(30)));
        assert_eq!(config.evaluate.cutoffs, [5, 10]);
        assert_eq!(config.evaluate.split, Split::LeaveLastOut);
    }

    #[test]
    fn a_whole_number_does_for_a_real_one() {
        assert_eq!(with(&["train.unobserved_weight=1"]).unwrap().train.unobserved_weight, 1.0);
    }

    #[test]
    fn what_cannot_be_is_bad_usage_that_names_the_key() {
        assert!(with(&["train.dimensions=32"]).unwrap_err().contains("dimensions"));
        assert!(with(&["train.dimension=5000"]).unwrap_err().contains("train.dimension: is 5000"));
        assert!(with(&["train.dimension"]).unwrap_err().contains("key=value"));
        assert!(with(&["train.dimension.x=1"]).unwrap_err().contains("dimension is a value"));
        assert!(with(&["train.dimension=many"]).is_err());
    }

    #[test]
    fn a_contender_is_the_configuration_with_settings_in_place() {
        let own = TrainConfig { epochs: 3, ..TrainConfig::default() };
        let other = contender(&own, "train.dimension=64, blend={ials = 1.0, popularity = 0.5}, solver=cg").unwrap();
        assert_eq!((other.train.dimension, other.train.epochs, other.train.solver), (64, 3, Solver::Cg));
        assert_eq!((other.train.blend.ials, other.train.blend.popularity), (1.0, 0.5));
        assert_eq!(other.name, "dimension=64, blend={ials = 1.0, popularity = 0.5}, solver=cg");
        for wrong in ["", "dimension", "dimension=64,", "dimensions=64", "evaluate.seed=3", "dimension=5000"] {
            assert!(matches!(contender(&own, wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn a_value_cannot_smuggle_in_a_second_key() {
        assert!(with(&["train.solver=\"cg\"\nother = 1"]).is_err());
    }
}
