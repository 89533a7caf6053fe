//! Alarms with hysteresis: one rises when its value has been above its level at so many looks in a row, and falls when it has
//! been below a lower level as often. So a value that hovers around a level does not ring all day.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::drift::Drifted;
use crate::record::Timestamp;

/// An alarm has risen or fallen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// What differs: `events.type psi`.
    pub name: String,
    /// Whether it has risen; else it has fallen.
    pub raised: bool,
    /// The value at this look.
    pub value: f64,
    /// The level that it is held against.
    pub level: f64,
    /// When.
    pub time: Timestamp,
}

/// All alarms, by what they are of.
#[derive(Debug, Default)]
pub struct Alarms(BTreeMap<String, Alarm>);

#[derive(Debug, Default)]
struct Alarm {
    is_raised: bool,
    /// Looks in a row that speak for a change.
    looks: u32,
    /// Value and level of the last look.
    last: (f64, f64),
}

impl Alarms {
    /// Takes a look at some values. An alarm falls below `clear` of its level; both ways it takes `looks` looks in a row.
    pub fn look(&mut self, differences: &[Drifted], clear: f64, looks: u32, time: Timestamp) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for Drifted { name, value, level, .. } in differences {
            let alarm = self.0.entry(name.clone()).or_default();
            alarm.last = (*value, *level);
            let speaks = if alarm.is_raised { *value < clear * level } else { value > level };
            alarm.looks = if speaks { alarm.looks + 1 } else { 0 };
            if alarm.looks >= looks.max(1) {
                (alarm.is_raised, alarm.looks) = (!alarm.is_raised, 0);
                let (name, raised) = (name.clone(), alarm.is_raised);
                alerts.push(Alert { name, raised, value: *value, level: *level, time });
            }
        }
        alerts
    }

    /// Whether one is up.
    pub fn is_raised(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|alarm| alarm.is_raised)
    }

    /// Everything is held against another snapshot from now on: alarms that are up fall.
    pub fn reset(&mut self, time: Timestamp) -> Vec<Alert> {
        let raised = std::mem::take(&mut self.0).into_iter().filter(|(_, alarm)| alarm.is_raised);
        raised
            .map(|(name, Alarm { last: (value, level), .. })| Alert { name, raised: false, value, level, time })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(alarms: &mut Alarms, value: f64) -> Vec<bool> {
        let difference = Drifted { name: "x".into(), value, level: 1.0, is_cause: true, is_raised: false };
        let alerts = alarms.look(&[difference], 0.5, 2, Timestamp::now());
        alerts.into_iter().map(|alert| alert.raised).collect()
    }

    #[test]
    fn an_alarm_rises_and_falls_once_however_the_value_hovers() {
        let mut alarms = Alarms::default();
        let heard: Vec<Vec<bool>> =
            [1.2, 0.9, 1.2, 1.2, 0.8, 1.3, 0.4, 0.6, 0.4, 0.4].into_iter().map(|v| look(&mut alarms, v)).collect();
        let expected: [&[bool]; 10] = [&[], &[], &[], &[true], &[], &[], &[], &[], &[], &[false]];
        assert_eq!(heard, expected);
        assert!(!alarms.is_raised("x"));
    }

    #[test]
    fn what_is_up_falls_when_another_snapshot_answers() {
        let mut alarms = Alarms::default();
        [1.2, 1.3].into_iter().for_each(|value| drop(look(&mut alarms, value)));
        let fallen: Vec<_> = alarms.reset(Timestamp::now()).into_iter().map(|of| (of.raised, of.value)).collect();
        assert_eq!(fallen, [(false, 1.3)]);
        assert!(!alarms.is_raised("x") && alarms.reset(Timestamp::now()).is_empty());
    }
}
