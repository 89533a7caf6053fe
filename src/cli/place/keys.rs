//! API keys and the audit log.

use serde::{Deserialize, Serialize};

use super::LARGEST_PAGE;
use crate::cli::context::Place;
use crate::cli::failure::Failure;
use crate::cli::remote::segment;
use crate::engine::{AuditQuery, Tenants};
use crate::record::{ApiKey, AuditEntry, KeyDesign, NewKey, Span};

impl Place {
    /// Makes a key.
    pub fn create_key(&self, design: &KeyDesign) -> Result<NewKey, Failure> {
        match self {
            Self::Here(engine) => Ok(Tenants::around((**engine).clone())?.create_key(design)?),
            Self::There(remote) => remote.post("/v1/keys", design),
        }
    }

    /// All keys, the oldest first.
    pub fn keys(&self) -> Result<Vec<ApiKey>, Failure> {
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<ApiKey>,
        }
        match self {
            Self::Here(engine) => Ok(engine.keys()),
            Self::There(remote) => Ok(remote.get::<Keys>("/v1/keys")?.keys),
        }
    }

    /// Gives a key a new secret; the one before is taken for `overlap` longer.
    pub fn rotate_key(&self, id: &str, overlap: Span) -> Result<NewKey, Failure> {
        #[derive(Serialize)]
        struct Rotation {
            overlap: Span,
        }
        match self {
            Self::Here(engine) => Ok(engine.rotate_key(id, overlap)?),
            Self::There(remote) => remote.post(&format!("/v1/keys/{}:rotate", segment(id)), &Rotation { overlap }),
        }
    }

    /// From now on a key lets nobody in.
    pub fn revoke_key(&self, id: &str) -> Result<(), Failure> {
        match self {
            Self::Here(engine) => Ok(engine.revoke_key(id).map(drop)?),
            Self::There(remote) => remote.delete(&format!("/v1/keys/{}", segment(id))),
        }
    }

    /// Entries of the audit log, the newest first.
    pub fn audit_log(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, Failure> {
        #[derive(Deserialize)]
        struct Audit {
            entries: Vec<AuditEntry>,
        }
        match self {
            Self::Here(engine) => Ok(engine.audit_log(query)?),
            Self::There(remote) => {
                let mut path = format!("/v1/audit?limit={}", query.limit.clamp(1, LARGEST_PAGE));
                let before = query.before.map(|time| time.to_string());
                for (name, value) in [("before", &before), ("key", &query.key), ("user", &query.user)] {
                    if let Some(value) = value {
                        path += &format!("&{name}={}", segment(value));
                    }
                }
                Ok(remote.get::<Audit>(&path)?.entries)
            }
        }
    }
}
