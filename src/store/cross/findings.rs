//! What does not agree, and what mends it.

use std::collections::BTreeMap;

use super::Fault;
use crate::store::families::Family;
use crate::store::stored::Counters;

/// A kind of fault, with what mends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Unreadable,
    HistoryLacks,
    LogLacks,
    UserWithoutNumber,
    NumberWithoutUser,
    ItemWithoutNumber,
    NumberWithoutItem,
    TwoOfANumber,
    EventOfNobody,
    Counts,
    ItemIndex,
    Counters,
    ExposureByAnswer,
    ExposureByUser,
    DanglingExposure,
    FactorOfNothing,
    VectorOfNothing,
}

impl Kind {
    pub fn check(self) -> &'static str {
        match self {
            Self::Unreadable => "entries that can be read",
            Self::HistoryLacks => "events of the log in the histories",
            Self::LogLacks => "events of the histories in the log",
            Self::UserWithoutNumber | Self::NumberWithoutUser => "users by id and by number",
            Self::ItemWithoutNumber | Self::NumberWithoutItem => "items by id and by number",
            Self::TwoOfANumber => "numbers that stand for one id",
            Self::EventOfNobody => "events of known users",
            Self::Counts => "how many there are",
            Self::ItemIndex => "the item index",
            Self::Counters => "the counters of events",
            Self::ExposureByAnswer => "exposures by answer",
            Self::ExposureByUser => "exposures by user",
            Self::DanglingExposure => "answers that exposures exist of",
            Self::FactorOfNothing => "vectors of known users and snapshots",
            Self::VectorOfNothing => "vectors of known items",
        }
    }

    pub fn repair(self) -> Option<&'static str> {
        Some(match self {
            Self::Unreadable | Self::TwoOfANumber | Self::EventOfNobody => return None,
            Self::HistoryLacks => "puts them into the histories, from the log",
            Self::LogLacks => {
                "puts them into the log, from the histories; session, dwell time, context and the answer that they name are lost"
            }
            Self::UserWithoutNumber | Self::ItemWithoutNumber => "enters their numbers, which their records hold",
            Self::NumberWithoutUser => "makes users of them whose events stay theirs; their attributes are lost",
            Self::NumberWithoutItem => {
                "makes items of them that keep their events; their metadata are lost: put them again"
            }
            Self::Counts => "counts anew",
            Self::ItemIndex => "builds it anew from the items",
            Self::Counters => "counts the log anew",
            Self::ExposureByAnswer | Self::ExposureByUser => "enters them, from the exposures",
            Self::DanglingExposure => "removes the entries: what they point at is not there",
            Self::FactorOfNothing => "removes them: nobody can ask for them",
            Self::VectorOfNothing => "removes them: the items that they were of are not there",
        })
    }
}

/// Everything that was found, and how to mend it.
#[derive(Default)]
pub struct Findings {
    pub faults: BTreeMap<Kind, (u64, String)>,
    pub puts: Vec<(Family, Vec<u8>, Vec<u8>)>,
    pub deletes: Vec<(Family, Vec<u8>)>,
    pub counts: Option<Counters>,
    pub rebuilds_index: bool,
    pub rebuilds_counters: bool,
}

impl Findings {
    pub fn note(&mut self, kind: Kind, example: impl FnOnce() -> String) {
        let entry = self.faults.entry(kind).or_insert_with(|| (0, example()));
        entry.0 += 1;
    }

    pub fn put(&mut self, family: Family, key: &[u8], value: impl Into<Vec<u8>>) {
        self.puts.push((family, key.to_vec(), value.into()));
    }

    pub fn delete(&mut self, family: Family, key: &[u8]) {
        self.deletes.push((family, key.to_vec()));
    }

    pub fn faults(&self) -> Vec<Fault> {
        let fault = |(kind, (entries, example)): (&Kind, &(u64, String))| Fault {
            check: kind.check().into(),
            entries: *entries,
            example: example.clone(),
            repair: kind.repair().map(str::to_owned),
        };
        self.faults.iter().map(fault).collect()
    }
}
