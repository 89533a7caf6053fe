//! What a fuzzer does to files that are imported: every record of theirs is valid, every other row says where it stands and
//! why, and what is kept of it is bounded.
//!
//! ```text
//! An input of `rows`: format and kind u8, length of the mapping u16 (little-endian), the mapping (TOML), the file
//! ```

#![allow(clippy::panic, clippy::unwrap_used)]

use std::io::Cursor;

use super::input::{MAX_REJECT_BYTES, through};
use super::{Format, Kind, Mapping, ReadRows, Record, Row, read_text};
use crate::error::{Error, Result};

#[cfg(test)]
pub use super::vectors::fuzzing::vector_seeds;
pub use super::vectors::fuzzing::vectors;

const FORMATS: [Format; 5] = [Format::Csv, Format::Tsv, Format::Jsonl, Format::GorseJsonl, Format::Adjacency];
const KINDS: [Kind; 3] = [Kind::Events, Kind::Items, Kind::Users];
/// So much of a file that unpacks without end is looked at.
const MOST_ROWS: usize = 20_000;

/// Reads a file of text, packed or not.
pub fn rows(bytes: &[u8]) {
    let Some(([what, low, high], rest)) = bytes.split_first_chunk() else { return };
    let (mapping, file) = rest.split_at(rest.len().min(u16::from_le_bytes([*low, *high]).into()));
    let Ok(Ok(mapping)) = std::str::from_utf8(mapping).map(Mapping::from_toml) else { return };
    let (format, kind) = (FORMATS[usize::from(*what) % 5], KINDS[usize::from(*what) / 5 % 3]);
    let opened =
        through(Cursor::new(file.to_vec()), "f".into()).and_then(|input| read_text(format, input, &mapping, kind));
    all(opened, kind);
}

fn all(opened: Result<Box<dyn ReadRows>>, kind: Kind) {
    let mut last = 0;
    match opened {
        Err(error) => named(&error),
        Ok(mut reader) => {
            for _ in 0..MOST_ROWS {
                match reader.next_row() {
                    Ok(Some(row)) => last = one(&row, kind, last),
                    Ok(None) => break,
                    Err(error) => return named(&error),
                }
            }
        }
    }
}

/// Checks a row behind the line `last`.
fn one(row: &Row, kind: Kind, last: u64) -> u64 {
    let line = match row {
        Row::Record { line, record } => {
            match (record, kind) {
                (Record::Event(event), Kind::Events) => event.validate().unwrap(),
                (Record::Item(item), Kind::Items) => item.validate().unwrap(),
                (Record::User(user), Kind::Users) => user.validate().unwrap(),
                (other, kind) => panic!("{kind:?} of {other:?}"),
            }
            *line
        }
        Row::Rejected(rejected) => {
            assert!(!rejected.reason.is_empty(), "{rejected:?}");
            // A byte that is no text becomes a character of three.
            assert!(rejected.row.len() <= 3 * MAX_REJECT_BYTES);
            rejected.line
        }
    };
    assert!(line >= last.max(1), "line {line} behind {last}");
    line
}

fn named(error: &Error) {
    assert!(!error.to_string().is_empty());
    assert!(!matches!(error, Error::Storage { .. }), "{error}");
}

/// Reads a Parquet file as records of each kind, and a column of vectors. Its decoder is not ours and may panic; behind the
/// fence that is an error like any other.
#[cfg(feature = "parquet")]
pub fn parquet(bytes: &[u8]) {
    use super::vectors::{VectorColumns, read_vectors};
    use super::{Source, input::Meter};

    #[cfg(fuzzing)]
    quiet_panics();
    let file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let source = Source::file(file.path());
    for kind in KINDS {
        let opened = super::parquet::open(&source, &Meter::default(), kind);
        all(opened.map(|rows| Box::new(rows) as Box<dyn ReadRows>), kind);
    }
    let columns = VectorColumns { vector: "embedding".into(), id: Some("item_id".into()) };
    match read_vectors(file.path(), &columns) {
        Ok(vectors) => assert_eq!(vectors.ids.map(|ids| ids.len()), Some(vectors.rows.rows())),
        Err(error) => named(&error),
    }
}

