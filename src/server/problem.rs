//! What a client is told when a request is not done: `application/problem+json` (RFC 9457) with a stable `code` and, where
//! one field is to blame, its path. Every refusal of the server goes through [`Problem`]; no other body reports an error.

use std::ops::Deref;

use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::reply::Reply;
use crate::error::Error;

/// Why a request was not done. Boxed: it stands in the error place of every result.
#[derive(Clone, Debug)]
pub struct Problem(Box<Details>);

/// Why a request was not done (RFC 9457).
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Details {
    /// Always `about:blank`: the status says what kind of problem it is, the code says which.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The stable word for this problem.
    pub code: &'static str,
    /// What happened, and what would help.
    pub detail: String,
    /// The offending field of the body, or parameter of the path or query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The records of a bulk request that were refused, if all of them were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub rejected: Vec<Rejected>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
    #[serde(skip)]
    allow: Option<String>,
    #[serde(skip)]
    challenge: Option<String>,
}

/// One record of a bulk request that was refused; the others are not concerned.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Rejected {
    /// Its place in the request, counted from 0.
    pub index: usize,
    /// The stable word for what is wrong.
    pub code: &'static str,
    /// The offending field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong with it and what is expected.
    pub reason: String,
}

impl Problem {
    /// A problem of this status.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            field: None,
            rejected: Vec::new(),
            retry_after_s: None,
            allow: None,
            challenge: None,
        }))
    }

    /// Bad input in a field.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::from(Error::invalid(field, reason))
    }

    /// A fault of the server. The cause goes to the log; the client learns only that there was one.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; its log says why")
    }

    /// The disk takes no writes. The reason may name paths of the machine: it is for the log.
    pub fn unwritable(remedy: &str) -> Self {
        let detail = format!("nothing can be written, questions are answered; {remedy}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unwritable", detail).retry_after(5)
    }

    /// The path is known, the method is not.
    pub fn method_not_allowed(allow: String) -> Self {
        let detail = format!("this path takes {allow}");
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        problem.0.allow = Some(allow);
        problem
    }

    /// The same problem in a field.
    pub fn in_field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// The same problem, worth another attempt after so many seconds.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// The same problem with what is needed of the client's key (`WWW-Authenticate`).
    pub fn challenge(mut self, challenge: String) -> Self {
        self.0.challenge = Some(challenge);
        self
    }

    /// The same problem with the records that were refused.
    pub fn with_rejected(mut self, rejected: Vec<Rejected>) -> Self {
        self.0.rejected = rejected;
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The problem as an answer.
    pub fn into_reply(self) -> Reply {
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut reply = Reply::new(self.status(), "application/problem+json", body);
        if let Some(seconds) = self.0.retry_after_s {
            reply = reply.header(header::RETRY_AFTER, &seconds.to_string());
        }
        if let Some(allow) = &self.0.allow {
            reply = reply.header(header::ALLOW, allow);
        }
        if let Some(challenge) = &self.0.challenge {
            reply = reply.header(header::WWW_AUTHENTICATE, challenge);
        }
        reply
    }
}

impl Deref for Problem {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Invalid { .. } | Error::BadRow { .. } => StatusCode::BAD_REQUEST,
            Error::NotFound { .. } => StatusCode::NOT_FOUND,
            Error::Conflict(_) | Error::NoData { .. } | Error::GateFailed { .. } => StatusCode::CONFLICT,
            Error::Cancelled(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Unwritable { remedy, .. } => {
                tracing::error!(%error, "a write was refused");
                return Self::unwritable(remedy);
            }
            Error::Quota { retry_after_ms: None, .. } => StatusCode::FORBIDDEN,
            Error::Quota { retry_after_ms: Some(millis), .. } => {
                let seconds = u32::try_from(millis.div_ceil(1_000)).unwrap_or(u32::MAX);
                return Self::new(StatusCode::TOO_MANY_REQUESTS, error.code(), error.to_string()).retry_after(seconds);
            }
            Error::Unavailable { .. } => {
                // Why may name paths of the machine: it is for operators, who find it at the tenant.
                let detail = "this tenant cannot be asked now";
                return Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), detail).retry_after(5);
            }
            // The message may name paths of the machine: it is for the log.
            _ => {
                let mut problem = Self::internal(&error);
                problem.0.code = error.code();
                return problem;
            }
        };
        let code = error.code();
        match error {
            Error::Invalid { field, reason } => {
                let detail = if field.is_empty() { reason } else { format!("{field}: {reason}") };
                let problem = Self::new(status, code, detail);
                if field.is_empty() { problem } else { problem.in_field(field) }
            }
            other => Self::new(status, code, other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_is_the_clients_and_names_its_field() {
        let problem = Problem::from(Error::invalid("events[3].user", "is empty"));
        let json = serde_json::to_value(&*problem).unwrap();
        assert_eq!(json["status"], 400);
        assert_eq!(json["code"], "invalid");
        assert_eq!(json["field"], "events[3].user");
        assert_eq!(json["title"], "Bad Request");
    }

    #[test]
    fn a_fault_of_the_server_does_not_tell_its_paths() {
        let error = Error::corrupt("/var/lib/savor/index/7", "checksum differs");
        let json = serde_json::to_string(&*Problem::from(error)).unwrap();
        assert!(json.contains("\"corrupt\"") && json.contains("500") && !json.contains("/var"), "{json}");
    }
}
