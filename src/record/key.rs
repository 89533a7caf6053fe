//! API keys: who may ask a server for what. The secret of a key is in none of these records but [`NewKey`], which is
//! shown once.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Span, Timestamp, validate_id};
use crate::error::{Error, Result};

/// The most web pages that a publishable key names.
const MAX_ORIGINS: usize = 100;
const MAX_NAME_BYTES: usize = 128;

/// What a key may be used for. A route needs one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Ask for recommendations, rankings, lists and neighbours.
    Read,
    /// Write events.
    Write,
    /// Read and change the catalogue: items, users with all that is known of them, scenarios, experiments.
    Manage,
    /// Read figures: metrics, statistics, drift, snapshots, jobs. For monitoring, which must not be able to change anything.
    Observe,
    /// Train, switch snapshots, back up, make keys, read the audit log; and all that `observe` may.
    Operate,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Manage, Self::Observe, Self::Operate];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
            Self::Observe => "observe",
            Self::Operate => "operate",
        }
    }

    /// Whether it may do what `wanted` is for.
    pub fn covers(self, wanted: Self) -> bool {
        self == wanted || (self == Self::Operate && wanted == Self::Observe)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.word())
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == text).ok_or_else(|| {
            let words = Self::ALL.map(Self::word).join(", ");
            Error::invalid("scopes", format!("is \"{text}\", expected {words}"))
        })
    }
}

/// Where a key may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// On servers alone: `sk_…`.
    #[default]
    Secret,
    /// In web pages and apps, where anybody can read it: `pk_…`. Such a key asks for recommendations and writes events, and
    /// sees nothing that is known of a person.
    Publishable,
}

impl KeyKind {
    /// What its tokens begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Secret => "sk",
            Self::Publishable => "pk",
        }
    }
}

/// An API key without its secret, which nobody knows but who was given it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKey {
    /// Its id: the part of the token between the underscores. It is no secret.
    pub id: String,
    /// What it is for, in the words of who made it.
    pub name: String,
    /// Where it may be kept.
    pub kind: KeyKind,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// The namespace that it is bound to; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it lets nobody in; absent: never for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// When its secret was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<Timestamp>,
    /// Until when the secret before that is still taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_until: Option<Timestamp>,
    /// The web pages (`https://HOST[:PORT]`) from which a publishable key is taken; empty: from everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Requests a second, by all who use it together; a second's worth may come at once. Absent: as many as the server can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
}

impl ApiKey {
    /// Whether a route that needs `wanted` is open to it.
    pub fn may(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.covers(wanted))
    }

    /// Where it stands.
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.revoked.is_some() {
            KeyState::Revoked
        } else if self.expires.is_some_and(|expires| expires <= now) {
            KeyState::Expired
        } else {
            KeyState::Active
        }
    }
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It lets in.
    Active,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

impl fmt::Display for KeyState {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        })
    }
}

/// A key that is to be made.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyDesign {
    /// What it is for: 1 to 128 bytes.
    pub name: String,
    /// Where it may be kept.
    #[serde(default)]
    pub kind: KeyKind,
    /// What it may be used for, at least one. A publishable key has no other than `read` and `write`.
    pub scopes: BTreeSet<Scope>,
    /// The namespace that it is bound to; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How long it lets in; absent: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Span>,
    /// The web pages (`https://HOST[:PORT]`) from which a publishable key is taken; empty: from everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// Requests a second, by all who use it together; a second's worth may come at once. Absent: as many as the server can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
}

impl KeyDesign {
    /// A secret key with these scopes.
    pub fn new(name: impl Into<String>, scopes: impl IntoIterator<Item = Scope>) -> Self {
        Self { name: name.into(), scopes: scopes.into_iter().collect(), ..Self::default() }
    }

    /// The same key, to be kept in web pages and apps.
    pub fn publishable(mut self) -> Self {
        self.kind = KeyKind::Publishable;
        self
    }