/// The fuzzer ends the process at a panic, fenced or not, unless the hook is taken away; what leaves the target still ends it.
#[cfg(all(fuzzing, feature = "parquet"))]
fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}

#[cfg(all(test, feature = "parquet"))]
pub use seeds::parquet_seeds;
#[cfg(test)]
pub use seeds::row_seeds;

#[cfg(test)]
mod seeds {
    use std::io::Write;

    fn seed(what: u8, mapping: &str, file: impl AsRef<[u8]>) -> Vec<u8> {
        [&[what][..], &(mapping.len() as u16).to_le_bytes(), mapping.as_bytes(), file.as_ref()].concat()
    }

    /// Inputs to begin with.
    pub fn row_seeds() -> Vec<Vec<u8>> {
        let events =
            "user,item,rating,timestamp\nu1,i1,5,881250949\n\"u,2\",\"i\"\"2\",,1997-12-04 15:55:49\nu3,i3,x,1\n";
        let items =
            "item_id;title;genres;year;embedding;hidden\ni1;\"A; B\";a|b;1999;0.5 1;0\ni2;C;;x;[1,2];true\ni3;D\n";
        let mapping = "delimiter = \";\"\ndecimal_comma = true\nnull = [\"x\"]\n[items]\nvectors = { image = \"embedding\" }\n\
            attributes = { year = { column = \"year\", type = \"number\" } }\n";
        let json = "{\"user\":\"u\",\"item\":1,\"type\":\"buy\",\"time\":\"2026-01-01\",\"context\":{\"a\":{\"b\":[1,\"x\"]}}}\n\n[1]\n{\"user\":\"u\",\"user\":\"v\"}\n";
        let gorse = "{\"ItemId\":\"i\",\"IsHidden\":false,\"Categories\":[\"c\"],\"Timestamp\":\"0001-01-01T00:00:00Z\",\"Labels\":{\"t\":[1,2]},\"Comment\":\"\"}\n";
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(events.repeat(40).as_bytes()).unwrap();
        vec![
            seed(0, "", events),
            seed(5, mapping, items),
            seed(1, "", "user_id:token\titem_id:token\trating:float\n1\t2\t3.5\n"),
            seed(2, "", json),
            seed(
                7,
                "",
                "{\"id\":\"i\",\"vectors\":{\"s\":[1,2]},\"attributes\":{\"a\":1.5}}\n{\"id\":\"j\",\"vectors\":{\"s\":[1]}}\n",
            ),
            seed(8, "", gorse),
            seed(12, "[users]\nrest = \"ignore\"\n", "{\"user_id\":-7,\"age\":40}\n"),
            seed(4, "[events]\ntype = { constant = \"buy\" }\n", "u1 i1 i2\n\nu2\ti3\n"),
            seed(0, "", packed.finish().unwrap()),
            seed(0, "", [b"\xef\xbb\xbf", events.as_bytes()].concat()),
            seed(0, "header = false\nquoting = false\n", "a,b\n\"c,d\r\n"),
        ]
    }

    /// Inputs to begin with.
    #[cfg(feature = "parquet")]
    pub fn parquet_seeds() -> Vec<Vec<u8>> {
        use ::parquet::basic::{Compression, GzipLevel, ZstdLevel};

        let gzip = Compression::GZIP(GzipLevel::default());
        let zstd = Compression::ZSTD(ZstdLevel::default());
        [Compression::UNCOMPRESSED, Compression::SNAPPY, gzip, zstd, Compression::LZ4_RAW]
            .map(super::super::tests::parquet_bytes)
            .into()
    }
}
