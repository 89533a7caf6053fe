//! What a generation holds: JSON in one line, and in a second one the xxh3-128 of the first.

use std::fs;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::BackupGeneration;
use crate::error::{Error, Result};
use crate::record::Timestamp;

/// The version of this form.
pub const FORMAT: u32 = 1;

/// A generation. Fields may be added with a default; what older readers must not overlook is a new version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    pub format: u32,
    pub generation: u64,
    pub time: Timestamp,
    pub savor: String,
    pub data_format: u32,
    pub timeline: String,
    pub sequence: u64,
    pub users: u64,
    pub items: u64,
    pub events: u64,
    pub new_bytes: u64,
    pub files: Vec<Entry>,
}

/// A file of a generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place in the data directory, with `/` between the parts.
    pub path: String,
    pub bytes: u64,
    /// The xxh3-128 of its bytes, in hexadecimal.
    pub hash: String,
    /// What the file system says of it: the same again is the same file, whose bytes need not be read, as tables and index files
    /// are never changed in place.
    pub stamp: Stamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    pub modified_ns: u64,
    pub inode: u64,
}

impl Generation {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub fn summary(&self, log_until: Option<u64>) -> BackupGeneration {
        BackupGeneration {
            generation: self.generation,
            time: self.time,
            sequence: self.sequence,
            users: self.users,
            items: self.items,
            events: self.events,
            files: self.files.len() as u64,
            bytes: self.bytes(),
            new_bytes: self.new_bytes,
            log_until,
        }
    }

    pub fn text(&self) -> Result<String> {
        let line = serde_json::to_string(self)
            .map_err(|error| Error::Storage { operation: "describe a backup", reason: error.to_string() })?;
        Ok(format!("{line}\n{:032x}\n", xxh3_128(line.as_bytes())))
    }

    /// Reads and checks it. Errors: [`Error::Corrupt`], [`Error::NewerFormat`].
    pub fn read(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let damaged =
            |why: &str| Error::corrupt(path.display().to_string(), format!("{why}; restore another generation"));
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let (line, hash) = text.split_once('\n').ok_or_else(|| damaged("it is cut off"))?;
        if hash.trim_end() != format!("{:032x}", xxh3_128(line.as_bytes())) {
            return Err(damaged("its checksum does not fit"));
        }
        let version: Version = serde_json::from_str(line).map_err(|error| damaged(&error.to_string()))?;
        if version.format > FORMAT {
            return Err(Error::NewerFormat { path: path.to_path_buf(), found: version.format, supported: FORMAT });
        }
        let read: Self = serde_json::from_str(line).map_err(|error| damaged(&error.to_string()))?;
        match read.files.iter().find(|file| !file.is_sound()) {
            Some(file) => Err(damaged(&format!("it names \"{}\"", file.path))),
            None => Ok(read),
        }
    }
}

impl Entry {
    /// Whether its place is inside the data directory, and its hash is one.
    fn is_sound(&self) -> bool {
        let is_inside = Path::new(&self.path).components().all(|part| matches!(part, Component::Normal(_)));
        let is_hash = self.hash.len() == 32 && self.hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_inside && is_hash && !self.path.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_generation_of_a_known_version_that_stays_in_its_folder_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.json");
        let entry = |path: &str| Entry {
            path: path.into(),
            bytes: 3,
            hash: "0".repeat(32),
            stamp: Stamp { modified_ns: 1, inode: 2 },
        };
        let good = Generation {
            format: FORMAT,
            generation: 1,
            time: Timestamp::MIN,
            savor: "0".into(),
            data_format: 4,
            timeline: "t".into(),
            sequence: 9,
            users: 1,
            items: 2,
            events: 3,
            new_bytes: 3,
            files: vec![entry("rocksdb/000001.sst")],
        };
        let code = |of: &Generation| {
            fs::write(&path, of.text().unwrap()).unwrap();
            Generation::read(&path).map(drop).map_err(|error| error.code())
        };
        assert_eq!(code(&good), Ok(()));
        assert_eq!(code(&Generation { format: FORMAT + 1, ..good.clone() }), Err("newer_format"));
        for outside in ["../x", "/etc/passwd", "a/../../b", ""] {
            assert_eq!(code(&Generation { files: vec![entry(outside)], ..good.clone() }), Err("corrupt"), "{outside}");
        }
        let text = good.text().unwrap();
        for cut in [0, 10, text.len() - 5] {
            fs::write(&path, &text[..cut]).unwrap();
            assert_eq!(Generation::read(&path).unwrap_err().code(), "corrupt");
        }
        fs::write(&path, text.replace("\"events\":3", "\"events\":4")).unwrap();
        assert_eq!(Generation::read(&path).unwrap_err().code(), "corrupt");
    }
}