    /// Checks every field; the error names the first that is wrong.
    pub fn validate(&self) -> Result<()> {
        if self.name.trim().is_empty() || self.name.len() > MAX_NAME_BYTES || self.name.chars().any(char::is_control) {
            return Err(Error::invalid(
                "name",
                format!("expected 1 to {MAX_NAME_BYTES} bytes without control characters"),
            ));
        }
        if self.scopes.is_empty() {
            let words = Scope::ALL.map(Scope::word).join(", ");
            return Err(Error::invalid("scopes", format!("is empty, expected some of {words}")));
        }
        let is_publishable = self.kind == KeyKind::Publishable;
        if let Some(scope) = self.scopes.iter().find(|scope| !matches!(scope, Scope::Read | Scope::Write))
            && is_publishable
        {
            return Err(Error::invalid(
                "scopes",
                format!("has {scope}; a publishable key has no other than read and write"),
            ));
        }
        if !self.origins.is_empty() && !is_publishable {
            return Err(Error::invalid("origins", "is for publishable keys: a secret key must never be in a web page"));
        }
        if self.origins.len() > MAX_ORIGINS {
            return Err(Error::invalid(
                "origins",
                format!("has {} entries, at most {MAX_ORIGINS}", self.origins.len()),
            ));
        }
        for (place, origin) in self.origins.iter().enumerate() {
            validate_origin(&format!("origins[{place}]"), origin)?;
        }
        if let Some(tenant) = &self.tenant {
            validate_id("tenant", tenant)?;
        }
        if self.expires_in.is_some_and(|span| span.millis() < 1) {
            return Err(Error::invalid("expires_in", "expected a span of time that is not 0"));
        }
        match self.requests_per_second {
            Some(rate) if !(1e-3..=1e6).contains(&rate) => {
                Err(Error::invalid("requests_per_second", format!("is {rate}, expected 0.001 to 1000000")))
            }
            _ => Ok(()),
        }
    }
}

/// An origin as browsers send it: scheme, host and, where it is not the scheme's own, port; nothing after that.
pub fn validate_origin(field: &str, origin: &str) -> Result<()> {
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let is_host = |rest: &str| {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
        !rest.is_empty() && rest.bytes().all(good)
    };
    match rest {
        Some(rest) if is_host(rest) => Ok(()),
        _ => {
            let reason = format!("is \"{origin}\", expected an origin as browsers send it, like https://shop.example");
            Err(Error::invalid(field, reason))
        }
    }
}

/// A key with its secret: shown once, when it is made or rotated.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NewKey {
    /// The key.
    pub key: ApiKey,
    /// What who uses it sends, as `Authorization: Bearer TOKEN`. It is stored nowhere and cannot be shown again.
    pub token: Token,
}

/// A key's id and secret. Its `Debug` form hides it, so that no log tells it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// A token of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: a secret.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut KeyDesign)) -> String {
        let mut design = KeyDesign::new("shop", [Scope::Read]);
        change(&mut design);
        match design.validate().unwrap_err() {
            Error::Invalid { field, .. } => field,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_no_key_can_be_is_refused_by_its_field() {
        assert_eq!(refused(|design| design.name = " ".into()), "name");
        assert_eq!(refused(|design| design.name = "a\nb".into()), "name");
        assert_eq!(refused(|design| design.scopes.clear()), "scopes");
        assert_eq!(refused(|design| design.origins = vec!["https://shop.example".into()]), "origins");
        assert_eq!(refused(|design| design.requests_per_second = Some(0.0)), "requests_per_second");
        assert_eq!(refused(|design| design.requests_per_second = Some(f64::NAN)), "requests_per_second");
        assert_eq!(refused(|design| design.expires_in = Some(Span::seconds(0))), "expires_in");
        assert_eq!(refused(|design| design.tenant = Some(String::new())), "tenant");
        for scope in [Scope::Manage, Scope::Observe, Scope::Operate] {
            let publishable = |design: &mut KeyDesign| {
                design.kind = KeyKind::Publishable;
                design.scopes.insert(scope);
            };
            assert_eq!(refused(publishable), "scopes");
        }
    }

    #[test]
    fn an_origin_is_one_that_a_browser_sends() {
        for good in ["https://shop.example", "http://localhost:3000", "http://[::1]:80"] {
            validate_origin("origin", good).unwrap();
        }
        for bad in [
            "*",
            "null",
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://Shop.example",
            "ftp://x",
            "https://a b",
        ] {
            assert!(validate_origin("origin", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn operating_includes_observing_and_nothing_includes_anything_else() {
        for scope in Scope::ALL {
            for wanted in Scope::ALL {
                let expected = scope == wanted || (scope, wanted) == (Scope::Operate, Scope::Observe);
                assert_eq!(scope.covers(wanted), expected, "{scope} {wanted}");
            }
        }
    }

    #[test]
    fn a_token_is_told_by_no_debug_output() {
        let token = Token::new("sk_abc_def");
        assert!(!format!("{token:?}").contains("def"));
        assert_eq!(token.reveal(), "sk_abc_def");
    }
}
