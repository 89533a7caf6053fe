//! Who may ask the server, over what, and what is noted of it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use crate::error::{Error, Result};
use crate::record::{Span, validate_origin};

/// TLS: without both files the server speaks plain HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate and those between it and the authority, PEM, in this order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// How often the files are looked at; changed ones count for new connections. SIGHUP looks at once.
    pub check_every: Span,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { certificate: None, key: None, check_every: Span::seconds(10) }
    }
}

/// Which web pages of other origins may ask; none by default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorsConfig {
    /// The origins, exactly as browsers send them: `https://shop.example`.
    pub origins: Vec<String>,
    /// Browsers keep the permission so long before they ask again.
    pub max_age: Span,
}

impl Default for CorsConfig {
    fn default() -> Self {
        Self { origins: Vec::new(), max_age: Span::seconds(600) }
    }
}

/// How many API keys there may be. Where there are so many, the oldest that lets nobody in any more makes room for a new one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// Keys that are bound to no tenant.
    pub max: usize,
    /// Keys that are bound to a tenant, of each.
    pub max_per_tenant: usize,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self { max: 1_000, max_per_tenant: 100 }
    }
}

/// What is kept of operations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Entries are kept so long.
    pub retention: Span,
    /// So many entries are kept at most, the newest.
    pub entries: usize,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { retention: Span::days(90), entries: 100_000 }
    }
}

impl TlsConfig {
    /// The files, if the server is to speak TLS.
    pub fn files(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.certificate.as_ref().zip(self.key.as_ref())
    }

    pub(super) fn validate(&self) -> Result<()> {
        match (&self.certificate, &self.key) {
            (Some(_), None) => return Err(Error::invalid("key", "is absent; certificate and key go together")),
            (None, Some(_)) => return Err(Error::invalid("certificate", "is absent; certificate and key go together")),
            _ => {}
        }
        check("check_every", self.check_every.millis() as f64, 1.0..=f64::MAX)
    }
}

impl CorsConfig {
    pub(super) fn validate(&self) -> Result<()> {
        let each = |(place, origin): (usize, &String)| validate_origin(&format!("origins[{place}]"), origin);
        self.origins.iter().enumerate().try_for_each(each)
    }
}

impl KeysConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("max", self.max as f64, 1.0..=100_000.0)?;
        check("max_per_tenant", self.max_per_tenant as f64, 1.0..=100_000.0)
    }
}

impl AuditConfig {
    pub(super) fn validate(&self) -> Result<()> {
        check("retention", self.retention.millis() as f64, 1.0..=f64::MAX)?;
        check("entries", self.entries as f64, 0.0..=1e7)
    }
}
