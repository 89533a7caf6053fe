//! Why a request is not let in, and how that is told: 401 with a challenge (RFC 6750) where a key is missing or no good, 403 where a
//! good one is not enough. Never with anything of a secret.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::engine::KeyRefusal;
use crate::record::{ApiKey, Scope};
use crate::server::problem::Problem;

/// Why a request is not let in.
pub enum Refusal {
    /// No key was sent, and one is needed.
    NoKey,
    /// The key is no good.
    Key(KeyRefusal),
    /// The key is good, and used too often.
    Limited(Duration, Arc<ApiKey>),
    /// The key is good, and its scopes are others.
    Scope(Scope, Option<Arc<ApiKey>>),
    /// The key is publishable, and the route is not for such keys.
    Publishable(Option<Arc<ApiKey>>),
    /// The key is for other web pages.
    Origin(Arc<ApiKey>),
    /// A header is there twice.
    Ambiguous(&'static str),
    /// No key is needed, and another site's page asks.
    CrossSite,
    /// Too many keys wait to be proven.
    Busy,
}

impl From<KeyRefusal> for Refusal {
    fn from(refusal: KeyRefusal) -> Self {
        Self::Key(refusal)
    }
}

impl Refusal {
    /// A key that was used too often.
    pub fn limited(refusal: KeyRefusal, key: &Arc<ApiKey>) -> Self {
        match refusal {
            KeyRefusal::Limited(wait) => Self::Limited(wait, Arc::clone(key)),
            other => Self::Key(other),
        }
    }

    /// The key that was good, if one was.
    pub fn key(&self) -> Option<&ApiKey> {
        match self {
            Self::Limited(_, key) | Self::Origin(key) => Some(key),
            Self::Scope(_, key) | Self::Publishable(key) => key.as_deref(),
            _ => None,
        }
    }

    /// The stable word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Key(KeyRefusal::Malformed) => "malformed_key",
            Self::Key(KeyRefusal::Unknown) => "unknown_key",
            Self::Key(KeyRefusal::Throttled(_)) => "too_many_wrong_keys",
            Self::Key(KeyRefusal::Expired) => "expired_key",
            Self::Key(KeyRefusal::Revoked) => "revoked_key",
            Self::Key(KeyRefusal::Limited(_)) | Self::Limited(..) => "rate_limited",
            Self::Key(KeyRefusal::Damaged) => "internal",
            Self::Scope(..) => "missing_scope",
            Self::Publishable(_) => "publishable_key",
            Self::Origin(_) => "foreign_origin",
            Self::Ambiguous(_) => "invalid",
            Self::CrossSite => "cross_site",
            Self::Busy => "overloaded",
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoKey => StatusCode::UNAUTHORIZED,
            Self::Key(KeyRefusal::Throttled(_) | KeyRefusal::Limited(_)) | Self::Limited(..) | Self::Busy => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Key(KeyRefusal::Damaged) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Key(_) => StatusCode::UNAUTHORIZED,
            Self::Scope(..) | Self::Publishable(_) | Self::Origin(_) | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Ambiguous(_) => StatusCode::BAD_REQUEST,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NoKey => "a key is needed here: send `Authorization: Bearer KEY`".into(),
            Self::Key(KeyRefusal::Malformed) => "this is no key: expected `Authorization: Bearer sk_…` or `pk_…`".into(),
            Self::Key(KeyRefusal::Unknown) => "there is no such key".into(),
            Self::Key(KeyRefusal::Throttled(_)) => "too many wrong secrets of this key were sent".into(),
            Self::Key(KeyRefusal::Expired) => "this key has expired; make another".into(),
            Self::Key(KeyRefusal::Revoked) => "this key is revoked; make another".into(),
            Self::Key(KeyRefusal::Damaged) => "the server failed; its log says why".into(),
            Self::Key(KeyRefusal::Limited(_)) => "this key is used more often than it may be".into(),
            Self::Limited(_, key) => match key.requests_per_second {
                Some(rate) => format!("this key may ask {rate} times a second, by all who use it together"),
                None => "this key is used more often than it may be".into(),
            },
            Self::Scope(wanted, _) => format!("this key has no scope \"{wanted}\", which is needed here"),
            Self::Publishable(_) => "this is for secret keys: publishable ones can be read by everybody".into(),
            Self::Origin(_) => "this key is for the web pages of other origins".into(),
            Self::Ambiguous(header) => format!("{header}: is there twice"),
            Self::CrossSite => "a page of another site asks, or this machine under the name of a domain, and this server has no keys: name the page's \
                origin in server.cors.origins, or make keys"
                .into(),
            Self::Busy => "too many keys are being checked".into(),
        }
    }

    /// What the client is told.
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.status(), self.word(), self.detail());
        match self {
            Self::NoKey => problem.challenge("Bearer realm=\"savor\"".into()),
            Self::Key(KeyRefusal::Throttled(wait) | KeyRefusal::Limited(wait)) | Self::Limited(wait, _) => {
                problem.retry_after(seconds(*wait))
            }
            Self::Busy => problem.retry_after(1),
            Self::Key(KeyRefusal::Damaged) => problem,
            Self::Key(_) => problem.challenge("Bearer realm=\"savor\", error=\"invalid_token\"".into()),
            Self::Scope(wanted, _) => {
                problem.challenge(format!("Bearer realm=\"savor\", error=\"insufficient_scope\", scope=\"{wanted}\""))
            }
            Self::Ambiguous(header) => problem.in_field(*header),
            Self::Publishable(_) | Self::Origin(_) | Self::CrossSite => problem,
        }
    }
}

/// Whole seconds, at least one: who comes then is let in.
fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_as_told_has_waited_long_enough() {
        for (millis, expected) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (99_500, 100)] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected);
        }
        assert_eq!(seconds(Duration::MAX), u32::MAX);
    }
}
