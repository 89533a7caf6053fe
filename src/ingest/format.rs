//! The file formats that can be read, and how one is told from a file's name. What is inside a format is the business of
//! its reader.

use std::path::Path;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A file format. Gzip around any of them but Parquet is recognised by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// Delimited text, quoted as in RFC 4180; the delimiter is the one of comma, semicolon, tab and bar that the first
    /// line has most of, unless the mapping names it.
    Csv,
    /// Delimited text with tabs.
    Tsv,
    /// One JSON object a line: the records of the REST interface, or objects with mapped names.
    Jsonl,
    /// Columns of a Parquet file: plain values and lists of them.
    Parquet,
    /// JSON Lines as Gorse exports them.
    GorseJsonl,
    /// A user and then the user's items on each line, apart by white space. Events only.
    Adjacency,
}

/// Every format with the name that `--format` and a mapping file know it by.
const NAMES: [(&str, Format); 6] = [
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
    ("jsonl", Format::Jsonl),
    ("parquet", Format::Parquet),
    ("gorse-jsonl", Format::GorseJsonl),
    ("adjacency", Format::Adjacency),
];

impl Format {
    /// The format that a file's extension stands for, a final `.gz` left aside. `.inter`, `.item` and `.user` are the
    /// tab-separated files of RecBole. An error asks for `--format` where the extension says nothing.
    pub fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("csv") => Ok(Self::Csv),
            Some("tsv" | "tab" | "inter" | "item" | "user") => Ok(Self::Tsv),
            Some("jsonl" | "ndjson") => Ok(Self::Jsonl),
            Some("parquet" | "pq") => Ok(Self::Parquet),
            _ => Err(Error::invalid(
                "format",
                format!("cannot be told from the name {}; give --format, one of {}", path.display(), names()),
            )),
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(name, _)| *name == text).map(|(_, format)| *format);
        found.ok_or_else(|| Error::invalid("format", format!("is \"{text}\", expected one of {}", names())))
    }
}

fn names() -> String {
    NAMES.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_format_through_gzip() {
        for (name, format) in [
            ("a.csv", Format::Csv),
            ("A.CSV.GZ", Format::Csv),
            ("ml-100k.inter", Format::Tsv),
            ("x.ndjson.gz", Format::Jsonl),
            ("x.parquet", Format::Parquet),
        ] {
            assert_eq!(Format::of(Path::new(name)).unwrap(), format, "{name}");
        }
        for name in ["train.txt", "noextension", "-"] {
            assert!(Format::of(Path::new(name)).unwrap_err().to_string().contains("gorse-jsonl"), "{name}");
        }
    }

    #[test]
    fn a_format_is_named_in_text_as_in_serde() {
        for (name, format) in NAMES {
            assert_eq!(name.parse::<Format>().unwrap(), format);
            assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{name}\""));
        }
    }
}
