//! The name of a tenant. It becomes the name of a folder, a header's value and a metric's label, so little is allowed: a name
//! that passes here cannot leave its folder, does not differ from another by case alone, and means nothing else anywhere.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};

/// The longest name.
const MAX_BYTES: usize = 63;
/// What a name looks like.
const PATTERN: &str = "^[a-z0-9][a-z0-9_-]{0,62}$";
/// Words that mean something else: the directory itself, every tenant, no tenant; and devices, as which some systems take a
/// folder of that name when a backup is unpacked there.
const RESERVED: [&str; 10] = ["default", "all", "none", "self", "tenants", "con", "prn", "aux", "nul", "savor"];

/// The name of a tenant: 1 to 63 lower-case letters, digits, hyphens and underscores, the first a letter or digit, and no
/// reserved word.
///
/// ```
/// assert!("acme-eu_2".parse::<savor::TenantName>().is_ok());
/// for bad in ["", "Acme", "a/b", "..", "-a", "default", "com1"] {
///     assert!(bad.parse::<savor::TenantName>().is_err());
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TenantName(String);

impl TenantName {
    /// The word for the data directory itself, where no tenant is named.
    pub const DEFAULT: &'static str = "default";

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_reserved(name: &str) -> bool {
        // COM1 to COM9 and LPT1 to LPT9.
        let is_port = name.len() == 4 && (name.starts_with("com") || name.starts_with("lpt"));
        RESERVED.contains(&name) || (is_port && name.as_bytes().get(3).is_some_and(u8::is_ascii_digit))
    }
}

impl FromStr for TenantName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let mut bytes = name.bytes();
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = name.len() <= MAX_BYTES
            && bytes.next().is_some_and(is_plain)
            && bytes.all(|byte| is_plain(byte) || matches!(byte, b'-' | b'_'));
        if !fits {
            let reason = "expected 1 to 63 lower-case letters, digits, '-' or '_', beginning with a letter or digit";
            return Err(Error::invalid("tenant", reason));
        }
        if Self::is_reserved(name) {
            return Err(Error::invalid("tenant", format!("\"{name}\" is a reserved word; choose another name")));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TenantName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for TenantName {
    fn schema_name() -> Cow<'static, str> {
        "TenantName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_leave_the_folder_or_be_taken_for_something_else_is_no_name() {
        let long = "a".repeat(64);
        for bad in [
            "", ".", "..", "../x", "a/b", "a\\b", "a.b", "a b", "a\0", "a\n", "Acme", "é", "ａ", "-a", "_a", "a%2fb",
            ".new-a", "default", "all", "none", "con", "nul", "com1", "lpt9", &long,
        ] {
            assert!(bad.parse::<TenantName>().is_err(), "{bad:?}");
        }
        for good in ["a", "0", "acme", "acme-eu_2", "com", "com10", "comet", &long[..63]] {
            assert_eq!(good.parse::<TenantName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_name_is_checked_wherever_it_is_read() {
        assert!(serde_json::from_str::<TenantName>("\"../x\"").is_err());
        assert_eq!(serde_json::from_str::<TenantName>("\"a\"").unwrap().to_string(), "a");
    }
}
