//! Who asks.

use std::sync::Arc;

use crate::engine::{Admitted, Proof};
use crate::record::{Answer, ApiKey, ExcludeSeen, KeyKind, Query, Scope};
use crate::server::problem::Problem;

/// Who asks, as far as it is known: the key, or anybody on a server without keys.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key; none where there are no keys, or none is needed.
    pub key: Option<Arc<ApiKey>>,
    /// Which of its secrets.
    proof: Option<Proof>,
}

impl Caller {
    /// Somebody who needs no key, and may do what the route does.
    pub const fn anybody() -> Self {
        Self { key: None, proof: None }
    }

    /// Who has this key.
    pub fn of(admitted: Admitted) -> Self {
        let key = Arc::clone(&admitted.key);
        Self { key: Some(key), proof: Some(admitted.into_proof()) }
    }

    /// The key and the secret that it was shown by.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// The namespace that the caller is bound to.
    pub fn tenant(&self) -> Option<&str> {
        self.key.as_ref().and_then(|key| key.tenant.as_deref())
    }

    /// Whether a scope is the caller's.
    pub fn may(&self, scope: Scope) -> bool {
        self.key.as_ref().is_none_or(|key| key.may(scope))
    }

    /// Whether everybody can read the key.
    pub fn is_publishable(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.kind == KeyKind::Publishable)
    }

    /// Refuses publishable keys what would tell a person's past: whoever reads the key could ask about anybody. Explanations name
    /// it, and so does an answer with what was seen beside one without.
    pub fn may_ask(&self, query: &Query) -> Result<(), Problem> {
        if self.is_publishable() && query.exclude_seen != ExcludeSeen::default() {
            let reason = "is for secret keys: answers with and without what was seen tell what a person has done";
            return Err(Problem::invalid("exclude_seen", reason));
        }
        self.may_explain(query.explain)
    }

    /// Refuses explanations to publishable keys.
    pub fn may_explain(&self, explain: bool) -> Result<(), Problem> {
        if explain && self.is_publishable() {
            let reason = "is for secret keys: it would tell what a person has done";
            return Err(Problem::invalid("explain", reason));
        }
        Ok(())
    }

    /// The answer without what only secret keys see.
    pub fn shown(&self, mut answer: Answer) -> Answer {
        if self.is_publishable() {
            (answer.search, answer.before, answer.evidence) = (None, None, None);
            answer.items.iter_mut().for_each(|item| item.because = None);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::{Engine, Lookup};
    use crate::record::{Evidence, KeyDesign, Prior, Timestamp};

    #[test]
    fn who_can_be_anybody_is_not_told_what_an_answer_rests_on() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), Config::default()).unwrap();
        let answer = Answer {
            recommendation_id: "x".into(),
            snapshot: None,
            scenario: None,
            experiment: None,
            degraded: None,
            evidence: Some(Evidence { pairs: 7.0, prior: 0.5, of: Prior::Profile }),
            items: Vec::new(),
            next: None,
            before: None,
            search: None,
        };
        for (kind, is_told) in [(KeyKind::Secret, true), (KeyKind::Publishable, false)] {
            let made = engine.create_key(&KeyDesign { kind, ..KeyDesign::new("x", [Scope::Read]) }).unwrap();
            engine.check_key(made.token.reveal()).unwrap();
            let known = match engine.look_up_key(made.token.reveal(), Timestamp::now()) {
                Ok(Lookup::Known(admitted)) => Some(Caller::of(admitted)),
                _ => None,
            };
            assert_eq!(known.unwrap().shown(answer.clone()).evidence.is_some(), is_told);
        }
    }
}
